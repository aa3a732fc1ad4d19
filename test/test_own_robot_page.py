"""The commands of docs/own_robot.md, as they stand there, on the rendered bags at a tiny size."""

from __future__ import annotations

from pathlib import Path
import re
import shlex
import subprocess
import sys

from command_line import run
from depth_prune_ros.core.engine import DepthEngine
from depth_prune_ros.offline import checkpoint as checkpoints
from depth_prune_ros.offline.suit import suited_config
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / 'docs' / 'own_robot.md'
BLOCK = re.compile(r'^```sh\n(.*?)^```', re.MULTILINE | re.DOTALL)
TINY = {'steps': 2, 'batch': 2, 'checkpoint_every': 2, 'bf16': False, 'channels_last': True}
CHOSEN = {'runs/rgbd': ['bags/yard'], 'runs/stereo': ['bags/drive']}


def _commands() -> list[str]:
    return [line for block in BLOCK.findall(PAGE.read_text()) for line in block.splitlines()]


def _run(command: str, folder: Path) -> str:
    program, *arguments = shlex.split(command)
    if program == 'python':
        known = [str(ROOT / arguments[0]), *arguments[1:], '--frames', '3', '--width', '96']
        done = subprocess.run(
            [sys.executable, *known], cwd=folder, capture_output=True, text=True, check=False
        )
    else:
        assert program == 'depth-prune'
        done = run(*arguments, environment={'COLUMNS': '120'}, folder=folder)
    assert done.returncode == 0, f'{command}\n{done.stderr}'
    return done.stdout


def _make_tiny(folder: Path) -> None:
    """Have configurations of a few steps where the page's commands take or choose theirs."""
    for out, bags in CHOSEN.items():
        file, _ = suited_config([folder / bag for bag in bags], folder / out)
        file.write_text(
            yaml.safe_dump({**yaml.safe_load(file.read_text()), **TINY, 'prune': {'warmup': 0}})
        )
    name = Path('config/run_own_robot.yaml')
    values = yaml.safe_load((ROOT / name).read_text())
    values['common'] |= {**TINY, 'height': 32, 'width': 64}
    for stage in ('train', 'prune', 'finetune'):
        values[stage].pop('steps')
    values['prune']['prune'] |= {'warmup': 0, 'every': 1}
    del values['quantize']  # takes long, and test_pipeline has it
    (folder / 'config').mkdir()
    (folder / name).write_text(yaml.safe_dump(values))


def test_the_page_from_recording_to_the_model_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    render, *commands = _commands()
    assert render.startswith('python docs/own_robot_bags.py')
    _run(render, tmp_path)
    _make_tiny(tmp_path)
    said = {command: _run(command, tmp_path) for command in commands}
    assert [c.split()[1] for c in commands] == [
        *('bag', 'evaluate', 'run', 'train', 'train', 'prune', 'compact', 'train', 'export'),
        'evaluate',
    ]
    run = next(text for command, text in said.items() if command.startswith('depth-prune run'))
    assert 'finetune: made' in run
    model = re.search(r'^model:  (.+)$', run, re.MULTILINE)
    assert model
    card = DepthEngine.load(tmp_path / model[1]).card
    assert {'yard', 'hall'} <= set(card.provenance['trained_on'])
    assert card.provenance['licence'].startswith('mine; from weights: CC BY-NC-SA')
    # the RGB-D run learned from measured depth alone, the stereo run from its pair alone
    losses = [checkpoints.load(Path(run)).config['losses'] for run in CHOSEN]
    assert [found['photometric'] for found in losses] == [0.0, 1.0]
    assert [found['depth'] for found in losses] == [1.0, 0.0]
    stereo = next(text for command, text in said.items() if command.endswith('--out runs/stereo'))
    assert 'Next: depth-prune prune runs/stereo --budget macs=0.2 --config runs/stereo' in stereo
    assert (tmp_path / 'report' / 'report.html').is_file()

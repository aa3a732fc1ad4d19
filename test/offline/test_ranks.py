"""Two processes on one training (torchrun, gloo): what one process does, and no more than once."""

from __future__ import annotations

import json
import os
from pathlib import Path
import signal
import subprocess
import sys
import time

import curves
from depth_prune_ros.offline import checkpoint as checkpoints
from depth_prune_ros.offline import ranks
from killed_runs import make_stage
import pytest
import torch

TORCHRUN = ('-m', 'torch.distributed.run', '--standalone', '--nproc-per-node', '2')


def test_two_processes_have_the_losses_of_one(tmp_path: Path) -> None:
    """Training and pruning: every term at every step, the masks, the validation."""
    curves.prepare(tmp_path)
    script = Path(__file__).with_name('curves.py')
    two = tmp_path / 'two'
    two.mkdir()
    path = os.pathsep.join((str(script.parent), os.environ.get('PYTHONPATH', '')))
    command = [sys.executable, *TORCHRUN, str(script), str(tmp_path), str(two)]
    environment = {**os.environ, 'PYTHONPATH': path}
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    wanted = curves.curves(tmp_path, tmp_path / 'one')
    found = json.loads((two / 'rank0.json').read_text())
    assert json.loads((two / 'rank1.json').read_text()) == {'train': [], 'prune': []}
    for stage, steps in wanted.items():
        assert len(steps) == len(found[stage]) == 6
        assert found[stage][0] == pytest.approx(steps[0], rel=2e-6)
        assert [set(step) for step in found[stage]] == [set(step) for step in steps]
    for ours, theirs in zip(found['train'], wanted['train'], strict=True):
        assert ours == pytest.approx(theirs, rel=2e-3, abs=1e-5)
    for ours, theirs in zip(found['prune'], wanted['prune'], strict=True):
        assert ours['task'] == pytest.approx(theirs['task'], rel=0.01)
        assert ours['share'] == pytest.approx(theirs['share'], rel=1e-3)
    for stage in ('train_first', 'prune_first'):
        _assert_same_step(two / stage, tmp_path / 'one' / stage)
        # torch's batch norm in float32 is further from the truth than two processes: 0.005, 0.02
        masks = checkpoints.load(two / stage).masks
        moments = checkpoints.load_training(two / stage)['optimiser']['state']
        step = torch.cat([moments[key]['exp_avg'].flatten() for key in sorted(moments, key=int)])
        assert _apart(step.double() / step.norm(), curves.exact_direction(tmp_path, masks)) < 1e-4
    start, held = (checkpoints.load(tmp_path / name).weights for name in ('start', 'two/held'))
    kept = {name for name, tensor in start.items() if torch.equal(held[name], tensor)}
    assert kept == {name for name in start if not name.startswith('decoder.')}


def _assert_same_step(found: Path, wanted: Path) -> None:
    """Compare what one step makes of the statistics and of the masks' scores."""
    one, other = (checkpoints.load(run) for run in (found, wanted))
    for name, tensor in other.weights.items():
        if 'running' in name:
            torch.testing.assert_close(one.weights[name], tensor, rtol=1e-4, atol=1e-5)
    if other.masks:
        # all together: the smallest scores are differences of large terms
        assert one.masks.keys() == other.masks.keys()
        scores = [torch.cat([c.masks[name] for name in sorted(c.masks)]) for c in (one, other)]
        assert float((scores[0] - scores[1]).abs().max()) < 1e-3
        ours, theirs = (
            torch.cat([c.masks[name] for name in sorted(c.masks) if 'score' in name])
            for c in (one, other)
        )
        assert _apart(ours, theirs) < 0.05


def _apart(found: torch.Tensor, wanted: torch.Tensor) -> float:
    return float((found - wanted).norm() / wanted.norm().clamp(min=1e-12))


def test_a_rank_that_dies_stops_all(tmp_path: Path) -> None:
    """The command ends by itself, and what it says names the dead rank's end."""
    stage, out = make_stage(tmp_path, 'train'), tmp_path / 'run'
    process = stage.begin_ranks(out, TORCHRUN)
    while not list(out.glob('step-*')) and process.poll() is None:
        time.sleep(0.02)
    (second,) = [child for child in _children(process.pid) if _rank(child) == '1']
    os.kill(second, signal.SIGKILL)
    said, errors = process.communicate(timeout=120)
    assert process.returncode != 0
    told = 'error: rank 0: expected 2 processes, found that another one ended'
    assert told in errors, f'{said}\n{errors}'
    assert 'SIGKILL' in errors
    assert checkpoints.load(out).step > 0


def test_a_signal_does_not_hide_that_another_rank_ended() -> None:
    """Torchrun's SIGTERM may come while the error of the lost connection is on its way."""
    lost: list[BaseException] = []
    for first in (RuntimeError('[gloo] Connection closed by peer'), ValueError('connection')):
        try:
            try:
                raise first
            finally:
                raise KeyboardInterrupt
        except KeyboardInterrupt as error:
            lost.append(error)
    assert [ranks._is_of_another(error) for error in lost] == [True, False]
    assert not ranks._is_of_another(KeyboardInterrupt())


def _children(pid: int) -> list[int]:
    listed = Path(f'/proc/{pid}/task/{pid}/children').read_text()
    return [int(child) for child in listed.split()]


def _rank(pid: int) -> str:
    environment = Path(f'/proc/{pid}/environ').read_bytes().split(b'\0')
    values = dict(entry.partition(b'=')[::2] for entry in environment)
    return values.get(b'RANK', b'').decode()

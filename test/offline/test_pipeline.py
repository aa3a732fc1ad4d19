"""A whole run: one command from bags to a model file; only what has changed is made again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
import shutil
import signal
import time
from typing import Any

from command_line import Command
from command_line import run
from depth_prune_ros.bags.frames import read_frames
from depth_prune_ros.bags.street import Street
from depth_prune_ros.bags.street import street_to_bag
from depth_prune_ros.core.engine import DepthEngine
from depth_prune_ros.core.errors import ConfigError
from depth_prune_ros.core.metrics import PLAIN
from depth_prune_ros.evaluation.evaluate import evaluate_model
from depth_prune_ros.offline import cache
from depth_prune_ros.offline import checkpoint as checkpoints
from depth_prune_ros.offline.judgement import read_judgement
from depth_prune_ros.offline.pipeline import Pipeline
from depth_prune_ros.offline.pipeline import Watch
from depth_prune_ros.offline.run_config import read_run_config
from depth_prune_ros.offline.run_inputs import RunInputs
from depth_prune_ros.offline.samples import load_samples
from depth_prune_ros.offline.samples import Sample
from depth_prune_ros.offline.stage_folder import Begun
from depth_prune_ros.offline.stage_folder import Inputs
from killed_runs import assert_same_run
import pytest
from tiny_networks import checkpoint
from tiny_networks import narrow
import yaml

STAGES = ['cache', 'train', 'prune', 'compact', 'finetune', 'export', 'quantize', 'evaluate']
COMMON = {
    'network': 'mobilenet',
    'height': 32,
    'width': 64,
    'steps': 4,
    'batch': 2,
    'bf16': False,
    'channels_last': True,
    'checkpoint_every': 2,
    'tensorboard': False,
    'losses': {'photometric': 0.5},
}
PRUNE = {
    'steps': 30,
    'prune': {'ramp': 0.9, 'every': 1, 'warmup': 1, 'memory': 4, 'floor_filters': 1},
}
PATIENCE_S = 120


def _write(folder: Path, **changes: Any) -> Path:
    values = {
        'name': 'tiny',
        'bags': [str(folder / 'a'), str(folder / 'b')],
        'val': [str(folder / 'b')],
        'out': str(folder / 'out'),
        'budget': 'macs=0.5',
        'start': str(folder / 'start'),
        'common': COMMON,
        'prune': PRUNE,
        'finetune': {'losses': {'distillation': 0.5}},
        'quantize': {'max_loss': 9.0},
    }
    file = folder / 'run.yaml'
    file.write_text(yaml.safe_dump({**values, **changes}))
    return file


def _run(config: Path) -> dict[str, Begun]:
    """Make a run in this process and return how each stage began."""
    found: dict[str, Begun] = {}

    @contextmanager
    def training(_folder: Path, _config: object) -> Iterator[Any]:
        yield lambda _: None

    watch = Watch(training, lambda *_: None, found.__setitem__)
    Pipeline(read_run_config(config), watch).run()
    return found


def _states(found: dict[str, Begun]) -> list[str]:
    assert list(found) == STAGES
    return [begun.state for begun in found.values()]


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return two bags, a checkpoint of few filters to start from, and a run of them."""
    folder = tmp_path_factory.mktemp('run')
    for seed, name in enumerate('ab', start=1):
        street_to_bag(folder / name, Street(seed=seed, frames=4, width=96, height=48))
    checkpoints.save(folder / 'start', checkpoint('mobilenet', narrow('mobilenet'), 5))
    done = run('run', _write(folder))
    assert done.returncode == 0, done.stderr
    (folder / 'printed').write_text(done.stdout)
    return folder


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    """Return a copy of the run that a test may change."""
    shutil.copytree(folder, tmp_path / 'run')
    return tmp_path / 'run'


def test_the_whole_run(folder: Path) -> None:
    out = folder / 'out'
    small = DepthEngine.load(out / 'export' / 'tiny.onnx').card
    dense = DepthEngine.load(out / 'export' / 'tiny_dense.onnx').card
    assert small.name == 'tiny'
    assert small.macs == pytest.approx(0.5 * dense.macs, rel=0.1)
    assert small.macs < dense.macs
    assert 'int8' in DepthEngine.load(out / 'quantize' / 'tiny_int8.onnx').card.provenance
    assert checkpoints.load(out / 'prune').config['losses']['photometric'] == 0.5
    losses = checkpoints.load(out / 'finetune').config['losses']
    assert (losses['photometric'], losses['distillation']) == (0.5, 0.5)
    assert (out / 'evaluate' / 'report.html').is_file()


def test_what_the_command_says(folder: Path) -> None:
    lines = (folder / 'printed').read_text().splitlines()
    assert [line for line in lines if line.endswith(': made')] == [f'{s}: made' for s in STAGES]
    out = folder / 'out' / 'evaluate'
    model = folder / 'out' / 'quantize' / 'tiny_int8.onnx'
    assert lines[-2] == f'model:  {model}'
    assert lines[-1].startswith(f'node:   depth-prune node --ros-args -p model:={model} -r ')
    abs_rel = read_judgement(out).tables[0].rows[0]
    assert abs_rel[0] == 'AbsRel'
    assert any(abs_rel[1].split()[0] in line for line in lines if 'AbsRel' in line)
    # as evaluate does, lidar points that the camera cannot see would be left out
    (occluded,) = (
        row for row in read_judgement(out).tables[0].rows if row[0] == 'occluded points'
    )
    assert occluded[1:4] == ('0', '0', '0')


def test_nothing_is_made_twice(folder: Path) -> None:
    files = {path: path.stat().st_mtime_ns for path in (folder / 'out').rglob('*/*')}
    assert _states(_run(folder / 'run.yaml')) == ['unchanged'] * len(STAGES)
    assert {path: path.stat().st_mtime_ns for path in files} == files


def test_only_what_follows_a_change_is_made_again(copy: Path) -> None:
    config = _write(copy, prune={**PRUNE, 'steps': 32})
    found = _run(config)
    assert _states(found) == ['unchanged'] * 2 + ['made'] * 6
    assert found['prune'].why == 'changed: prune.steps'
    assert found['compact'].why == 'changed: prune'
    assert checkpoints.load(copy / 'out' / 'prune').step == 32
    assert checkpoints.load(copy / 'out' / 'prune.before').step == 30
    assert _states(_run(config)) == ['unchanged'] * len(STAGES)


@pytest.mark.parametrize(
    ('changes', 'first'),
    [
        ({'budget': 'macs=0.6'}, 'prune'),
        ({'name': 'other'}, 'export'),
        ({'quantize': {'max_loss': 8.0}}, 'quantize'),
    ],
)
def test_where_a_change_begins(changes: dict[str, Any], first: str, copy: Path) -> None:
    states = _states(_run(_write(copy, **changes)))
    at = STAGES.index(first)
    assert states[:at] == ['unchanged'] * at
    assert states[at] == 'made'


def test_what_changes_no_result_makes_nothing_again(copy: Path) -> None:
    config = _write(copy, common={**COMMON, 'checkpoint_every': 3, 'validate_every': 7})
    assert set(_states(_run(config))) == {'unchanged'}


def test_another_bag_under_the_same_name_makes_all_again(copy: Path) -> None:
    shutil.rmtree(copy / 'a')
    street_to_bag(copy / 'a', Street(seed=3, frames=4, width=96, height=48))
    found = _run(_write(copy))
    assert set(_states(found)) == {'made'}
    assert found['train'].why == 'changed: bag a, frames'


def test_what_is_judged_on_and_how_changes_the_card_and_no_weights(copy: Path) -> None:
    found = _run(_write(copy, val=[str(copy / 'a')], protocol='plain'))
    assert _states(found) == ['unchanged'] * 5 + ['made'] * 3
    assert 'protocol' in found['export'].why
    frames = list(read_frames(copy / 'a'))
    for model in ('export/tiny', 'export/tiny_dense', 'quantize/tiny_int8'):
        engine = DepthEngine.load(copy / 'out' / f'{model}.onnx')
        card, judged = engine.card, evaluate_model(frames, engine, PLAIN).metrics
        assert card.provenance['validated_on'] == {'a': 4}
        assert card.provenance['protocol'] == 'plain'
        assert list(card.metrics) == ['a']
        assert card.metrics['a']['abs_rel'] == pytest.approx(judged.abs_rel, rel=1e-3)
    assert card.provenance['int8']['protocol'] == 'plain'
    trained = checkpoints.load(copy / 'out' / 'finetune').card
    assert list(trained['metrics']) == ['b']


@pytest.mark.parametrize(
    'product',
    [
        'train/step-0000004/weights.safetensors',
        'compact/step-0000000/checkpoint.json',
        'export/tiny_dense.onnx',
        'quantize/tiny_int8.onnx',
        'evaluate/tables.json',
    ],
)
def test_a_product_that_is_gone_is_made_again(product: str, copy: Path) -> None:
    (copy / 'out' / product).unlink()
    stage, name = product.split('/', 1)
    found = _run(_write(copy))
    assert found[stage] == Begun('made', f'missing: {name}')
    assert {found[before].state for before in STAGES[: STAGES.index(stage)]} <= {'unchanged'}
    assert (copy / 'out' / product).is_file()


def test_frames_that_are_decoded_otherwise_make_the_trainings_again(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even one that was interrupted: with other frames it cannot be gone on with."""

    def inverted(*arguments: Any, **options: Any) -> Iterator[Sample]:
        samples = load_samples(*arguments, **options)
        return (replace(sample, left=255 - sample.left) for sample in samples)

    monkeypatch.setattr(cache, '_decoding', lambda: 'other code that does the same')
    assert set(_states(_run(_write(copy)))) == {'unchanged'}
    record = copy / 'out' / 'train' / 'stage.json'
    record.write_text(record.read_text().replace('"done": true', '"done": false'))
    monkeypatch.setattr(cache, '_decoding', lambda: 'other code')
    monkeypatch.setattr(cache, 'load_samples', inverted)
    found = _run(_write(copy))
    assert found['train'] == Begun('made', 'changed: frames')


def test_files_count_by_what_is_in_them(copy: Path) -> None:
    def inputs(name: str, content: str) -> Inputs:
        (copy / name).write_text(content)
        config = _write(copy, common={**COMMON, 'imagenet_weights': str(copy / name)})
        return RunInputs(read_run_config(config), lambda *_: None).training('train', {}, {})

    first = inputs('weights', '1')
    assert inputs('same', '1') == first
    assert inputs('weights', '2') != first


def test_a_killed_run_goes_on_where_it_was(folder: Path, copy: Path) -> None:
    """SIGKILL amid the pruning; in the end the weights are those of a run left in peace."""
    shutil.rmtree(copy / 'out')
    config = _write(copy)
    process = Command('run', config)
    try:
        patience = time.monotonic() + PATIENCE_S
        while not any((copy / 'out' / 'prune').glob('step-*')):
            assert process.poll() is None
            assert time.monotonic() < patience
            time.sleep(0.005)
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    found = _run(config)
    assert _states(found) == ['unchanged'] * 2 + ['resumed'] + ['made'] * 5
    for stage in ('train', 'prune', 'finetune'):
        assert_same_run(copy / 'out' / stage, folder / 'out' / stage)


def test_an_unfinished_stage_that_cannot_go_on_begins_anew(copy: Path) -> None:
    record = copy / 'out' / 'compact' / 'stage.json'
    record.write_text(record.read_text().replace('"done": true', '"done": false'))
    states = _states(_run(_write(copy)))
    assert states == ['unchanged'] * 3 + ['made'] + ['unchanged'] * 4


def test_a_folder_of_somebody_else_is_left_alone(copy: Path) -> None:
    (copy / 'out' / 'train' / 'stage.json').unlink()
    with pytest.raises(ConfigError, match='expected the folder of a stage .* name another out'):
        _run(_write(copy))
    assert checkpoints.load(copy / 'out' / 'train').step == COMMON['steps']


def test_two_processes_do_not_make_one_run(copy: Path) -> None:
    @contextmanager
    def training(_folder: Path, _config: object) -> Iterator[Any]:
        with pytest.raises(ConfigError, match='expected nobody else at this run'):
            _run(config)
        yield lambda _: None

    config = _write(copy, budget='macs=0.7')
    Pipeline(read_run_config(config), Watch(training, lambda *_: None, lambda *_: None)).run()

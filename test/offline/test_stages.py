"""The stages end to end: two rendered bags to a dense, a pruned, a compact, an exported model."""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import replace
from pathlib import Path

from depth_prune_ros.bags.frames import read_frames
from depth_prune_ros.bags.street import Street
from depth_prune_ros.bags.street import street_to_bag
from depth_prune_ros.bags.write import BagWriter
from depth_prune_ros.core.camera import Intrinsics
from depth_prune_ros.core.engine import DepthEngine
from depth_prune_ros.core.errors import BagError
from depth_prune_ros.core.errors import CheckpointError
from depth_prune_ros.core.errors import ConfigError
from depth_prune_ros.core.errors import TrainingError
from depth_prune_ros.core.metrics import EIGEN
from depth_prune_ros.core.metrics import evaluate_frame
from depth_prune_ros.core.metrics import mean_metrics
from depth_prune_ros.offline import checkpoint as checkpoints
from depth_prune_ros.offline import stages
from depth_prune_ros.offline.config import LossConfig
from depth_prune_ros.offline.config import TrainConfig
from depth_prune_ros.offline.cost import cost
from depth_prune_ros.offline.export import export
from depth_prune_ros.offline.progress import Progress
from depth_prune_ros.offline.training_data import read_data
from depth_prune_ros.offline.training_data import TrainingData
import numpy as np
import pytest
import torch

# torch deprecates the exporter that needs no further package, and parts of it each by itself.
PRUNE = {'ramp': 0.5, 'every': 1, 'warmup': 1, 'memory': 2}
CONFIG = TrainConfig.model_validate(
    {
        'network': 'mobilenet',
        'imagenet': False,
        'height': 64,
        'width': 128,
        'steps': 4,
        'batch': 2,
        'bf16': False,
        'channels_last': True,
        'checkpoint_every': 2,
        'licence': 'CC0',
        'prune': PRUNE,
    }
)
BUDGET = 'macs=0.5'


@dataclass(frozen=True)
class Runs:
    """The folders of one way through all stages."""

    bags: tuple[Path, Path]
    data: TrainingData
    dense: Path
    pruned: Path
    small: Path
    pruning: list[Progress]


@pytest.fixture(scope='module')
def bags(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp('bags')
    for seed, name in enumerate(('street_a', 'street_b'), start=1):
        street_to_bag(folder / name, Street(seed=seed, frames=3, width=160, height=80))
    return folder / 'street_a', folder / 'street_b'


@pytest.fixture(scope='module')
def runs(bags: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Runs:
    folder, reading, pruning = tmp_path_factory.mktemp('runs'), [], []
    data = read_data(bags, bags[1:], CONFIG, lambda *seen: reading.append(seen))
    assert reading == [(b.name, n) for b in (*bags, bags[1]) for n in (1, 2, 3)]
    dense = stages.train(CONFIG, data, folder / 'dense', lambda _: None)
    pruned = stages.prune(
        CONFIG, data, folder / 'pruned', pruning.append, start=dense, budget=BUDGET
    )
    stages.remove_masked(folder / 'pruned', folder / 'small')
    return Runs(bags, data, dense, pruned, folder / 'small', pruning)


def test_the_dense_run(runs: Runs) -> None:
    dense = checkpoints.load(runs.dense)
    assert (dense.step, dense.masks) == (4, {})
    camera = {'fx_over_width': pytest.approx(721.5377 / 1242), 'baseline_m': pytest.approx(0.54)}
    assert dense.card['provenance'] == {
        'trained_on': {'street_a': 3, 'street_b': 3},
        'cameras': {'street_a': camera, 'street_b': camera},
        'validated_on': {'street_b': 3},
        'protocol': 'eigen',
        'licence': 'CC0',
        'begun_with': {'start': '', 'teacher': ''},
    }
    assert dense.card['fx_over_width'] == pytest.approx(721.5377 / 1242, rel=1e-6)
    assert (dense.card['input_height'], dense.card['input_width']) == (64, 128)


def test_the_pruned_run_ends_at_the_budget(runs: Runs) -> None:
    shares = [progress.share for progress in runs.pruning]
    assert shares[0] == 1.0
    assert all(0.495 <= share <= 0.5 for share in shares[2:])
    assert all('distillation' in progress.terms for progress in runs.pruning)
    pruned = checkpoints.load(runs.pruned)
    assert pruned.card['provenance']['budget'] == BUDGET
    dense = checkpoints.load(runs.dense).weights
    assert any(not torch.equal(v, dense[k]) for k, v in pruned.weights.items())


def test_the_compact_network_has_half_the_macs(runs: Runs) -> None:
    small, dense = (checkpoints.load(run).build() for run in (runs.small, runs.dense))
    ratio = (
        cost(small.layers, small.widths, 64 * 128).macs
        / cost(dense.layers, dense.widths, 64 * 128).macs
    )
    assert 0.495 <= ratio <= 0.5
    assert ratio == pytest.approx(runs.pruning[-1].share)


def test_the_exported_model_runs_and_is_as_good_as_its_card(runs: Runs, tmp_path: Path) -> None:
    export(checkpoints.load(runs.dense), tmp_path / 'dense.onnx')
    export(checkpoints.load(runs.small), tmp_path / 'small.onnx')
    small, dense = (DepthEngine.load(tmp_path / f'{name}.onnx') for name in ('small', 'dense'))
    frames = runs.data.validation['street_b']
    camera = frames[0].camera
    focal = camera.fx_over_width, camera.fy_over_height
    depth = small.infer(frames[0].left, *focal)
    assert depth.shape == (64, 128)
    assert np.isfinite(depth).all()
    assert depth.min() > 0
    for card in (small.card, dense.card):
        assert (card.fx_over_width, card.fy_over_height) == pytest.approx(focal, rel=1e-6)
    assert set(small.card.parity) == {'masked_compact', 'torch_onnx'}
    assert small.card.macs < 0.5 * dense.card.macs
    rows = [
        evaluate_frame(
            f.depth,
            dense.disparity(f.left, *focal),
            dense.card.baseline_m,
            f.camera.fx_over_width,
            EIGEN,
        )
        for f in frames
        if f.depth is not None
    ]
    found = mean_metrics([row for row in rows if row is not None])
    assert dense.card.metrics['street_b']['abs_rel'] == pytest.approx(found.abs_rel, rel=1e-3)
    assert dense.card.metrics['street_b']['rmse'] == pytest.approx(found.rmse, rel=1e-3)


def test_a_resumed_pruning_equals_an_uninterrupted_one(runs: Runs, tmp_path: Path) -> None:
    def stop(progress: Progress) -> None:
        if progress.step == 3:
            raise KeyboardInterrupt

    def again(report: stages.Report) -> None:
        stages.prune(CONFIG, runs.data, tmp_path, report, start=runs.dense, budget=BUDGET)

    with pytest.raises(KeyboardInterrupt):
        again(stop)
    seen: list[Progress] = []
    again(seen.append)
    assert [progress.step for progress in seen] == [3, 4]
    whole, parts = checkpoints.load(runs.pruned), checkpoints.load(tmp_path)
    for found, wanted in ((parts.masks, whole.masks), (parts.weights, whole.weights)):
        assert all(torch.equal(found[key], value) for key, value in wanted.items())


def test_a_second_round_of_masks_goes_on_from_the_first(runs: Runs, tmp_path: Path) -> None:
    stages.prune(
        CONFIG, runs.data, tmp_path / 'masked', lambda _: None, start=runs.small, budget='macs=0.8'
    )
    once = checkpoints.load(runs.small)
    twice = stages.remove_masked(tmp_path / 'masked', tmp_path / 'small')
    macs = [cost(c.build().layers, c.widths, 64 * 128).macs for c in (once, twice)]
    assert macs[1] / macs[0] == pytest.approx(0.8, rel=0.01)
    assert all(width <= once.widths[group] for group, width in twice.widths.items())
    assert twice.card['provenance']['budget'] == f'{BUDGET}, then macs=0.8'


def test_fine_tuning_keeps_the_widths(runs: Runs, tmp_path: Path) -> None:
    config = CONFIG.model_copy(update={'steps': 1})
    seen: list[Progress] = []
    tuned = stages.train(
        config, runs.data, tmp_path, seen.append, start=runs.small, teachers=[runs.dense]
    )
    small = checkpoints.load(runs.small)
    assert checkpoints.load(tuned).widths == small.widths
    assert checkpoints.load(tuned).card['provenance']['budget'] == BUDGET
    assert seen[0].terms['distillation'] > 0


def _mono_bag(path: Path) -> Path:
    camera = Intrinsics(64, 32, 48.0, 48.0, 31.5, 15.5)
    with BagWriter(path) as bag:
        for stamp in range(10**9, 3 * 10**9, 10**9):
            bag.camera_info('/camera/camera_info', stamp, 'camera', camera)
            bag.image('/camera/image_raw', stamp, 'camera', np.zeros((32, 64, 3), np.uint8))
    return path


def test_bags_without_anything_to_learn_from(tmp_path: Path) -> None:
    bag = _mono_bag(tmp_path / 'mono')
    assert len(list(read_frames(bag))) == 2
    with pytest.raises(TrainingError, match='right image or measured depth, found none'):
        read_data([bag], [], CONFIG, lambda *_: None)


def test_validation_needs_depth(bags: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(BagError, match='mono: expected frames with depth, found none'):
        read_data(bags, [_mono_bag(tmp_path / 'mono')], CONFIG, lambda *_: None)


def _depth_bag(path: Path, depth_m: float) -> Path:
    camera = Intrinsics(64, 32, 48.0, 48.0, 31.5, 15.5)
    with BagWriter(path) as bag:
        bag.camera_info('/camera/camera_info', 10**9, 'camera', camera)
        bag.image('/camera/image_raw', 10**9, 'camera', np.zeros((32, 64, 3), np.uint8))
        bag.image('/camera/depth', 10**9, 'camera', np.full((32, 64), depth_m, np.float32))
    return path


def test_bags_without_what_the_losses_compare_with(tmp_path: Path) -> None:
    bag = _depth_bag(tmp_path / 'near', 9.0)
    losses = LossConfig(photometric=1, depth=0, hints=0.5)
    told = (
        'for losses.photometric or losses.hints, found none: the bags have measured depth; raise '
        'losses.depth$'
    )
    with pytest.raises(TrainingError, match=told):
        read_data([bag], [], CONFIG.model_copy(update={'losses': losses}), lambda *_: None)
    assert read_data([bag], [bag], CONFIG, lambda *_: None).dataset.bags == {'near': 1}


def test_what_is_no_bag_is_found_first(bags: tuple[Path, Path], tmp_path: Path) -> None:
    config = CONFIG.model_copy(update={'cache': str(tmp_path / 'cache')})
    with pytest.raises(BagError, match='nowhere: expected a bag, found nothing there'):
        read_data(bags, [tmp_path / 'nowhere'], config, lambda *_: None)
    assert not (tmp_path / 'cache').exists()


def test_validation_needs_depth_that_is_judged(bags: tuple[Path, Path], tmp_path: Path) -> None:
    bag = _depth_bag(tmp_path / 'far', 90.0)
    for name, where in (('eigen', 'Garg crop.*: plain$'), ('plain', r'image \(.*there$')):
        with pytest.raises(BagError, match=f'expected measured depth up to 80 m in the {where}'):
            read_data(bags, [bag], CONFIG.model_copy(update={'protocol': name}), lambda *_: None)


def test_two_bags_of_one_name(bags: tuple[Path, Path]) -> None:
    with pytest.raises(BagError, match='different names, found street_a, street_a'):
        read_data([bags[0], bags[0]], [], CONFIG, lambda *_: None)
    with pytest.raises(BagError, match='different names, found street_b, street_b'):
        read_data(bags[:1], [bags[1], bags[1]], CONFIG, lambda *_: None)


def test_sizes_that_do_not_fit_the_network(runs: Runs, tmp_path: Path) -> None:
    config = CONFIG.model_copy(update={'height': 48})
    with pytest.raises(ConfigError, match='multiples of 32 for mobilenet, found 48x128'):
        stages.train(config, runs.data, tmp_path, lambda _: None)
    with pytest.raises(ConfigError, match='multiples of 32 for mobilenet, found 48x128'):
        stages.prune(config, runs.data, tmp_path, lambda _: None, start=runs.dense, budget=BUDGET)


def test_batch_norm_of_one_pixel(runs: Runs, tmp_path: Path) -> None:
    """Torch would say it in a stack trace; two pixels are enough."""
    small = {'height': 32, 'width': 32, 'batch': 1, 'steps': 1}
    with pytest.raises(ConfigError, match='found one: of one frame of 32x32; take more frames'):
        stages.train(CONFIG.model_copy(update=small), runs.data, tmp_path, lambda _: None)
    wider = CONFIG.model_copy(update={**small, 'width': 64})
    two = stages.train(wider, runs.data, tmp_path, lambda _: None)
    assert checkpoints.load(two).step == 1


def test_a_start_of_another_network_than_configured(runs: Runs, tmp_path: Path) -> None:
    config = CONFIG.model_copy(update={'network': 'mobilenet_subpixel'})
    told = 'start of network mobilenet_subpixel, as configured, found mobilenet'
    with pytest.raises(ConfigError, match=told):
        stages.train(config, runs.data, tmp_path, lambda _: None, start=runs.dense)
    with pytest.raises(ConfigError, match=told):
        stages.prune(config, runs.data, tmp_path, lambda _: None, start=runs.dense, budget=BUDGET)


def test_masks_of_a_run_that_was_stopped_are_not_compacted(runs: Runs, tmp_path: Path) -> None:
    masked = checkpoints.load(runs.pruned)
    checkpoints.save(tmp_path / 'stopped', replace(masked, step=masked.step - 1))
    with pytest.raises(CheckpointError, match='learned to the end, found step 3 of 4, where the'):
        stages.remove_masked(tmp_path / 'stopped', tmp_path / 'small')
    assert not (tmp_path / 'small').exists()


def test_compaction_never_replaces_a_run(runs: Runs) -> None:
    before = sorted(runs.pruned.parent.iterdir())
    with pytest.raises(CheckpointError, match='without checkpoints, found some; name another'):
        stages.remove_masked(runs.pruned, runs.pruned.parent)
    assert sorted(runs.pruned.parent.iterdir()) == before

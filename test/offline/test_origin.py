"""What a run says of its beginning and itself; it goes on with that, or not at all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
import os
from pathlib import Path
import signal

from depth_prune_ros.core.errors import CheckpointError
from depth_prune_ros.core.metrics import DepthMetrics
from depth_prune_ros.offline import budget
from depth_prune_ros.offline import checkpoint as checkpoints
from depth_prune_ros.offline import stages
from depth_prune_ros.offline import train
from depth_prune_ros.offline.config import AugmentConfig
from depth_prune_ros.offline.config import LossConfig
from depth_prune_ros.offline.config import TrainConfig
from depth_prune_ros.offline.dataset import Dataset
from depth_prune_ros.offline.masks import Masks
from depth_prune_ros.offline.networks.base import DepthNetwork
from depth_prune_ros.offline.networks.catalogue import build
from depth_prune_ros.offline.progress import Progress
from depth_prune_ros.offline.samples import Sample
from depth_prune_ros.offline.training_data import TrainingData
import numpy as np
import pytest
from tiny_networks import checkpoint
from tiny_networks import narrow

Go = Callable[..., Path]


def _config(network: str, size: tuple[int, int], **prune: object) -> TrainConfig:
    values = {'ramp': 0.5, 'every': 1, 'warmup': 0, 'floor_filters': 1, **prune}
    return TrainConfig.model_validate(
        {
            'network': network,
            'height': size[0],
            'width': size[1],
            'baseline_m': 0.5,
            'steps': 2,
            'batch': 1,
            'bf16': False,
            'channels_last': False,
            'prune': values,
        }
    )


def _data(size: tuple[int, int]) -> TrainingData:
    rng = np.random.default_rng(1)
    image = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
    points = np.array([[0.3, 0.4, 6.0], [0.6, 0.7, 9.0]], np.float32)
    sample = Sample(image, None, points, fx_over_width=0.6, fy_over_height=1.2, baseline_m=0.5)
    return TrainingData(Dataset({'yard': [sample]}, {}, size, 0.5, AugmentConfig()), {})


@pytest.fixture(scope='module')
def starts(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return two runs of one shape and other weights."""
    folder = tmp_path_factory.mktemp('starts')
    a, b = (checkpoint('mobilenet', narrow('mobilenet', 4), seed) for seed in (5, 6))
    return checkpoints.save(folder / 'a', a), checkpoints.save(folder / 'b', b)


def _go(stage: str, out: Path, **changes: object) -> Path:
    """Run a stage for a few steps."""
    config = _config('mobilenet', (32, 64))
    own = ('steps', 'learning_rate', 'weight_decay', 'seed', 'losses', 'augment')
    own += ('average', 'hold_encoder')
    settings = {key: changes.pop(key) for key in own if key in changes}
    form = {'form': changes.pop('form', 'budget')}
    form |= {'curvature': changes.pop('curvature', 1000.0)}
    config = config.model_copy(update={**settings, 'prune': config.prune.model_copy(update=form)})
    options = {'budget': 'macs=0.5', **changes} if stage == 'prune' else changes
    return getattr(stages, stage)(config, _data((32, 64)), out, lambda _: None, **options)


@pytest.mark.parametrize(
    ('stage', 'change', 'message'),
    [
        ('prune', {'budget': 'macs=0.3'}, 'a run of budget macs=0.3, found one of macs=0.5'),
        ('prune', {'form': 'params'}, 'a run of form params, found one of budget'),
        ('prune', {'start': 1}, 'a run of start [0-9a-f]{32}, found one of [0-9a-f]{32}'),
        ('train', {'start': 1}, 'a run of start [0-9a-f]{32}, found one of [0-9a-f]{32}'),
        ('train', {'teachers': [1]}, 'a run of teacher [0-9a-f]{32}, found one of [0-9a-f]{32}'),
        ('train', {'teachers': []}, 'a run of teacher none, found one of [0-9a-f]{32}'),
        ('train', {'seed': 3}, 'a run of seed 3, found one of 0'),
        (
            'train',
            {'losses': LossConfig(hints=0.5)},
            'a run of losses.hints 0.5, found one of',
        ),
        (
            'prune',
            {'augment': AugmentConfig(crop=0.5)},
            'a run of augment.crop 0.5, found one',
        ),
        ('prune', {'curvature': 7.0}, 'a run of prune.curvature 7.0, found one of 1000.0'),
        ('prune', {'steps': 3}, 'a run of steps 3, found one of 2'),
        ('train', {'average': 0.9}, 'a run of average 0.9, found one of 0.0'),
        ('train', {'hold_encoder': True}, 'a run of hold_encoder True, found one of False'),
    ],
)
def test_another_beginning_is_refused(
    stage: str, change: dict[str, object], message: str, starts: tuple[Path, Path], tmp_path: Path
) -> None:
    first: dict[str, object] = {'start': starts[0]}
    first |= {'teachers': [starts[0]]} if stage == 'train' else {}
    last = _go(stage, tmp_path, **first)
    before = (last / 'weights.safetensors').read_bytes()
    second = {'1': starts[1], '[1]': [starts[1]]}
    other = {key: second.get(str(value), value) for key, value in change.items()}
    with pytest.raises(
        CheckpointError, match=f'expected {message}.*; name another --out'
    ) as caught:
        _go(stage, tmp_path, **{**first, **other})
    assert '\n' not in str(caught.value)
    assert (last / 'weights.safetensors').read_bytes() == before
    # the rate may change, and the steps where no masks follow them
    steps = 2 if stage == 'prune' else 3
    again = _go(stage, tmp_path, steps=steps, learning_rate=1e-5, weight_decay=0.5, **first)
    assert checkpoints.load(again).step == steps
    if stage == 'train':
        (group,) = checkpoints.load_training(again)['optimiser']['param_groups']
        assert (group['lr'] < 1e-5, group['weight_decay']) == (True, 0.5)


@pytest.mark.parametrize('use', ['start', 'teacher', 'prune'])
def test_masks_are_removed_before_a_network_is_used(
    use: str, starts: tuple[Path, Path], tmp_path: Path
) -> None:
    masked = _go('prune', tmp_path / 'masked', start=starts[0]).parent
    options: dict[str, object] = {'start': masked}
    if use == 'teacher':
        options = {'start': starts[0], 'teachers': [masked]}
    said = f'{masked}: expected a checkpoint without masks, .* depth-prune compact {masked}'
    with pytest.raises(CheckpointError, match=said):
        _go('prune' if use == 'prune' else 'train', tmp_path / 'out', **options)
    assert not (tmp_path / 'out').exists()


def test_a_run_without_a_record_is_gone_on_with(starts: tuple[Path, Path], tmp_path: Path) -> None:
    last = checkpoints.load(_go('train', tmp_path, start=starts[0]))
    provenance = {k: v for k, v in last.card['provenance'].items() if k != 'begun_with'}
    old = replace(last, card={**last.card, 'provenance': provenance})
    checkpoints.save(tmp_path, old, checkpoints.load_training(tmp_path))
    again = _go('train', tmp_path, start=starts[1], teachers=[starts[1]], steps=3)
    assert checkpoints.load(again).step == 3


def test_the_card_has_the_licences_of_start_and_teachers(
    starts: tuple[Path, Path], tmp_path: Path
) -> None:
    last = checkpoints.load(_go('train', tmp_path, teachers=[starts[1]]))
    said = last.card['provenance']['licence']
    assert said == 'as the bags it was trained on; from weights: CC0'


def test_masks_have_no_milliseconds_of_masks_before(tmp_path: Path) -> None:
    before = checkpoint('mobilenet', narrow('mobilenet', 4))
    provenance = {**before.card['provenance'], 'latency': {'measured_ms': 9.0, 'budget_ms': 8.0}}
    timed = replace(before, card={**before.card, 'provenance': provenance})
    start = checkpoints.save(tmp_path / 'start', timed)
    last = checkpoints.load(_go('prune', tmp_path / 'masked', start=start))
    assert last.card['provenance']['budget'] == 'macs=0.5'
    assert 'latency' not in last.card['provenance']


def test_metrics_are_of_the_checkpoints_own_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Judged at step 2 of 4, stopped in the next one, gone on with to the end."""

    def judged(network: DepthNetwork, *_: object) -> DepthMetrics:
        weights = next(network.parameters()).detach()
        return DepthMetrics(float(weights.double().sum()), *[0.0] * 6)

    def stop(progress: Progress) -> None:
        if progress.step == 2:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(train, 'validate', judged)
    monkeypatch.setattr(train, 'preview', lambda *_: None)
    config = _config('mobilenet', (32, 64)).model_copy(update={'steps': 4, 'validate_every': 2})
    data = replace(_data((32, 64)), validation={'street': [None]})
    with pytest.raises(KeyboardInterrupt):
        stages.train(config, data, tmp_path, stop)
    stopped = checkpoints.load(tmp_path)
    assert (stopped.step, stopped.card['metrics']) == (3, {})
    last = checkpoints.load(stages.train(config, data, tmp_path, lambda _: None))
    wanted = next(last.build().parameters()).detach().double().sum()
    assert last.card['metrics']['street']['abs_rel'] == pytest.approx(float(wanted))


def test_a_stop_in_the_last_step_is_not_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def judged(*_: object) -> DepthMetrics:
        os.kill(os.getpid(), signal.SIGINT)
        return DepthMetrics(*[0.0] * 7)

    monkeypatch.setattr(train, 'validate', judged)
    monkeypatch.setattr(train, 'preview', lambda *_: None)
    data = replace(_data((32, 64)), validation={'street': [None]})
    with pytest.raises(KeyboardInterrupt, match='step-0000002: stopped'):
        stages.train(_config('mobilenet', (32, 64)), data, tmp_path, lambda _: None)
    assert checkpoints.load(tmp_path).step == 2


def test_the_form_of_the_paper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The iconvs stay whole, the others are pruned, every filter costs the same."""
    made: list[Masks] = []

    def spy(*given: object, **named: object) -> Masks:
        made.append(Masks(*given, **named))  # type: ignore[arg-type]
        return made[0]

    monkeypatch.setattr(budget, 'Masks', spy)
    config = _config('monodepth_vgg', (128, 128), form='paper')
    start = checkpoints.save(
        tmp_path / 'dense', checkpoint('monodepth_vgg', narrow('monodepth_vgg', 6), 5)
    )
    last = stages.prune(
        config,
        _data((128, 128)),
        tmp_path / 'masked',
        lambda _: None,
        start=start,
        budget='macs=0.7',
    )
    masks = checkpoints.load(last).masks
    widths = {name[5:]: int(m.sum()) for name, m in masks.items() if name.startswith('mask.')}
    whole = {f'iconv{level}' for level in range(1, 8)}
    assert whole == build('monodepth_vgg', narrow('monodepth_vgg', 6)).unmasked_in_paper
    assert {widths[group] for group in whole} == {6}
    assert sum(widths[group] for group in widths.keys() - whole) < 6 * 21
    assert len(widths.keys() - whole) == 21
    (one,) = made
    assert one._weigh.name == 'filters'
    assert one._pressure.saturation == 0

"""The training loop: its steps, its rate, and how it stops and goes on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
import re

from depth_prune_ros.bags.frames import Frame
from depth_prune_ros.core.camera import Intrinsics
from depth_prune_ros.core.errors import CheckpointError
from depth_prune_ros.core.errors import TrainingError
from depth_prune_ros.offline import checkpoint as checkpoints
from depth_prune_ros.offline.config import AugmentConfig
from depth_prune_ros.offline.config import LossConfig
from depth_prune_ros.offline.config import TrainConfig
from depth_prune_ros.offline.cost import Budget
from depth_prune_ros.offline.cost import measures
from depth_prune_ros.offline.dataset import Dataset
from depth_prune_ros.offline.masks import Masks
from depth_prune_ros.offline.masks import Pressure
from depth_prune_ros.offline.networks.base import DepthNetwork
from depth_prune_ros.offline.networks.catalogue import build
from depth_prune_ros.offline.progress import Progress
from depth_prune_ros.offline.samples import load_samples
from depth_prune_ros.offline.schedule import learning_rate
from depth_prune_ros.offline.teachers import Teacher
from depth_prune_ros.offline.teachers import Teachers
from depth_prune_ros.offline.train import Trainer
from depth_prune_ros.offline.validation import validate
import numpy as np
import pytest
from tiny_networks import constant_network
from tiny_networks import narrow
from tiny_networks import randomise
import torch

HEIGHT, WIDTH = 32, 64
CAMERA = Intrinsics(WIDTH, HEIGHT, 48.0, 48.0, 31.5, 15.5)
PLAIN = AugmentConfig(flip=0, colour=0, grey=0, crop=1, blur=0, noise=0)


def _config(steps: int, **changes: object) -> TrainConfig:
    values = {
        'network': 'mobilenet',
        'imagenet': False,
        'height': HEIGHT,
        'width': WIDTH,
        'baseline_m': 0.5,
        'steps': steps,
        'batch': 2,
        'bf16': False,
        'channels_last': True,
        'checkpoint_every': 2,
        'protocol': 'plain',
    }
    return TrainConfig.model_validate({**values, 'augment': PLAIN, **changes})


def _frames(count: int = 4, depth_m: float = 6.0) -> list[Frame]:
    rng = np.random.default_rng(1)
    depth = np.full((HEIGHT, WIDTH), depth_m, np.float32)
    images = rng.integers(0, 256, (count, HEIGHT, WIDTH, 3), dtype=np.uint8)
    return [Frame(i, image, CAMERA, depth=depth) for i, image in enumerate(images)]


def _dataset() -> Dataset:
    samples = list(load_samples(_frames(), (HEIGHT, WIDTH), 0.5))
    return Dataset({'bag': samples}, {}, (HEIGHT, WIDTH), 0.5, PLAIN)


def _network() -> DepthNetwork:
    network = build('mobilenet', narrow('mobilenet', 3))
    randomise(network, 5)
    return network


def _train(config: TrainConfig, out: Path, teacher: DepthNetwork | None = None) -> list[Progress]:
    seen: list[Progress] = []
    teachers = Teachers([] if teacher is None else [Teacher(teacher, (HEIGHT, WIDTH))])
    card = {'baseline_m': 0.5}
    trainer = Trainer(_network(), _dataset(), config, card=card, teachers=teachers)
    trainer.resume(out)
    trainer.run(out, {}, seen.append)
    return seen


def test_a_stage_that_is_gone_on_with_keeps_its_rate(tmp_path: Path) -> None:
    seen = _train(_config(3).model_copy(update={'final_rate': 1.0}), tmp_path)
    assert [p.learning_rate for p in seen] == pytest.approx([3e-4] * 3)


def test_every_step_is_reported(tmp_path: Path) -> None:
    seen = _train(_config(3), tmp_path)
    assert [(p.step, p.steps, p.share) for p in seen] == [(1, 3, 1.0), (2, 3, 1.0), (3, 3, 1.0)]
    wanted = [learning_rate(step, 3, 3e-4) for step in range(3)]
    assert [p.learning_rate for p in seen] == pytest.approx(wanted)
    assert all(set(p.terms) == {'depth', 'task'} for p in seen)
    assert all(p.terms['depth'] > 0 for p in seen)
    last = checkpoints.load(tmp_path)
    assert (last.step, last.card) == (3, {'baseline_m': 0.5, 'metrics': {}})
    assert last.config == _config(3).model_dump()


def test_training_lowers_the_loss(tmp_path: Path) -> None:
    seen = _train(_config(30, learning_rate=3e-2, checkpoint_every=100), tmp_path)
    assert seen[-1].terms['task'] < 0.5 * seen[0].terms['task']


def test_resumed_equals_uninterrupted(tmp_path: Path) -> None:
    _train(_config(4), tmp_path / 'whole')
    trainer = Trainer(_network(), _dataset(), _config(4), card={})

    def stop(progress: Progress) -> None:
        if progress.step == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trainer.run(tmp_path / 'parts', {}, stop)
    assert checkpoints.load(tmp_path / 'parts').step == 2
    seen = _train(_config(4), tmp_path / 'parts')
    assert [p.step for p in seen] == [3, 4]
    whole, parts = (checkpoints.load(tmp_path / run) for run in ('whole', 'parts'))
    start = _network().state_dict()
    assert any(not torch.equal(v, start[k]) for k, v in whole.weights.items())
    for key, value in whole.weights.items():
        torch.testing.assert_close(parts.weights[key], value, rtol=0, atol=0)


def test_averaged_weights_by_hand_are_judged_and_kept(tmp_path: Path) -> None:
    """A step keeps three quarters of the average; the first step is all of it."""
    network = _network()
    trainer = Trainer(network, _dataset(), _config(3, average=0.75), card={})
    steps = []
    trainer.run(
        tmp_path / 'whole',
        {'bag': _frames()},
        lambda _: steps.append({k: v.clone() for k, v in network.state_dict().items()}),
    )
    last = checkpoints.load(tmp_path / 'whole')
    for key in ('stem.0.weight', 'stem.1.running_mean', 'decoder.disp1.bias'):
        first, second, third = (step[key] for step in steps)
        wanted = 0.75 * (0.75 * first + 0.25 * second) + 0.25 * third
        torch.testing.assert_close(last.weights[key], wanted)
        assert not torch.allclose(last.weights[key], third, rtol=1e-7, atol=0)
    judged = validate(last.build(), _frames(), (HEIGHT, WIDTH), 0.5, 'plain')
    assert last.card['metrics']['bag']['abs_rel'] == pytest.approx(judged.abs_rel, rel=1e-5)


def test_another_run_is_not_gone_on_from(tmp_path: Path) -> None:
    _train(_config(1), tmp_path)
    wider = build('mobilenet', {**narrow('mobilenet', 3), 'iconv1': 4})
    masked = _network()
    params = measures(masked.layers, HEIGHT * WIDTH)['params']
    masks = Masks(masked, Budget(params, 1e9), Pressure())
    for network, given in ((wider, None), (masked, masks)):
        other = Trainer(network, _dataset(), _config(2), card={}, masks=given)
        with pytest.raises(CheckpointError, match='expected a run of this very training, found'):
            other.resume(tmp_path)
    checkpoints.save(tmp_path, checkpoints.load(tmp_path))
    with pytest.raises(CheckpointError, match='name another --out'):
        Trainer(_network(), _dataset(), _config(2), card={}).resume(tmp_path)


def test_a_finished_run_does_no_more(tmp_path: Path) -> None:
    _train(_config(2), tmp_path)
    before = checkpoints.load(tmp_path)
    assert _train(_config(2), tmp_path) == []
    after = checkpoints.load(tmp_path).weights
    assert all(torch.equal(after[k], v) for k, v in before.weights.items())


def test_a_loss_that_is_not_finite_stops(tmp_path: Path) -> None:
    """With the step, its frames, and the last checkpoint, which is good and gone on from."""
    trainer = Trainer(_network(), _dataset(), _config(6), card={})

    def poison(progress: Progress) -> None:
        if progress.step == 3:
            trainer.network.get_parameter('decoder.disp1.bias').data.fill_(float('nan'))

    with pytest.raises(TrainingError) as caught:
        trainer.run(tmp_path, {}, poison)
    frames = _dataset().frames(3, 2, 0)
    assert str(caught.value) == (
        f'step 3: expected a finite loss, found nan; its frames: {", ".join(frames)}; '
        f'last good checkpoint: {tmp_path}/step-0000002; lower learning_rate'
    )
    assert all(re.fullmatch(r'bag at [0-3] ns', frame) for frame in frames)
    assert all(v.isfinite().all() for v in checkpoints.load(tmp_path).weights.values())
    assert [p.step for p in _train(_config(6), tmp_path)] == [3, 4, 5, 6]


def test_gradients_that_are_not_finite_stop_before_the_weights(tmp_path: Path) -> None:
    network = _network()
    network.get_parameter('decoder.disp1.bias').register_hook(lambda g: g * float('inf'))
    before = {key: value.clone() for key, value in network.named_parameters()}
    trainer = Trainer(network, _dataset(), _config(2), card={})
    with pytest.raises(
        TrainingError, match=r'step 0: expected finite gradients, .* last good checkpoint: none;'
    ):
        trainer.run(tmp_path, {}, lambda _: None)
    assert list(tmp_path.iterdir()) == []
    assert all(torch.equal(before[key], v.detach()) for key, v in network.named_parameters())


def test_an_exploding_loss_stops(tmp_path: Path) -> None:
    """After 20 steps of observation; heads at -60 say 1e26 times too far."""
    trainer = Trainer(_network(), _dataset(), _config(40, checkpoint_every=10), card={})

    def explode(progress: Progress) -> None:
        if progress.step == 24:
            for level in range(1, 5):
                head = trainer.network.get_submodule(f'decoder.disp{level}')
                head.bias.data.fill_(-60.0)

    with pytest.raises(TrainingError, match=r'step 24: expected a loss below .* \(20 times its '):
        trainer.run(tmp_path, {}, explode)
    assert checkpoints.load(tmp_path).step == 20


def test_other_data_are_not_gone_on_with(tmp_path: Path) -> None:
    _train(_config(1), tmp_path)
    before = checkpoints.load(tmp_path)
    assert before.data_fingerprint == ''
    other = Dataset(
        {'b': list(load_samples(_frames(), (32, 64), 0.5))}, {}, (32, 64), 0.5, PLAIN, 'x'
    )
    Trainer(_network(), other, _config(2), card={}).resume(tmp_path)
    state = checkpoints.load_training(tmp_path)
    checkpoints.save(tmp_path, replace(before, data_fingerprint='y'), state)
    with pytest.raises(CheckpointError, match='expected a run of this very training, found'):
        Trainer(_network(), other, _config(2), card={}).resume(tmp_path)


def test_a_checkpoint_that_cannot_be_written_stops(tmp_path: Path) -> None:
    out = tmp_path / 'run'

    def block(progress: Progress) -> None:
        if progress.step == 1:
            out.rmdir()
            out.write_text('in the way')

    trainer = Trainer(_network(), _dataset(), _config(8), card={})
    with pytest.raises(CheckpointError, match='expected to write a checkpoint, found: '):
        trainer.run(out, {}, block)
    assert trainer.step < 8


def test_a_teacher_is_distilled(tmp_path: Path) -> None:
    """With distillation alone the student comes to the teacher's disparity."""
    losses = LossConfig(photometric=0, smoothness=0, consistency=0, depth=0, distillation=1)
    config = _config(40, losses=losses, learning_rate=3e-2, checkpoint_every=100)
    seen = _train(config, tmp_path, teacher=constant_network(0.2))
    assert seen[0].terms['task'] == 0
    assert seen[-1].terms['distillation'] < 0.3 * seen[0].terms['distillation']
    other = _train(_config(1, losses=LossConfig(distillation=0)), tmp_path / 'off', _network())
    assert 'distillation' not in other[0].terms


def test_validation_is_reported_and_kept(tmp_path: Path) -> None:
    seen: list[Progress] = []
    trainer = Trainer(_network(), _dataset(), _config(3, validate_every=2), card={})

    def report(progress: Progress) -> None:
        seen.append(progress)
        assert trainer.network.training

    trainer.run(tmp_path, {'hall': _frames(1)}, report)
    assert [set(p.validation) for p in seen] == [set(), {'hall'}, {'hall'}]
    last = checkpoints.load(tmp_path)
    again = validate(last.build(), _frames(1), (HEIGHT, WIDTH), 0.5, 'plain')
    assert last.card['metrics']['hall']['abs_rel'] == pytest.approx(again.abs_rel, rel=1e-5)
    assert seen[-1].validation['hall'].abs_rel == pytest.approx(again.abs_rel, rel=1e-5)


def test_a_checkpoint_has_no_metrics_of_other_weights(tmp_path: Path) -> None:
    """Validated at step 2, written at step 3."""
    config = _config(6, validate_every=2, checkpoint_every=3)
    seen: list[Progress] = []

    def report(progress: Progress) -> None:
        seen.append(progress)
        if progress.step == 4:
            raise KeyboardInterrupt

    trainer = Trainer(_network(), _dataset(), config, card={})
    with pytest.raises(KeyboardInterrupt):
        trainer.run(tmp_path, {'hall': _frames(1)}, report)
    assert [set(p.validation) for p in seen] == [set(), {'hall'}, set(), {'hall'}]
    last = checkpoints.load(tmp_path)
    assert (last.step, last.card['metrics']) == (3, {})


@pytest.mark.parametrize('norm', [1e-3, 1e-2])
def test_gradients_are_shortened_to_the_configured_norm(norm: float, tmp_path: Path) -> None:
    network = _network()
    trainer = Trainer(network, _dataset(), _config(1, gradient_norm=norm), card={})
    trainer.run(tmp_path, {}, lambda _: None)
    gradients = [p.grad.flatten() for p in network.parameters() if p.grad is not None]
    assert float(torch.cat(gradients).norm()) == pytest.approx(norm, rel=1e-3)

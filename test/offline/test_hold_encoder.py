"""A decoder trained alone: what it leaves as it is, and what it still learns."""

from __future__ import annotations

from pathlib import Path

from depth_prune_ros.bags.frames import Frame
from depth_prune_ros.core.camera import Intrinsics
from depth_prune_ros.offline import checkpoint as checkpoints
from depth_prune_ros.offline.config import AugmentConfig
from depth_prune_ros.offline.config import TrainConfig
from depth_prune_ros.offline.dataset import Dataset
from depth_prune_ros.offline.networks.base import DepthNetwork
from depth_prune_ros.offline.networks.catalogue import build
from depth_prune_ros.offline.progress import Progress
from depth_prune_ros.offline.samples import load_samples
from depth_prune_ros.offline.train import Trainer
import numpy as np
import pytest
from tiny_networks import narrow
from tiny_networks import randomise
from tiny_networks import SIZES
import torch
from torch import Tensor

PLAIN = AugmentConfig(flip=0, colour=0, grey=0, crop=1, blur=0, noise=0)


def _network(name: str = 'mobilenet_norm') -> DepthNetwork:
    network = build(name, narrow(name, 3))
    randomise(network, 5)
    return network


def _trainer(network: DepthNetwork, steps: int, **changes: object) -> tuple[Trainer, list[Frame]]:
    """Return a trainer on frames 6 m away, and the frames."""
    height, width = SIZES[network.name]
    camera = Intrinsics(width, height, 48.0, 48.0, width / 2 - 0.5, height / 2 - 0.5)
    rng = np.random.default_rng(1)
    depth = np.full((height, width), 6.0, np.float32)
    images = rng.integers(0, 256, (4, height, width, 3), dtype=np.uint8)
    frames = [Frame(i, image, camera, depth=depth) for i, image in enumerate(images)]
    samples = list(load_samples(frames, (height, width), 0.5))
    values = {
        'network': network.name,
        'imagenet': False,
        'height': height,
        'width': width,
        'baseline_m': 0.5,
        'steps': steps,
        'batch': 2,
        'bf16': False,
        'channels_last': True,  # auto is chosen by the clock
        'learning_rate': 1e-2,
        'weight_decay': 0.1,
        'hold_encoder': True,
        'checkpoint_every': 2,
        'validate_every': 1,
        'augment': PLAIN,
    }
    config = TrainConfig.model_validate({**values, **changes})
    dataset = Dataset({'bag': samples}, {}, (height, width), 0.5, PLAIN)
    return Trainer(network, dataset, config, card={'baseline_m': 0.5}), frames


def _copy(network: DepthNetwork) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def _changed(before: dict[str, Tensor], after: dict[str, Tensor]) -> set[str]:
    return {name for name, tensor in before.items() if not torch.equal(after[name], tensor)}


@pytest.mark.parametrize('name', sorted(SIZES))
def test_the_decoder_alone_changes(name: str, tmp_path: Path) -> None:
    """Weights and the statistics of norms, also behind a validation, which ends the evaluation."""
    network = _network(name)
    before = _copy(network)
    trainer, frames = _trainer(network, 3)
    trainer.run(tmp_path, {'bag': frames}, lambda _: None)
    changed = _changed(before, network.state_dict())
    assert changed == {key for key in before if key.startswith('decoder.')}


def test_without_it_all_changes(tmp_path: Path) -> None:
    network = _network()
    before = _copy(network)
    trainer, _ = _trainer(network, 1, hold_encoder=False)
    trainer.run(tmp_path, {}, lambda _: None)
    changed = _changed(before, network.state_dict())
    assert {key for key in before if 'running_mean' in key} <= changed
    assert {'stem.0.weight', 'decoder.disp1.weight'} <= changed


def test_a_stopped_run_goes_on(tmp_path: Path) -> None:
    """As one that was not stopped, with a moving average of the weights, too."""

    def stop(progress: Progress) -> None:
        if progress.step == 3:
            raise KeyboardInterrupt

    runs = [tmp_path / 'whole', tmp_path / 'part']
    for run in runs:
        trainer, _ = _trainer(_network(), 4, average=0.5)
        if run == runs[1]:
            with pytest.raises(KeyboardInterrupt):
                trainer.run(run, {}, stop)
            trainer, _ = _trainer(_network(), 4, average=0.5)
            assert trainer.resume(run)
            assert trainer.step == 2
        trainer.run(run, {}, lambda _: None)
    whole, part = (checkpoints.load(run).weights for run in runs)
    assert not _changed(whole, part)
    start = _copy(_network())
    assert _changed(start, part) == {key for key in start if key.startswith('decoder.')}

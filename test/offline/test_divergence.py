"""A stereo training that diverges: torch's grid_sample must not see disparities that are nan."""

from __future__ import annotations

from pathlib import Path

from depth_prune_ros.bags.frames import Frame
from depth_prune_ros.core.camera import Intrinsics
from depth_prune_ros.core.errors import TrainingError
from depth_prune_ros.offline.config import AugmentConfig
from depth_prune_ros.offline.config import TrainConfig
from depth_prune_ros.offline.dataset import Dataset
from depth_prune_ros.offline.networks.catalogue import build
from depth_prune_ros.offline.samples import load_samples
from depth_prune_ros.offline.train import Trainer
import numpy as np
import pytest
from tiny_networks import narrow
from tiny_networks import randomise

HEIGHT, WIDTH = 64, 64


def test_it_stops_with_a_line_before_the_gradients(tmp_path: Path) -> None:
    plain = AugmentConfig(flip=0, colour=0, grey=0, crop=1, blur=0, noise=0)
    config = TrainConfig(
        network='mobilenet',
        imagenet=False,
        height=HEIGHT,
        width=WIDTH,
        baseline_m=0.5,
        steps=4,
        batch=2,
        bf16=False,
        channels_last=True,
        augment=plain,
    )
    images = np.random.default_rng(0).integers(0, 256, (2, 2, HEIGHT, WIDTH, 3), dtype=np.uint8)
    camera = Intrinsics(WIDTH, HEIGHT, 48.0, 48.0, 31.5, 31.5)
    frames = [Frame(i, v[0], camera, right=v[1], baseline_m=0.5) for i, v in enumerate(images)]
    samples = list(load_samples(frames, (HEIGHT, WIDTH), 0.5))
    dataset = Dataset({'bag': samples}, {}, (HEIGHT, WIDTH), 0.5, plain)
    network = build('mobilenet', narrow('mobilenet', 3))
    randomise(network, 5)
    for level in (1, 2, 3, 4):
        network.get_parameter(f'decoder.disp{level}.weight').data.fill_(float('nan'))
    with pytest.raises(TrainingError, match='step 0: expected a finite loss, found nan'):
        Trainer(network, dataset, config, card={}).run(tmp_path, {}, lambda _: None)

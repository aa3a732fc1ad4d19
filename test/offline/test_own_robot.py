"""Bags of different cameras in one training, and what is chosen where nobody says."""

from __future__ import annotations

from dataclasses import dataclass
import math
from pathlib import Path

from depth_prune_ros.bags.frames import Frame
from depth_prune_ros.bags.street import render_street
from depth_prune_ros.bags.street import Street
from depth_prune_ros.core.camera import Intrinsics
from depth_prune_ros.core.errors import ConfigError
from depth_prune_ros.offline import checkpoint as checkpoints
from depth_prune_ros.offline import stages
from depth_prune_ros.offline.baseline import refer_to
from depth_prune_ros.offline.checkpoint import SHIPPED
from depth_prune_ros.offline.config import AugmentConfig
from depth_prune_ros.offline.config import TrainConfig
from depth_prune_ros.offline.dataset import Dataset
from depth_prune_ros.offline.dataset import TrainingBatch
from depth_prune_ros.offline.losses import warp
from depth_prune_ros.offline.networks.catalogue import build
from depth_prune_ros.offline.origin import merged_licence
from depth_prune_ros.offline.samples import kept_size
from depth_prune_ros.offline.samples import to_sample
from depth_prune_ros.offline.suit import Finding
from depth_prune_ros.offline.suit import network_size
from depth_prune_ros.offline.suit import suited
from depth_prune_ros.offline.training_data import TrainingData
import numpy as np
import pytest
from tiny_networks import checkpoint
from tiny_networks import narrow
import torch

TRAINING_BASELINE_M = 0.54
SIZE = (64, 128)
NO_CHANGE = AugmentConfig(flip=0, colour=0, grey=0, crop=1, blur=0, noise=0)


@dataclass(frozen=True)
class WideStreet(Street):
    """A street seen by another camera: square pixels, the axis in the middle."""

    fx_over_width: float = 0.58

    @property
    def camera(self) -> Intrinsics:
        """Intrinsics of both eyes."""
        focal = self.fx_over_width * self.width
        middle = (self.width - 1) / 2, (self.height - 1) / 2
        return Intrinsics(self.width, self.height, focal, focal, *middle)


def _frame(fx_over_width: float, baseline_m: float, width: int = 256) -> Frame:
    street = WideStreet(
        seed=5,
        frames=1,
        width=width,
        height=width // 2,
        baseline_m=baseline_m,
        fx_over_width=fx_over_width,
    )
    (seen,) = render_street(street)
    return Frame(0, seen.left, seen.camera, seen.right, baseline_m, seen.depth)


def _batch(frames: list[Frame], augment: AugmentConfig = NO_CHANGE) -> TrainingBatch:
    samples = {}
    for number, frame in enumerate(frames):
        sample = to_sample(frame, kept_size(SIZE), TRAINING_BASELINE_M, 0)
        assert sample is not None
        samples[f'bag{number}'] = [sample]
    return Dataset(samples, {}, SIZE, TRAINING_BASELINE_M, augment).batch(0, len(frames), 0)


def test_the_disparity_of_each_camera_is_its_metric_depth() -> None:
    """Baseline * (fx / width) / disparity, with the camera's own fx, gives the measured depth."""
    frames = {0.45: _frame(0.45, 0.2), 0.9: _frame(0.9, 0.4)}
    batch = _batch(list(frames.values()))
    ratios = [float(ratio) for ratio in batch.baseline_ratio]
    for (focal, frame), baseline_m in zip(frames.items(), (0.2, 0.4), strict=True):
        row = ratios.index(pytest.approx(baseline_m / TRAINING_BASELINE_M, rel=1e-6))
        found = TRAINING_BASELINE_M * focal / batch.disparity[row, 0].numpy()
        assert frame.depth is not None
        # each pixel of the batch is 2x2 of the frame, of which the nearest is drawn
        blocks = frame.depth.reshape(SIZE[0], 2, SIZE[1], 2)
        nearest = np.fmin.reduce(np.fmin.reduce(blocks, axis=3), axis=1)
        seen = np.isfinite(found) & np.isfinite(nearest)
        assert seen.mean() > 0.3
        assert np.allclose(found[seen], nearest[seen], rtol=1e-4)


def test_the_views_of_each_pair_agree_at_its_own_baseline() -> None:
    batch = _batch([_frame(0.45, 0.2), _frame(0.9, 0.4)])
    for row in range(2):
        shift = batch.disparity[row : row + 1]
        seen = shift.isfinite()
        errors = []
        for ratio in (float(batch.baseline_ratio[row]), 1.0):
            moved = warp(batch.right[row : row + 1], -shift.nan_to_num() * ratio)
            error = (moved - batch.left[row : row + 1]).abs().mean(1, keepdim=True)
            errors.append(float(error[seen].mean()))
        assert errors[0] < 0.5 * errors[1]


def test_what_looks_the_same_has_the_same_disparity_in_every_camera() -> None:
    """
    The middle of a wide camera's image is a narrow camera's image.

    So what a network is to say depends on its picture alone, not on a focal length it cannot see.
    """
    narrow_one = _batch([_frame(0.9, 0.3)])
    wide = _frame(0.45, 0.3, width=512)
    middle = slice(64, 192), slice(128, 384)
    assert wide.depth is not None
    assert wide.right is not None
    camera = Intrinsics(256, 128, 0.45 * 512, 0.45 * 512, 127.5, 63.5)
    cut = Frame(0, wide.left[middle], camera, wide.right[middle], 0.3, wide.depth[middle])
    cropped = _batch([cut])
    image = (narrow_one.left - cropped.left).abs().mean()
    assert float(image) < 0.02
    pair = narrow_one.disparity, cropped.disparity
    seen = pair[0].isfinite() & pair[1].isfinite()
    ratio = (pair[0] / pair[1])[seen]
    assert float(ratio.log().abs().median()) < 0.01
    assert float(narrow_one.disparity[seen].median()) > 0


def test_the_card_names_one_of_the_cameras_and_all_of_them() -> None:
    samples = {
        f'bag{n}': [to_sample(_frame(focal, 0.3), SIZE, TRAINING_BASELINE_M, 0)]
        for n, focal in enumerate((0.45, 0.9))
    }
    dataset = Dataset(samples, {}, SIZE, TRAINING_BASELINE_M, NO_CHANGE)  # type: ignore[arg-type]
    assert dataset.focal_lengths == pytest.approx((0.45, 0.9))
    assert [c['fx_over_width'] for c in dataset.cameras.values()] == pytest.approx([0.45, 0.9])


def test_a_network_is_brought_to_another_baseline() -> None:
    network = checkpoint('mobilenet', narrow('mobilenet'), 5).build()
    image = torch.rand(1, 3, 32, 64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        # far from the sigmoid's end, as trained heads are
        for name, value in network.named_parameters():
            if name.startswith('decoder.disp'):
                value.mul_(0.2)
                if name.endswith('.bias'):
                    value.sub_(4.0)
        before = network(image)
        refer_to(network, 0.5, 0.1)
        ratios = [
            float((now / old).median()) for now, old in zip(network(image), before, strict=True)
        ]
    assert ratios == pytest.approx([0.2] * 4, rel=0.05)


def test_a_teacher_of_another_baseline_is_refused(tmp_path: Path) -> None:
    sample = to_sample(_frame(0.5, 0.3, width=64), (32, 64), 0.54, 0)
    assert sample is not None
    dataset = Dataset({'bag': [sample]}, {}, (32, 64), 0.54, NO_CHANGE)
    run = checkpoints.save(tmp_path / 'run', checkpoint('mobilenet', narrow('mobilenet'), 5))
    config = TrainConfig(height=32, width=64, steps=1, batch=1, baseline_m=0.54)
    data = TrainingData(dataset, {})
    with pytest.raises(ConfigError, match=r'expected a teacher .* 0.54 m .*, found 0.5 m'):
        stages.train(config, data, tmp_path / 'out', lambda _: None, start=run, teachers=[run])
    with pytest.raises(ConfigError, match=r'expected a checkpoint .* 0.54 m .*, found 0.5 m'):
        stages.prune(config, data, tmp_path / 'out', lambda _: None, start=run, budget='macs=0.5')


def test_the_licence_of_shipped_weights_stays_with_what_they_become() -> None:
    shipped = checkpoints.load(SHIPPED)
    assert shipped.network == 'mobilenet_subpixel'
    assert shipped.widths == build('mobilenet_subpixel').widths
    assert max(float(v.abs().max()) for v in shipped.build().state_dict().values()) < math.inf
    earlier = shipped.card['provenance']['licence']
    once = merged_licence('mine', earlier)
    assert once == f'mine; from weights: {earlier}'
    assert merged_licence('mine', once, earlier) == once
    # a part of a name is another licence
    assert merged_licence('CC BY', 'CC BY-NC') == 'CC BY; from weights: CC BY-NC'
    assert merged_licence('mine', '', 'theirs', 'mine') == 'mine; from weights: theirs'


def test_a_run_of_the_name_goes_before_the_shipped_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert checkpoints.load(SHIPPED).step == 600
    checkpoints.save(SHIPPED, checkpoint('mobilenet', narrow('mobilenet'), 5))
    assert checkpoints.load(SHIPPED).step == 3


@pytest.mark.parametrize(
    ('image', 'size'),
    [
        ((1242, 375), (192, 640)),
        ((640, 480), (288, 384)),
        ((1280, 720), (256, 448)),
        ((96, 48), (32, 64)),
    ],
)
def test_size_by_the_aspect_of_the_images(image: tuple[int, int], size: tuple[int, int]) -> None:
    found = network_size(image[0] / image[1], image, 32)
    assert found == size


@pytest.mark.parametrize(
    ('findings', 'losses', 'baseline_m'),
    [
        # a RealSense in a room: 0.54 m would put what is near beyond the heads' end
        ([(None, 'depth', 0.4)], (0.0, 0.0, 0.0, 1.0), 0.17),
        ([(0.54, 'lidar', 4.0)], (0.5, 0.1, 0.5, 1.0), 0.54),
        ([(0.12, None, math.inf)], (1.0, 0.1, 1.0, 0.0), 0.3),
        ([(0.54, None, math.inf), (None, 'depth', 0.4)], (0.5, 0.1, 0.5, 1.0), 0.17),
    ],
)
def test_losses_and_baseline_by_what_the_bags_have(
    findings: list[tuple[float | None, str | None, float]],
    losses: tuple[float, ...],
    baseline_m: float,
) -> None:
    found = suited([Finding('bag', (640, 480), 0.6, *about, kitti=False) for about in findings])
    values = TrainConfig.model_validate(found)
    assert tuple(found['losses'].values()) == losses
    assert values.baseline_m == pytest.approx(baseline_m)
    nearest_m = min(about[2] for about in findings)
    assert values.baseline_m * 0.6 / nearest_m < 0.3

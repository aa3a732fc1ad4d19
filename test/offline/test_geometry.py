"""
What augmentation leaves alone: a scene point has the same metric depth in every changed sample.

The scene is a slanted plane whose paint says where on the plane it is: red its distance to the
side, green its depth. So any pixel of any view says which scene point it shows, whatever was done
to the image, and lidar, stereo and focal length can each be compared with it.
"""

from __future__ import annotations

from dataclasses import replace

from depth_prune_ros.bags.frames import Frame
from depth_prune_ros.core.camera import Intrinsics
from depth_prune_ros.offline.changes import draw_change
from depth_prune_ros.offline.config import AugmentConfig
from depth_prune_ros.offline.dataset import Dataset
from depth_prune_ros.offline.dataset import TrainingBatch
from depth_prune_ros.offline.losses import warp
from depth_prune_ros.offline.samples import to_sample
import numpy as np
from numpy.typing import NDArray
import pytest

HEIGHT, WIDTH = 64, 256
FOCAL, BASELINE_M, TRAINING_BASELINE_M = 0.8, 0.4, 0.54
AHEAD_M, SLANT = 7.0, 0.7
NEAREST_M, DEEP_M, SIDE_M = 4.0, 10.0, 20.0
NARROW = {'crop': 1, 'narrow': 0.5}
ALL = {'flip': 0.5, 'colour': 0.5, 'crop': 0.5, 'whole': 0, 'blur': 0, 'noise': 0}
Array = NDArray[np.float32]


def _plane(offset_m: float, shape: tuple[int, int]) -> tuple[Array, NDArray[np.uint8]]:
    """Return depth and paint of Z = AHEAD + SLANT * X for a camera at X = offset."""
    u = (np.arange(shape[1]) + 0.5) / shape[1] - 0.5
    depth = (AHEAD_M + SLANT * offset_m) / (1 - SLANT * u / FOCAL)
    x = offset_m + u / FOCAL * depth
    paint = np.stack([(x + SIDE_M / 2) / SIDE_M, (depth - NEAREST_M) / DEEP_M, 0 * x], -1)
    assert 0 <= paint.min() <= paint.max() <= 1
    rows = np.ones((shape[0], 1))
    image = np.rint(paint[None] * rows[..., None] * 255).astype(np.uint8)
    return (depth * rows).astype(np.float32), image


def _frame(shape: tuple[int, int] = (HEIGHT, WIDTH), stereo: bool = True) -> Frame:
    depth, left = _plane(0.0, shape)
    _, right = _plane(BASELINE_M, shape)
    height, width = shape
    camera = Intrinsics(width, height, FOCAL * width, FOCAL * width, width / 2, height / 2)
    if not stereo:
        return Frame(0, left, camera, depth=depth)
    return Frame(0, left, camera, right, BASELINE_M, depth)


def _batches(
    frame: Frame,
    changes: dict[str, float],
    count: int = 16,
    hints: NDArray[np.float16] | None = None,
) -> list[tuple[TrainingBatch, float]]:
    """Return batches of one changed sample, and the side of each one's crop."""
    sample = to_sample(frame, (HEIGHT, WIDTH), TRAINING_BASELINE_M, 0)
    assert sample is not None
    augment = AugmentConfig.model_validate(ALL | changes)
    dataset = Dataset(
        {'b': [replace(sample, hints=hints)]}, {}, (HEIGHT, WIDTH), TRAINING_BASELINE_M, augment
    )
    sides = [dataset._draw(number, 1, 3)[0][1].box[2] for number in range(count)]
    return [(dataset.batch(number, 1, 3), side) for number, side in enumerate(sides)]


def _painted_depth(batch: TrainingBatch) -> Array:
    found: Array = batch.left[0, 1].numpy() * DEEP_M + NEAREST_M
    return found


@pytest.mark.parametrize(('narrow', 'uncropped'), [(1.0, 1.0), (0.5, 0.5)])
def test_as_many_samples_as_told_have_the_whole_height(narrow: float, uncropped: float) -> None:
    """Half of all samples are narrower than high, these too."""
    for whole in (0.0, 0.4, 1.0):
        augment = AugmentConfig(crop=0.5, narrow=narrow, whole=whole)
        rng = np.random.default_rng(0)
        boxes = np.array([draw_change(augment, rng).box for _ in range(500)])
        high = boxes[:, 3] == 1
        assert high.mean() == pytest.approx(whole, abs=0.06 * (0 < whole < 1))
        if whole:
            assert (boxes[high, 2] == 1).mean() == pytest.approx(uncropped, abs=0.1)
            assert boxes[high, 2].min() >= narrow


@pytest.mark.parametrize('stereo', [True, False])
@pytest.mark.parametrize('scale', [(1, 1), (2, 2), (3, 2)])
@pytest.mark.parametrize('changes', [{'flip': 0}, {'flip': 1}, {'crop': 1}, NARROW, {}])
def test_measured_points_keep_their_depth(
    changes: dict[str, float], scale: tuple[int, int], stereo: bool
) -> None:
    """Disparity times the crop's own focal length is the depth that the paint says."""
    shape = (HEIGHT * scale[0], WIDTH * scale[1])
    for batch, side in _batches(_frame(shape, stereo), changes):
        disparity = batch.disparity[0, 0].numpy()
        seen = np.isfinite(disparity)
        assert seen.mean() > 0.3
        depth = TRAINING_BASELINE_M * (FOCAL / side) / disparity[seen]
        # a pixel's point lies anywhere in it, and paint has 256 levels
        assert np.abs(depth / _painted_depth(batch)[seen] - 1).max() < 0.03
        assert abs(np.mean(depth / _painted_depth(batch)[seen]) - 1) < 0.004


@pytest.mark.parametrize('changes', [{'flip': 0}, {'flip': 1}, NARROW, {}])
def test_stereo_shows_the_same_scene_point(changes: dict[str, float]) -> None:
    """The right view, moved by the depth's disparity, shows every point where the left does."""
    for batch, side in _batches(_frame(), changes):
        assert batch.has_right.tolist() == [True]
        depth = batch.left[:, 1:2] * DEEP_M + NEAREST_M
        disparity = TRAINING_BASELINE_M * (FOCAL / side) / depth
        ratio = batch.baseline_ratio.view(-1, 1, 1, 1)
        moved = warp(batch.right, -disparity * ratio)
        edge = WIDTH // 4  # beyond it the right camera does not see
        assert float((moved - batch.left)[..., edge:].abs().max()) < 0.012
        plain = (batch.right - batch.left)[..., edge:].abs()
        assert float(plain[:, 0].mean()) > 0.01


def test_a_flip_exchanges_the_views() -> None:
    """What was right of the pair is the mirrored left one: its points are the right camera's."""
    ((batch, _),) = _batches(_frame(), {'flip': 1, 'crop': 1}, 1)
    for found, offset_m in ((batch.left, BASELINE_M), (batch.right, 0.0)):
        _, image = _plane(offset_m, (HEIGHT, WIDTH))
        mirrored = found[0].permute(1, 2, 0).flip(1).numpy() * 255
        np.testing.assert_allclose(mirrored, image, atol=1e-3)


@pytest.mark.parametrize('changes', [{'flip': 0}, {'flip': 1}, NARROW, {}])
def test_hints_keep_their_depth(changes: dict[str, float]) -> None:
    """Of both views: each one's disparity times the focal length is its painted depth."""
    views = [_plane(offset_m, (HEIGHT, WIDTH))[0] for offset_m in (0.0, BASELINE_M)]
    hints = np.stack([BASELINE_M * FOCAL / depth for depth in views]).astype(np.float16)
    for batch, side in _batches(_frame(), changes, hints=hints):
        assert batch.hints.shape == (1, 2, HEIGHT, WIDTH)
        for view, found in zip((batch.left, batch.right), batch.hints[0].numpy(), strict=True):
            depth = TRAINING_BASELINE_M * (FOCAL / side) / found
            painted = view[0, 1].numpy() * DEEP_M + NEAREST_M
            assert np.abs(depth / painted - 1).max() < 0.02
            assert abs(np.mean(depth / painted) - 1) < 0.003


def test_half_of_the_crops_are_narrower() -> None:
    sample = to_sample(_frame(), (HEIGHT, WIDTH), TRAINING_BASELINE_M, 0)
    assert sample is not None
    augment = AugmentConfig.model_validate(ALL | NARROW)
    dataset = Dataset({'b': [sample]}, {}, (HEIGHT, WIDTH), TRAINING_BASELINE_M, augment)
    boxes = np.array([dataset._draw(number, 1, 3)[0][1].box for number in range(400)])
    left, top, width, height = boxes.T
    assert (height == 1).all() and (top == 0).all()
    assert 0.4 < (width < 1).mean() < 0.6
    assert 0.5 <= width.min() < 0.52
    assert (left + width <= 1).all() and left.max() > 0.4

"""DepthMix: of two frames the nearer at each pixel, with what is known of it."""

from __future__ import annotations

from dataclasses import replace

from depth_prune_ros.offline.changes import depth_mix
from depth_prune_ros.offline.changes import Seen
from depth_prune_ros.offline.config import AugmentConfig
from depth_prune_ros.offline.dataset import Dataset
from depth_prune_ros.offline.samples import Sample
import numpy as np
import pytest

HEIGHT, WIDTH = 32, 64
WALL, POLE = 0.02, 0.04
DARK, BRIGHT = 50, 200
ROWS, COLUMNS = slice(4, 28), slice(20, 26)


def _flat(level: int, disparity: float) -> Seen:
    image = np.full((HEIGHT, WIDTH, 3), level, np.uint8)
    known = np.full((HEIGHT, WIDTH), disparity, np.float32)
    return Seen(image, image, np.full_like(known, np.nan), known, 1.0)


def _with_a_pole() -> Seen:
    """Return a bright scene farther than the wall, but for a pole; a lidar point on each."""
    other = _flat(BRIGHT, WALL / 2)
    other.hints[ROWS, COLUMNS] = POLE
    other.disparity[10, 22], other.disparity[10, 40] = POLE, WALL / 2
    return other


def test_what_is_nearer_comes_before_the_scene_with_its_labels() -> None:
    wall, other = _flat(DARK, WALL), _with_a_pole()
    wall.disparity[10, 21], wall.disparity[10, 41] = WALL, WALL
    mixed = depth_mix(wall, replace(other, baseline_ratio=0.5))
    pole = np.zeros((HEIGHT, WIDTH), bool)
    pole[ROWS, COLUMNS] = True
    np.testing.assert_array_equal(mixed.left[..., 0], np.where(pole, BRIGHT, DARK))
    np.testing.assert_allclose(mixed.hints, np.where(pole, POLE, WALL))
    measured = np.argwhere(np.isfinite(mixed.disparity)).tolist()
    assert measured == [[10, 22], [10, 41]]
    assert mixed.disparity[10, [22, 41]] == pytest.approx([POLE, WALL])
    assert mixed.right is None
    assert mixed.baseline_ratio == 1.0
    assert (wall.left == DARK).all() and np.allclose(wall.hints, WALL)


def test_what_is_hardly_nearer_unknown_or_a_speckle_does_not() -> None:
    wall = _flat(DARK, WALL)
    hardly, unknown, speckle = (_flat(BRIGHT, WALL) for _ in range(3))
    hardly.hints[ROWS, COLUMNS] = 1.25 * WALL
    unknown.hints[ROWS, COLUMNS] = np.nan
    speckle.hints[10:12, COLUMNS] = POLE
    for other in (hardly, unknown, speckle):
        assert (depth_mix(wall, other).left == DARK).all()


def test_where_the_scene_has_no_hint_what_lies_behind_counts() -> None:
    wall = _flat(DARK, WALL)
    wall.hints[:, 10:30] = np.nan
    mixed = depth_mix(wall, _with_a_pole())
    assert (mixed.left[ROWS, COLUMNS] == BRIGHT).all()
    assert np.isnan(mixed.hints[ROWS, 10:20]).all()
    blind = _flat(DARK, np.nan)
    assert depth_mix(blind, _with_a_pole()) is blind


def test_a_share_of_a_batch_is_mixed_with_another_sample() -> None:
    """Of two samples only the near one comes before the other, and is then all that is seen."""
    near, far = (
        Sample(
            np.full((HEIGHT, WIDTH, 3), level, np.uint8),
            np.full((HEIGHT, WIDTH, 3), level, np.uint8),
            np.zeros((0, 3), np.float32),
            0.7,
            0.5,
            hints=np.full((2, HEIGHT, WIDTH), disparity, np.float16),
        )
        for level, disparity in ((BRIGHT, POLE), (DARK, WALL))
    )
    for share, wanted in ((0.0, 0.5), (0.6, 0.5 * (1 - 0.6 * 0.5)), (1.0, 0.25)):
        none = AugmentConfig(flip=0, colour=0, grey=0, crop=1, blur=0, noise=0, mix=share)
        dataset = Dataset({'near': [near], 'far': [far]}, {}, (HEIGHT, WIDTH), 0.5, none)
        batches = [dataset.batch(number, 1, 0) for number in range(400)]
        dark = np.mean([float(batch.left.mean()) * 255 < DARK + 1 for batch in batches])
        assert dark == pytest.approx(wanted, abs=0.06)
        stereo = np.mean([bool(batch.has_right) for batch in batches])
        assert stereo == pytest.approx(1 - share, abs=0.06)
        for batch in batches[:20]:
            disparity = WALL if float(batch.left.mean()) * 255 < DARK + 1 else POLE
            assert batch.hints.mean().item() == pytest.approx(disparity, rel=1e-3)

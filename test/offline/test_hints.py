"""Depth hints: a square before a wall, matched, kept with the frame, and learned from."""

from __future__ import annotations

import math
from pathlib import Path

from depth_prune_ros.bags.frames import Frame
from depth_prune_ros.bags.frames import read_frames
from depth_prune_ros.bags.street import Street
from depth_prune_ros.bags.street import street_to_bag
from depth_prune_ros.core.camera import Intrinsics
from depth_prune_ros.offline.cache import cached_samples
from depth_prune_ros.offline.hints import _mark_sky
from depth_prune_ros.offline.hints import match
from depth_prune_ros.offline.label_losses import hint_loss
from depth_prune_ros.offline.label_losses import sky_loss
from depth_prune_ros.offline.samples import load_samples
from depth_prune_ros.offline.samples import to_sample
import numpy as np
from numpy.typing import NDArray
import pytest
import torch

HEIGHT, WIDTH = 96, 320
SIZE, BASELINE_M = (32, 64), 0.54
WALL, SQUARE = 8, 24  # disparities, pixels
TOP, BOTTOM, FIRST, LAST = 20, 76, 140, 220  # of the square in the left view
Image = NDArray[np.uint8]


def _views() -> tuple[Image, Image]:
    """Return the scene of both cameras; each surface has a texture of its own."""
    rng = np.random.default_rng(0)
    wall = rng.integers(0, 256, (HEIGHT, WIDTH + WALL, 3), np.uint8)
    square = rng.integers(0, 256, (BOTTOM - TOP, LAST - FIRST, 3), np.uint8)
    left, right = wall[:, :WIDTH].copy(), wall[:, WALL:].copy()
    left[TOP:BOTTOM, FIRST:LAST] = square
    right[TOP:BOTTOM, FIRST - SQUARE : LAST - SQUARE] = square
    return left, right


def _frame(right: bool = True) -> Frame:
    views = _views()
    camera = Intrinsics(WIDTH, HEIGHT, 200.0, 200.0, WIDTH / 2, HEIGHT / 2)
    depth = np.full((HEIGHT, WIDTH), 9.0, np.float32)
    if not right:
        return Frame(0, views[0], camera, depth=depth)
    return Frame(0, views[0], camera, views[1], 0.5, depth)


def test_the_disparity_of_both_views_is_found() -> None:
    left, right = match(*_views()) * WIDTH
    inner = slice(TOP + 4, BOTTOM - 4)
    for view, first in ((left, FIRST), (right, FIRST - SQUARE)):
        square = view[inner, first + 4 : first + LAST - FIRST - 4]
        assert np.isfinite(square).mean() > 0.95
        assert np.nanmax(np.abs(square - SQUARE)) < 0.2
    for wall in (left[:, WALL + 4 : FIRST - SQUARE], right[:, LAST : WIDTH - WALL - 4]):
        assert np.isfinite(wall).mean() > 0.95
        assert np.nanmax(np.abs(wall - WALL)) < 0.2


def test_what_one_camera_alone_sees_has_none() -> None:
    left, right = match(*_views())
    hidden = SQUARE - WALL
    assert np.isnan(left[TOP + 4 : BOTTOM - 4, FIRST - hidden + 2 : FIRST - 3]).all()
    assert np.isnan(right[TOP + 4 : BOTTOM - 4, LAST - SQUARE + 3 : LAST - WALL - 2]).all()
    assert np.isnan(left[:, : WALL - 1]).all()
    assert np.isnan(right[:, WIDTH - WALL + 1 :]).all()


@pytest.mark.parametrize(
    ('level', 'rows', 'matched', 'wanted'),
    [
        (240, slice(0, 30), np.nan, 0.0),  # open sky: nothing to match
        (240, slice(0, 30), 0.004, 0.0),  # or far
        (240, slice(0, 30), 0.05, np.nan),  # a bright wall, or guesses: not known
        (240, slice(10, 40), 0.05, 0.05),  # not at the upper border
        (240, slice(0, 1), 0.05, 0.05),  # a line
        (150, slice(0, 30), 0.05, 0.05),  # not bright
    ],
)
def test_open_sky_is_far(level: int, rows: slice, matched: float, wanted: float) -> None:
    view, _ = _views()
    view //= 2
    view[rows, 40:120] = level
    disparity = np.full((HEIGHT, WIDTH), 0.02, np.float32)
    disparity[rows, 40:120] = matched
    _mark_sky(view, disparity)
    inner = disparity[rows, 46:114][3:-3] if rows.stop > 1 else disparity[rows, 46:114]
    np.testing.assert_array_equal(inner, np.float32(wanted))
    assert (disparity[:, :36] == np.float32(0.02)).all()
    assert (disparity[50:] == np.float32(0.02)).all()


def test_the_sky_of_both_views_is_marked() -> None:
    left, right = _views()
    left[:30, :100] = right[:30, 60:] = 250
    hints = match(left, right)
    assert (hints[0, 3:27, 3:97] == 0).all()
    assert (hints[1, 3:27, 63:-3] == 0).all()
    assert not (hints[:, 33:] == 0).any()


def test_a_sample_keeps_them_where_they_are_wanted() -> None:
    size = (HEIGHT // 2, WIDTH // 2)
    kept = to_sample(_frame(), size, 0.54, 0, hints=True)
    assert kept is not None and kept.hints is not None
    assert kept.hints.shape == (2, *size) and kept.hints.dtype == np.float16
    assert kept.hints[0, size[0] // 2, 90] == pytest.approx(SQUARE / WIDTH, rel=0.01)
    assert kept.hints[1, size[0] // 2, 78] == pytest.approx(SQUARE / WIDTH, rel=0.01)
    assert kept.hints[0, size[0] // 2, 30] == pytest.approx(WALL / WIDTH, rel=0.02)
    for frame, hints in ((_frame(), False), (_frame(right=False), True)):
        other = to_sample(frame, size, 0.54, 0, hints=hints)
        assert other is not None and other.hints is None


def test_a_cache_keeps_them_and_is_another_one(tmp_path: Path) -> None:
    bag, folder = tmp_path / 'street', tmp_path / 'caches'
    street_to_bag(bag, Street(seed=3, frames=2, width=320, height=96))
    plain = list(load_samples(read_frames(bag), SIZE, BASELINE_M, hints=True))
    without = cached_samples(bag, SIZE, BASELINE_M, lambda _: None, folder)
    assert without[0].hints is None
    for _ in range(2):
        found = cached_samples(bag, SIZE, BASELINE_M, lambda _: None, folder, hints=True)
        assert found.fingerprint != without.fingerprint
        for a, b in zip(found, plain, strict=True):
            assert a.hints is not None and b.hints is not None
            assert np.isfinite(a.hints).mean() > 0.2
            np.testing.assert_array_equal(a.hints, b.hints)
            np.testing.assert_array_equal(a.points, b.points)


def test_sky_loss_by_hand() -> None:
    """Twice too near at one of two sky pixels; what is farther, and what is no sky, is right."""
    hints = torch.full((1, 1, 4, 4), math.nan)
    hints[0, 0, 0, :2] = 0
    hints[0, 0, 2, 2] = 0.05
    predicted = torch.full((1, 1, 4, 4), 0.2)
    predicted[0, 0, 0, 0], predicted[0, 0, 0, 1] = 0.006, 0.001
    assert float(sky_loss(predicted, hints)) == pytest.approx(math.log(2) / 2, rel=1e-5)
    assert float(hint_loss([predicted], hints)) == pytest.approx(math.log(4), rel=1e-5)

"""Lines drawn on the ground: where they lie, how wide they are, and where there are none."""

from __future__ import annotations

from typing import Any

from depth_prune_ros.offline.ground_paint import _draw
from depth_prune_ros.offline.ground_paint import _Ground
from depth_prune_ros.offline.ground_paint import _ground
from depth_prune_ros.offline.ground_paint import paint
from level_ground import Array
from level_ground import BASELINE_M
from level_ground import grey
from level_ground import HEIGHT
from level_ground import HORIZON
from level_ground import level_disparity
from level_ground import ROW
from level_ground import SLOPE
from level_ground import WIDTH
import numpy as np
import pytest


def test_the_ground_alone_is_drawn_on() -> None:
    sky = np.repeat((ROW < HORIZON)[:, None], WIDTH, 1)
    ever = np.zeros((HEIGHT, WIDTH), bool)
    for seed in range(40):
        changed = (paint(grey(), level_disparity(), BASELINE_M, seed) != 100).any(2)
        assert 0.003 < changed.mean() < 0.6
        ever |= changed
    assert not ever[sky].any()
    # but for its foot, which is as far as the ground there
    assert not ever[28:48, 82:98].any()
    assert ever[40:, :78].mean() > 0.9


def _found(disparity: Array) -> _Ground:
    ground = _ground(disparity, BASELINE_M, np.random.default_rng(0))
    assert ground is not None
    return ground


def test_holes_of_the_matching_are_drawn_over() -> None:
    disparity = level_disparity()
    disparity[50:53, 20:23] = np.nan
    rng = np.random.default_rng(1)
    disparity *= rng.normal(1, 0.03, disparity.shape).astype(np.float32)
    disparity[rng.random(disparity.shape) < 0.2] = np.nan
    ground = _found(disparity)
    assert ground.lies[50:53, 20:23].all()
    assert ground.lies[34:, :76].mean() > 0.97


def test_specks_are_not_drawn_on() -> None:
    """Where a wall happens to be as far as the ground would be."""
    disparity = level_disparity()
    disparity[30:46, 20:60] = 0.15
    disparity[36:39, 40:43] = level_disparity()[36:39, 40:43]
    assert not _found(disparity).lies[30:44, 22:58].any()


@pytest.mark.parametrize('width', [1, 3, 6])
def test_thin_poles_stand_before_what_is_drawn(width: int) -> None:
    disparity = level_disparity()
    pole = (slice(28, 56), slice(30, 30 + width))
    disparity[pole] = disparity[56, 0]
    assert not _found(disparity).lies[28:48, pole[1]].any()
    # nor is open sky drawn on, that is between leaves
    disparity[40:43, 60:63] = 0
    assert not _found(disparity).lies[40:43, 60:63].any()


def test_open_sky_does_not_count() -> None:
    disparity = level_disparity()
    disparity[:, WIDTH // 4 :] = 0
    assert _found(disparity).lies[34:, : WIDTH // 4 - 4].all()


def test_a_few_matched_pixels_are_no_ground() -> None:
    disparity = np.full((HEIGHT, WIDTH), np.nan, np.float32)
    disparity[40:50, 10:40] = level_disparity()[40:50, 10:40]
    assert _ground(disparity, BASELINE_M, np.random.default_rng(0)) is None
    # what is a plane, and nowhere five pixels wide
    thin = level_disparity()
    thin[:, np.arange(WIDTH) % 12 > 1] = 0
    np.testing.assert_array_equal(paint(grey(), thin, BASELINE_M, 0), grey())


def test_the_plane_is_in_metres() -> None:
    """Where the disparity is 0.05 of the width, 0.5 m of baseline are a width of 10 m."""
    ground = _found(level_disparity())
    row = int(np.abs(SLOPE * (ROW - HORIZON) - 0.05).argmin())
    metres = BASELINE_M / (SLOPE * (ROW[row] - HORIZON))
    wanted = ((np.arange(WIDTH) + 0.5) / WIDTH - 0.5) * metres
    np.testing.assert_allclose(ground.aside[row], wanted, rtol=1e-3)
    np.testing.assert_allclose(ground.ahead[row], 0.6 * metres, rtol=1e-3)


class _Middle:
    """No chance: the middle of every range, the first of every choice, one answer to all."""

    def __init__(self, answer: float) -> None:
        self.answer = answer

    def random(self) -> float:
        return self.answer

    def uniform(self, low: float, high: float, size: int | None = None) -> Any:
        middle = (low + high) / 2
        return middle if size is None else np.full(size, middle)

    def integers(self, low: int, _: int) -> int:
        return low

    def choice(self, places: Array) -> int:
        return int(places[len(places) // 2])


def test_lines_are_as_wide_in_metres_in_every_row() -> None:
    """Two of 0.175 m along the axis, 2 m apart, of level 187.5, six tenths opaque."""
    ground = _found(level_disparity())
    shown = np.zeros((HEIGHT, WIDTH, 3), np.float32)
    _draw(shown, ground, _Middle(0.5))  # type: ignore[arg-type]
    for row in (58, 60, 63):
        pixel = float(np.diff(ground.aside[row])[0])
        drawn = shown[row, :, 0] / (0.6 * 187.5)
        places = np.flatnonzero(drawn > 0)
        halves = np.split(places, np.flatnonzero(np.diff(places) > 2) + 1)
        assert len(halves) == 2
        for half in halves:
            assert drawn[half].sum() * pixel == pytest.approx(0.175, rel=0.05)
        middles = [np.average(ground.aside[row, half], weights=drawn[half]) for half in halves]
        assert middles[1] - middles[0] == pytest.approx(2.0, rel=0.03)


def test_a_shadow_darkens_a_strip() -> None:
    """One strip of 4.25 m in the middle, six tenths of the light left; nothing beside it."""
    ground = _found(level_disparity())
    shown = np.full((HEIGHT, WIDTH, 3), 100, np.float32)
    _draw(shown, ground, _Middle(0.1))  # type: ignore[arg-type]
    row, pixel = 62, float(np.diff(ground.aside[62])[0])
    darker = (100 - shown[row, :, 0]) / 40
    assert darker.max() == pytest.approx(1, rel=1e-3)
    assert darker.min() == pytest.approx(0, abs=1e-3)
    there = (ground.lies[row] > 0) & (np.abs(ground.aside[row] - _through(ground)) < 4.25 / 2)
    assert darker.sum() == pytest.approx(there.sum(), abs=1.01)
    assert pixel < 0.1
    np.testing.assert_allclose(shown[..., 0], shown[..., 2])


def _through(ground: _Ground) -> float:
    places = np.flatnonzero(ground.lies)
    return float(ground.aside.flat[places[len(places) // 2]])


class _Across(_Middle):
    """The same, with every angle a right one: lines lie across the axis."""

    def uniform(self, low: float, high: float, size: int | None = None) -> Any:
        return np.pi / 2 if low < 0 else super().uniform(low, high, size)


def test_lines_across_lie_at_one_distance() -> None:
    """Two of 0.175 m, of level 45, 2 m apart."""
    ground = _found(level_disparity())
    shown = np.zeros((HEIGHT, WIDTH, 3), np.float32)
    _draw(shown, ground, _Across(0.8))  # type: ignore[arg-type]
    covered = shown[:, 5, 0] / (0.6 * 45)
    rows, ahead = np.flatnonzero(covered), ground.ahead[:, 5]
    np.testing.assert_allclose(shown[rows, 5], shown[rows, 70], rtol=0.02)
    near, far = np.split(rows[::-1], np.flatnonzero(np.diff(rows[::-1]) < -1) + 1)
    first, second = (np.average(ahead[part], weights=covered[part]) for part in (near, far))
    assert second - first == pytest.approx(2.0, rel=0.1)
    thick = (covered * np.abs(np.gradient(ahead)))[near].sum()
    assert thick == pytest.approx(0.175, rel=0.15)


def test_bright_stays_bright() -> None:
    """Levels above white are white, not black."""
    for seed in range(10):
        shown = paint(
            np.full((HEIGHT, WIDTH, 3), 250, np.uint8), level_disparity(), BASELINE_M, seed
        )
        assert shown[ROW > HORIZON + 0.05].min() > 20
        assert shown.max() >= 250


def test_two_to_five_things_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []

    def spy(*arguments: Any) -> None:
        calls.append(seed)
        _draw(*arguments)

    monkeypatch.setattr('depth_prune_ros.offline.ground_paint._draw', spy)
    for seed in range(40):
        paint(grey(), level_disparity(), BASELINE_M, seed)
    assert {calls.count(seed) for seed in range(40)} == {2, 3, 4, 5}


@pytest.mark.parametrize(
    'disparity',
    [
        np.full((HEIGHT, WIDTH), np.nan, np.float32),
        np.full((HEIGHT, WIDTH), 0.05, np.float32),
        level_disparity()[::-1].copy(),
        np.repeat(np.linspace(0.06, 0.1, HEIGHT, dtype=np.float32)[:, None], WIDTH, 1),
        np.repeat(np.linspace(-0.02, 0.1, WIDTH, dtype=np.float32)[None], HEIGHT, 0),
        np.where(np.arange(WIDTH) < 0.22 * WIDTH, level_disparity(), np.float32(0.15)),
        np.random.default_rng(0).uniform(0.01, 0.1, (HEIGHT, WIDTH)).astype(np.float32),
    ],
    ids=['none', 'wall', 'ceiling', 'leaning wall', 'side wall', 'hardly any ground', 'noise'],
)
def test_where_there_is_no_ground_nothing_is_drawn(disparity: Array) -> None:
    for seed in range(5):
        np.testing.assert_array_equal(paint(grey(), disparity, BASELINE_M, seed), grey())


def test_a_seed_is_always_the_same() -> None:
    one, same, other = (paint(grey(), level_disparity(), BASELINE_M, seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()

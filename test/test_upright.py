"""What is narrow and upright, and how a model is judged there: poles before a wall."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any
from typing import cast

import edges
import numpy as np
from numpy.typing import NDArray
import pytest
from upright import upright

HEIGHT, WIDTH = 96, 320
WALL, POLE, SKY = 0.02, 0.04, 0.0
Float = NDArray[np.float32]


def _scene(rows: slice, columns: slice, pole: float = POLE, behind: float = WALL) -> Float:
    disparity = np.full((HEIGHT, WIDTH), behind, np.float32)
    disparity[rows, columns] = pole
    return disparity


@pytest.mark.parametrize('rows', [slice(0, 40), slice(20, 31), slice(30, HEIGHT)])
@pytest.mark.parametrize('columns', [slice(100, 101), slice(100, 112)])
def test_a_pole_is_found_with_two_pixels_beside_it(rows: slice, columns: slice) -> None:
    """Narrow is up to 12 of 320 pixels, upright 11 and more, at the image's borders, too."""
    wanted = np.zeros((HEIGHT, WIDTH), bool)
    wanted[rows, columns.start - 2 : columns.stop + 2] = True
    np.testing.assert_array_equal(upright(_scene(rows, columns)), wanted)


def test_a_pole_before_open_sky() -> None:
    """Sky has a disparity of 0, and is none of what is marked."""
    found = upright(_scene(slice(10, 60), slice(100, 106), behind=SKY))
    assert found[10:60, 100:106].all()
    assert found.sum() == 50 * 6


@pytest.mark.parametrize(
    'disparity',
    [
        _scene(slice(20, 80), slice(100, 113)),  # wide
        _scene(slice(40, 50), slice(100, 106)),  # low
        _scene(slice(20, 80), slice(100, 106), WALL, POLE),  # a gap in a wall
        _scene(slice(20, 80), slice(100, 106), 1.1 * WALL),  # hardly nearer
        _scene(slice(20, 80), slice(100, 106), np.nan),  # unknown
        _scene(slice(0, 0), slice(0, 0), behind=np.nan),
    ],
)
def test_what_is_none(disparity: Float) -> None:
    assert not upright(disparity).any()


def test_what_one_camera_alone_sees_lies_behind() -> None:
    """Beside a pole matching finds nothing: the gap is not a part of it, nor does it hide it."""
    disparity = _scene(slice(10, 60), slice(100, 106))
    disparity[10:60, 92:100] = np.nan
    disparity[30:32, 100:106] = np.nan
    found = upright(disparity)
    assert found[10:30, 100:108].all() and found[32:60, 100:108].all()
    assert found.sum() == 48 * 8 + 2 * 2


@pytest.mark.parametrize('share', [0.0, 0.25, 1.0])
def test_how_much_of_a_jump_a_model_shows(share: float) -> None:
    """
    A pole before a wall at two distances, whose log disparity goes a share of the way.

    A scale that is wrong by 1.3 does not change that; the errors are by hand.
    """
    wanted = _scene(slice(20, 80), slice(100, 112))
    errors, sums = _compared(1.3 * WALL * (wanted / WALL) ** share, wanted)
    for product, square in sums.values():
        assert product / square == pytest.approx(share, abs=1e-4)
    pole, scale = abs(math.log(1.3) - (1 - share) * math.log(2)), math.log(1.3)
    covered = 12 * 60 / (16 * 60)
    assert errors['upright'] == pytest.approx(covered * pole + (1 - covered) * scale, rel=1e-3)
    assert errors['all'] == pytest.approx(scale + (pole - scale) * 720 / wanted.size, rel=1e-3)
    assert errors['false'] == 0


@pytest.mark.parametrize(('factor', 'seen'), [(1.09, False), (1 / 1.12, True), (1.12, True)])
def test_a_pole_where_there_is_a_wall_is_a_false_jump(factor: float, seen: bool) -> None:
    """
    12 pixels to both of its sides, of the pairs that matching knows; from 10 % on.

    A pole that there is, seen as it is, counts neither way.
    """
    wanted = _scene(slice(10, 45), slice(250, 262))
    shown = wanted.copy()
    shown[20:80, 100:112] *= factor
    wanted[50:] = np.nan
    errors, _ = _compared(shown, wanted)
    share = 24 * 30 / ((WIDTH - edges.STEP) * 50 - 24 * 35)
    assert errors['false'] == pytest.approx(share if seen else 0)


def _compared(
    shown: Float, wanted: Float
) -> tuple[dict[str, float], dict[str, tuple[float, float]]]:
    """Return what edges.compare says of a model that shows this."""
    engine = SimpleNamespace(card=SimpleNamespace(baseline_m=1.0), disparity=lambda *_: shown)
    camera = SimpleNamespace(fx_over_width=1.0, fy_over_height=1.0, height=HEIGHT, width=WIDTH)
    frame = SimpleNamespace(camera=camera, baseline_m=1.0, left=None)
    return edges.compare(cast('Any', engine), cast('Any', frame), wanted)

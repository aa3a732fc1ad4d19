"""Windows and intrinsics."""

from __future__ import annotations

from depth_prune_ros.core.camera import centre_window
from depth_prune_ros.core.camera import depth_to_points
from depth_prune_ros.core.camera import Intrinsics
from depth_prune_ros.core.camera import points_to_depth
from depth_prune_ros.core.camera import Window
from depth_prune_ros.core.errors import CameraError
from hypothesis import given
from hypothesis import strategies as st
import numpy as np
import pytest


@given(st.integers(1, 3000), st.integers(1, 3000), st.floats(0.1, 10.0))
def test_the_centre_window_is_the_largest_of_its_aspect(
    width: int, height: int, aspect: float
) -> None:
    part = centre_window(width, height, aspect)
    assert part.width == width or part.height == height
    assert 1 <= part.width <= width
    assert 1 <= part.height <= height
    assert (part.x, part.y) == ((width - part.width) // 2, (height - part.height) // 2)
    exact = part.height * aspect if part.height == height else part.width / aspect
    found = part.width if part.height == height else part.height
    assert abs(found - exact) <= 0.5 or found in (1, width, height)


def test_a_window_cuts_an_image() -> None:
    image = np.arange(20).reshape(4, 5)
    assert image[Window(1, 2, 3, 1).slices].tolist() == [[11, 12, 13]]


@pytest.mark.parametrize('bad', [np.nan, np.inf])
def test_a_principal_point_that_is_no_number_is_refused(bad: float) -> None:
    with pytest.raises(CameraError, match='finite principal point'):
        Intrinsics(4, 3, 1.0, 1.0, bad, 1.0)


def test_points_behind_the_camera_and_on_it_are_not_seen() -> None:
    camera = Intrinsics(8, 6, 10.0, 10.0, 3.5, 2.5)
    points = np.array([[0, 0, -5], [0, 0, 4]], np.float32)
    depth = points_to_depth(points, np.eye(4), camera)
    assert np.argwhere(np.isfinite(depth)).tolist() == [[2, 4]]
    assert depth[2, 4] == 4.0
    near = np.array([[0, 0, 0.05], [1e3, 0, 1e-38]], np.float32)
    assert np.isnan(points_to_depth(near, np.eye(4), camera)).all()


def test_depth_is_lifted_from_the_centres_of_pixels() -> None:
    points = depth_to_points(np.full((3, 4), 2, np.float32), Intrinsics(4, 3, 2.0, 4.0, 1.0, 0.5))
    assert points[2, 3].tolist() == [2.0, 0.75, 2.0]

"""The picture of a point cloud: where points are drawn, and what covers what."""

from __future__ import annotations

from depth_prune_ros.core.camera import Intrinsics
from depth_prune_ros.evaluation.cloud import cloud_picture
import numpy as np
from numpy.typing import NDArray

CAMERA = Intrinsics(128, 96, 100.0, 100.0, 63.5, 47.5)
RED, GREEN = (250, 0, 0), (0, 250, 0)


def _rows_and_columns(
    picture: NDArray[np.uint8], colour: tuple[int, int, int]
) -> tuple[float, float]:
    rows, columns = np.nonzero((picture == colour).all(axis=2))
    assert rows.size > 20
    return float(rows.mean()), float(columns.mean())


def test_sides_and_heights_are_kept() -> None:
    image = np.zeros((96, 128, 3), np.uint8)
    image[:48, :64], image[48:, 64:] = RED, GREEN
    picture = cloud_picture(image, np.full((96, 128), 12.0, np.float32), CAMERA)
    assert picture.shape == (320, 640, 3)
    (red_row, red_column), (green_row, green_column) = (
        _rows_and_columns(picture, colour) for colour in (RED, GREEN)
    )
    assert red_column < 320 < green_column
    assert red_row < green_row


def test_a_point_lies_where_the_eye_sees_it() -> None:
    depth = np.full((96, 128), np.nan, np.float32)
    depth[47:49, 63:65] = 13.0
    picture = cloud_picture(np.full((96, 128, 3), RED, np.uint8), depth, CAMERA)
    rows, columns = np.nonzero((picture == RED).all(axis=2))
    # 20 m ahead of the eye and 5 m below it, which looks down by 0.28: 0.28 - atan(5 / 20) above
    # the middle, 480 px a radian
    assert abs(rows.mean() - (160 - 480 * np.tan(0.28 - np.arctan(5 / 20)))) < 2
    assert abs(columns.mean() - 320) < 2


def test_the_near_covers_the_far() -> None:
    image = np.zeros((96, 128, 3), np.uint8)
    depth = np.full((96, 128), np.nan, np.float32)
    # both on one ray of the eye: 13 m ahead of the camera, and 33 m ahead and 5 m below it
    image[44:52, 60:68], depth[44:52, 60:68] = RED, 13.0
    image[62:64, 63:65], depth[62:64, 63:65] = GREEN, 33.0
    picture = cloud_picture(image, depth, CAMERA, 64, 32)
    assert (picture == RED).all(axis=2).any()
    assert not (picture == GREEN).all(axis=2).any()
    depth[44:52, 60:68] = np.nan
    assert (cloud_picture(image, depth, CAMERA, 64, 32) == GREEN).all(axis=2).any()


def test_what_is_too_far_is_left_out() -> None:
    image, depth = np.full((96, 128, 3), RED, np.uint8), np.full((96, 128), 61.0, np.float32)
    assert len(np.unique(cloud_picture(image, depth, CAMERA).reshape(-1, 3), axis=0)) == 1

"""Depth, preview and points as messages."""

from __future__ import annotations

import sys
from typing import Any

from depth_prune_ros.core.camera import Intrinsics
from depth_prune_ros.ros.messages import depth_message
from depth_prune_ros.ros.messages import limit_depth
from depth_prune_ros.ros.messages import points_message
from depth_prune_ros.ros.messages import preview_message
import numpy as np
from numpy.typing import NDArray
import pytest
from sensor_msgs.msg import PointField
from std_msgs.msg import Header

CAMERA = Intrinsics(4, 3, 2.0, 4.0, 1.0, 0.5)


def test_metres_go_out_as_they_are() -> None:
    depth = np.array([[1.5, np.nan, 3.25], [4.0, 5.0, 6.0]], np.float32)
    header = Header(frame_id='cam')
    message = depth_message(depth[:, ::-1], header, '32FC1')
    assert (message.height, message.width, message.step) == (2, 3, 12)
    assert message.header == header
    assert message.is_bigendian == (sys.byteorder == 'big')
    found = np.frombuffer(message.data, np.float32).reshape(2, 3)
    np.testing.assert_array_equal(found, depth[:, ::-1])


def test_millimetres_and_what_they_cannot_hold() -> None:
    depth = np.array([[np.nan, 1.2346, 65.535, 65.54, np.inf, -1.0]], np.float32)
    message = depth_message(depth, Header(), '16UC1')
    assert (message.encoding, message.step) == ('16UC1', 12)
    assert np.frombuffer(message.data, np.uint16).tolist() == [0, 1235, 65535, 0, 0, 0]


def test_limits_are_valid_themselves() -> None:
    depth = np.array([0.4, 0.5, 80.0, 80.1, np.nan], np.float32)
    expected = np.array([np.nan, 0.5, 80.0, np.nan, np.nan], np.float32)
    np.testing.assert_array_equal(limit_depth(depth, 0.5, 80.0), expected)


def _points(message: Any) -> NDArray[np.float32]:
    columns = len(message.fields)
    assert [f.name for f in message.fields] == ['x', 'y', 'z', 'rgb'][:columns]
    assert [f.offset for f in message.fields] == [0, 4, 8, 12][:columns]
    assert all((f.datatype, f.count) == (PointField.FLOAT32, 1) for f in message.fields)
    assert message.is_bigendian == (sys.byteorder == 'big')
    assert message.point_step == 4 * columns
    assert message.row_step == message.point_step * message.width
    assert (message.height, message.is_dense) == (1, True)
    return np.frombuffer(message.data, np.float32).reshape(message.width, columns)


def test_points_by_hand() -> None:
    depth = np.full((3, 4), np.nan, np.float32)
    depth[0, 0], depth[2, 3] = 2.0, 8.0
    points = _points(points_message(depth, CAMERA, Header(frame_id='cam')))
    # ((u - cx) / fx * z, (v - cy) / fy * z, z)
    assert points.tolist() == [[-1.0, -0.25, 2.0], [8.0, 3.0, 8.0]]


def test_points_in_colour_by_stride() -> None:
    depth = np.arange(1, 13, dtype=np.float32).reshape(3, 4)
    colours = np.arange(36, dtype=np.uint8).reshape(3, 4, 3)
    points = _points(points_message(depth, CAMERA, Header(), colours=colours, stride=2))
    assert points[:, 2].tolist() == [1.0, 3.0, 9.0, 11.0]
    packed = np.ascontiguousarray(points[:, 3]).view(np.uint32)
    assert packed.tolist() == [0x000102, 0x060708, 0x18191A, 0x1E1F20]


def test_points_out_of_range_are_left_out_by_their_distance() -> None:
    depth = np.full((3, 4), np.nan, np.float32)
    depth[0, 1], depth[0, 3] = 5.0, 5.0
    # (0, -0.625, 5) is 5.04 m away, (5, -0.625, 5) is 7.10 m away.
    assert len(_points(points_message(depth, CAMERA, Header(), max_range_m=7.0))) == 1
    assert len(_points(points_message(depth, CAMERA, Header(), max_range_m=7.2))) == 2
    assert len(_points(points_message(depth, CAMERA, Header(), max_range_m=5.0))) == 0


def test_the_preview_goes_from_red_to_blue_and_none_is_black() -> None:
    depth = np.array([[0.5, 1.0, 10.0, 100.0, np.nan]], np.float32)
    message = preview_message(depth, Header(frame_id='cam'), 1.0, 100.0)
    assert (message.encoding, message.step, message.header.frame_id) == ('rgb8', 15, 'cam')
    red, near, half, far, none = np.frombuffer(message.data, np.uint8).reshape(5, 3).astype(int)
    assert red.tolist() == near.tolist()
    assert near[0] > 100 > near[2]
    assert far[2] > far[0]
    assert half.argmax() == 1  # the middle of the logarithmic scale is green
    assert none.tolist() == [0, 0, 0]


@pytest.mark.parametrize('limits', [(0.0, 0.05), (0.0, 80.0), (500.0, 1000.0)])
def test_the_preview_takes_any_limits(limits: tuple[float, float]) -> None:
    depth = np.array([[0.01, 1.0, 999.0]], np.float32)
    pixels = np.frombuffer(preview_message(depth, Header(), *limits).data, np.uint8)
    assert pixels.reshape(3, 3).any(axis=1).all()

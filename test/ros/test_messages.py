"""Depth and CameraInfo messages."""

from __future__ import annotations

from depth_prune_ros.core.errors import CameraError
from depth_prune_ros.ros.messages import camera_info_message
from depth_prune_ros.ros.messages import depth_message
from depth_prune_ros.ros.messages import intrinsics_of
from depth_prune_ros.ros.messages import limit_depth
from graph import camera_info
import numpy as np
import pytest
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import Header


def test_metres_go_out_as_they_are() -> None:
    depth = np.array([[1.5, np.nan, 3.25], [4.0, 5.0, 6.0]], np.float32)
    header = Header(frame_id='cam')
    message = depth_message(depth[:, ::-1], header, '32FC1')
    assert (message.height, message.width, message.step) == (2, 3, 12)
    assert message.header == header
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


def test_p_counts_before_k() -> None:
    info = camera_info(640, 480, 500.0)
    info.k[0] = 999.0
    camera = intrinsics_of(info)
    assert (camera.width, camera.height, camera.fx, camera.cx) == (640, 480, 500.0, 319.0)
    info.p = np.zeros(12)
    assert intrinsics_of(info).fx == 999.0


def test_an_uncalibrated_camera_is_refused() -> None:
    with pytest.raises(CameraError, match='found 640x480, fx 0.0'):
        intrinsics_of(CameraInfo(width=640, height=480))
    with pytest.raises(CameraError, match='width and height above 0, found 0x0'):
        camera_info_message(CameraInfo(), 64, 32)


def test_region_of_interest_and_binning_are_worked_in_and_reset() -> None:
    info = camera_info(640, 480, 500.0)
    info.binning_x = info.binning_y = 2
    info.roi.x_offset, info.roi.y_offset, info.roi.width, info.roi.height = 100, 40, 320, 240
    assert intrinsics_of(info).fx_over_width == 500.0 / 320
    scaled = camera_info_message(info, 160, 120)
    assert (scaled.width, scaled.height, scaled.binning_x, scaled.roi.width) == (160, 120, 0, 0)
    # The sensor's pixel (319, 242) is (219, 202) of the region and half of that when binned.
    expected = [250, 0, 219.5 / 2 - 0.5, 0, 250, 202.5 / 2 - 0.5, 0, 0, 1]
    np.testing.assert_allclose(scaled.k, expected)
    camera = intrinsics_of(scaled)
    assert camera == intrinsics_of(info).scaled(160, 120)


def test_rescaling_keeps_the_original_and_its_distortion() -> None:
    info = camera_info(640, 480, 500.0)
    scaled = camera_info_message(info, 64, 32)
    assert (info.width, info.k[0]) == (640, 500.0)
    assert list(scaled.d) == [0.1, 0.2, 0.3, 0.4, 0.5]
    assert list(scaled.r) == list(info.r)
    assert scaled.distortion_model == 'plumb_bob'
    assert scaled.p[3] == pytest.approx(-1500.0 * 64 / 640)

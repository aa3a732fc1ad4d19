"""CameraInfo: read, moved to the published image, rectified."""

from __future__ import annotations

from dataclasses import astuple
from dataclasses import replace
from pathlib import Path

import cv2
from depth_prune_ros.core.engine import DepthEngine
from depth_prune_ros.core.errors import CameraError
from depth_prune_ros.ros.calibration import assumed_calibration
from depth_prune_ros.ros.calibration import calibration_of
from depth_prune_ros.ros.calibration import rectify
from depth_prune_ros.ros.frame import network_size
from depth_prune_ros.ros.frame import place
from graph import camera_info
from graph import noise
import numpy as np
import pytest
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import Header
from tiny_model import CARD
from tiny_model import write_tiny_model


def test_p_counts_before_k() -> None:
    info = camera_info(640, 480, 500.0)
    info.k[0] = 999.0
    camera = calibration_of(info).intrinsics
    assert (camera.width, camera.height, camera.fx, camera.cx) == (640, 480, 500.0, 319.0)
    info.p, info.r = np.zeros(12), np.zeros(9)
    only_k = calibration_of(info)
    assert only_k.intrinsics.fx == 999.0
    # who takes the published camera_info reads P
    published = only_k.message(Header())
    assert (published.p[0], published.p[2], published.p[3]) == (999.0, info.k[2], 0.0)
    assert published.r.tolist() == np.eye(3).ravel().tolist()


@pytest.mark.parametrize(
    ('field', 'value', 'reason'),
    [
        ('width', 0, 'found 0x480'),
        ('p', np.zeros(12), 'fx 0.0'),
        ('p', np.full(12, np.nan), 'expected a camera_info of finite numbers'),
        ('k', np.full(9, np.inf), 'expected a camera_info of finite numbers'),
        ('d', [np.nan], 'expected a camera_info of finite numbers'),
    ],
)
def test_an_uncalibrated_camera_is_refused(field: str, value: object, reason: str) -> None:
    info = camera_info(640, 480, 500.0)
    info.k = np.zeros(9)
    setattr(info, field, value)
    with pytest.raises(CameraError, match=reason):
        calibration_of(info)
    with pytest.raises(CameraError, match='found 640x480, fx 0.0'):
        calibration_of(CameraInfo(width=640, height=480))


@pytest.mark.parametrize('model', ['plumb_bob', 'equidistant'])
def test_a_distortion_of_three_numbers_is_not_taken_out(model: str) -> None:
    info = camera_info(64, 48, 50.0)
    info.d, info.distortion_model = [0.1, 0.2, 0.3], model
    with pytest.raises(CameraError, match='distortion of 4 numbers or more, found 3'):
        rectify(np.zeros((48, 64, 3), np.uint8), calibration_of(info))


@pytest.mark.parametrize('model', ['fisheye', 'kannala_brandt', 'Plumb_Bob'])
def test_a_distortion_of_an_unknown_model_is_not_taken_out(model: str) -> None:
    info = camera_info(64, 48, 50.0)
    info.d, info.distortion_model = [0.1, 0.2, 0.3, 0.4], model
    image = noise(64, 48)
    with pytest.raises(CameraError, match=f"or equidistant, found '{model}'; ") as raised:
        rectify(image, calibration_of(info))
    assert '\n' not in str(raised.value)
    # without a distortion the name says nothing
    info.d = [0.0] * 4
    assert np.array_equal(rectify(image, calibration_of(info)), image)


@pytest.mark.parametrize('model', ['', 'plumb_bob', 'rational_polynomial'])
def test_a_distortion_of_a_known_model_is_taken_out(model: str) -> None:
    info = camera_info(64, 48, 50.0)
    info.d, info.distortion_model = [-0.3, 0.1, 0.0, 0.0, 0.0], model
    image, camera = noise(64, 48), calibration_of(info)
    expected = cv2.undistort(image, np.reshape(camera.k, (3, 3)), np.array(info.d))
    np.testing.assert_array_equal(rectify(image, camera), expected)


def test_region_of_interest_and_binning_are_worked_in_and_reset() -> None:
    info = camera_info(640, 480, 500.0)
    info.binning_x = info.binning_y = 2
    info.roi.x_offset, info.roi.y_offset, info.roi.width, info.roi.height = 100, 40, 320, 240
    assert calibration_of(info).intrinsics.fx_over_width == 500.0 / 320
    scaled = calibration_of(info).message(Header(frame_id='cam'))
    assert (scaled.width, scaled.height, scaled.binning_x, scaled.roi.width) == (160, 120, 0, 0)
    # The sensor's pixel (319, 242) is (219, 202) of the region and half of that when binned.
    expected = [250, 0, 219.5 / 2 - 0.5, 0, 250, 202.5 / 2 - 0.5, 0, 0, 1]
    np.testing.assert_allclose(scaled.k, expected)
    assert scaled.header.frame_id == 'cam'
    camera = calibration_of(scaled).intrinsics
    assert camera == calibration_of(info).intrinsics


def test_binning_to_nothing_is_refused() -> None:
    info = camera_info(640, 480, 500.0)
    info.binning_x = 1000
    with pytest.raises(CameraError, match='found 0x480'):
        calibration_of(info)


def test_rescaling_keeps_the_distortion_and_moves_the_translation() -> None:
    scaled = calibration_of(camera_info(640, 480, 500.0)).resized(64, 32).message(Header())
    assert list(scaled.d) == [0.1, 0.2, 0.3, 0.4, 0.5]
    assert list(scaled.r) == [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
    assert scaled.distortion_model == 'plumb_bob'
    assert scaled.p[3] == pytest.approx(-1500.0 * 64 / 640)


def test_stretching_keeps_the_cameras_focal_length_over_width() -> None:
    camera = calibration_of(camera_info(640, 480, 500.0))
    placed = place(camera, (64, 16), 'stretch', 'network')
    assert placed.fx_over_width == 500.0 / 640
    found, expected = placed.published.intrinsics, camera.intrinsics.scaled(64, 16)
    assert astuple(found) == pytest.approx(astuple(expected))
    assert placed.inner.slices == (slice(0, 16), slice(0, 64))


def test_pixels_that_are_not_square_are_made_so(tmp_path: Path) -> None:
    model = write_tiny_model(tmp_path / 'm.onnx', replace(CARD, size_multiple=8))
    camera = calibration_of(camera_info(64, 64, 38.4, fy=76.8))
    assert network_size(camera, DepthEngine.load(model), 'match') == (64, 32)
    square = calibration_of(camera_info(64, 64, 38.4))
    assert network_size(square, DepthEngine.load(model), 'match') == (64, 64)


def test_cropping_takes_the_centre_and_its_focal_length_over_width() -> None:
    # 640x480 in 1:2 is 240x480, from column 200 on.
    camera = calibration_of(camera_info(640, 480, 500.0))
    placed = place(camera, (16, 32), 'crop', 'network')
    assert (placed.part.x, placed.part.y, placed.part.width, placed.part.height) == (
        *(200, 0),
        *(240, 480),
    )
    assert placed.fx_over_width == pytest.approx(500.0 / 240)
    shown = placed.published.intrinsics
    assert (shown.width, shown.height) == (16, 32)
    assert shown.fx == pytest.approx(500.0 * 16 / 240)
    # A ray keeps its place in the crop, measured from its left border.
    assert (shown.cx + 0.5) / 16 == pytest.approx((319.0 - 200 + 0.5) / 240)
    assert (shown.cy + 0.5) / 32 == pytest.approx((242.0 + 0.5) / 480)


def test_a_crop_at_the_inputs_size_has_the_inputs_camera() -> None:
    camera = calibration_of(camera_info(640, 480, 500.0))
    placed = place(camera, (64, 16), 'crop', 'input')
    assert placed.published == camera
    assert placed.inner.slices == (slice(160, 320), slice(0, 640))


def test_an_assumed_camera_has_the_cards_focal_length_and_square_pixels() -> None:
    camera = assumed_calibration(200, 100, 0.6).intrinsics
    assert (camera.fx, camera.fy, camera.cx, camera.cy) == (120.0, 120.0, 99.5, 49.5)


@pytest.mark.parametrize('turn', [0.0, 0.1])
@pytest.mark.parametrize('model', ['plumb_bob', 'equidistant'])
def test_rectifying_undoes_the_distortion_and_the_turn(model: str, turn: float) -> None:
    info = camera_info(160, 120, 120.0, raw_fx=150.0, turn=turn)
    info.distortion_model = model
    info.d = [-0.5, 0.05, 0.0, 0.0] + [0.0] * (model == 'plumb_bob')
    camera = calibration_of(info)
    raw = np.zeros((120, 160, 3), np.uint8)
    # Where the lens puts a point of the rectified image, by the model's own formula.
    x, y, z = np.reshape(info.r, (3, 3)).T @ [(40 - 79.0) / 120, (30 - 62.0) / 120, 1.0]
    k, d = np.reshape(info.k, (3, 3)), np.array(info.d)
    if model == 'equidistant':
        bent = cv2.fisheye.distortPoints(np.array([[[x / z, y / z]]]), k, d)[0, 0]
    else:
        ray = np.array([[x, y, z]])
        bent = cv2.projectPoints(ray, np.zeros(3), np.zeros(3), k, d)[0][0, 0]
    assert np.abs(bent - (40, 30)).max() > 1.0
    cv2.circle(raw, tuple(int(v) for v in np.rint(bent)), 2, (255, 255, 255), -1)
    found = rectify(raw, camera)[..., 0].astype(float)
    rows, columns = np.indices(found.shape)
    centre = (found * columns).sum() / found.sum(), (found * rows).sum() / found.sum()
    assert np.abs(np.subtract(centre, (40, 30))).max() < 0.8
    flat = camera.rectified()
    assert not flat.unrectified
    assert flat.intrinsics == camera.intrinsics
    np.testing.assert_allclose(np.reshape(flat.k, (3, 3)), np.reshape(flat.p, (3, 4))[:, :3])


@pytest.mark.parametrize('d', [[], [0.0] * 5])
def test_rectifying_brings_a_camera_without_distortion_to_p(d: list[float]) -> None:
    info = camera_info(64, 32, 50.0, raw_fx=100.0)
    info.d = d
    image = noise(64, 32)
    flat = rectify(image, calibration_of(info))
    # Half as large around cx = 31, cy = 18, and black around it.
    np.testing.assert_array_equal(flat[9:25, 16:48], image[::2, 1::2])
    assert not flat[:8].any()


@pytest.mark.parametrize(
    ('d', 'options', 'expected'),
    [
        (0.0, {}, False),
        (0.1, {}, True),
        (0.0, {'turn': 0.01}, True),
        (0.0, {'raw_fx': 500.1}, True),
        # what rounding leaves
        (0.0, {'turn': 1e-7, 'raw_fx': 500.0001}, False),
    ],
)
def test_an_image_is_unrectified_by_d_r_or_k(
    d: float, options: dict[str, float], expected: bool
) -> None:
    info = camera_info(640, 480, 500.0, **options)
    info.d = [0.0, d, 0.0, 0.0, 0.0]
    camera = calibration_of(info)
    assert camera.unrectified == camera.resized(64, 30).unrectified == expected
    info.k = np.zeros(9)
    assert not calibration_of(info).unrectified

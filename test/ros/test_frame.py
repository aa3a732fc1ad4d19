"""The depth of a rectified image: none where the camera saw nothing."""

from __future__ import annotations

from pathlib import Path

import cv2
from depth_prune_ros.core.camera import Window
from depth_prune_ros.core.engine import DepthEngine
from depth_prune_ros.ros.calibration import Calibration
from depth_prune_ros.ros.calibration import rectify
from depth_prune_ros.ros.frame import DepthFrame
from depth_prune_ros.ros.frame import unseen
from depth_prune_ros.ros.messages import points_message
from depth_prune_ros.ros.parameters import DepthParameters
import numpy as np
from numpy.typing import NDArray
import pytest
from std_msgs.msg import Header
from tiny_model import BASELINE_M
from tiny_model import HEIGHT
from tiny_model import OFFSET
from tiny_model import SLOPE
from tiny_model import WIDTH

RAW_WIDTH, RAW_HEIGHT = 640, 480
K = np.array([[400.0, 0.0, 319.5], [0.0, 400.0, 239.5], [0.0, 0.0, 1.0]])
D = np.array([-0.3, 0.08, 0.0, 0.0, 0.0])
FOCAL_ALL, FOCAL_NOTHING_ELSE = 287.589, (308.333, 351.119)
GREY = 102
DISPARITY = OFFSET + SLOPE * GREY / 255.0  # as a fraction of the width


def _camera(alpha: float) -> Calibration:
    """Return a wide camera whose rectified image shows all that it saw (1) or nothing else (0)."""
    # OpenCV's optimal new camera matrix, by hand: its versions do not agree on alpha 0.
    fx, fy = (1.0 - alpha) * np.array(FOCAL_NOTHING_ELSE) + alpha * FOCAL_ALL
    p = np.array([[fx, 0.0, K[0, 2]], [0.0, fy, K[1, 2]], [0.0, 0.0, 1.0]])
    flat = tuple(np.hstack([p, np.zeros((3, 1))]).ravel().tolist())
    k, d = tuple(K.ravel().tolist()), tuple(D.tolist())
    return Calibration(RAW_WIDTH, RAW_HEIGHT, k, flat, d=d, distortion_model='plumb_bob')


def _margin(flat: Calibration) -> NDArray[np.float64]:
    """Say how far inside the raw image's border, in its pixels, a rectified pixel [H, W] lies."""
    seen = flat.intrinsics
    v, u = np.indices((flat.height, flat.width))
    x, y = (u.ravel() - seen.cx) / seen.fx, (v.ravel() - seen.cy) / seen.fy
    # The lens model's own formula, over its whole domain.
    rays = np.stack([x, y, np.ones_like(x)], axis=-1)
    raw = cv2.projectPoints(rays, np.zeros(3), np.zeros(3), K, D)[0].reshape(*u.shape, 2)
    first, last = raw.min(axis=-1) + 0.5, ([RAW_WIDTH, RAW_HEIGHT] - raw).min(axis=-1) - 0.5
    return np.minimum(first, last)


def _frame(engine: DepthEngine, raw: Calibration, settings: DepthParameters) -> DepthFrame:
    image = np.full((RAW_HEIGHT, RAW_WIDTH, 3), GREY, np.uint8)
    return DepthFrame(rectify(image, raw), raw.rectified(), engine, settings, raw)


@pytest.mark.parametrize(
    ('fit', 'output_size', 'shape', 'unseen_share'),
    [
        ('stretch', 'input', (RAW_HEIGHT, RAW_WIDTH), 0.126),
        ('match', 'input', (RAW_HEIGHT, RAW_WIDTH), 0.126),
        # rows 80 to 399 alone
        ('crop', 'input', (RAW_HEIGHT, RAW_WIDTH), 0.045),
        ('stretch', 'network', (HEIGHT, WIDTH), 0.129),
        ('crop', 'network', (HEIGHT, WIDTH), 0.047),
    ],
)
def test_where_the_camera_saw_nothing_there_is_no_depth(
    tiny_model: Path, fit: str, output_size: str, shape: tuple[int, int], unseen_share: float
) -> None:
    raw = _camera(1.0)
    settings = DepthParameters(fit=fit, output_size=output_size, max_depth=1000.0)
    frame = _frame(DepthEngine.load(tiny_model), raw, settings)
    margin, inner = _margin(frame.placement.published), frame.placement.inner
    assert frame.depth.shape == margin.shape == shape
    found, part = np.isfinite(frame.depth), np.zeros(shape, bool)
    part[inner.slices] = True
    assert not found[~part].any()
    assert np.mean(~found[part]) == pytest.approx(unseen_share, abs=1e-3)
    # Half a published pixel, in the raw image's; at its own size the rounding of the maps.
    blur = 0.1 if output_size == 'input' else 0.5 * RAW_HEIGHT / HEIGHT
    sure = part & (np.abs(margin) > blur)
    assert sure[inner.slices].mean() > 0.85
    np.testing.assert_array_equal(found[sure], margin[sure] > 0)
    middle = frame.depth[shape[0] // 2, shape[1] // 2]
    assert middle == pytest.approx(BASELINE_M * raw.intrinsics.fx_over_width / DISPARITY, rel=1e-5)


def test_what_the_camera_did_not_see_has_no_points(tiny_model: Path) -> None:
    settings = DepthParameters(output_size='input', max_depth=1000.0)
    frame = _frame(DepthEngine.load(tiny_model), _camera(1.0), settings)
    flat = frame.placement.published
    cloud = points_message(frame.depth, flat.intrinsics, Header())
    assert cloud.width == np.isfinite(frame.depth).sum()
    assert cloud.width / frame.depth.size == pytest.approx(1.0 - 0.126, abs=1e-3)


def test_what_the_camera_saw_all_of_keeps_its_depth_and_costs_nothing(tiny_model: Path) -> None:
    raw, settings = _camera(0.0), DepthParameters(output_size='input', max_depth=1000.0)
    part = Window(0, 0, RAW_WIDTH, RAW_HEIGHT)
    assert unseen(raw, part, RAW_WIDTH, RAW_HEIGHT) is None
    assert unseen(raw, part, WIDTH, HEIGHT) is None
    depth = _frame(DepthEngine.load(tiny_model), raw, settings).depth
    expected = BASELINE_M * raw.intrinsics.fx_over_width / DISPARITY
    np.testing.assert_allclose(depth, expected, rtol=1e-2)


def test_the_mask_is_made_once_a_camera(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raw, settings = _camera(0.75), DepthParameters(output_size='input')
    engine = DepthEngine.load(tiny_model)
    first = _frame(engine, raw, settings).depth
    monkeypatch.setattr('depth_prune_ros.ros.frame.rectified_mask', pytest.fail)
    np.testing.assert_array_equal(_frame(engine, raw, settings).depth, first)
    assert np.isnan(first[0, RAW_WIDTH // 2])


def test_cameras_of_nodes_in_one_process_do_not_take_turns(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cameras = [_camera(0.1 * at) for at in range(1, 9)]
    engine, settings = DepthEngine.load(tiny_model), DepthParameters(output_size='input')
    first = [_frame(engine, raw, settings).depth for raw in cameras]
    monkeypatch.setattr(cv2, 'initUndistortRectifyMap', pytest.fail)
    monkeypatch.setattr('depth_prune_ros.ros.frame.rectified_mask', pytest.fail)
    for raw, depth in zip(cameras, first, strict=True):
        np.testing.assert_array_equal(_frame(engine, raw, settings).depth, depth)


def test_an_image_that_was_not_rectified_has_depth_everywhere(tiny_model: Path) -> None:
    raw = _camera(1.0)
    image = np.full((RAW_HEIGHT, RAW_WIDTH, 3), GREY, np.uint8)
    settings = DepthParameters(output_size='input', max_depth=1000.0)
    depth = DepthFrame(image, raw, DepthEngine.load(tiny_model), settings, raw).depth
    expected = BASELINE_M * raw.intrinsics.fx_over_width / DISPARITY
    np.testing.assert_allclose(depth, expected, rtol=1e-5)

"""Points behind something near are left out, and nothing else is."""

from __future__ import annotations

from pathlib import Path

from depth_prune_ros.bags.frames import Frame
from depth_prune_ros.bags.frames import read_frames
from depth_prune_ros.bags.kitti import kitti_to_bag
from depth_prune_ros.core.camera import Intrinsics
from depth_prune_ros.core.camera import points_to_depth
from depth_prune_ros.core.occlusion import occluded
import numpy as np
from numpy.typing import NDArray
import pytest

Float = NDArray[np.float32]
CAMERA = Intrinsics(1242, 375, 721.5, 721.5, 609.6, 172.9)


def scene(above_m: float) -> tuple[Float, Float]:
    """
    Return what a lidar, so far above the camera, sees of a post at 5 m before a wall at 20 m.

    :return: the sparse depth image [H, W]; and bool [H, W], the wall's points behind the post
    """
    # the post: 0.4 m wide, from 0.5 m above the camera down to 1.5 m below it
    wall, post = [], []
    for turn in np.arange(-0.3, 0.3, 0.003):
        for tilt in np.arange(-0.08, 0.08, 0.007):
            ray = np.array([np.tan(turn), np.tan(tilt), 1.0])
            at = ray * 5 - [0, above_m, 0]
            hits = abs(at[0]) < 0.2 and -0.5 < at[1] < 1.5
            (post if hits else wall).append(at if hits else ray * 20 - [0, above_m, 0])
    depth = points_to_depth(np.array([*wall, *post], np.float32), np.eye(4), CAMERA)
    v, u = np.indices(depth.shape)
    x, y = (u - CAMERA.cx) / CAMERA.fx * 5, (v - CAMERA.cy) / CAMERA.fy * 5
    behind = (depth > 19) & (np.abs(x) < 0.19) & (y > -0.49) & (y < 1.4)
    return depth, behind


def test_wall_seen_above_a_post_is_hidden_from_a_camera_below() -> None:
    depth, behind = scene(above_m=0.3)
    assert behind.sum() > 20
    found = occluded(depth)
    assert found[behind].mean() > 0.8
    # next to the post a few visible points of the wall are lost; beyond its window none
    columns = np.nonzero(found)[1]
    assert np.abs(columns - CAMERA.cx).max() < 0.2 / 5 * CAMERA.fx + 9
    assert found.sum() < 2.5 * behind.sum()
    assert not found[depth < 6].any()


def test_a_lidar_in_the_camera_hides_nothing_but_edges() -> None:
    depth, behind = scene(above_m=0.0)
    assert not behind.any()
    wall = (depth > 19) & (np.abs(np.indices(depth.shape)[1] - CAMERA.cx) > 0.2 / 5 * 721.5 + 9)
    assert not occluded(depth)[wall].any()


def test_road_to_the_horizon_stays() -> None:
    depth = np.full((375, 1242), np.nan, np.float32)
    rows = np.arange(190, 375, 5)
    depth[rows] = (1.65 * 721.5 / (rows - 172.9))[:, None]
    assert not occluded(depth).any()


def row(*values: float) -> Float:
    """Make an image of one row, 1000 px wide, so that the window is 6 px (0.0065)."""
    depth = np.full((1, 1000), np.nan, np.float32)
    depth[0, : len(values)] = values
    return depth


def test_window_and_ratio_are_as_said() -> None:
    nan = np.nan
    # 8.9 is nearer than 0.9 * 10, 9.1 is not; 6 px away counts, 7 does not; both sides count
    assert occluded(row(10, nan, nan, nan, nan, nan, 8.9))[0, 0]
    assert not occluded(row(10, nan, nan, nan, nan, nan, nan, 8.9))[0, 0]
    assert not occluded(row(10, 9.1))[0, 0]
    assert occluded(row(8.9, 10))[0, :2].tolist() == [False, True]
    assert occluded(row(5, 20, 30))[0, :3].tolist() == [False, True, True]
    # of an image so small that the window is no pixel, one counts
    assert occluded(row(5, 20)[:, :50])[0, :2].tolist() == [False, True]


def test_only_what_lies_beside_and_above_hides() -> None:
    depth = np.full((30, 1000), np.nan, np.float32)
    depth[10, 5] = depth[10, 500] = 20
    depth[4, 5] = depth[16, 500] = 5
    assert occluded(depth)[10, [5, 500]].tolist() == [True, False]
    depth[3, 5], depth[4, 5] = 5, np.nan
    assert not occluded(depth).any()


@pytest.fixture(scope='module')
def real_frame(kitti: Path, tmp_path_factory: pytest.TempPathFactory) -> Frame:
    """Return the first frame of a real drive with lidar and stereo."""
    bag = tmp_path_factory.mktemp('kitti') / 'bag'
    kitti_to_bag(kitti / 'raw' / '2011_09_26' / '2011_09_26_drive_0048_sync', bag)
    return next(iter(read_frames(bag, need=('right', 'depth'))))


def test_real_points_that_stereo_contradicts_are_mostly_gone(real_frame: Frame) -> None:
    import cv2

    assert real_frame.right is not None
    assert real_frame.baseline_m is not None
    assert real_frame.depth is not None
    matcher = cv2.StereoSGBM.create(0, 128, 5, 200, 800, 1, 0, 10, 100, 2)
    grey = [cv2.cvtColor(i, cv2.COLOR_RGB2GRAY) for i in (real_frame.left, real_frame.right)]
    pixels = matcher.compute(grey[0], grey[1]).astype(np.float32) / 16
    stereo = real_frame.camera.fx * real_frame.baseline_m / np.where(pixels > 1, pixels, np.nan)
    lidar = real_frame.depth
    hidden = lidar > 1.15 * stereo
    right = np.abs(lidar - stereo) < 0.05 * stereo
    found = occluded(lidar)
    assert hidden.sum() > 100
    assert found[hidden].mean() > 0.5
    assert found[right].mean() < 0.06

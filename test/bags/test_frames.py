"""Frames of our own bags, of KITTI and of robots; missing parts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
import math
from pathlib import Path

from depth_prune_ros.bags.frames import Frame
from depth_prune_ros.bags.frames import read_frames
from depth_prune_ros.bags.kitti import kitti_to_bag
from depth_prune_ros.bags.losses import collect_findings
from depth_prune_ros.bags.topics import find_topics
from depth_prune_ros.bags.topics import Topics
from depth_prune_ros.core.errors import BagError
from depth_prune_ros.core.errors import CameraError
import kitti_folders as folders
import numpy as np
from numpy.typing import NDArray
import pytest
from robot_bags import RobotBag
from robot_bags import SECOND
from robot_bags import START_NS


def drawn(uvz: NDArray[np.float64], height: int, width: int) -> NDArray[np.float64]:
    """Draw projected points [N, 3]; the nearest stays, NaN elsewhere."""
    depth = np.full((height, width), np.nan)
    column, row = np.rint(uvz[:, :2]).T
    seen = (uvz[:, 2] > 0.1) & (column >= 0) & (column < width) & (row >= 0) & (row < height)
    np.fmin.at(depth, (row[seen].astype(int), column[seen].astype(int)), uvz[seen, 2])
    return depth


def assert_same_depth(
    found: NDArray[np.float32] | None, uvz: NDArray[np.float64], most_on_edge: int
) -> None:
    """
    Check a depth image against points projected independently.

    Calibration files carry 7 digits, a transform's quaternion is exactly a rotation: a point that
    lands within 1e-3 px of the edge between two pixels may be drawn in the other one.
    """
    assert found is not None
    expected = drawn(uvz, *found.shape)
    differs = ~np.isclose(found, expected, rtol=1e-5, equal_nan=True)
    from_edge = np.abs(uvz[:, :2] - np.floor(uvz[:, :2]) - 0.5).min(axis=1)
    edge = uvz[(from_edge < 1e-3) & (uvz[:, 2] > 0.1)]
    around = {
        (round(v + dv), round(u + du))
        for u, v, _ in edge
        for du in (-0.01, 0.01)
        for dv in (-0.01, 0.01)
    }
    wrong = {(int(v), int(u)) for v, u in np.argwhere(differs)}
    assert wrong <= around
    assert len(wrong) <= most_on_edge
    assert np.isfinite(expected).sum() > 50


def kitti_table(path: Path) -> dict[str, NDArray[np.float64]]:
    rows = (line.split(':', 1) for line in path.read_text().splitlines() if '_time' not in line)
    return {name: np.array([float(x) for x in text.split()]) for name, text in rows}


def kitti_stamps(path: Path, numbers: Iterable[int]) -> list[int]:
    """Read stamps as numpy's datetime64 does, which takes nanoseconds."""
    lines = path.read_text().splitlines()
    return [int(np.datetime64(lines[i].replace(' ', 'T'), 'ns').astype(np.int64)) for i in numbers]


@pytest.mark.parametrize(
    ('storage', 'images'), [('mcap', 'raw'), ('sqlite3', 'raw'), ('mcap', 'jpeg')]
)
def test_real_drive_0002(kitti: Path, tmp_path: Path, storage: str, images: str) -> None:
    day = kitti / 'raw' / '2011_09_26'
    drive = day / '2011_09_26_drive_0002_sync'
    kitti_to_bag(drive, tmp_path / 'bag', storage=storage, images=images)
    frames = list(read_frames(tmp_path / 'bag'))
    scans = sorted((drive / 'velodyne_points' / 'data').glob('*.bin'))
    numbers = [int(path.stem) for path in scans]
    assert [frame.stamp_ns for frame in frames] == kitti_stamps(
        drive / 'image_02' / 'timestamps.txt', numbers
    )
    assert len(frames) == 10
    cameras = kitti_table(day / 'calib_cam_to_cam.txt')
    velo = kitti_table(day / 'calib_velo_to_cam.txt')
    p = cameras['P_rect_02'].reshape(3, 4)
    for frame, path in zip(frames, scans, strict=True):
        xyz = np.fromfile(path, np.float32).reshape(-1, 4)[:, :3].astype(np.float64)
        cam = xyz @ velo['R'].reshape(3, 3).T + velo['T']
        uvw = cam @ cameras['R_rect_00'].reshape(3, 3).T @ p[:, :3].T + p[:, 3]
        uvz = np.column_stack([uvw[:, :2] / uvw[:, 2:], uvw[:, 2]])
        assert_same_depth(frame.depth, uvz, most_on_edge=8)
        assert frame.depth_source == 'lidar'
        assert frame.baseline_m == pytest.approx(0.5327, abs=1e-3)
        assert (frame.camera.fx, frame.camera.cx) == (721.5377, 609.5593)
        assert frame.right is not None
        assert frame.left.shape == frame.right.shape == (375, 1242, 3)


def synthetic(tmp_path: Path, **options: str) -> Path:
    drive = folders.raw_drive(tmp_path)
    kitti_to_bag(drive, tmp_path / 'bag', **options)  # type: ignore[arg-type]
    return tmp_path / 'bag'


def check_synthetic(frames: list[Frame], tolerance: int = 0) -> None:
    assert [f.stamp_ns for f in frames] == [folders.stamp_ns(n, 1_200_002) for n in range(3)]
    for number, frame in enumerate(frames):
        assert np.abs(frame.left.astype(int) - folders.picture(2, number)).max() <= tolerance
        assert frame.right is not None
        assert np.abs(frame.right.astype(int) - folders.picture(3, number)).max() <= tolerance
        assert frame.baseline_m == pytest.approx((1.79 + 13.58) / 28.86)
        assert_same_depth(frame.depth, folders.to_camera(folders.scan(number), 2), most_on_edge=1)
        assert (frame.camera.fx, frame.camera.cx, frame.camera.cy) == (28.86, 23.4, 9.2)


@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
@pytest.mark.parametrize('images', ['raw', 'png', 'jpeg'])
def test_a_drive_comes_back_as_frames(tmp_path: Path, storage: str, images: str) -> None:
    bag = synthetic(tmp_path, storage=storage, images=images)
    check_synthetic(list(read_frames(bag)), tolerance=30 if images == 'jpeg' else 0)


@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
def test_a_bare_file_and_a_folder_without_metadata_open(tmp_path: Path, storage: str) -> None:
    bag = synthetic(tmp_path, storage=storage)
    (file,) = (path for path in bag.iterdir() if path.suffix in ('.mcap', '.db3'))
    check_synthetic(list(read_frames(file)))
    (bag / 'metadata.yaml').unlink()
    check_synthetic(list(read_frames(bag)))


def test_a_ros_1_bag_with_kitti2bags_names(tmp_path: Path) -> None:
    bag = RobotBag(ros1=True)
    points = np.array([[(8.0, -1.0, -2.0, 0.5)]], [(n, '<f4') for n in ('x', 'y', 'z', 'i')])
    for i in range(3):
        stamp_ns = START_NS + i * SECOND // 10
        for side, tx in (('left', 1.0), ('right', -4.0)):
            bag.image(f'/kitti/camera_gray_{side}/image_raw', stamp_ns, 'cam', level=i)
            bag.info(f'/kitti/camera_gray_{side}/camera_info', stamp_ns, tx=tx)
        bag.cloud('/kitti/velo/pointcloud', stamp_ns, points, 'velo_link')
        # x forward, y left, z up to x right, y down, z forward.
        bag.tf(stamp_ns, '/imu_link', '/velo_link', (0, 0, 1.0), (0, 0, 0, 1))
        bag.tf(stamp_ns, '/imu_link', '/cam', (0, 0, 0), (-0.5, 0.5, -0.5, 0.5))
    frames = list(read_frames(bag.write(tmp_path / 'drive.bag')))
    assert [frame.left[0, 0].tolist() for frame in frames] == [[i] * 3 for i in range(3)]
    assert frames[0].baseline_m == pytest.approx(0.5)
    depth = frames[0].depth
    assert depth is not None
    # In the camera: x = 1, y = 1 (2 down, 1 up for the lidar's place), z = 8.
    assert np.argwhere(np.isfinite(depth)).tolist() == [[round(2.5 + 10 / 8), round(3.5 + 10 / 8)]]
    assert np.nanmax(depth) == 8


def test_an_object_set_uses_each_scenes_own_calibration(tmp_path: Path) -> None:
    kitti_to_bag(folders.object_set(tmp_path / 'training'), tmp_path / 'bag')
    frames = list(read_frames(tmp_path / 'bag'))
    for frame, (number, fx) in zip(frames, ((0, 28.86), (1, 28.86), (7, 27.5)), strict=True):
        assert frame.camera.fx == fx
        uvz = folders.to_camera(folders.scan(number), 2, fx)
        assert_same_depth(frame.depth, uvz, most_on_edge=1)
    assert [frame.right is None for frame in frames] == [True, False, True]
    assert [frame.baseline_m is None for frame in frames] == [True, False, True]


def test_official_depth_goes_before_the_lidar(tmp_path: Path) -> None:
    drive = folders.raw_drive(tmp_path)
    folders.annotated_depth(tmp_path / 'data_depth_annotated', (1,))
    kitti_to_bag(drive, tmp_path / 'bag')
    frames = list(read_frames(tmp_path / 'bag'))
    assert [frame.depth_source for frame in frames] == ['lidar', 'depth', 'lidar']
    lidar, depth = 'lidar /kitti/velo/pointcloud', '/kitti/camera_color_left/depth'
    assert [frame.depth_origin for frame in frames] == [lidar, depth, lidar]
    assert frames[1].depth is not None
    assert np.nanmax(frames[1].depth) == np.float32(10 + 65 / 256)
    lidar_only = replace(find_topics(tmp_path / 'bag'), depth=None)
    sources = [frame.depth_source for frame in read_frames(tmp_path / 'bag', topics=lidar_only)]
    assert sources == ['lidar'] * 3


def test_only_the_frames_that_have_what_is_needed(tmp_path: Path) -> None:
    kitti_to_bag(folders.object_set(tmp_path / 'training'), tmp_path / 'bag')
    assert len(list(read_frames(tmp_path / 'bag', need=['right']))) == 1
    assert len(list(read_frames(tmp_path / 'bag', need=['right', 'depth']))) == 1
    mono = replace(find_topics(tmp_path / 'bag'), right=None, right_info=None)
    with pytest.raises(BagError, match=r'expected frames with right, found none \(looked at /ki'):
        list(read_frames(tmp_path / 'bag', topics=mono, need=['right']))
    with pytest.raises(BagError, match="need of right and depth, found 'left'"):
        list(read_frames(tmp_path / 'bag', need=['left']))


def test_an_image_with_padded_rows_reads_right(tmp_path: Path) -> None:
    bag = RobotBag()
    bag.info('/cam/camera_info', START_NS)
    pixels = np.arange(6 * 11, dtype=np.uint8)
    bag.image('/cam/image_raw', START_NS)
    bag.messages[-1][3].data, bag.messages[-1][3].step = pixels, 11
    (frame,) = read_frames(bag.write(tmp_path / 'bag'))
    assert frame.left[..., 1].tolist() == pixels.reshape(6, 11)[:, :8].tolist()


def rgbd(tmp_path: Path, topic: str, frame_id: str, values: NDArray[np.uint16]) -> Path:
    bag = RobotBag()
    bag.info('/camera/color/camera_info', START_NS)
    bag.image('/camera/color/image_raw', START_NS)
    bag.depth(topic, START_NS, values, frame_id)
    return bag.write(tmp_path / f'bag{len(list(tmp_path.iterdir()))}')


def test_a_depth_camera_is_ground_truth_where_it_is_registered(tmp_path: Path) -> None:
    values = np.zeros((6, 8), np.uint16)
    values[2, 3] = 1500
    aligned = '/camera/aligned_depth_to_color/image_raw'
    (frame,) = read_frames(rgbd(tmp_path, aligned, 'cam', values))
    assert frame.depth is not None
    assert frame.depth[2, 3] == np.float32(1.5)
    assert (np.isfinite(frame.depth).sum(), frame.depth_source) == (1, 'depth')
    plain = '/camera/depth/image_rect_raw'
    for path in (
        rgbd(tmp_path, plain, 'depth_frame', values),
        rgbd(tmp_path, plain, 'cam', values[:, :4].copy()),
    ):
        (frame,) = read_frames(path)
        assert (frame.depth, frame.depth_source) == (None, None)


def test_the_depth_topic_that_is_named_counts_in_any_frame(tmp_path: Path) -> None:
    values = np.full((6, 8), 250, np.uint16)
    path = rgbd(tmp_path, '/camera/depth/image_rect_raw', 'depth_frame', values)
    (frame,) = read_frames(path, topics=find_topics(path))
    assert frame.depth is not None
    assert (frame.depth == np.float32(0.25)).all()


def test_camera_info_without_p_gives_k_and_of_another_size_is_scaled(tmp_path: Path) -> None:
    bag = RobotBag()
    bag.info('/cam/camera_info', START_NS, empty_p=True)
    bag.image('/cam/image_raw', START_NS)
    bag.info('/cam/camera_info', START_NS + SECOND)
    bag.messages[-1][3].width, bag.messages[-1][3].height = 16, 12
    bag.image('/cam/image_raw', START_NS + SECOND)
    first, second = read_frames(bag.write(tmp_path / 'bag'))
    assert (first.camera.cx, first.camera.fx) == (3.25, 10)
    assert (second.camera.width, second.camera.fx, second.camera.cx) == (8, 5, 1.5)


def test_an_uncalibrated_camera_is_refused(tmp_path: Path) -> None:
    bag = RobotBag()
    bag.info('/cam/camera_info', START_NS, fx=0.0)
    bag.image('/cam/image_raw', START_NS)
    with pytest.raises(CameraError, match=r'found 8x6, fx 0.0, fy 0.0; .*calibrate'):
        list(read_frames(bag.write(tmp_path / 'bag')))


@pytest.mark.parametrize('focal', [0.0, math.nan])
def test_the_last_calibration_holds(tmp_path: Path, focal: float) -> None:
    """As in the node: a driver that starts anew may publish empty ones for a while."""
    bag = RobotBag()
    for second, fx in enumerate((10.0, focal, focal, 12.0)):
        bag.info('/cam/camera_info', START_NS + second * SECOND, fx=fx)
        bag.image('/cam/image_raw', START_NS + second * SECOND)
    path = bag.write(tmp_path / 'bag')
    with collect_findings() as findings:
        assert [frame.camera.fx for frame in read_frames(path)] == [10, 10, 10, 12]
    (warning,) = findings.warnings
    assert warning == f'{path}: /cam/camera_info: messages without calibration are left out'


def test_swapped_cameras_are_refused(tmp_path: Path) -> None:
    bag = RobotBag()
    for side, tx in (('left', -1.0), ('right', 0.0)):
        bag.image(f'/{side}/image_raw', START_NS)
        bag.info(f'/{side}/camera_info', START_NS, tx=tx)
    with pytest.raises(BagError, match=r'found a baseline of -0.1000 m; swap the two'):
        list(read_frames(bag.write(tmp_path / 'bag')))


def test_a_lidar_that_nothing_connects_names_both_frames(tmp_path: Path) -> None:
    bag = RobotBag()
    bag.image('/cam/image_raw', START_NS)
    bag.info('/cam/camera_info', START_NS)
    bag.cloud('/lidar/points', START_NS, np.zeros((1, 1), [(n, '<f4') for n in 'xyz']))
    bag.tf(START_NS, 'base', 'lidar', (0, 0, 0), (0, 0, 0, 1))
    path = bag.write(tmp_path / 'bag')
    with pytest.raises(BagError, match=r"connect 'lidar' \(/lidar/points\) with 'cam'"):
        list(read_frames(path))
    (frame,) = read_frames(path, topics=replace(find_topics(path), lidar=None))
    assert frame.depth is None


def test_missing_topics_are_listed_with_those_present(tmp_path: Path) -> None:
    bag = synthetic(tmp_path)
    with pytest.raises(BagError, match=r'expected topic /front, /front/info, found /kitti/cam'):
        list(read_frames(bag, topics=Topics(left='/front', left_info='/front/info')))
    with pytest.raises(BagError, match=r'camera_info beside /kitti/velo/pointcloud, found'):
        list(read_frames(bag, topics=Topics(left='/kitti/velo/pointcloud')))

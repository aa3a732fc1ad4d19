"""Calibrations and times of KITTI folders that change, or that no bag can be made of."""

from __future__ import annotations

from pathlib import Path

import cv2
from depth_prune_ros.bags.frames import Frame
from depth_prune_ros.bags.frames import read_frames
from depth_prune_ros.bags.kitti import kitti_to_bag
from depth_prune_ros.bags.reading import open_bag
from depth_prune_ros.core.errors import BagError
import kitti_folders as folders
import numpy as np
from numpy.typing import NDArray
import pytest


def test_each_scene_keeps_its_own_intrinsics_where_the_lidar_does_not_move(
    tmp_path: Path,
) -> None:
    source = folders.object_set(tmp_path / 'training')
    for number, fx in ((0, 500.0), (1, 250.0), (7, 250.0)):
        path = source / 'calib' / f'{number:06d}.txt'
        p = np.array([[fx, 0, 23.4, 0], [0, fx, 9.2, 0], [0, 0, 1, 0]])
        lines = [line for line in path.read_text().splitlines(keepends=True) if line[:1] != 'P']
        kept = [line for line in lines if not line.startswith('Tr')]
        velo = np.column_stack([folders.VELO_TO_CAM, folders.VELO_SHIFT])
        named = ''.join(folders.line(f'P{i}', p) for i in range(4))
        path.write_text(named + ''.join(kept) + folders.line('Tr_velo_to_cam', velo))
    kitti_to_bag(source, tmp_path / 'bag')
    assert [frame.camera.fx for frame in read_frames(tmp_path / 'bag')] == [500, 250, 250]
    with open_bag(tmp_path / 'bag') as reader:
        assert reader.topics['/tf_static'].msgcount == 1


@pytest.mark.parametrize('word', ['soon', 'nan', 'inf'])
def test_a_time_that_is_no_number_is_named(tmp_path: Path, word: str) -> None:
    source = folders.odometry(tmp_path / '06', times=True)
    (source / 'times.txt').write_text(f'0.0\n{word}\n0.2\n0.3\n')
    with pytest.raises(BagError, match=rf"times.txt: expected seconds .*found '{word}'"):
        kitti_to_bag(source, tmp_path / 'bag')


@pytest.mark.parametrize(
    ('name', 'values'),
    [
        ('P2', np.zeros((3, 4))),
        ('P2', np.full((3, 4), np.nan)),
        ('R0_rect', np.zeros((3, 3))),
        ('Tr_velo_to_cam', np.zeros((3, 4))),
        ('Tr_imu_to_velo', np.zeros((3, 4))),
    ],
)
def test_a_matrix_that_cannot_be_inverted_is_named(
    tmp_path: Path, name: str, values: NDArray[np.float64]
) -> None:
    source = folders.object_set(tmp_path / 'training')
    path = source / 'calib' / '000001.txt'
    path.write_text(path.read_text() + folders.line(name, values))
    with pytest.raises(
        BagError, match=rf'000001.txt: expected {name} .* inverted, found'
    ) as caught:
        kitti_to_bag(source, tmp_path / 'bag')
    assert '\n' not in str(caught.value)
    assert not (tmp_path / 'bag').exists()


def test_a_matrix_of_too_few_numbers_is_named(tmp_path: Path) -> None:
    source = folders.object_set(tmp_path / 'training')
    path = source / 'calib' / '000000.txt'
    path.write_text(path.read_text() + 'Tr_imu_to_velo: 1 0 0\n')
    with pytest.raises(BagError, match='expected Tr_imu_to_velo with 12 numbers, found 3 numb'):
        kitti_to_bag(source, tmp_path / 'bag')


def test_images_of_another_size_than_their_calibration_s_are_refused(tmp_path: Path) -> None:
    drive = folders.raw_drive(tmp_path)
    for path in sorted((drive / 'image_02' / 'data').iterdir()):
        image = cv2.imread(str(path))
        assert image is not None
        cv2.imwrite(str(path), cv2.resize(image, None, fx=0.5, fy=0.5))
    with pytest.raises(BagError, match=r"0.png: expected an image about \d+ wide, .* KITTI's own"):
        kitti_to_bag(drive, tmp_path / 'bag')


@pytest.mark.parametrize('left', ['image_02', 'image_03', 'velodyne_points'])
def test_a_sensor_without_stamps_has_those_of_another(left: str, tmp_path: Path) -> None:
    drive = folders.raw_drive(tmp_path)
    before = _frames(drive, tmp_path / 'before')
    for path in drive.glob('*/timestamps.txt'):
        if path.parent.name != left:
            path.unlink()
    frames = _frames(drive, tmp_path / 'after')
    assert len(frames) == len(before)
    assert all(abs(f.stamp_ns - b.stamp_ns) < 10**8 for f, b in zip(frames, before, strict=True))
    assert all(f.right is not None and f.depth_source == 'lidar' for f in frames)


@pytest.mark.parametrize('named', ['link', 'link/image_02/..'])
def test_a_drive_may_be_named_by_a_link(tmp_path: Path, named: str) -> None:
    drive = folders.raw_drive(tmp_path / 'disk', frames=(1,))
    folders.annotated_depth(tmp_path / 'disk' / 'data_depth_annotated', (1,))
    (tmp_path / 'link').symlink_to(drive)
    (frame,) = _frames(tmp_path / named, tmp_path / 'bag')
    assert frame.depth_source == 'depth'
    assert frame.camera.fx == pytest.approx(28.86)


def test_a_drive_may_lie_elsewhere_than_its_calibration(tmp_path: Path) -> None:
    link = folders.raw_drive(tmp_path / 'disk', frames=(1,))
    folders.annotated_depth(tmp_path / 'disk' / 'data_depth_annotated', (1,))
    link.rename(tmp_path / 'drive')
    link.symlink_to(tmp_path / 'drive')
    (frame,) = _frames(link, tmp_path / 'bag')
    assert frame.depth_source == 'depth'


def test_a_remark_in_latin_1_is_a_remark(tmp_path: Path) -> None:
    drive = folders.raw_drive(tmp_path)
    with (drive.parent / 'calib_cam_to_cam.txt').open('ab') as file:
        file.write(b'note: caf\xe9\n')
    assert _frames(drive, tmp_path / 'bag')


def test_a_jpeg_that_is_cut_short_is_refused(tmp_path: Path) -> None:
    drive = folders.raw_drive(tmp_path)
    first = min((drive / 'image_02' / 'data').iterdir())
    image = cv2.imread(str(first))
    assert image is not None
    data = cv2.imencode('.jpg', image)[1].tobytes()
    first.unlink()
    first.with_suffix('.jpg').write_bytes(data[: len(data) // 2])
    with pytest.raises(BagError, match=r'0.jpg: expected a png or jpg image, .* not decode whole'):
        kitti_to_bag(drive, tmp_path / 'bag')


def test_every_scene_of_the_object_set_has_its_own_calibration(
    kitti: Path, tmp_path: Path
) -> None:
    folder = kitti / 'object' / 'training'
    frames = _frames(folder, tmp_path / 'bag')
    files = sorted((folder / 'calib').iterdir())
    assert len(frames) == len(files) == 27
    for frame, file in zip(frames, files, strict=True):
        (line,) = [text for text in file.read_text().splitlines() if text.startswith('P2:')]
        p = [float(word) for word in line.split()[1:]]
        found = frame.camera.fx, frame.camera.cx, frame.camera.cy
        assert found == pytest.approx((p[0], p[2], p[6]))


def _frames(source: Path, bag: Path) -> list[Frame]:
    kitti_to_bag(source, bag, images='png')
    return list(read_frames(bag))

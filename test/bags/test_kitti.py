"""KITTI's folders as bags: stamps, geometry, names, gaps and damage."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
from depth_prune_ros.bags.kitti import kitti_to_bag
from depth_prune_ros.core.errors import BagError
import kitti_folders as folders
import numpy as np
from numpy.typing import NDArray
import pytest
from rosbags.highlevel import AnyReader


def messages(bag: Path) -> dict[str, list[Any]]:
    """Return {topic: messages} and check that the time in the bag is the header's stamp."""
    found: dict[str, list[Any]] = {}
    with AnyReader([bag]) as reader:
        for connection, bag_ns, data in reader.messages():
            message: Any = reader.deserialize(data, connection.msgtype)
            if hasattr(message, 'header'):
                assert header_ns(message) == bag_ns
            found.setdefault(connection.topic, []).append(message)
    return found


def header_ns(message: Any) -> int:
    return int(message.header.stamp.sec) * 10**9 + int(message.header.stamp.nanosec)


def matrix(transform: Any) -> NDArray[np.float64]:
    """Return parent_T_child by Euler-Rodrigues, independent of the package."""
    q, t = transform.rotation, transform.translation
    axis = np.array([q.x, q.y, q.z])
    cross = np.array([[0, -q.z, q.y], [q.z, 0, -q.x], [-q.y, q.x, 0]])
    turn = np.eye(3) * (q.w**2 - axis @ axis) + 2 * np.outer(axis, axis) + 2 * q.w * cross
    return np.vstack([np.column_stack([turn, [t.x, t.y, t.z]]), [0, 0, 0, 1]])


def test_a_raw_drive_has_kitti2bags_topics_and_frames(tmp_path: Path) -> None:
    kitti_to_bag(folders.raw_drive(tmp_path), tmp_path / 'bag')
    found = messages(tmp_path / 'bag')
    assert {topic: len(items) for topic, items in found.items()} == {
        '/tf_static': 1,
        '/kitti/velo/pointcloud': 3,
        '/kitti/camera_color_left/image_raw': 3,
        '/kitti/camera_color_left/camera_info': 3,
        '/kitti/camera_color_right/image_raw': 3,
        '/kitti/camera_color_right/camera_info': 3,
    }
    assert found['/kitti/velo/pointcloud'][0].header.frame_id == 'velo_link'
    assert found['/kitti/camera_color_left/image_raw'][0].header.frame_id == 'camera_color_left'
    edges = [(t.header.frame_id, t.child_frame_id) for t in found['/tf_static'][0].transforms]
    assert edges == [
        ('imu_link', 'velo_link'),
        ('velo_link', 'camera_color_left'),
        ('velo_link', 'camera_color_right'),
    ]


def test_stamps_are_kittis_to_the_nanosecond(tmp_path: Path) -> None:
    kitti_to_bag(folders.raw_drive(tmp_path, frames=(0, 2)), tmp_path / 'bag')
    found = messages(tmp_path / 'bag')
    for topic, offset_ns in (
        ('/kitti/camera_color_left/image_raw', 1_200_002),
        ('/kitti/camera_color_right/camera_info', 1_800_003),
        ('/kitti/velo/pointcloud', -10_000_007),
    ):
        expected = [folders.stamp_ns(number, offset_ns) for number in (0, 2)]
        assert [header_ns(message) for message in found[topic]] == expected


def test_without_timestamps_frames_are_a_tenth_of_a_second_apart(tmp_path: Path) -> None:
    drive = folders.raw_drive(tmp_path, frames=(5, 6, 9), stamps=False)
    kitti_to_bag(drive, tmp_path / 'bag')
    found = messages(tmp_path / 'bag')
    for topic in ('/kitti/camera_color_left/image_raw', '/kitti/velo/pointcloud'):
        stamps = [header_ns(message) for message in found[topic]]
        assert stamps == [1_317_000_000 * 10**9 + n * 10**8 for n in (5, 6, 9)]


@pytest.mark.parametrize('camera', [2, 3])
def test_a_scan_through_tf_and_k_lands_where_kitti_says(tmp_path: Path, camera: int) -> None:
    kitti_to_bag(folders.raw_drive(tmp_path), tmp_path / 'bag')
    found = messages(tmp_path / 'bag')
    name = {2: 'camera_color_left', 3: 'camera_color_right'}[camera]
    transforms = {t.child_frame_id: t.transform for t in found['/tf_static'][0].transforms}
    cam_T_velo = np.linalg.inv(matrix(transforms[name]))
    k = found[f'/kitti/{name}/camera_info'][0].k.reshape(3, 3)
    cloud = found['/kitti/velo/pointcloud'][0].data.view('<f4').reshape(-1, 4)
    assert np.array_equal(cloud, folders.scan(0))
    xyz = cloud[:, :3].astype(np.float64) @ cam_T_velo[:3, :3].T + cam_T_velo[:3, 3]
    uvw = xyz @ k.T
    ours = np.column_stack([uvw[:, :2] / uvw[:, 2:], uvw[:, 2]])
    # The file's rotations are rotations to 7 digits; a quaternion is one exactly.
    np.testing.assert_allclose(ours, folders.to_camera(cloud, camera), rtol=1e-6, atol=2e-5)


def test_the_imu_is_above_the_lidar_as_calibrated(tmp_path: Path) -> None:
    kitti_to_bag(folders.raw_drive(tmp_path), tmp_path / 'bag')
    transform = messages(tmp_path / 'bag')['/tf_static'][0].transforms[0].transform
    imu = np.linalg.inv(matrix(transform)) @ [0, 0, 0, 1]
    np.testing.assert_allclose(imu[:3], [-0.8, 0.32, -0.8], atol=1e-9)


@pytest.mark.parametrize(
    ('cameras', 'pair', 'baseline_m'),
    [((2, 3), 'color', (1.79 + 13.58) / 28.86), ((0, 1), 'gray', 15.5 / 28.86)],
)
def test_the_right_camera_carries_the_baseline(
    tmp_path: Path, cameras: tuple[int, int], pair: str, baseline_m: float
) -> None:
    kitti_to_bag(folders.raw_drive(tmp_path, cameras=cameras), tmp_path / 'bag')
    found = messages(tmp_path / 'bag')
    left = found[f'/kitti/camera_{pair}_left/camera_info'][0].p.reshape(3, 4)
    right = found[f'/kitti/camera_{pair}_right/camera_info'][0].p.reshape(3, 4)
    assert left[:, 3].tolist() == [0, 0, 0]
    assert right[:, 3].tolist() == pytest.approx([-28.86 * baseline_m, 0, 0])
    assert np.array_equal(left[:, :3], folders.projection(2)[:, :3])


@pytest.mark.parametrize('images', ['raw', 'png'])
@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
def test_pictures_come_through_in_their_colours(tmp_path: Path, images: str, storage: str) -> None:
    drive = folders.raw_drive(tmp_path, cameras=(0, 2), lidar=False)
    kitti_to_bag(drive, tmp_path / 'bag', storage=storage, images=images)
    found = messages(tmp_path / 'bag')
    for camera, name, encoding in ((0, 'gray', 'mono8'), (2, 'color', 'rgb8')):
        expected = folders.picture(camera, 1)
        topic = f'/kitti/camera_{name}_left/image_raw'
        if images == 'raw':
            message = found[topic][1]
            assert message.encoding == encoding
            image = message.data.reshape(expected.shape)
        else:
            data = found[f'{topic}/compressed'][1].data
            image = np.asarray(cv2.imdecode(data, cv2.IMREAD_UNCHANGED))
            image = image if image.ndim == 2 else image[..., ::-1]
        assert np.array_equal(image, expected)


def test_jpegs_are_not_encoded_again(tmp_path: Path) -> None:
    drive = folders.raw_drive(tmp_path, cameras=(2,), lidar=False, frames=(0,))
    png = drive / 'image_02' / 'data' / '0000000000.png'
    jpeg = png.with_suffix('.jpg')
    cv2.imwrite(str(jpeg), np.asarray(cv2.imread(str(png))))
    png.unlink()
    kitti_to_bag(drive, tmp_path / 'bag', images='jpeg')
    (message,) = messages(tmp_path / 'bag')['/kitti/camera_color_left/image_raw/compressed']
    assert message.data.tobytes() == jpeg.read_bytes()


def test_official_depth_is_found_beside_the_raw_folder(tmp_path: Path) -> None:
    drive = folders.raw_drive(tmp_path)
    folders.annotated_depth(tmp_path / 'data_depth_annotated' / 'train', (1, 2))
    kitti_to_bag(drive, tmp_path / 'bag')
    depths = messages(tmp_path / 'bag')['/kitti/camera_color_left/depth']
    assert [header_ns(m) for m in depths] == [folders.stamp_ns(n, 1_200_002) for n in (1, 2)]
    assert depths[0].header.frame_id == 'camera_color_left'
    values = depths[1].data.view('<f4').reshape(folders.HEIGHT, folders.WIDTH)
    assert values[5, 7] == 10 + (64 + 2) / 256
    assert np.isfinite(values).sum() == 1


def test_official_depth_may_be_named(tmp_path: Path) -> None:
    drive = folders.raw_drive(tmp_path)
    folders.annotated_depth(tmp_path / 'elsewhere', (1,))
    for i, name in enumerate(('elsewhere', f'elsewhere/{folders.DRIVE}')):
        bag = tmp_path / f'bag{i}'
        kitti_to_bag(drive, bag, annotated=tmp_path / name)
        assert len(messages(bag)['/kitti/camera_color_left/depth']) == 1
    with pytest.raises(BagError, match=r'raw: expected .*groundtruth/image_02/\*.png'):
        kitti_to_bag(drive, tmp_path / 'no', annotated=tmp_path / 'raw')


def test_an_odometry_sequence_has_grey_pairs_and_their_offset(tmp_path: Path) -> None:
    kitti_to_bag(folders.odometry(tmp_path / '06'), tmp_path / 'bag')
    found = messages(tmp_path / 'bag')
    images = found['/kitti/camera_gray_right/image_raw']
    assert [header_ns(m) for m in images] == [1_317_000_000 * 10**9 + n * 10**8 for n in (0, 3)]
    (transform,) = found['/tf_static'][0].transforms
    assert transform.header.frame_id == 'camera_gray_left'
    assert matrix(transform.transform)[:3, 3].tolist() == pytest.approx([15.5 / 28.86, 0, 0])


def test_odometry_takes_its_times_and_calibration_without_names(tmp_path: Path) -> None:
    source = folders.odometry(tmp_path / '06', times=True, names=False)
    kitti_to_bag(source, tmp_path / 'bag')
    found = messages(tmp_path / 'bag')
    images = found['/kitti/camera_gray_left/image_raw']
    assert [header_ns(m) - 1_317_000_000 * 10**9 for m in images] == [0, 312_500_000]
    assert found['/kitti/camera_gray_right/camera_info'][0].p[3] == pytest.approx(-15.5)


def test_an_object_set_writes_what_each_scene_has(tmp_path: Path) -> None:
    kitti_to_bag(folders.object_set(tmp_path / 'training'), tmp_path / 'bag')
    found = messages(tmp_path / 'bag')
    assert len(found['/kitti/camera_color_left/image_raw']) == 3
    assert len(found['/kitti/camera_color_right/image_raw']) == 1
    infos = found['/kitti/camera_color_left/camera_info']
    assert [info.k[0] for info in infos] == [28.86, 28.86, 27.5]
    assert len(found['/tf_static']) == 2


def test_the_same_folder_gives_the_same_bag(tmp_path: Path) -> None:
    drive = folders.raw_drive(tmp_path)
    for place in ('one', 'two'):
        kitti_to_bag(drive, tmp_path / place / 'bag')
    one, two = (tmp_path / place / 'bag' / 'bag.mcap' for place in ('one', 'two'))
    assert one.read_bytes() == two.read_bytes()


def test_progress_counts_every_file(tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    drive = folders.raw_drive(tmp_path)
    kitti_to_bag(drive, tmp_path / 'bag', progress=lambda done, total: calls.append((done, total)))
    assert calls == [(done, 9) for done in range(1, 10)]


def cut_scan(drive: Path) -> None:
    path = drive / 'velodyne_points' / 'data' / '0000000002.bin'
    path.write_bytes(path.read_bytes()[:-5])


def spoil_image(drive: Path) -> None:
    (drive / 'image_03' / 'data' / '0000000001.png').write_bytes(b'no picture')


def remove(name: str) -> Callable[[Path], None]:
    return lambda drive: (drive / name).unlink()


def cut_calibration(drive: Path) -> None:
    path = drive.parent / 'calib_cam_to_cam.txt'
    path.write_text(path.read_text().replace(folders.line('P_rect_03', folders.projection(3)), ''))


def cut_stamps(drive: Path) -> None:
    path = drive / 'image_02' / 'timestamps.txt'
    path.write_text(path.read_text()[:60])


def spoil_stamps(drive: Path) -> None:
    (drive / 'image_02' / 'timestamps.txt').write_text('yesterday\n')


@pytest.mark.parametrize(
    ('damage', 'message'),
    [
        (cut_scan, r'0000000002.bin: expected points of 16 bytes .*found 3195 bytes'),
        (spoil_image, r'image_03/data/0000000001.png: expected a png or jpg'),
        (remove('../calib_cam_to_cam.txt'), r'calib_cam_to_cam.txt: expected this calibration'),
        (remove('../calib_velo_to_cam.txt'), r'calib_velo_to_cam.txt: expected this calibration'),
        (cut_calibration, r'calib_cam_to_cam.txt: expected P_rect_03 with 12 numbers, found no'),
        (cut_stamps, r'image_02/timestamps.txt: expected a stamp for frame 2, found 2'),
        (spoil_stamps, r"expected a time like 2011-09-26 .*found 'yesterday'"),
    ],
)
def test_damage_is_named_and_no_bag_is_left(
    tmp_path: Path, damage: Callable[[Path], None], message: str
) -> None:
    drive = folders.raw_drive(tmp_path)
    damage(drive)
    (tmp_path / 'out').mkdir()
    with pytest.raises(BagError, match=message):
        kitti_to_bag(drive, tmp_path / 'out' / 'bag')
    assert list((tmp_path / 'out').iterdir()) == []


def test_other_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BagError, match='nowhere: expected a KITTI folder, found none'):
        kitti_to_bag(tmp_path / 'nowhere', tmp_path / 'bag')
    (tmp_path / 'photos').mkdir()
    with pytest.raises(BagError, match=r'expected a raw drive .* found photos'):
        kitti_to_bag(tmp_path, tmp_path / 'bag')
    (tmp_path / 'image_02' / 'data').mkdir(parents=True)
    with pytest.raises(BagError, match=r'images in image_00..03/data, found none'):
        kitti_to_bag(tmp_path, tmp_path / 'bag')


def test_real_folders_of_every_kind(kitti: Path, tmp_path: Path) -> None:
    raw = kitti / 'raw' / '2011_09_26'
    for name, source, left, count in (
        ('pair', raw / '2011_09_26_drive_0048_sync', 'color', 3),
        ('mono', raw / '2011_09_26_drive_unknown_sync', 'color', 78),
        ('depth', raw / '2011_09_26_drive_0001_sync', 'color', 12),
        ('grey', kitti / 'odometry' / 'sequences' / '06', 'gray', 17),
        ('object', kitti / 'object' / 'training', 'color', 27),
    ):
        kitti_to_bag(source, tmp_path / name, images='jpeg')
        found = messages(tmp_path / name)
        assert len(found[f'/kitti/camera_{left}_left/image_raw/compressed']) == count
        assert ('/kitti/camera_color_left/depth' in found) == (name == 'depth')

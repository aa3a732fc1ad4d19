"""Clouds of any layout, and transforms in any direction along the tree."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from depth_prune_ros.bags.frames import read_frames
from depth_prune_ros.bags.losses import collect_findings
from depth_prune_ros.bags.messages import cloud_points
from depth_prune_ros.bags.messages import intrinsics
from depth_prune_ros.bags.messages import projection
from depth_prune_ros.bags.reading import open_bag
from depth_prune_ros.bags.reading import read_messages
from depth_prune_ros.bags.transforms import StaticTransforms
from depth_prune_ros.core.errors import BagError
from depth_prune_ros.core.errors import EncodingError
from depth_prune_ros.core.errors import ImageError
from depth_prune_ros.ros.calibration import calibration_of
import numpy as np
from numpy.typing import NDArray
import pytest
from robot_bags import RobotBag
from robot_bags import SECOND
from robot_bags import START_NS
from sensor_msgs.msg import CameraInfo

LAYOUTS = {
    'velodyne': {'names': ['x', 'y', 'z', 'i'], 'formats': ['<f4'] * 4},
    'ouster': {
        'names': ['x', 'y', 'z', 'ring', 'range'],
        'formats': ['<f4', '<f4', '<f4', '<u2', '<u4'],
        'offsets': [0, 4, 8, 24, 28],
        'itemsize': 48,
    },
    'double, z first': {'names': ['z', 'x', 'y'], 'formats': ['<f8'] * 3},
    'big endian': {'names': ['x', 'y', 'z'], 'formats': ['>f4'] * 3},
}


def cloud(layout: Any, values: NDArray[np.float64], rows: int = 1) -> Any:
    points = np.zeros(len(values), np.dtype(layout))
    for i, name in enumerate('xyz'):
        points[name] = values[:, i]
    bag = RobotBag()
    bag.cloud('/lidar', START_NS, points.reshape(rows, -1))
    return bag.messages[0][3]


@pytest.mark.parametrize('layout', LAYOUTS.values(), ids=list(LAYOUTS))
@pytest.mark.parametrize('rows', [1, 2])
def test_points_of_every_layout_without_the_nans(layout: Any, rows: int) -> None:
    values = np.array([[1, 2, 3], [4, np.nan, 6], [7.5, -8, 9], [10, 11, np.inf]])
    points = cloud_points(cloud(layout, values, rows))
    assert points.dtype == np.float32
    assert points.tolist() == [[1, 2, 3], [7.5, -8, 9]]


def test_a_cloud_without_z_lists_its_fields() -> None:
    message = cloud(LAYOUTS['velodyne'], np.ones((2, 3)))
    message.fields = [field for field in message.fields if field.name != 'z']
    with pytest.raises(EncodingError, match=r'expected .* fields x, y, z, found x, y, i'):
        cloud_points(message)


def test_a_cloud_that_is_cut_short_says_so() -> None:
    message = cloud(LAYOUTS['velodyne'], np.ones((2, 3)))
    message.data = message.data[:-1]
    with pytest.raises(ImageError, match='1 rows of 2 points of 16 bytes, found 34 bytes'):
        cloud_points(message)


def cut(message: Any) -> None:
    message.data = message.data[:-5]


def no_step(message: Any) -> None:
    message.point_step = 0


def beyond(message: Any) -> None:
    message.fields[2].offset = 13


def no_type(message: Any) -> None:
    message.fields[1].datatype = 0


def no_fields(message: Any) -> None:
    message.fields = []


ODD = {
    cut: '1 rows of 2 points of 16 bytes, found 30 bytes',
    no_step: 'fields x, y, z inside points of 0 bytes, found x at byte 0',
    beyond: 'fields x, y, z inside points of 16 bytes, found z at byte 13',
    no_type: 'x, y, z of datatype 1 to 8, found 0 for y',
    no_fields: 'a cloud with fields x, y, z, found none',
}


@pytest.mark.parametrize('spoil', ODD)
def test_an_odd_cloud_says_what_is_odd(spoil: Callable[[Any], None]) -> None:
    message = cloud(LAYOUTS['velodyne'], np.ones((2, 3)))
    spoil(message)
    with pytest.raises(ImageError, match=f'^expected {ODD[spoil]}') as caught:
        cloud_points(message)
    assert isinstance(caught.value, EncodingError) == (spoil is not cut)
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize('spoil', [no_step, beyond, no_type, no_fields])
def test_a_cloud_without_points_is_empty_whatever_its_fields(
    spoil: Callable[[Any], None],
) -> None:
    message = cloud(LAYOUTS['velodyne'], np.ones((0, 3)))
    spoil(message)
    points = cloud_points(message)
    assert (points.dtype, points.shape) == (np.float32, (0, 3))


def with_lidar() -> RobotBag:
    """Make three images and clouds of one point, 5, 6 and 7 m away."""
    bag = RobotBag()
    bag.tf(START_NS, 'cam', 'lidar', (0, 0, 0), (0, 0, 0, 1))
    for number in range(3):
        stamp_ns = START_NS + number * SECOND
        bag.info('/cam/camera_info', stamp_ns)
        bag.image('/cam/image_raw', stamp_ns, level=number)
        point = np.array([[(0.0, 0.0, 5.0 + number)]], [(name, '<f4') for name in 'xyz'])
        bag.cloud('/lidar', stamp_ns, point)
    return bag


@pytest.mark.parametrize('spoil', ODD)
def test_an_odd_cloud_after_a_good_one_is_lost_alone(
    tmp_path: Path, spoil: Callable[[Any], None]
) -> None:
    bag = with_lidar()
    clouds = [message for _, topic, _, message in bag.messages if topic == '/lidar']
    spoil(clouds[1])
    path = bag.write(tmp_path / 'bag')
    with collect_findings() as findings:
        frames = list(read_frames(path))
    assert [frame.left[0, 0, 0] for frame in frames] == [0, 1, 2]
    assert [f.depth is not None and np.nanmax(f.depth) for f in frames] == [5, False, 7]
    (damage,) = findings.losses[path].damages
    assert damage.reason.startswith(f'/lidar at {START_NS + SECOND} ns: expected ')
    with pytest.raises(BagError, match=rf'/lidar at {START_NS + SECOND} ns: expected '):
        list(read_frames(path, strict=True))
    spoil(clouds[0])
    first = bag.write(tmp_path / 'first')
    if spoil is cut:
        assert [frame.depth is not None for frame in read_frames(first)] == [False, False, True]
    else:
        with pytest.raises(EncodingError, match=f'^{first}: /lidar at {START_NS} ns: expected '):
            list(read_frames(first))


def test_an_empty_cloud_is_no_loss_and_no_good_first_one(tmp_path: Path) -> None:
    bag = with_lidar()
    clouds = [message for _, topic, _, message in bag.messages if topic == '/lidar']
    clouds[0].width, clouds[0].data, clouds[0].fields = 0, clouds[0].data[:0], []
    path = bag.write(tmp_path / 'bag')
    with collect_findings() as findings:
        frames = list(read_frames(path))
    assert not findings.losses
    assert [f.depth is not None and np.isfinite(f.depth).sum() for f in frames] == [0, 1, 1]
    no_type(clouds[1])
    with pytest.raises(EncodingError, match='/lidar at .* ns: expected x, y, z of datatype'):
        list(read_frames(bag.write(tmp_path / 'bad')))


def transforms(tmp_path: Path, bag: RobotBag) -> StaticTransforms:
    path = bag.write(tmp_path / 'bag')
    with open_bag(path) as reader:
        return StaticTransforms(read_messages(path, reader, ['/tf_static']))


QUARTER_ABOUT_Z = (0, 0, 0.5**0.5, 0.5**0.5)
NO_TURN = (0, 0, 0, 1)


def test_a_chain_goes_up_and_down_the_tree(tmp_path: Path) -> None:
    bag = RobotBag()
    bag.tf(START_NS, 'base', 'mast', (0, 0, 2), NO_TURN)
    bag.tf(START_NS, 'mast', 'lidar', (1, 0, 0), QUARTER_ABOUT_Z)
    bag.tf(START_NS, 'base', 'cam', (0, 5, 0), NO_TURN)
    found = transforms(tmp_path, bag).lookup('cam', 'lidar', START_NS)
    assert found is not None
    # Lidar (1, 0, 0): turned (0, 1, 0), on the mast (1, 1, 0), in base (1, 1, 2).
    np.testing.assert_allclose(found @ [1, 0, 0, 1], [1, -4, 2, 1], atol=1e-12)
    back = transforms(tmp_path / 'again', bag).lookup('lidar', 'cam', START_NS)
    assert back is not None
    np.testing.assert_allclose(back @ found, np.eye(4), atol=1e-12)


def test_a_quaternion_of_another_length_is_scaled_and_none_is_no_turn(tmp_path: Path) -> None:
    bag = RobotBag()
    bag.tf(START_NS, 'base', 'a', (0, 0, 0), (0, 0, 3, 3))
    bag.tf(START_NS, 'base', 'b', (0, 0, 0), (0, 0, 0, 0))
    found = transforms(tmp_path, bag).lookup('b', 'a', START_NS)
    assert found is not None
    np.testing.assert_allclose(found @ [1, 0, 0, 1], [0, 1, 0, 1], atol=1e-12)


def test_the_latest_transform_counts_and_the_first_one_from_the_beginning(tmp_path: Path) -> None:
    bag = RobotBag()
    for seconds, x in ((1, 1.0), (2, 1.0), (3, 3.0)):
        bag.tf(START_NS + seconds * SECOND, '/base', '/cam', (x, 0, 0), NO_TURN)
    found = transforms(tmp_path, bag)
    for seconds_later, x in ((0, 1), (1, 1), (2.5, 1), (3, 3), (9, 3)):
        matrix = found.lookup('base', 'cam', START_NS + int(seconds_later * SECOND))
        assert matrix is not None
        assert matrix[0, 3] == x


def test_frames_that_nothing_connects_have_no_transform(tmp_path: Path) -> None:
    bag = RobotBag()
    bag.tf(START_NS, 'base', 'cam', (0, 0, 0), NO_TURN)
    found = transforms(tmp_path, bag)
    assert found.lookup('cam', 'lidar', START_NS) is None
    assert StaticTransforms([]).lookup('cam', 'lidar', START_NS) is None
    same = StaticTransforms([]).lookup('cam', 'cam', START_NS)
    assert np.array_equal(np.asarray(same), np.eye(4))


def test_a_header_without_a_stamp_is_as_old_as_its_recording(tmp_path: Path) -> None:
    bag = RobotBag()
    bag.image('/cam', 0, late_ns=START_NS)
    path = bag.write(tmp_path / 'bag')
    with open_bag(path) as reader:
        (message,) = read_messages(path, reader, ['/cam'])
    assert message.stamp_ns == message.bag_ns == START_NS


def test_a_region_of_interest_is_the_camera_that_the_node_sees() -> None:
    """A window of 640x480 in the middle of 1280x960, of P and of K alone."""
    info = CameraInfo(width=1280, height=960)
    info.k = [1000.0, 0.0, 650.0, 0.0, 1000.0, 470.0, 0.0, 0.0, 1.0]
    info.roi.x_offset, info.roi.y_offset, info.roi.width, info.roi.height = 320, 240, 640, 480
    for p in ([0.0] * 12, [1000.0, 0.0, 650.0, 0.0, 0.0, 1000.0, 470.0, 0.0, 0.0, 0.0, 1.0, 0.0]):
        info.p = p
        found = intrinsics(info, 640, 480)
        assert (found.fx, found.cx, found.cy) == (1000.0, 330.0, 230.0)
        assert found == calibration_of(info).intrinsics
    assert projection(info)[0, 3] == 0.0

"""What is in a written bag, read by others' readers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
from depth_prune_ros.bags.transforms import quaternion
from depth_prune_ros.bags.transforms import Transform
from depth_prune_ros.bags.write import BagWriter
from depth_prune_ros.core.camera import Intrinsics
from depth_prune_ros.core.errors import BagError
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from mcap.reader import make_reader
import numpy as np
from numpy.typing import NDArray
import pytest
from rosbags.highlevel import AnyReader
from rosbags.interfaces import QosDurability
import yaml

STAMP_NS = 1_317_042_164_327_963_904
CAMERA = Intrinsics(width=6, height=4, fx=5.0, fy=5.5, cx=2.5, cy=1.5)
STORAGES = ('mcap', 'sqlite3')


def picture() -> NDArray[np.uint8]:
    return np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)


def pose() -> NDArray[np.float64]:
    matrix = np.eye(4)
    # A quarter turn about z: x of the child is y of the parent.
    matrix[:3, :3] = [[0, -1, 0], [1, 0, 0], [0, 0, 1]]
    matrix[:3, 3] = [0.5, -0.25, 2.0]
    return matrix


def write_one_of_each(path: Path, *, storage: str = 'mcap', images: str = 'raw') -> None:
    depth = np.full((4, 6), np.nan, np.float32)
    depth[1, 2] = 7.5
    with BagWriter(path, storage=storage, images=images) as bag:
        bag.tf_static(STAMP_NS, [Transform('velo', 'cam', pose())])
        bag.camera_info('/cam/camera_info', STAMP_NS, 'cam', CAMERA, tx=-2.5)
        bag.image('/cam/image_raw', STAMP_NS, 'cam', picture())
        bag.image('/grey/image_raw', STAMP_NS + 1, 'cam', picture()[..., 0])
        bag.image('/cam/depth', STAMP_NS + 2, 'cam', depth)
        points = np.array([[1, 2, 3, 0.5], [4, 5, 6, 0.25]], np.float32)
        bag.points('/velo/points', STAMP_NS + 3, 'velo', points)


def read_all(path: Path) -> dict[str, tuple[Any, int]]:
    with AnyReader([path]) as reader:
        return {
            connection.topic: (reader.deserialize(data, connection.msgtype), bag_ns)
            for connection, bag_ns, data in reader.messages()
        }


@pytest.mark.parametrize('storage', STORAGES)
def test_every_message_says_what_was_given(tmp_path: Path, storage: str) -> None:
    write_one_of_each(tmp_path / 'bag', storage=storage)
    found = read_all(tmp_path / 'bag')
    assert len(found) == 6
    image, bag_ns = found['/cam/image_raw']
    assert (image.encoding, image.width, image.height, image.step) == ('rgb8', 6, 4, 18)
    assert (image.header.stamp.sec, image.header.stamp.nanosec) == divmod(STAMP_NS, 10**9)
    assert (image.header.frame_id, bag_ns) == ('cam', STAMP_NS)
    assert image.data.tolist() == list(range(72))
    grey, bag_ns = found['/grey/image_raw']
    assert (grey.encoding, grey.step, bag_ns) == ('mono8', 6, STAMP_NS + 1)
    assert grey.data.tolist() == list(range(0, 72, 3))
    depth, _ = found['/cam/depth']
    assert (depth.encoding, depth.step, depth.is_bigendian) == ('32FC1', 24, 0)
    values = depth.data.view('<f4').reshape(4, 6)
    assert values[1, 2] == 7.5
    assert np.isnan(values).sum() == 23


@pytest.mark.parametrize('storage', STORAGES)
def test_camera_info_is_of_a_rectified_camera(tmp_path: Path, storage: str) -> None:
    write_one_of_each(tmp_path / 'bag', storage=storage)
    info, _ = read_all(tmp_path / 'bag')['/cam/camera_info']
    assert (info.width, info.height, info.distortion_model) == (6, 4, 'plumb_bob')
    assert info.k.tolist() == [5.0, 0, 2.5, 0, 5.5, 1.5, 0, 0, 1]
    assert info.p.tolist() == [5.0, 0, 2.5, -2.5, 0, 5.5, 1.5, 0, 0, 0, 1, 0]
    assert info.r.tolist() == np.eye(3).ravel().tolist()
    assert info.d.tolist() == [0] * 5


def test_points_are_x_y_z_intensity(tmp_path: Path) -> None:
    write_one_of_each(tmp_path / 'bag')
    cloud, _ = read_all(tmp_path / 'bag')['/velo/points']
    fields = [(f.name, f.offset, f.datatype, f.count) for f in cloud.fields]
    assert fields == [('x', 0, 7, 1), ('y', 4, 7, 1), ('z', 8, 7, 1), ('intensity', 12, 7, 1)]
    assert (cloud.height, cloud.width, cloud.point_step, cloud.row_step) == (1, 2, 16, 32)
    assert cloud.data.view('<f4').tolist() == [1, 2, 3, 0.5, 4, 5, 6, 0.25]


@pytest.mark.parametrize('storage', STORAGES)
def test_transforms_are_latched_and_point_from_child_to_parent(
    tmp_path: Path, storage: str
) -> None:
    write_one_of_each(tmp_path / 'bag', storage=storage)
    (transform,) = read_all(tmp_path / 'bag')['/tf_static'][0].transforms
    assert (transform.header.frame_id, transform.child_frame_id) == ('velo', 'cam')
    t, q = transform.transform.translation, transform.transform.rotation
    assert (t.x, t.y, t.z) == (0.5, -0.25, 2.0)
    np.testing.assert_allclose([q.x, q.y, q.z, q.w], [0, 0, 0.5**0.5, 0.5**0.5], atol=1e-12)
    with AnyReader([tmp_path / 'bag']) as reader:
        found: list[Any] = list(reader.connections)
        durability = {c.topic: c.ext.offered_qos_profiles[0].durability for c in found}
    assert durability.pop('/tf_static') is QosDurability.TRANSIENT_LOCAL
    assert set(durability.values()) == {QosDurability.VOLATILE}


def test_the_mcap_file_is_one_that_mcaps_own_reader_takes(tmp_path: Path) -> None:
    write_one_of_each(tmp_path / 'bag')
    with (tmp_path / 'bag' / 'bag.mcap').open('rb') as file:
        reader = make_reader(file, validate_crcs=True)
        assert reader.get_header().profile == 'ros2'
        messages = list(reader.iter_messages())
    assert [message.log_time - STAMP_NS for _, _, message in messages] == [0, 0, 0, 1, 2, 3]
    schemas = {channel.topic: schema.name for schema, channel, _ in messages if schema}
    assert schemas['/velo/points'] == 'sensor_msgs/msg/PointCloud2'
    static = next(channel for _, channel, _ in messages if channel.topic == '/tf_static')
    assert 'durability: transient_local' in static.metadata['offered_qos_profiles']


@pytest.mark.parametrize(('images', 'tolerance'), [('png', 0), ('jpeg', 25)])
def test_images_can_be_compressed_but_depth_never_is(
    tmp_path: Path, images: str, tolerance: int
) -> None:
    write_one_of_each(tmp_path / 'bag', images=images)
    found = read_all(tmp_path / 'bag')
    assert '/cam/image_raw' not in found
    assert found['/cam/depth'][0].encoding == '32FC1'
    image, _ = found['/cam/image_raw/compressed']
    assert (image.format, image.header.frame_id) == (images, 'cam')
    decoded = np.asarray(cv2.imdecode(image.data, cv2.IMREAD_UNCHANGED))[..., ::-1]
    assert np.abs(decoded.astype(int) - picture()).max() <= tolerance
    data = found['/grey/image_raw/compressed'][0].data
    assert np.asarray(cv2.imdecode(data, cv2.IMREAD_UNCHANGED)).shape == (4, 6)


@pytest.mark.parametrize('storage', STORAGES)
def test_the_same_calls_give_the_same_bytes(tmp_path: Path, storage: str) -> None:
    contents = []
    for place in ('one', 'two'):
        write_one_of_each(tmp_path / place / 'bag', storage=storage)
        files = sorted((tmp_path / place / 'bag').iterdir())
        contents.append({file.name: file.read_bytes() for file in files})
    assert len(contents[0]) == 2
    assert contents[0] == contents[1]


@pytest.mark.parametrize('storage', STORAGES)
def test_serialised_messages_and_notes(tmp_path: Path, storage: str) -> None:
    text = b'\x00\x01\x00\x00\x02\x00\x00\x00a\x00\x00\x00'
    with BagWriter(tmp_path / 'bag', storage=storage) as bag:
        for stamp_ns in (7, 5):
            bag.raw('/said', 'std_msgs/msg/String', stamp_ns, text)
        bag.note('ours', 'a remark')
    with AnyReader([tmp_path / 'bag']) as reader:
        found = [(bag_ns, bytes(raw)) for _, bag_ns, raw in reader.messages()]
        assert reader.deserialize(text, reader.connections[0].msgtype).data == 'a'
    assert found == [(5, text), (7, text)]
    metadata = yaml.safe_load((tmp_path / 'bag' / 'metadata.yaml').read_text())
    assert metadata['rosbag2_bagfile_information']['custom_data'] == {'ours': 'a remark'}


@pytest.mark.parametrize(
    ('array', 'found'),
    [
        (np.zeros((4, 6), np.float64), r'float64 \[4, 6\]'),
        (np.zeros((4, 6, 4), np.uint8), r'uint8 \[4, 6, 4\]'),
        (np.zeros((4, 6), np.uint16), r'uint16 \[4, 6\]'),
    ],
)
def test_other_arrays_are_refused(tmp_path: Path, array: NDArray[Any], found: str) -> None:
    refused = pytest.raises(BagError, match=f'/cam: expected uint8.*found {found}')
    with refused, BagWriter(tmp_path / 'bag') as bag:
        bag.image('/cam', STAMP_NS, 'cam', array)
    assert list(tmp_path.iterdir()) == []


def test_points_of_another_shape_are_refused(tmp_path: Path) -> None:
    refused = pytest.raises(BagError, match=r'expected points \[N, 4\], found \[5, 3\]')
    with refused, BagWriter(tmp_path / 'bag') as bag:
        bag.points('/velo', STAMP_NS, 'velo', np.zeros((5, 3), np.float32))


def test_unknown_options_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BagError, match="expected storage mcap or sqlite3, found 'db3'"):
        BagWriter(tmp_path / 'bag', storage='db3')
    with pytest.raises(BagError, match="expected images raw, jpeg, png, found 'jpg'"):
        BagWriter(tmp_path / 'bag', images='jpg')


def test_writing_outside_the_with_statement_is_refused(tmp_path: Path) -> None:
    bag = BagWriter(tmp_path / 'bag')
    with pytest.raises(BagError, match='expected an open bag'):
        bag.image('/cam', STAMP_NS, 'cam', picture())
    with pytest.raises(BagError, match='expected an open bag'):
        bag.note('key', 'text')


@settings(max_examples=50)
@given(st.integers(0, 10**6))
def test_quaternion_turns_as_its_matrix_does(seed: int) -> None:
    rotation = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))[0]
    rotation *= np.linalg.det(rotation)
    x, y, z, w = quaternion(rotation)
    assert w >= 0
    axis = np.array([x, y, z])
    for vector in np.eye(3):
        turned = vector + 2 * np.cross(axis, np.cross(axis, vector) + w * vector)
        np.testing.assert_allclose(turned, rotation @ vector, atol=1e-12)

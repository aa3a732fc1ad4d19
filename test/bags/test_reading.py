"""Bags of several files, damaged bags, and what is no bag."""

from __future__ import annotations

from pathlib import Path
import shutil
import sqlite3

from depth_prune_ros.bags.frames import read_frames
from depth_prune_ros.bags.info import read_info
from depth_prune_ros.bags.losses import collect_findings
from depth_prune_ros.core.errors import BagError
from mcap.writer import Writer as McapWriter
import pytest
from robot_bags import RobotBag
from robot_bags import SECOND
from robot_bags import START_NS
from rosbags.rosbag2 import CompressionMode
from rosbags.rosbag2 import StoragePlugin
from rosbags.rosbag2 import Writer


def test_a_folder_of_several_files_without_metadata_is_one_bag(tmp_path: Path) -> None:
    whole = tmp_path / 'whole'
    whole.mkdir()
    for part, seconds in enumerate((0, 1)):
        bag = RobotBag()
        bag.info('/cam/camera_info', START_NS + seconds * SECOND)
        bag.image('/cam/image_raw', START_NS + seconds * SECOND, level=seconds)
        bag.write(tmp_path / f'part{part}')
        shutil.copy(tmp_path / f'part{part}' / f'part{part}.mcap', whole)
    assert [frame.left[0, 0, 0] for frame in read_frames(whole)] == [0, 1]


def test_an_empty_bag_says_so(tmp_path: Path) -> None:
    path = RobotBag().write(tmp_path / 'bag')
    with pytest.raises(BagError, match='expected an image topic, found no messages'):
        list(read_frames(path))


@pytest.mark.parametrize('storage', StoragePlugin)
@pytest.mark.parametrize('size', [0, 5, 60])
def test_a_bag_of_which_nothing_is_left_is_named_in_one_line(
    tmp_path: Path, storage: StoragePlugin, size: int
) -> None:
    bag = RobotBag()
    bag.info('/cam/camera_info', START_NS)
    bag.image('/cam/image_raw', START_NS)
    path = bag.write(tmp_path / 'bag', storage)
    (file,) = (child for child in path.iterdir() if child.suffix != '.yaml')
    file.write_bytes(file.read_bytes()[:size])
    for damaged in (path, file):
        with pytest.raises(BagError, match=r'cannot be read as a bag .*copy it again') as caught:
            list(read_frames(damaged))
        assert str(damaged) in str(caught.value)
        assert '\n' not in str(caught.value)


@pytest.mark.parametrize('size', [0, 5, 60])
def test_a_ros_1_bag_of_which_nothing_is_left(tmp_path: Path, size: int) -> None:
    bag = RobotBag(ros1=True)
    bag.image('/cam/image_raw', START_NS)
    path = bag.write(tmp_path / 'a.bag')
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(BagError, match=r'a.bag: cannot be read as a bag'):
        list(read_frames(path))


def three_images() -> RobotBag:
    bag = RobotBag()
    for number in range(3):
        bag.info('/cam/camera_info', START_NS + number * SECOND)
        bag.image('/cam/image_raw', START_NS + number * SECOND, level=number)
    return bag


def sql(bag: Path, *statements: str) -> Path:
    """Change the rows of a bag in SQLite; images are those of the second topic."""
    with sqlite3.connect(bag / f'{bag.name}.db3', isolation_level=None) as base:
        for statement in statements:
            base.execute(statement)
    base.close()
    return bag


def test_a_damaged_compressed_message_is_lost_alone(tmp_path: Path) -> None:
    path = tmp_path / 'bag'
    three_images().write(path, StoragePlugin.SQLITE3, CompressionMode.MESSAGE)
    garbage = "data = CAST(substr(data, 1, 4) || x'0808080808080808' AS BLOB)"
    sql(
        path,
        f'UPDATE messages SET {garbage} WHERE topic_id = 2 AND timestamp = {START_NS + SECOND}',
    )
    with collect_findings() as findings:
        assert [(f.left[0, 0, 0], f.number) for f in read_frames(path)] == [(0, 0), (2, 2)]
    (damage,) = findings.losses[path].damages
    assert damage.reason.startswith(f'/cam/image_raw at {START_NS + SECOND} ns: zstd')
    check = read_info(path, check=True).check
    assert check is not None
    assert check.frames == 2


@pytest.mark.parametrize(
    'spoil',
    [
        'DELETE FROM message_definitions',
        "UPDATE message_definitions SET encoded_message_definition = '? no definition'",
        "UPDATE message_definitions SET encoding = 'ros2idl'",
        "UPDATE topics SET type_description_hash = 'RIHS01_' || hex(zeroblob(32))",
    ],
)
@pytest.mark.parametrize('kind', ['tf2_msgs/msg/TFMessage', 'sensor_msgs/msg/Image'])
def test_a_definition_that_cannot_be_read_costs_nothing_known(
    tmp_path: Path, spoil: str, kind: str
) -> None:
    bag = three_images()
    bag.tf(START_NS, 'cam', 'lidar', (0, 0, 0), (0, 0, 0, 1))
    column = 'type' if 'UPDATE topics' in spoil else 'topic_type'
    path = sql(
        bag.write(tmp_path / 'bag', StoragePlugin.SQLITE3), f"{spoil} WHERE {column} = '{kind}'"
    )
    assert [frame.left[0, 0, 0] for frame in read_frames(path)] == [0, 1, 2]


def test_of_a_topic_of_two_types_one_is_read(tmp_path: Path) -> None:
    """There is a camera_info among the images, as where a driver was exchanged meanwhile."""
    bag = three_images()
    _, _, kind, info = bag.messages[2]
    bag.messages.append((START_NS + SECOND - 1, '/cam/image_raw', kind, info))
    store = bag.store
    with Writer(tmp_path / 'bag', version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        for bag_ns, topic, kind, message in bag.ordered():
            known = [c for c in writer.connections if (c.topic, c.msgtype) == (topic, kind)]
            link = known[0] if known else writer.add_connection(topic, kind, typestore=store)
            writer.write(link, bag_ns, store.serialize_cdr(message, kind))
    assert [frame.left[0, 0, 0] for frame in read_frames(tmp_path / 'bag')] == [0, 1, 2]


def test_a_folder_of_bags_is_no_bag(tmp_path: Path) -> None:
    three_images().write(tmp_path / 'run.mcap')
    with pytest.raises(BagError, match='expected a folder with .mcap, .db3 or .bag files'):
        list(read_frames(tmp_path))


def test_what_is_no_bag_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BagError, match='nowhere: expected a bag, found nothing there'):
        list(read_frames(tmp_path / 'nowhere'))
    with pytest.raises(BagError, match='expected a folder with .mcap, .db3 or .bag files'):
        list(read_frames(tmp_path))
    (tmp_path / 'notes.txt').write_text('no bag')
    with pytest.raises(BagError, match=r'expected a folder, or a file .mcap, .db3, .bag'):
        list(read_frames(tmp_path / 'notes.txt'))
    (tmp_path / 'run.bag.active').touch()
    with pytest.raises(BagError, match=r'found .active; rename it to .bag first'):
        list(read_frames(tmp_path / 'run.bag.active'))


@pytest.mark.parametrize('profile', ['ros1', 'json'])
def test_an_mcap_file_of_other_messages_is_not_called_damaged(
    profile: str, tmp_path: Path
) -> None:
    file = tmp_path / 'run.mcap'
    with file.open('wb') as stream:
        writer = McapWriter(stream)
        writer.start(profile)
        schema = writer.register_schema('sensor_msgs/Image', 'ros1msg', b'')
        channel = writer.register_channel('/image', profile, schema)
        writer.add_message(channel, START_NS, b'{}', START_NS)
        writer.finish()
    with pytest.raises(BagError, match='found none: an MCAP file of ROS 1') as told:
        list(read_frames(file))
    assert 'damaged' not in str(told.value)

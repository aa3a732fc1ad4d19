"""The quality of service that a player takes from its bag."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from depth_prune_ros.bags.reading import open_bag
from depth_prune_ros.ros.context import free_domain
from depth_prune_ros.ros.context import ros_context
from depth_prune_ros.ros.context import wait_until
from depth_prune_ros.ros.play import Player
from depth_prune_ros.ros.play import recorded_quality
from depth_prune_ros.ros.replay import replay
from evaluation_scenes import INFO
from evaluation_scenes import info_message
import numpy as np
import pytest
import rclpy
from rclpy.qos import QoSDurabilityPolicy
from rclpy.qos import QoSHistoryPolicy
from rclpy.qos import QoSReliabilityPolicy
from rosbags.interfaces import Connection
from rosbags.interfaces import ConnectionExtRosbag1
from rosbags.interfaces import ConnectionExtRosbag2
from rosbags.interfaces import MessageDefinition
from rosbags.interfaces import MessageDefinitionFormat
from rosbags.interfaces import Qos
from rosbags.interfaces import QosDurability
from rosbags.interfaces import QosHistory
from rosbags.interfaces import QosLiveliness
from rosbags.interfaces import QosReliability
from rosbags.interfaces import QosTime
from rosbags.rosbag2 import StoragePlugin
from rosbags.rosbag2 import Writer
from rosbags.typesys import get_typestore
from rosbags.typesys import Stores
from tiny_model import HEIGHT
from tiny_model import WIDTH

IMAGE = 'sensor_msgs/msg/Image'
KEEP_LAST, KEEP_ALL = QosHistory.KEEP_LAST, QosHistory.KEEP_ALL
RELIABLE, BEST_EFFORT = QosReliability.RELIABLE, QosReliability.BEST_EFFORT
STAMPS_NS = [1_317_000_000_000_000_000 + 100_000_000 * i for i in range(8)]


def offer(
    reliability: QosReliability = RELIABLE,
    history: QosHistory = KEEP_LAST,
    depth: int = 10,
    durability: QosDurability = QosDurability.VOLATILE,
) -> Qos:
    """Make what a bag says of one publisher."""
    unset = QosTime(0, 0)
    automatic = QosLiveliness.AUTOMATIC
    return Qos(history, depth, reliability, durability, unset, unset, automatic, unset, False)


def connection(ext: Any) -> Connection:
    """Make a topic of a bag."""
    definition = MessageDefinition(MessageDefinitionFormat.NONE, '')
    return Connection(0, '/image', IMAGE, definition, '', 1, ext, None)


def quality(*offered: Qos) -> tuple[str, str, int, str]:
    """Return the player's reliability, history, depth and durability."""
    found = recorded_quality(connection(ConnectionExtRosbag2('cdr', list(offered))))
    return found.reliability.name, found.history.name, found.depth, found.durability.name


def test_one_publisher_is_taken_at_its_word() -> None:
    latched = QosDurability.TRANSIENT_LOCAL
    assert quality(offer(depth=3)) == ('RELIABLE', 'KEEP_LAST', 3, 'VOLATILE')
    assert quality(offer(BEST_EFFORT, depth=5)) == ('BEST_EFFORT', 'KEEP_LAST', 5, 'VOLATILE')
    assert quality(offer(history=KEEP_ALL))[:2] == ('RELIABLE', 'KEEP_ALL')
    assert quality(offer(BEST_EFFORT, KEEP_ALL, 0))[:2] == ('BEST_EFFORT', 'KEEP_ALL')
    assert quality(offer(durability=latched)) == ('RELIABLE', 'KEEP_LAST', 10, 'TRANSIENT_LOCAL')


def test_of_several_publishers_the_strongest_offer_counts() -> None:
    weak = offer(BEST_EFFORT, depth=2)
    assert quality(weak, weak)[0] == 'BEST_EFFORT'
    assert quality(weak, offer(depth=7))[:3] == ('RELIABLE', 'KEEP_LAST', 7)
    assert quality(weak, offer(BEST_EFFORT, KEEP_ALL))[:2] == ('BEST_EFFORT', 'KEEP_ALL')


def test_what_the_bag_does_not_say_is_reliable_and_keeps_ten() -> None:
    plain = ('RELIABLE', 'KEEP_LAST', 10, 'VOLATILE')
    assert quality() == plain
    unknown = offer(QosReliability.UNKNOWN, QosHistory.UNKNOWN, 0, QosDurability.UNKNOWN)
    assert quality(unknown) == plain
    system = offer(
        QosReliability.SYSTEM_DEFAULT, QosHistory.SYSTEM_DEFAULT, 0, QosDurability.SYSTEM_DEFAULT
    )
    assert quality(system) == plain
    latching = recorded_quality(connection(ConnectionExtRosbag1('/camera', 1)))
    assert latching.durability == QoSDurabilityPolicy.TRANSIENT_LOCAL
    assert latching.reliability == QoSReliabilityPolicy.RELIABLE
    assert latching.history == QoSHistoryPolicy.KEEP_LAST


def sensor_bag(path: Path) -> Path:
    """Write a bag of a camera whose driver published images best effort, as drivers do."""
    store = get_typestore(Stores.ROS2_JAZZY)
    kinds = store.types
    topics = {
        '/cam/image': (IMAGE, offer(BEST_EFFORT, depth=5)),
        '/cam/camera_info': (INFO, offer(RELIABLE)),
    }
    with Writer(path, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        links = {
            topic: writer.add_connection(topic, kind, typestore=store, offered_qos_profiles=[qos])
            for topic, (kind, qos) in topics.items()
        }
        for stamp_ns in STAMPS_NS:
            info = info_message(stamp_ns, WIDTH, HEIGHT, 0.6 * WIDTH)
            pixels = np.full(HEIGHT * WIDTH * 3, 100, np.uint8)
            image = kinds[IMAGE](info.header, HEIGHT, WIDTH, 'rgb8', 0, 3 * WIDTH, pixels)
            for topic, message in (('/cam/camera_info', info), ('/cam/image', image)):
                raw = store.serialize_cdr(message, topics[topic][0])
                writer.write(links[topic], stamp_ns, raw)
    return path


@pytest.fixture(scope='module')
def bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the bag of a best effort camera."""
    return sensor_bag(tmp_path_factory.mktemp('bags') / 'sensor')


def test_a_best_effort_topic_is_published_best_effort(bag: Path) -> None:
    found: dict[str, QoSReliabilityPolicy] = {}
    with ros_context(free_domain()) as context, open_bag(bag) as reader:
        node = rclpy.create_node('player', context=context)
        try:
            Player(node, reader)
            for topic in ('/cam/image', '/cam/camera_info'):
                assert wait_until(lambda name=topic: node.count_publishers(name) == 1, 10.0)
                (publisher,) = node.get_publishers_info_by_topic(topic)
                found[topic] = publisher.qos_profile.reliability
        finally:
            node.destroy_node()
    assert found == {
        '/cam/image': QoSReliabilityPolicy.BEST_EFFORT,
        '/cam/camera_info': QoSReliabilityPolicy.RELIABLE,
    }


def test_the_node_listens_to_a_best_effort_camera(
    bag: Path, tiny_model: Path, tmp_path: Path
) -> None:
    report = replay(bag, tiny_model, tmp_path / 'out')
    assert report.frames_in == len(STAMPS_NS)
    assert report.frames_out > 0

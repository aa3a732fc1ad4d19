"""Bags through the real node and back into a bag."""

from __future__ import annotations

import json
from pathlib import Path
import threading
import time
from typing import Any

from depth_prune_ros.bags import compose
from depth_prune_ros.bags.reading import open_bag
from depth_prune_ros.bags.transforms import Transform
from depth_prune_ros.bags.write import BagWriter
from depth_prune_ros.core.camera import Intrinsics
from depth_prune_ros.core.engine import DepthEngine
from depth_prune_ros.core.errors import BagError
from depth_prune_ros.core.errors import ReplayError
from depth_prune_ros.core.images import image_to_depth
from depth_prune_ros.ros.context import free_domain
from depth_prune_ros.ros.context import ros_context
from depth_prune_ros.ros.context import spinning
from depth_prune_ros.ros.context import wait_until
from depth_prune_ros.ros.play import header_stamp_ns
from depth_prune_ros.ros.play import Playback
from depth_prune_ros.ros.play import Player
from depth_prune_ros.ros.replay import NOTE_KEY
from depth_prune_ros.ros.replay import replay
from graph import noise
import numpy as np
from numpy.typing import NDArray
import pytest
import rclpy
from robot_bags import RobotBag
from rosbags.highlevel import AnyReader
from rosbags.rosbag1 import Writer as Ros1Writer
from rosbags.typesys import get_types_from_msg
from rosbags.typesys import get_typestore
from rosbags.typesys import Stores
from rosgraph_msgs.msg import Clock
from tiny_model import HEIGHT
from tiny_model import WIDTH
from tiny_model import write_tiny_model
import yaml

CAMERA = Intrinsics(3 * WIDTH, 2 * HEIGHT, 150.0, 150.0, 90.0, 30.0)
LEFT = '/kitti/camera_color_left'
STAMPS_NS = [1_317_000_000_123_456_789 + 100_000_000 * i for i in range(8)]


def _frame(index: int) -> NDArray[np.uint8]:
    return noise(CAMERA.width, CAMERA.height, seed=index)


@pytest.fixture(scope='module')
def bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a bag of eight frames at 10 Hz whose only camera_info comes last."""
    path = tmp_path_factory.mktemp('bags') / 'drive'
    with BagWriter(path) as writer:
        writer.tf_static(STAMPS_NS[0], [Transform('base', 'cam', np.eye(4))])
        for index, stamp_ns in enumerate(STAMPS_NS):
            writer.image(f'{LEFT}/image_raw', stamp_ns, 'cam', _frame(index))
        writer.camera_info(f'{LEFT}/camera_info', STAMPS_NS[-1], 'cam', CAMERA)
    return path


def test_the_recorded_depth_is_the_engines(bag: Path, tiny_model: Path, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    begin = time.monotonic()
    report = replay(bag, tiny_model, tmp_path / 'out', progress=lambda *step: seen.append(step))
    took_s = time.monotonic() - begin
    assert report.frames_in == 8
    assert seen == [(done, 9) for done in range(1, 10)]
    engine = DepthEngine.load(tiny_model)
    stamps, infos = [], 0
    with AnyReader([tmp_path / 'out']) as reader:
        for connection, _, raw in reader.messages():
            message: Any = reader.deserialize(raw, connection.msgtype)
            if connection.topic == report.info_topic:
                infos += 1
                assert (message.width, message.height) == (WIDTH, HEIGHT)
                continue
            stamps.append(message.header.stamp.sec * 10**9 + message.header.stamp.nanosec)
            image = _frame(STAMPS_NS.index(stamps[-1]))
            offline = engine.infer(image, CAMERA.fx_over_width)
            np.testing.assert_allclose(image_to_depth(message), offline, rtol=1e-4)
            assert message.header.frame_id == 'cam'
    # A busy computer may cost frames (the newest wins), never the last one nor their order.
    assert stamps == [stamp_ns for stamp_ns in STAMPS_NS if stamp_ns in stamps]
    assert stamps[-1] == STAMPS_NS[-1]
    assert infos == report.frames_out == len(stamps)
    metadata = yaml.safe_load((tmp_path / 'out' / 'metadata.yaml').read_text())
    note = json.loads(metadata['rosbag2_bagfile_information']['custom_data'][NOTE_KEY])
    assert (note['frames_in'], note['frames_out']) == (8, len(stamps))
    assert sorted(note['latency_s']) == [str(stamp_ns) for stamp_ns in stamps]
    assert all(0.0 < latency_s < took_s for latency_s in note['latency_s'].values())
    p50, p99 = np.percentile([1e3 * s for s in note['latency_s'].values()], [50, 99])
    assert report.latency_ms == note['latency_ms'] == {'p50': round(p50, 3), 'p99': round(p99, 3)}


def test_depth_of_a_driver_without_a_clock_has_the_bags_stamps(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    header = compose.header
    monkeypatch.setattr(compose, 'header', lambda _, frame_id: header(0, frame_id))
    with BagWriter(tmp_path / 'bag') as writer:
        for index, stamp_ns in enumerate(STAMPS_NS[:4]):
            writer.camera_info(f'{LEFT}/camera_info', stamp_ns, 'cam', CAMERA)
            writer.image(f'{LEFT}/image_raw', stamp_ns, 'cam', _frame(index))
    report = replay(tmp_path / 'bag', tiny_model, tmp_path / 'out')
    assert (report.frames_in, report.frames_out) == (4, 4)
    with open_bag(tmp_path / 'out') as reader:
        (depth,) = [c for c in reader.connections if c.topic == report.depth_topic]
        stamps = [header_stamp_ns(bytes(raw)) for _, _, raw in reader.messages([depth])]
    assert sorted(stamps) == STAMPS_NS[:4]


def test_loops_and_the_bags_clock(bag: Path, tiny_model: Path, tmp_path: Path) -> None:
    """The node goes by the bag's clock in every loop; the last one is recorded."""
    domain_id = free_domain()
    times: list[int] = []
    with ros_context(domain_id) as context:
        node = rclpy.create_node('listener', context=context)
        node.create_subscription(
            Clock, '/clock', lambda m: times.append(m.clock.sec * 10**9 + m.clock.nanosec), 100
        )
        with spinning(node):
            playback = Playback(rate=2.0, loops=3, clock=True)
            report = replay(
                bag, tiny_model, tmp_path / 'out', playback=playback, domain_id=domain_id
            )
            assert wait_until(lambda: len(times) >= 27, 10.0)
    assert report.frames_in == 24
    # one message of nine each time: the eight images and the camera_info, of the last stamp
    played = [*STAMPS_NS, STAMPS_NS[-1]]
    assert times == 3 * played
    found = _recorded(tmp_path / 'out', report.depth_topic)
    # the node goes on after time has jumped back
    assert found == [stamp_ns for stamp_ns in STAMPS_NS if stamp_ns in found]
    assert found[-1] == STAMPS_NS[-1]
    assert _recorded(tmp_path / 'out', report.info_topic) == found
    assert report.frames_out == len(found)


class _Skipping(threading.Event):
    """Notes how long a player would wait, and lets it go on."""

    def __init__(self) -> None:
        super().__init__()
        self.waited_s: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.waited_s.append(timeout or 0.0)
        return False


@pytest.mark.parametrize(('rate', 'period_s'), [(0.001, 100.0), (0.002, 50.0)])
def test_half_the_rate_takes_twice_as_long(bag: Path, rate: float, period_s: float) -> None:
    stop = _Skipping()
    with ros_context(free_domain()) as context, open_bag(bag) as reader:
        node = rclpy.create_node('player', context=context)
        Player(node, reader, [f'{LEFT}/image_raw']).play(Playback(rate=rate), stop)
        node.destroy_node()
    assert stop.waited_s == pytest.approx([period_s * index for index in range(8)], abs=20.0)


def test_a_player_knows_what_its_last_loop_has_published(bag: Path) -> None:
    told: list[bool] = []
    topic = f'{LEFT}/image_raw'
    with ros_context(free_domain()) as context, open_bag(bag) as reader:
        node = rclpy.create_node('player', context=context)
        player = Player(node, reader, [topic])
        player.play(
            Playback(rate=50.0, loops=3),
            progress=lambda *_: told.append(player.in_last_loop(topic, STAMPS_NS[1])),
        )
        node.destroy_node()
    assert told == [False] * 17 + [True] * 7


def _recorded(bag: Path, topic: str) -> list[int]:
    """Return the stamps of a recorded topic."""
    with AnyReader([bag]) as reader:
        return [
            _stamp_ns(reader.deserialize(raw, connection.msgtype).header.stamp)
            for connection, _, raw in reader.messages()
            if connection.topic == topic
        ]


def _stamp_ns(stamp: Any) -> int:
    return int(stamp.sec) * 10**9 + int(stamp.nanosec)


def test_a_model_the_node_refuses_leaves_no_bag(bag: Path, tmp_path: Path) -> None:
    model = write_tiny_model(tmp_path / 'bare.onnx', card=None)
    with pytest.raises(ReplayError, match='found unconfigured.*expected a model card'):
        replay(bag, model, tmp_path / 'out')
    assert [path.name for path in tmp_path.iterdir()] == ['bare.onnx']


def test_ros_1_names_that_ros_2_does_not_allow(tiny_model: Path, tmp_path: Path) -> None:
    bag = RobotBag(ros1=True)
    for stamp_ns in STAMPS_NS[:3]:
        bag.info('/cameras/15306369/camera_info', stamp_ns)
        bag.image('/cameras/15306369/image-raw', stamp_ns, level=90)
    path = bag.write(tmp_path / 'serial.bag')
    report = replay(path, tiny_model, tmp_path / 'out')
    assert report.frames_in == 3
    with open_bag(tmp_path / 'out') as reader:
        (depth,) = [c for c in reader.connections if c.topic == report.depth_topic]
        stamps = [header_stamp_ns(bytes(raw)) for _, _, raw in reader.messages([depth])]
    assert stamps[-1] == STAMPS_NS[2]


def test_an_existing_bag_is_not_overwritten(bag: Path, tiny_model: Path, tmp_path: Path) -> None:
    out = tmp_path / 'out'
    out.mkdir()
    with pytest.raises(BagError, match=f'{out}: exists already'):
        replay(bag, tiny_model, out)
    assert list(out.iterdir()) == []


def test_a_ros1_bag_plays_and_says_what_it_cannot_play(tmp_path: Path) -> None:
    types = get_typestore(Stores.ROS1_NOETIC)
    time_type = types.types['builtin_interfaces/msg/Time']
    header = types.types['std_msgs/msg/Header']
    types.register(get_types_from_msg('string text', 'our_robot_msgs/msg/Note'))
    kinds = {
        'camera/image': types.types['sensor_msgs/msg/Image'],
        '/note': types.types['our_robot_msgs/msg/Note'],
    }
    path = tmp_path / 'one.bag'
    with Ros1Writer(path) as writer:
        image, note = (
            writer.add_connection(topic, kind.__msgtype__, typestore=types)
            for topic, kind in kinds.items()
        )
        for index in range(3):
            stamp = time_type(sec=7 + index, nanosec=5)
            message = kinds['camera/image'](
                header(index, stamp, 'cam'), 1, 2, 'mono8', 0, 2, np.array([1, 2], np.uint8)
            )
            raw = types.serialize_ros1(message, image.msgtype)
            writer.write(image, 10_000_000 * index, raw)
        raw = types.serialize_ros1(kinds['/note']('hello'), note.msgtype)
        writer.write(note, 0, raw)
    with ros_context(free_domain()) as context, open_bag(path) as reader:
        node = rclpy.create_node('player', context=context)
        report = Player(node, reader).play()
        with pytest.raises(BagError, match='expected /nothing that can be played'):
            Player(node, reader, ['/nothing'])
        node.destroy_node()
    assert report.messages == {'camera/image': 3}
    assert report.skipped == {'/note': 'no message package for our_robot_msgs/msg/Note'}
    stamps = [(7 + index) * 10**9 + 5 for index in range(3)]
    assert list(report.published_ns['camera/image']) == stamps

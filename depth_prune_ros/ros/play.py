"""Play a bag to a live ROS graph in the bag's own time."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
import importlib
from itertools import islice
import math
import struct
import threading
import time
from typing import Any

from depth_prune_ros.bags.inflate import inflate_message
from depth_prune_ros.core.errors import BagError
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import QoSDurabilityPolicy
from rclpy.qos import QoSHistoryPolicy
from rclpy.qos import QoSProfile
from rclpy.qos import QoSReliabilityPolicy
from rclpy.time import Time
from rosbags.highlevel import AnyReader
from rosbags.interfaces import Connection
from rosbags.typesys import get_typestore
from rosbags.typesys import Stores
from rosgraph_msgs.msg import Clock

CAMERA_INFO = 'sensor_msgs/msg/CameraInfo'
# A reader matches a writer and the writer the reader at slightly different moments, and only
# one of them can be seen from here.
SETTLE_S = 0.3
_ROS2 = get_typestore(Stores.ROS2_JAZZY)


@dataclass(frozen=True)
class Playback:
    """
    How a bag is played.

    :param rate: 2.0 plays twice as fast
    :param loops: how often in a row; the stamps stay, so time jumps back in between
    :param clock: publish the bag's time on /clock, before every message, for use_sim_time
    """

    rate: float = 1.0
    loops: int = 1
    clock: bool = False


@dataclass(frozen=True)
class PlayReport:
    """
    What a player did.

    :param messages: messages published, by topic
    :param skipped: topics not played, with the reason
    :param published_ns: by topic, header stamp -> wall clock when it was published
    """

    messages: dict[str, int] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    published_ns: dict[str, dict[int, int]] = field(default_factory=dict)


ONCE = Playback()


class Player:
    """A bag and a publisher for each of its topics."""

    def __init__(
        self,
        node: Node,
        reader: AnyReader,
        topics: Sequence[str] | None = None,
        remap: Mapping[str, str] | None = None,
    ) -> None:
        """
        Make the publishers.

        :param reader: an open bag
        :param topics: topics to play, as the bag names them; None plays all
        :param remap: bag's topic -> topic to publish on
        """
        self._node = node
        self._reader = reader
        self.report = PlayReport()
        self._publishers: dict[str, Publisher] = {}
        self._connections: list[Connection] = []
        self._has_header: dict[str, bool] = {}
        self._last_loop_ns = math.inf
        for connection in reader.connections:
            if topics is None or connection.topic in topics:
                self._add(node, connection, (remap or {}).get(connection.topic))
        if not self._connections:
            wanted = 'any topic' if topics is None else ', '.join(topics)
            msg = f'expected {wanted} that can be played, found {self.report.skipped or "none"}'
            raise BagError(msg)

    def matched(self, topics: Sequence[str]) -> bool:
        """Tell whether every one of these topics has a subscriber."""
        return all(self._publishers[topic].get_subscription_count() for topic in topics)

    def in_last_loop(self, topic: str, stamp_ns: int) -> bool:
        """Tell whether the last loop has published the message of this stamp already."""
        return self.report.published_ns[topic].get(stamp_ns, -1) >= self._last_loop_ns

    def play(
        self,
        playback: Playback = ONCE,
        stop: threading.Event | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> PlayReport:
        """
        Publish every message at its time in the bag, divided by the rate.

        The first CameraInfo of each topic goes out once before, so that no image comes to a
        subscriber that does not know its camera yet; the report does not count it.

        :param stop: set it to end early
        :param progress: called with messages done and in total
        """
        stop = stop or threading.Event()
        clock = self._node.create_publisher(Clock, '/clock', 10) if playback.clock else None
        self._announce_cameras()
        total = playback.loops * sum(connection.msgcount for connection in self._connections)
        done = 0
        for loop in range(playback.loops):
            first_ns, begin = None, time.monotonic()
            if loop == playback.loops - 1:
                self._last_loop_ns = time.time_ns()
            for connection, stamp_ns, raw in self._messages(self._connections):
                first_ns = stamp_ns if first_ns is None else first_ns
                due = begin + (stamp_ns - first_ns) * 1e-9 / playback.rate
                if stop.wait(max(0.0, due - time.monotonic())):
                    return self.report
                if clock is not None:
                    clock.publish(Clock(clock=Time(nanoseconds=stamp_ns).to_msg()))
                self._publish(connection, stamp_ns, self._cdr(connection, raw))
                done += 1
                if progress is not None:
                    progress(done, total)
        return self.report

    def _add(self, node: Node, connection: Connection, topic: str | None) -> None:
        try:
            kind = message_class(connection.msgtype)
        except ImportError:
            self.report.skipped[connection.topic] = f'no message package for {connection.msgtype}'
            return
        if not self._reader.is2 and connection.msgtype not in _ROS2.fielddefs:
            self.report.skipped[connection.topic] = f'no way from ROS 1 for {connection.msgtype}'
            return
        self._connections.append(connection)
        if connection.topic not in self._publishers:
            qos = recorded_quality(connection)
            name = topic or '/' + connection.topic.lstrip('/')
            self._publishers[connection.topic] = node.create_publisher(kind, name, qos)
        first_field = next(iter(kind.get_fields_and_field_types().values()), '')
        self._has_header[connection.topic] = first_field == 'std_msgs/Header'
        self.report.messages[connection.topic] = 0
        self.report.published_ns[connection.topic] = {}

    def _announce_cameras(self) -> None:
        cameras = [c for c in self._connections if c.msgtype == CAMERA_INFO]
        for topic in {camera.topic for camera in cameras}:
            # a bag of several files has a connection in each
            parts = [camera for camera in cameras if camera.topic == topic]
            for camera, _, raw in islice(self._messages(parts), 1):
                self._publishers[topic].publish(self._cdr(camera, raw))
        if cameras:
            time.sleep(SETTLE_S)

    def _messages(self, connections: list[Connection]) -> Iterator[tuple[Connection, int, bytes]]:
        try:
            for connection, bag_ns, data in self._reader.messages(connections=connections):
                yield connection, bag_ns, inflate_message(data) if self._reader.is2 else data
        except Exception as error:  # a damaged bag raises anything, from struct to sqlite
            msg = f'{self._reader.paths[0]}: expected a whole bag, found: {error}; copy it again'
            raise BagError(msg) from error

    def _cdr(self, connection: Connection, raw: bytes) -> bytes:
        if self._reader.is2:
            return bytes(raw)
        # By ROS 2's own definitions: the bag's have a Header with seq, which ROS 2 dropped.
        return bytes(_ROS2.ros1_to_cdr(raw, connection.msgtype))

    def _publish(self, connection: Connection, stamp_ns: int, cdr: bytes) -> None:
        """Publish a message; a stamp of 0 becomes the bag's, as where bags are read."""
        topic = connection.topic
        if self._has_header[topic]:
            cdr = cdr if header_stamp_ns(cdr) else with_stamp(cdr, stamp_ns)
            self.report.published_ns[topic][header_stamp_ns(cdr)] = time.time_ns()
        self._publishers[topic].publish(cdr)
        self.report.messages[topic] += 1


def message_class(msgtype: str) -> Any:
    """
    Import the Python class of a message type such as `sensor_msgs/msg/Image`.

    :raises ImportError: its package is not installed
    """
    package, _, name = msgtype.replace('/msg/', '/').partition('/')
    module = importlib.import_module(f'{package}.msg')
    if not hasattr(module, name):
        msg = f'{package}.msg has no {name}'
        raise ImportError(msg)
    return getattr(module, name)


def header_stamp_ns(cdr: bytes) -> int:
    """
    Read the header stamp of a serialised message whose first field is its header.

    :raises BagError: a message too short to have one
    """
    if len(cdr) < 12:
        msg = f'expected a message with a header, found {len(cdr)} bytes; is the bag damaged?'
        raise BagError(msg)
    order = '<' if cdr[1] & 1 else '>'
    seconds, nanoseconds = struct.unpack_from(f'{order}iI', cdr, 4)
    return int(seconds) * 1_000_000_000 + int(nanoseconds)


def with_stamp(cdr: bytes, stamp_ns: int) -> bytes:
    """Return a serialised message whose first field is its header with another stamp."""
    order = '<' if cdr[1] & 1 else '>'
    return cdr[:4] + struct.pack(f'{order}iI', *divmod(stamp_ns, 1_000_000_000)) + cdr[12:]


def recorded_quality(connection: Connection) -> QoSProfile:
    """
    Return the quality of service that the bag's publishers offered, as one publisher's.

    Of several the one that serves most subscribers counts: best effort only where all of them
    were, transient local and keep all where one of them was, else the deepest queue. What the bag
    does not say is reliable, volatile and keeps the last 10.
    """
    offered = getattr(connection.ext, 'offered_qos_profiles', None) or []
    depths = [profile.depth for profile in offered if profile.history.name == 'KEEP_LAST']
    quality = QoSProfile(depth=max(depths, default=0) or 10)
    if any(profile.history.name == 'KEEP_ALL' for profile in offered):
        quality.history = QoSHistoryPolicy.KEEP_ALL
    if offered and all(profile.reliability.name == 'BEST_EFFORT' for profile in offered):
        quality.reliability = QoSReliabilityPolicy.BEST_EFFORT
    # ROS 1 says latching and nothing else
    latched = bool(getattr(connection.ext, 'latching', None))
    if latched or any(profile.durability.name == 'TRANSIENT_LOCAL' for profile in offered):
        quality.durability = QoSDurabilityPolicy.TRANSIENT_LOCAL
    return quality

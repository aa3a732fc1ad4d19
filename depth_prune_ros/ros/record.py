"""Record live topics into a bag, with the wall clock of every arrival."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
import shutil
import threading
import time
from types import TracebackType

from depth_prune_ros.core.errors import BagError
from depth_prune_ros.ros.play import header_stamp_ns
from depth_prune_ros.ros.play import message_class
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.subscription import Subscription
from rosbags.interfaces import Connection
from rosbags.rosbag2 import StoragePlugin
from rosbags.rosbag2 import Writer
from rosbags.typesys import get_typestore
from rosbags.typesys import Stores

QUEUE = 50


class RawBagWriter:
    """
    Write serialised messages into a new bag (mcap).

    The bag gets its name only when it is complete; on an error nothing is left.
    """

    def __init__(self, bag: Path, topics: Mapping[str, str]) -> None:
        """
        Name the bag and its topics.

        :param bag: folder to be made; must not exist
        :param topics: topic -> message type
        """
        self._bag = bag
        self._part = bag.with_name(f'.{bag.name}.part')
        self._topics = topics
        self._connections: dict[str, Connection] = {}
        self._writer: Writer | None = None

    def __enter__(self) -> RawBagWriter:
        """Open the bag under a temporary name."""
        if self._bag.exists():
            msg = f'{self._bag}: expected a new bag, found one there; remove it or name another'
            raise BagError(msg)
        shutil.rmtree(self._part, ignore_errors=True)
        # The storage file inside is named after the folder it is opened in.
        inside = self._part / self._bag.name
        self._writer = Writer(inside, version=9, storage_plugin=StoragePlugin.MCAP)
        self._writer.open()
        types = get_typestore(Stores.ROS2_JAZZY)
        for topic, msgtype in self._topics.items():
            connection = self._writer.add_connection(topic, msgtype, typestore=types)
            self._connections[topic] = connection
        return self

    def write(self, topic: str, stamp_ns: int, raw: bytes) -> None:
        """Append a serialised message."""
        self._open_writer().write(self._connections[topic], stamp_ns, raw)

    def note(self, key: str, text: str) -> None:
        """Leave a remark in the bag's metadata (custom_data)."""
        self._open_writer().set_custom_data(key, text)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give the bag its name, or remove it after an error."""
        writer, self._writer = self._open_writer(), None
        try:
            if kind is None:
                writer.close()
                (self._part / self._bag.name).rename(self._bag)
            else:
                with suppress(OSError):
                    writer.abort()
        except OSError as reason:
            msg = f'{self._bag}: expected to write the bag, found: {reason.strerror or reason}'
            raise BagError(msg) from reason
        finally:
            shutil.rmtree(self._part, ignore_errors=True)

    def _open_writer(self) -> Writer:
        if self._writer is None:
            msg = f'{self._bag}: expected an open bag, found a closed one; use it as a context'
            raise BagError(msg)
        return self._writer


class Recorder:
    """
    Subscribe to topics and write what comes, unread, with its arrival time.

    The node's executor calls it; :meth:`close` ends the recording before the bag is closed. Where
    the disk takes no more, it ends too, and :attr:`failure` says why.
    """

    def __init__(
        self,
        node: Node,
        topics: Mapping[str, str],
        sink: RawBagWriter,
        wanted: Callable[[int], bool] = lambda _: True,
    ) -> None:
        """
        Subscribe.

        :param topics: topic -> message type; every type starts with a header
        :param sink: an open bag that has these topics
        :param wanted: header stamp -> whether it is written; that it came is known all the same
        """
        self._sink = sink
        self._wanted = wanted
        self._lock = threading.Lock()
        self._open = True
        self.failure: OSError | None = None
        self.received_ns: dict[str, dict[int, int]] = {topic: {} for topic in topics}
        self._subscriptions = [self._subscribe(node, *item) for item in topics.items()]

    def matched(self) -> bool:
        """Tell whether every topic has a publisher."""
        return all(subscription.get_publisher_count() for subscription in self._subscriptions)

    def latency_s(self, topic: str, published_ns: Mapping[int, int]) -> dict[int, float]:
        """
        Say how long after publishing an input its output arrived.

        :param topic: the recorded output
        :param published_ns: header stamp -> wall clock when the input was published
        :return: header stamp -> seconds, of the inputs that were answered
        """
        received = self.received_ns[topic]
        return {
            stamp_ns: (received[stamp_ns] - at_ns) * 1e-9
            for stamp_ns, at_ns in published_ns.items()
            if received.get(stamp_ns, 0) >= at_ns
        }

    def close(self) -> None:
        """Write nothing any more."""
        with self._lock:
            self._open = False

    def _subscribe(self, node: Node, topic: str, msgtype: str) -> Subscription:
        def keep(raw: bytes) -> None:
            self._keep(topic, raw)

        return node.create_subscription(
            message_class(msgtype), topic, keep, QoSProfile(depth=QUEUE), raw=True
        )

    def _keep(self, topic: str, raw: bytes) -> None:
        now_ns = time.time_ns()
        with self._lock:
            if self._open:
                stamp_ns = header_stamp_ns(raw)
                try:
                    if self._wanted(stamp_ns):
                        self._sink.write(topic, now_ns, raw)
                except OSError as error:
                    self.failure, self._open = error, False
                self.received_ns[topic][stamp_ns] = now_ns

"""Record live topics into a bag, with the wall clock of every arrival."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
import threading
import time

from depth_prune_ros.bags.write import BagWriter
from depth_prune_ros.core.errors import BagError
from depth_prune_ros.ros.play import header_stamp_ns
from depth_prune_ros.ros.play import message_class
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.subscription import Subscription

QUEUE = 50


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
        sink: BagWriter,
        wanted: Callable[[int], bool] = lambda _: True,
    ) -> None:
        """
        Subscribe.

        :param topics: topic -> message type; every type starts with a header
        :param sink: an open bag
        :param wanted: header stamp -> whether it is written; that it came is known all the same
        """
        self._sink = sink
        self._wanted = wanted
        self._lock = threading.Lock()
        self._open = True
        self.failure: BagError | None = None
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
            self._keep(topic, msgtype, raw)

        return node.create_subscription(
            message_class(msgtype), topic, keep, QoSProfile(depth=QUEUE), raw=True
        )

    def _keep(self, topic: str, msgtype: str, raw: bytes) -> None:
        now_ns = time.time_ns()
        with self._lock:
            if self._open:
                stamp_ns = header_stamp_ns(raw)
                try:
                    if self._wanted(stamp_ns):
                        self._sink.raw(topic, msgtype, now_ns, raw)
                except BagError as error:
                    self.failure, self._open = error, False
                self.received_ns[topic][stamp_ns] = now_ns

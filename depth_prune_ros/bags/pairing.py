"""Puts messages of one moment together, by header stamp, with a small window in memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping

from depth_prune_ros.bags.reading import Stamped

# A message recorded this much later than a frame ends the wait for the frame's companions.
WAIT_NS = 10**9


class _Companion:
    """A stream whose messages each belong to at most one frame."""

    def __init__(self, count: int, tolerance_ns: int) -> None:
        self.tolerance_ns = tolerance_ns
        self.newest_ns = -1
        self._coming = count
        self._waiting: deque[Stamped] = deque()

    def add(self, message: Stamped) -> None:
        self._coming -= 1
        # Not the highest one: stamps go back where a clock was set or bags were joined.
        self.newest_ns = message.stamp_ns
        self._waiting.append(message)
        # By recording time alone: an older stamp may belong to a leader that is still to come.
        while abs(self._waiting[0].bag_ns - message.bag_ns) > 2 * WAIT_NS:
            self._waiting.popleft()

    def exact(self, stamp_ns: int) -> bool:
        return any(message.stamp_ns == stamp_ns for message in self._waiting)

    def settled(self, stamp_ns: int) -> bool:
        """Return whether nothing that comes later can be nearer to this stamp."""
        over = self._coming <= 0 or self.newest_ns >= stamp_ns + self.tolerance_ns
        return over or self.exact(stamp_ns)

    def take(self, stamp_ns: int, next_ns: int | None) -> Stamped | None:
        """Take the nearest message within tolerance, unless it is nearer to the next frame."""
        if not self._waiting:
            return None
        best = min(self._waiting, key=lambda message: abs(message.stamp_ns - stamp_ns))
        distance = abs(best.stamp_ns - stamp_ns)
        if distance > self.tolerance_ns:
            return None
        if next_ns is not None and abs(best.stamp_ns - next_ns) < distance:
            return None
        self._waiting.remove(best)
        return best


def pair(
    messages: Iterable[Stamped],
    leader: str,
    tolerances_ns: Mapping[str, int],
    counts: Mapping[str, int],
) -> Iterator[tuple[Stamped, dict[str, Stamped]]]:
    """
    Give each message of the leading topic its companions.

    A companion has the leader's stamp, or else is the nearest within its topic's tolerance and
    not nearer to the next leader; each is given once. A leader waits until nothing nearer can
    come, and at most WAIT_NS of bag time: that much is held, never the whole bag.

    :param messages: of the leading topic, of the companions, and any others (they move time on)
    :param leader: the leading topic
    :param tolerances_ns: companion topic -> how far its stamp may be off
    :param counts: topic -> how many messages the bag has of it
    :return: pairs of leader and {topic: companion}, in the order of recording
    """
    companions = {
        topic: _Companion(counts.get(topic, 0), tolerance)
        for topic, tolerance in tolerances_ns.items()
    }
    leaders: deque[Stamped] = deque()
    for message in messages:
        # before a message after a pause has its stream forget what they wait with
        while leaders and message.bag_ns > leaders[0].bag_ns + WAIT_NS:
            yield _take(leaders, companions)
        if message.topic == leader:
            leaders.append(message)
        elif message.topic in companions:
            companions[message.topic].add(message)
        while leaders and _ready(leaders, companions, message.bag_ns):
            yield _take(leaders, companions)
    while leaders:
        yield _take(leaders, companions)


def _ready(leaders: deque[Stamped], companions: Mapping[str, _Companion], now_ns: int) -> bool:
    first = leaders[0]
    if now_ns > first.bag_ns + WAIT_NS:
        return True
    exact = all(stream.exact(first.stamp_ns) for stream in companions.values())
    if exact:
        return True
    settled = all(stream.settled(first.stamp_ns) for stream in companions.values())
    return settled and len(leaders) > 1


def _take(
    leaders: deque[Stamped], companions: Mapping[str, _Companion]
) -> tuple[Stamped, dict[str, Stamped]]:
    first = leaders.popleft()
    next_ns = leaders[0].stamp_ns if leaders else None
    found = {topic: stream.take(first.stamp_ns, next_ns) for topic, stream in companions.items()}
    return first, {topic: message for topic, message in found.items() if message is not None}

"""What is odd about the messages of a bag: counted while they pass, told in one line each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping

from depth_prune_ros.bags.pairing import WAIT_NS
from depth_prune_ros.bags.reading import Stamped


class Oddities:
    """Watches the messages that frames are made of."""

    def __init__(self, left: str) -> None:
        """
        Begin to watch.

        :param left: topic of the images that lead
        """
        self._left = left
        self._stamps: set[int] = set()
        self._last_ns = 0
        self._twice = self._back = 0
        self._first: dict[str, int] = {}
        self._seen: Counter[str] = Counter()
        self._used: Counter[str] = Counter()
        self._unfit: dict[str, str] = {}

    def watch(self, messages: Iterable[Stamped]) -> Iterator[Stamped]:
        """Pass messages on, without the images whose stamp an earlier one had."""
        for message in messages:
            self._seen[message.topic] += 1
            self._first.setdefault(message.topic, message.stamp_ns)
            if message.topic == self._left and not self._is_new(message.stamp_ns):
                continue
            yield message

    def paired(self, others: Mapping[str, Stamped]) -> None:
        """Count what belongs to an image."""
        self._used.update(others.keys())

    def unfit(self, topic: str, what: str) -> None:
        """Take note, once for each topic, of messages that cannot be used."""
        self._unfit.setdefault(topic, what)

    def lines(self, companions: Iterable[str]) -> Iterator[str]:
        """
        Say what was odd.

        :param companions: topics that should have a message for every image
        """
        if self._twice:
            yield (
                f'{self._left}: {self._twice} images have the stamp of an earlier one and are '
                'left out; does the driver stamp them, was the bag merged twice?'
            )
        if self._back:
            yield (
                f'{self._left}: {self._back} images are stamped earlier than the one before; they '
                'stay in the order of recording'
            )
        for topic in companions:
            if self._seen[topic] and self._seen[self._left] and not self._used[topic]:
                apart_s = (self._first[topic] - self._first[self._left]) * 1e-9
                yield (
                    f'{topic}: none of {self._seen[topic]} messages is near an image of '
                    f'{self._left} in time (the first ones are {apart_s:+.3f} s apart) and '
                    f'recorded within {WAIT_NS / 1e9:g} s of it, and none is used; are the clocks '
                    'synchronised?'
                )
        yield from (f'{topic}: {what}' for topic, what in self._unfit.items())

    def _is_new(self, stamp_ns: int) -> bool:
        if stamp_ns in self._stamps:
            self._twice += 1
            return False
        self._stamps.add(stamp_ns)
        self._back += stamp_ns < self._last_ns
        self._last_ns = stamp_ns
        return True

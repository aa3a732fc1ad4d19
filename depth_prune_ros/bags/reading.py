"""Opens any rosbag (ROS 1 .bag, .db3, .mcap, folders) and reads messages with their stamps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from collections.abc import Collection
from collections.abc import Generator
from collections.abc import Iterator
from contextlib import contextmanager
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from heapq import merge
from operator import itemgetter
from pathlib import Path
import sys
from tempfile import TemporaryDirectory
from typing import Any
from typing import TypeVar

from depth_prune_ros.bags.bag_files import bag_files
from depth_prune_ros.bags.bag_files import PACKED
from depth_prune_ros.bags.bag_files import unpack
from depth_prune_ros.bags.definitions import types_of
from depth_prune_ros.bags.inflate import inflate_message
from depth_prune_ros.bags.losses import Damage
from depth_prune_ros.bags.losses import Loss
from depth_prune_ros.bags.losses import report_loss
from depth_prune_ros.bags.losses import words_of
from depth_prune_ros.bags.mcap_file import McapFile
from depth_prune_ros.bags.ros1_file import Ros1File
from depth_prune_ros.bags.sqlite_file import SqliteFile
from depth_prune_ros.core.errors import BagError
from depth_prune_ros.core.errors import EncodingError
from depth_prune_ros.core.errors import ImageError
from rosbags.highlevel import AnyReader
from rosbags.highlevel.anyreader import AnyReaderError
from rosbags.interfaces import Connection
from rosbags.rosbag2 import Reader as Reader2
from rosbags.typesys import get_typestore
from rosbags.typesys import Stores
from rosbags.typesys.store import Typestore

Image = TypeVar('Image')

_REPAIR = 'copy it again, or repair it ("mcap recover", "ros2 bag reindex", "rosbag reindex")'


@dataclass(frozen=True)
class Stamped:
    """
    A message out of a bag.

    :param topic: its topic
    :param stamp_ns: header stamp; the time in the bag where the driver left the header at 0
    :param bag_ns: when it was recorded
    :param message: the message, its header included
    :param number: which one of its topic was recorded, from 0; None behind damage that took
        messages nobody counted
    """

    topic: str
    stamp_ns: int
    bag_ns: int
    message: Any
    number: int | None = None


class BagReader(AnyReader):
    """
    rosbags' AnyReader, which reads a damaged bag as far as it goes and keeps what is lost.

    Files are opened together and read one after the other as their time comes, so that a bag of
    many files needs no more memory than one of one file.
    """

    def __init__(self, bag: Path, files: list[Path], *, strict: bool = False) -> None:
        """
        Prepare to read.

        :param bag: what the user named
        :param files: its storage files, all of one kind and not compressed as files
        :param strict: raise BagError at the first damage
        """
        super().__init__(files)
        self.bag = bag
        self.files = tuple(files)
        self.damages: dict[Damage, None] = {}
        self.gaps: list[Damage] = []
        self.whole_until_ns = sys.maxsize
        self.frames_read: int | None = None
        self._strict = strict
        # rosbags' own readers of single files make way for ours.
        if self.is2:
            readers = [Reader2(file) for file in files]
            for file, reader in zip(files, readers, strict=True):
                kind = McapFile if file.suffix == '.mcap' else SqliteFile
                reader.storage = kind(file, self.gap)
            self.readers = readers
        else:
            self.readers = [Ros1File(file, self.gap) for file in files]

    def _open(self) -> None:
        """Open the files; raises BagError where there is nothing to be read because of damage."""
        assert self.stack is not None
        for reader in self.readers:
            self.stack.enter_context(reader)
        # not rosbags' way: a definition that it cannot parse would cost the whole bag
        self.connections = [found for reader in self.readers for found in reader.connections]
        self.typestore = types_of(self.connections, _common_types(), ros2=self.is2)
        if self.damages and not self.message_count:
            raise BagError(_unreadable(self.bag, next(iter(self.damages)).reason))
        by_file: dict[Path, Any] = dict(zip(self.files, self.readers, strict=True))
        for gap in self.gaps:
            whole = by_file.get(gap.file) if gap.is_end else None
            self.whole_until_ns = min(self.whole_until_ns, whole.end_time if whole else 0)

    def gap(self, damage: Damage) -> None:
        """Take note of a damaged place that may have held any number of messages."""
        self.gaps.append(damage)
        self.damaged(damage)

    def damaged(self, damage: Damage) -> None:
        """Take note of a damaged place; raises BagError where the reader is strict."""
        self.damages[damage] = None
        if self._strict:
            msg = f'{self.loss()}; {_REPAIR}'
            raise BagError(msg)

    def loss(self) -> Loss:
        """Sum up what is lost so far."""
        size = sum(file.stat().st_size for file in self.files)
        return Loss(self.bag, tuple(self.damages), size, self.frames_read)

    def messages(
        self,
        connections: Collection[Connection] = (),
        start: int | None = None,
        stop: int | None = None,
    ) -> Generator[tuple[Connection, int, bytes], None, None]:
        """
        Yield connection, time in the bag and data in the order of time.

        Data may be compressed, see inflate_message.

        :param connections: which to read; none: all of them
        :param start: only messages from this time on, nanoseconds
        :param stop: only messages before this time, nanoseconds
        """
        wanted = connections or self.connections
        sources = []
        for reader in self.readers:
            owner = reader.storage if isinstance(reader, Reader2) else reader
            own = [connection for connection in wanted if connection.owner is owner]
            if own:
                sources.append(_later(reader.start_time, reader.messages(own, start, stop)))
        for connection, bag_ns, data in merge(*sources, key=itemgetter(1)):
            if connection is not None:
                yield connection, bag_ns, data


@contextmanager
def open_bag(path: Path, *, strict: bool = False) -> Iterator[BagReader]:
    """
    Open a bag for reading, a damaged one as far as it goes.

    What is lost is reported (see losses.py) when the bag is closed.

    :param path: a .bag, .db3 or .mcap file, these with .zstd behind, or a folder of them
    :param strict: raise at the first damage instead
    :raises BagError: a bag that is missing, of no known kind or damaged beyond use
    """
    files, missing = bag_files(path)
    with ExitStack() as stack:
        if any(file.suffix == PACKED for file in files):
            folder = Path(stack.enter_context(TemporaryDirectory(prefix='bag-')))
            files, cut = unpack(files, folder)
            missing += cut
        reader = BagReader(path, files, strict=strict)
        with one_line(path):
            for damage in missing:
                reader.gap(damage)
            stack.enter_context(reader)
        try:
            yield reader
        finally:
            if reader.damages and not strict:
                report_loss(reader.loss())


def read_messages(path: Path, reader: BagReader, topics: Collection[str]) -> Iterator[Stamped]:
    """
    Read the messages of some topics in the order of recording.

    Messages that do not deserialise are lost like everything else that is damaged, but counted.
    Of a topic of several types only one is read, that of topics_by_type.

    :param path: for error messages
    :param reader: from open_bag
    :raises BagError: a bag that cannot be read on
    """
    types = {name: kind for name, kind in topics_by_type(reader).items() if name in topics}
    connections = [c for c in reader.connections if types.get(c.topic) == c.msgtype]
    if not connections:
        return
    messages = reader.messages(connections)
    gaps, numbers = len(reader.gaps), Counter[str]()
    while True:
        with one_line(path):
            found = next(messages, None)
        if found is None:
            return
        connection, bag_ns, data = found
        whole = len(reader.gaps) == gaps and bag_ns < reader.whole_until_ns
        number = numbers[connection.topic] if whole else None
        numbers[connection.topic] += 1
        try:
            stamped = _stamped(reader, number, *found)
        except (AnyReaderError, ValueError) as error:
            reason = f'{connection.topic} at {bag_ns} ns: {words_of(error)}'
            reader.damaged(Damage(path, None, len(data), reason))
        else:
            yield stamped


def decode(
    reader: BagReader, found: Stamped, how: Callable[[Any], Image], *, first: bool = False
) -> Image | None:
    """
    Decode the image or cloud of a message; None where it is damaged, and so lost.

    :param how: message -> image or points; raises ImageError
    :param first: nothing of the topic was decoded before
    :raises EncodingError: first, and of an encoding or layout that nothing here reads
    """
    try:
        return how(found.message)
    except ImageError as error:
        reason = f'{found.topic} at {found.stamp_ns} ns: {error}'
        if first and isinstance(error, EncodingError):
            msg = f'{reader.bag}: {reason}'
            raise EncodingError(msg) from None
        reader.damaged(Damage(reader.bag, None, None, reason))
        return None


def header_ns(header: Any) -> int:
    """Return a header's stamp in nanoseconds (ROS 1 calls the fields secs and nsecs)."""
    stamp = header.stamp
    return int(stamp.sec) * 10**9 + int(stamp.nanosec)


def topics_by_type(reader: AnyReader) -> dict[str, str]:
    """Return {topic: type} of all topics that have messages, sorted by name."""
    pairs = ((found.topic, found.msgtype) for found in reader.connections if found.msgcount)
    return dict(sorted(pairs))


@cache
def _common_types() -> Typestore:
    """Return humble's message definitions: bags of foxy and older carry none of their own."""
    return get_typestore(Stores.ROS2_HUMBLE)


def _later(start_ns: int, messages: Iterator[Any]) -> Iterator[Any]:
    """Begin with a mark that holds a file back until its time has come."""
    yield None, start_ns, b''
    yield from messages


def _stamped(
    reader: AnyReader, number: int | None, connection: Connection, bag_ns: int, data: bytes
) -> Stamped:
    # As a view, since deserialising slices it, and slices of bytes are copies.
    view: Any = memoryview(inflate_message(data) if reader.is2 else data)
    message: Any = reader.deserialize(view, connection.msgtype)
    header = getattr(message, 'header', None)
    stamp_ns = header_ns(header) if header is not None else 0
    return Stamped(connection.topic, stamp_ns or bag_ns, bag_ns, message, number)


def _unreadable(path: Path, reason: str) -> str:
    if 'Profile is not ros2' in reason:
        return (
            f'{path}: expected messages of ROS 2, found none: an MCAP file of ROS 1, JSON or '
            'protobuf messages, to be converted (rosbags-convert), or one that is cut short'
        )
    return f'{path}: cannot be read as a bag ({reason}); it is cut short or damaged: {_REPAIR}'


@contextmanager
def one_line(path: Path) -> Iterator[None]:
    """Turn whatever a damaged file makes the reader raise into a BagError."""
    try:
        yield
    except BagError:
        raise
    except Exception as error:  # noqa: BLE001 - garbage raises anything, from struct to sqlite
        raise BagError(_unreadable(path, words_of(error))) from error

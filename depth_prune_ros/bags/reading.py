"""Opens any rosbag (ROS 1 .bag, .db3, .mcap, folders) and reads messages with their stamps."""

from __future__ import annotations

from collections.abc import Collection
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from depth_prune_ros.core.errors import BagError
from rosbags.highlevel import AnyReader
from rosbags.interfaces import Connection
from rosbags.typesys import get_typestore
from rosbags.typesys import Stores

_SUFFIXES = ('.mcap', '.db3', '.bag')


@dataclass(frozen=True)
class Stamped:
    """
    A message out of a bag.

    :param topic: its topic
    :param stamp_ns: header stamp; the time in the bag where the driver left the header at 0
    :param bag_ns: when it was recorded
    :param message: the message, its header included
    """

    topic: str
    stamp_ns: int
    bag_ns: int
    message: Any


@contextmanager
def open_bag(path: Path) -> Iterator[AnyReader]:
    """
    Open a bag for reading.

    :param path: a .bag, .db3 or .mcap file, or a folder with or without metadata.yaml
    :raises BagError: a bag that is missing, damaged or of no known kind
    """
    files = _storage_files(path)
    with _one_line(path):
        # Bags of foxy and older carry no message definitions; their common ones are humble's.
        reader = AnyReader(files, default_typestore=get_typestore(Stores.ROS2_HUMBLE))
        reader.open()
    try:
        yield reader
    finally:
        reader.close()


def read_messages(path: Path, reader: AnyReader, topics: Collection[str]) -> Iterator[Stamped]:
    """
    Read the messages of some topics in the order of recording.

    :param path: for error messages
    :param reader: from open_bag
    :raises BagError: a bag that is damaged further in
    """
    connections = [found for found in reader.connections if found.topic in topics]
    if not connections:
        return
    messages = reader.messages(connections)
    while True:
        with _one_line(path):
            found = next(messages, None)
            if found is None:
                return
            stamped = _stamped(reader, *found)
        yield stamped


def header_ns(header: Any) -> int:
    """Return a header's stamp in nanoseconds (ROS 1 calls the fields secs and nsecs)."""
    stamp = header.stamp
    return int(stamp.sec) * 10**9 + int(stamp.nanosec)


def topics_by_type(reader: AnyReader) -> dict[str, str]:
    """Return {topic: type} of all topics that have messages, sorted by name."""
    pairs = ((found.topic, found.msgtype) for found in reader.connections if found.msgcount)
    return dict(sorted(pairs))


def _stamped(reader: AnyReader, connection: Connection, bag_ns: int, data: bytes) -> Stamped:
    message: Any = reader.deserialize(data, connection.msgtype)
    header = getattr(message, 'header', None)
    stamp_ns = header_ns(header) if header is not None else 0
    return Stamped(connection.topic, stamp_ns or bag_ns, bag_ns, message)


def _storage_files(path: Path) -> list[Path]:
    if not path.exists():
        msg = f'{path}: expected a bag, found nothing there; check the path'
        raise BagError(msg)
    if path.is_file() and path.suffix not in _SUFFIXES:
        msg = (
            f'{path}: expected a folder, or a file {", ".join(_SUFFIXES)}, found '
            f'{path.suffix or "no suffix"}; decompress a .zstd file first'
        )
        raise BagError(msg)
    if path.is_file() or (path / 'metadata.yaml').is_file():
        return [path]
    for suffix in _SUFFIXES:
        files = sorted(path.glob(f'*{suffix}'))
        if files:
            return files
    msg = f'{path}: expected a folder with metadata.yaml, .mcap, .db3 or .bag, found none of them'
    raise BagError(msg)


@contextmanager
def _one_line(path: Path) -> Iterator[None]:
    """Turn whatever a damaged file makes the reader raise into a BagError."""
    try:
        yield
    except BagError:
        raise
    except Exception as error:  # noqa: BLE001 - garbage raises anything, from struct to sqlite
        reason = ' '.join(str(error).split()) or type(error).__name__
        msg = (
            f'{path}: cannot be read as a bag ({reason}); it is cut short or damaged: copy it '
            'again, or repair it ("mcap recover", "ros2 bag reindex", "rosbag reindex")'
        )
        raise BagError(msg) from error

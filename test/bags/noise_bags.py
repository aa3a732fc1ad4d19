"""A camera of noise in every storage, and what is read of it when it is damaged."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from depth_prune_ros.bags.frames import read_frames
from depth_prune_ros.bags.losses import collect_findings
from depth_prune_ros.bags.losses import Loss
from mcap.writer import CompressionType
import numpy as np
from robot_bags import RobotBag
from robot_bags import SECOND
from robot_bags import START_NS
from rosbags.rosbag1 import Writer as Writer1
from rosbags.rosbag2 import StoragePlugin

FRAMES = 60
CHUNK = 10_000
WIDTH, HEIGHT = 90, 20
PIXELS = np.random.default_rng(0).integers(0, 256, (FRAMES, HEIGHT, WIDTH), np.uint8)
Write = Callable[[Path], Path]


def camera(*, ros1: bool = False) -> RobotBag:
    """Make a camera whose images are noise, so that each can be found in the file."""
    bag = RobotBag(ros1=ros1)
    bag.chunk_bytes = CHUNK
    for number in range(FRAMES):
        stamp_ns = START_NS + number * SECOND
        bag.info('/cam/camera_info', stamp_ns)
        bag.image('/cam/image_raw', stamp_ns)
        image = bag.messages[-1][3]
        image.width = image.step = WIDTH
        image.height = HEIGHT
        image.data = PIXELS[number].ravel()
    return bag


def in_mcap(**options: Any) -> Write:
    """Return a writer of .mcap files with chunks of about 5 frames and CRCs."""
    return lambda path: camera().write_mcap(path / 'a.mcap', **{'chunk_size': CHUNK, **options})


def in_ros1(compression: Writer1.CompressionFormat | None) -> Write:
    """Return a writer of .bag files."""
    return lambda path: camera(ros1=True).write(path / 'a.bag', compression=compression)


def in_sqlite(path: Path) -> Path:
    """Write a .db3 file."""
    camera().write(path / 'bag', StoragePlugin.SQLITE3)
    return path / 'bag' / 'bag.db3'


UNCOMPRESSED = {
    'mcap': in_mcap(compression=CompressionType.NONE),
    'mcap-no-chunks': in_mcap(use_chunking=False),
    'sqlite': in_sqlite,
    'ros1': in_ros1(None),
}
COMPRESSED = {
    'mcap-lz4': in_mcap(compression=CompressionType.LZ4),
    'mcap-zstd': in_mcap(compression=CompressionType.ZSTD),
    'ros1-lz4': in_ros1(Writer1.CompressionFormat.LZ4),
    'ros1-bz2': in_ros1(Writer1.CompressionFormat.BZ2),
}
KINDS = UNCOMPRESSED | COMPRESSED


def read(path: Path) -> tuple[list[int], Loss | None]:
    """Return the numbers of the frames that are read, their pixels checked, and the loss."""
    with collect_findings() as findings:
        numbers = []
        for frame in read_frames(path):
            numbers.append((frame.stamp_ns - START_NS) // SECOND)
            assert (frame.left[..., 0] == PIXELS[numbers[-1]]).all()
    assert findings.warnings == []
    return numbers, findings.losses.get(path)


def flip(path: Path, at: int) -> None:
    """Change one byte."""
    data = bytearray(path.read_bytes())
    data[at] ^= 0xFF
    path.write_bytes(data)

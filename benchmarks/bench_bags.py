"""
read_frames against rosbags' own reading, in one run: frames per second of the same bags.

Run by ``make bench-bags``. The bare side is rosbags' AnyReader: iterate over the messages of both
cameras and their camera_info, deserialise each, and turn images that are not rgb8 already into
RGB (with this package's decoder, on both sides: decoding is no part of reading). Our side is
read_frames: the same, and chunk checksums, stamps, pairs, intrinsics. Both read every byte from
the page cache; they take turns, and the medians of all rounds are compared. The last row adds a
lidar whose points our side draws into a depth image: work that the bare side does not have.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from dataclasses import replace
from pathlib import Path
import tempfile
import time
from typing import Any

import cv2
from depth_prune_ros.bags.frames import read_frames
from depth_prune_ros.bags.topics import find_topics
from depth_prune_ros.bags.topics import Topics
from depth_prune_ros.bags.transforms import Transform
from depth_prune_ros.bags.write import BagWriter
from depth_prune_ros.core.camera import Intrinsics
from depth_prune_ros.core.images import compressed_to_rgb
import numpy as np
from numpy.typing import NDArray
from rosbags.convert import convert
from rosbags.highlevel import AnyReader
from rosbags.typesys import get_types_from_msg
from rosbags.typesys import get_typestore
from rosbags.typesys import Stores

FRAMES = 60
ROUNDS = 5
TARGET = 0.8
CAMERA = Intrinsics(1242, 375, 721.5, 721.5, 609.6, 172.9)
POINTS = 120_000
START_NS = 1_700_000_000_000_000_000
PERIOD_NS = 100_000_000


@dataclass(frozen=True)
class Case:
    """A bag to read, and which of its topics."""

    name: str
    bag: Path
    lidar: bool = False


def main() -> None:
    """Print one row a bag."""
    with tempfile.TemporaryDirectory() as folder:
        cases = _cases(Path(folder))
        print(f'{FRAMES} stereo frames of {CAMERA.width}x{CAMERA.height}, {ROUNDS} rounds')
        for case in cases:
            found = find_topics(case.bag)
            topics = found if case.lidar else replace(found, lidar=None)
            bare, ours = _race(case.bag, topics)
            ratio = bare / ours
            if case.lidar:
                verdict = 'with drawing the depth'
            else:
                verdict = 'reached' if ratio >= TARGET else f'below {TARGET:.0%}'
            print(
                f'{case.name:24} rosbags {FRAMES / bare:6.0f} frames/s, read_frames '
                f'{FRAMES / ours:6.0f} frames/s: {ratio:.0%}, {verdict}'
            )


def _race(bag: Path, topics: Topics) -> tuple[float, float]:
    """Return the median seconds of both sides, which take turns; a first round warms up."""
    seconds: dict[Callable[[Path, Topics], int], list[float]] = {_bare: [], _ours: []}
    for _ in range(1 + ROUNDS):
        for side, taken in seconds.items():
            start = time.perf_counter()
            frames = side(bag, topics)
            taken.append(time.perf_counter() - start)
            if frames != FRAMES:
                msg = f'{bag}: expected {FRAMES} frames, found {frames}'
                raise ValueError(msg)
    bare, ours = (float(np.median(taken[1:])) for taken in seconds.values())
    return bare, ours


def _bare(bag: Path, topics: Topics) -> int:
    """Read with rosbags alone."""
    wanted = set(vars(topics).values())
    frames = 0
    with AnyReader([bag]) as reader:
        connections = [found for found in reader.connections if found.topic in wanted]
        for connection, _, data in reader.messages(connections):
            message: Any = reader.deserialize(data, connection.msgtype)
            if connection.msgtype.endswith('CompressedImage'):
                compressed_to_rgb(message)
            frames += connection.topic == topics.left
    return frames


def _ours(bag: Path, topics: Topics) -> int:
    return sum(frame.right is not None for frame in read_frames(bag, topics=topics))


def _cases(folder: Path) -> list[Case]:
    raw = write_drive(folder / 'mcap', 'mcap', 'raw')
    return [
        Case('mcap', raw),
        Case('mcap, zstd chunks', _convert(raw, folder / 'zstd', 'storage')),
        Case('mcap, zstd messages', _convert(raw, folder / 'message', 'message')),
        Case('mcap, jpeg images', write_drive(folder / 'jpeg', 'mcap', 'jpeg')),
        Case('sqlite3', write_drive(folder / 'sqlite3', 'sqlite3', 'raw')),
        Case('ROS 1', _convert(raw, folder / 'ros1.bag', 'message')),
        Case('mcap, lidar too', raw, lidar=True),
    ]


def write_drive(bag: Path, storage: str, images: str, frames: int = FRAMES) -> Path:
    """Write a stereo drive with a lidar; images as smooth as a street, so that they compress."""
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (CAMERA.height, CAMERA.width, 3)).astype(np.uint8)
    image = np.asarray(cv2.GaussianBlur(noise, (0, 0), 3), np.uint8)
    points = _turn_of_a_lidar(rng)
    with BagWriter(bag, storage=storage, images=images) as writer:
        writer.tf_static(START_NS, [Transform('cam', 'lidar', np.eye(4))])
        for number in range(frames):
            stamp_ns = START_NS + number * PERIOD_NS
            for side, tx in (('left', 0.0), ('right', -380.0)):
                writer.camera_info(f'/{side}/camera_info', stamp_ns, 'cam', CAMERA, tx)
                writer.image(f'/{side}/image_raw', stamp_ns, 'cam', np.roll(image, number, 1))
            writer.points('/lidar', stamp_ns, 'lidar', points)
    return bag


def _turn_of_a_lidar(rng: np.random.Generator) -> NDArray[np.float32]:
    """Return points [N, 4] all around, in the camera's axes, as high and low as a Velodyne's."""
    azimuth = rng.uniform(-np.pi, np.pi, POINTS)
    elevation = np.radians(rng.uniform(-2.0, 24.9, POINTS))
    distance_m = rng.uniform(2.0, 60.0, POINTS)
    x, y, z = np.sin(azimuth), np.tan(elevation), np.cos(azimuth)
    return np.stack([x, y, z, np.ones(POINTS)], 1).astype(np.float32) * distance_m[:, None].astype(
        np.float32
    )


def _convert(source: Path, bag: Path, compress_mode: str) -> Path:
    """Let rosbags write a bag again, to ROS 1 or with compression."""
    ros1 = bag.suffix == '.bag'
    store = get_typestore(Stores.ROS1_NOETIC) if ros1 else None
    if store is not None:
        kind = 'tf2_msgs/msg/TFMessage'
        store.register(get_types_from_msg('geometry_msgs/TransformStamped[] transforms', kind))
    convert(
        [source],
        bag,
        dst_storage='mcap',
        dst_version=9,
        compress=None if ros1 else 'zstd',
        compress_mode=compress_mode,
        default_typestore=None,
        typestore=store,
        exclude_topics=(),
        include_topics=(),
        exclude_msgtypes=(),
        include_msgtypes=(),
    )
    return bag


if __name__ == '__main__':
    main()

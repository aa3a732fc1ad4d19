"""Frames out of rosbags: what one moment of a camera has, whatever bag it came from."""

from __future__ import annotations

from collections.abc import Collection
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from depth_prune_ros.bags.losses import Damage
from depth_prune_ros.bags.losses import warn
from depth_prune_ros.bags.messages import cloud_points
from depth_prune_ros.bags.messages import intrinsics
from depth_prune_ros.bags.messages import projection
from depth_prune_ros.bags.oddities import Oddities
from depth_prune_ros.bags.pairing import pair
from depth_prune_ros.bags.reading import BagReader
from depth_prune_ros.bags.reading import open_bag
from depth_prune_ros.bags.reading import read_messages
from depth_prune_ros.bags.reading import Stamped
from depth_prune_ros.bags.reading import topics_by_type
from depth_prune_ros.bags.topics import choose_topics
from depth_prune_ros.bags.topics import COMPRESSED
from depth_prune_ros.bags.topics import find_topics
from depth_prune_ros.bags.topics import list_topics
from depth_prune_ros.bags.topics import named_topics
from depth_prune_ros.bags.topics import Topics
from depth_prune_ros.bags.transforms import StaticTransforms
from depth_prune_ros.bags.transforms import TOPIC as TF_STATIC
from depth_prune_ros.core.camera import Intrinsics
from depth_prune_ros.core.camera import points_to_depth
from depth_prune_ros.core.errors import BagError
from depth_prune_ros.core.errors import CameraError
from depth_prune_ros.core.errors import ImageError
from depth_prune_ros.core.images import compressed_to_rgb
from depth_prune_ros.core.images import image_to_depth
from depth_prune_ros.core.images import image_to_rgb
import numpy as np
from numpy.typing import NDArray

__all__ = ['Frame', 'Topics', 'find_topics', 'read_frames']

LIDAR_TOLERANCE_NS = 60 * 10**6
MAX_TOLERANCE_NS = 50 * 10**6


@dataclass(frozen=True)
class Frame:
    """
    One moment of a camera.

    :param stamp_ns: header stamp of the left image, nanoseconds
    :param left: uint8 [H, W, 3] RGB (grey cameras: three equal channels)
    :param camera: intrinsics of the left image
    :param right: uint8 [H, W, 3] RGB of the right camera at the same stamp, or None
    :param baseline_m: distance from the left to the right camera, or None
    :param depth: float32 [H, W] metres in the left camera, NaN = none; sparse from lidar, or a
        depth image; None where the bag has neither
    :param depth_source: 'lidar', 'depth' (a depth image topic) or None
    """

    stamp_ns: int
    left: NDArray[np.uint8]
    camera: Intrinsics
    right: NDArray[np.uint8] | None = None
    baseline_m: float | None = None
    depth: NDArray[np.float32] | None = None
    depth_source: str | None = None


def read_frames(
    bag: Path,
    *,
    topics: Topics | None = None,
    need: Collection[str] = (),
    strict: bool = False,
) -> Iterator[Frame]:
    """
    Read the frames of a bag, one by one.

    Right image, lidar and depth belong to a left image by header stamp: the same one, or else
    the nearest within half a frame period (at most 50 ms; lidar: 60 ms) that is not nearer to the
    next left image. Each is used once. KITTI's raw drives need this: their right images are off
    by about 1 ms, their scans by about 10 ms.

    Intrinsics are those of CameraInfo.P (K where P is empty): images are expected rectified.
    The lidar's depth is what P's left 3x3 part and the /tf_static chain from the cloud's frame to
    the image's frame say. A depth image counts where it has the left image's size (and frame, if
    its topic was not named), else the lidar. A right image of another size does not count.

    Frames come in the order of recording, also where stamps go back; an image with the stamp of
    an earlier one is left out. A damaged bag gives the frames that are whole. What is lost and
    what is odd is told to losses.collect_findings at the end.

    :param bag: a ROS 1 .bag, .db3 or .mcap file, or a folder with or without metadata.yaml
    :param topics: by default find_topics; leave out what is not wanted
    :param need: 'right', 'depth' or both: frames without are left out
    :param strict: raise BagError at the first damage
    :raises BagError: a bag that is missing, damaged beyond use or without frames; a topic that is
        not there or has no camera_info; a lidar without a transform to the camera
    :raises CameraError: a camera that is not calibrated
    :raises ImageError: images of an encoding that cannot be used
    """
    unknown = sorted(set(need) - {'right', 'depth'})
    if unknown:
        msg = f'expected need of right and depth, found {unknown[0]!r}'
        raise BagError(msg)
    with open_bag(bag, strict=strict) as reader:
        types = topics_by_type(reader)
        chosen = choose_topics(bag, types) if topics is None else topics
        reader.frames_read = 0
        builder = _Builder(bag, reader, chosen, found=topics is None)
        for frame in builder.frames():
            if all(getattr(frame, name) is not None for name in need):
                reader.frames_read += 1
                yield frame
        if not reader.frames_read:
            raise BagError(builder.why_none(need))
        for line in builder.oddities():
            warn(f'{bag}: {line}')


class _Builder:
    """Makes frames of the messages of one open bag."""

    def __init__(self, bag: Path, reader: BagReader, topics: Topics, *, found: bool) -> None:
        self._bag = bag
        self._reader = reader
        self._topics = topics
        self._found = found and 'depth' not in named_topics()
        self._types = topics_by_type(reader)
        self._oddities = Oddities(topics.left)
        self._check_topics()
        wanted = [TF_STATIC] if topics.lidar else []
        self._transforms = StaticTransforms(read_messages(bag, reader, wanted))
        self._infos = {
            first.topic: first.message
            for topic in filter(None, (topics.left_info, topics.right_info))
            for first in islice(read_messages(bag, reader, [topic]), 1)
        }
        gone = [t for t in (topics.left_info, topics.right_info) if t and t not in self._infos]
        if gone:
            msg = f'{bag}: expected a camera_info on {", ".join(gone)}, found only damaged ones'
            raise BagError(msg)

    def frames(self) -> Iterator[Frame]:
        """Yield every frame, whatever it has."""
        topics = self._topics
        tolerance_ns = self._tolerance_ns()
        tolerances = {
            topic: LIDAR_TOLERANCE_NS if topic == topics.lidar else tolerance_ns
            for topic in vars(topics).values()
            if topic is not None and topic != topics.left
        }
        counts = {name: info.msgcount for name, info in self._reader.topics.items()}
        messages = read_messages(self._bag, self._reader, [topics.left, *tolerances])
        watched = self._oddities.watch(messages)
        whole = False
        for left, others in pair(watched, topics.left, tolerances, counts):
            self._oddities.paired(others)
            for topic in self._infos:
                if topic in others:
                    self._infos[topic] = others[topic].message
            try:
                frame = self._frame(left, others)
            except ImageError as error:
                # The first image that does not decode: an encoding that none will decode from.
                if not whole:
                    raise
                self._reader.damaged(
                    Damage(self._bag, None, None, f'{left.topic} at {left.stamp_ns} ns: {error}')
                )
                continue
            whole = True
            yield frame

    def oddities(self) -> Iterator[str]:
        """Say what is odd about the messages, one line each."""
        topics = self._topics
        return self._oddities.lines(filter(None, (topics.right, topics.lidar, topics.depth)))

    def why_none(self, need: Collection[str]) -> str:
        """Say why there was not one frame."""
        wanted = ' and '.join(need)
        what = f'frames with {wanted}' if wanted else f'frames of {self._topics.left}'
        used = ', '.join(topic for topic in vars(self._topics).values() if topic)
        found = '; '.join(self.oddities()) or f'the bag has {list_topics(self._types)}'
        return (
            f'{self._bag}: expected {what}, found none (looked at {used}; {found}); name the '
            'topics, or check stamps, sizes and frames'
        )

    def _frame(self, left: Stamped, others: dict[str, Stamped]) -> Frame:
        image = _rgb(self._types[left.topic], left.message)
        info = self._infos[self._topics.left_info or '']
        try:
            camera = intrinsics(info, image.shape[1], image.shape[0])
        except CameraError as error:
            msg = f'{self._bag}: {self._topics.left_info}: {error}'
            raise CameraError(msg) from None
        right = self._right(others, image)
        depth, source = self._depth(left, others, camera)
        return Frame(
            stamp_ns=left.stamp_ns,
            left=image,
            camera=camera,
            right=right,
            baseline_m=None if right is None else self._baseline_m(),
            depth=depth,
            depth_source=source,
        )

    def _right(
        self, others: dict[str, Stamped], left: NDArray[np.uint8]
    ) -> NDArray[np.uint8] | None:
        found = others.get(self._topics.right or '')
        if found is None:
            return None
        image = _rgb(self._types[found.topic], found.message)
        if image.shape == left.shape:
            return image
        size, wanted = ('x'.join(map(str, i.shape[1::-1])) for i in (image, left))
        self._oddities.unfit(found.topic, f'images of {size} beside {wanted} are left out')
        return None

    def _baseline_m(self) -> float | None:
        info = self._infos.get(self._topics.right_info or '')
        if info is None:
            return None
        left, right = projection(self._infos[self._topics.left_info or '']), projection(info)
        baseline_m = float((left[0, 3] - right[0, 3]) / left[0, 0])
        if baseline_m < 0:
            msg = (
                f'{self._bag}: expected {self._topics.right} to the right of '
                f'{self._topics.left}, found a baseline of {baseline_m:.4f} m; swap the two'
            )
            raise BagError(msg)
        return baseline_m or None

    def _depth(
        self, left: Stamped, others: dict[str, Stamped], camera: Intrinsics
    ) -> tuple[NDArray[np.float32] | None, str | None]:
        image = others.get(self._topics.depth or '')
        if image is not None and self._registered(left.message, image.message, camera):
            return image_to_depth(image.message), 'depth'
        cloud = others.get(self._topics.lidar or '')
        if cloud is None:
            return None, None
        frames = left.message.header.frame_id, cloud.message.header.frame_id
        cam_T_lidar = self._transforms.lookup(*frames, left.bag_ns)
        if cam_T_lidar is None:
            msg = (
                f'{self._bag}: expected {TF_STATIC} to connect {frames[1]!r} ({cloud.topic}) with '
                f'{frames[0]!r} ({left.topic}), found no chain; record {TF_STATIC}, or leave the '
                'lidar out'
            )
            raise BagError(msg)
        points = cloud_points(cloud.topic, cloud.message)
        return points_to_depth(points, cam_T_lidar, camera), 'lidar'

    def _registered(self, left: Any, depth: Any, camera: Intrinsics) -> bool:
        same_size = (depth.width, depth.height) == (camera.width, camera.height)
        frames = depth.header.frame_id, left.header.frame_id
        if same_size and (not self._found or frames[0] == frames[1]):
            return True
        self._oddities.unfit(
            self._topics.depth or '',
            f'depth images of {depth.width}x{depth.height} in {frames[0]!r} are not registered to '
            f'those of {camera.width}x{camera.height} in {frames[1]!r} and are left out',
        )
        return False

    def _check_topics(self) -> None:
        chosen = self._topics
        missing = [name for name in vars(chosen).values() if name and name not in self._types]
        if missing:
            have = list_topics(self._types)
            msg = f'{self._bag}: expected topic {", ".join(missing)}, found {have}'
            raise BagError(msg)
        if chosen.left_info is None or (chosen.right and chosen.right_info is None):
            image = chosen.left if chosen.left_info is None else chosen.right
            msg = (
                f'{self._bag}: expected a camera_info beside {image}, found '
                f'{list_topics(self._types)}; name the topic, or record it'
            )
            raise BagError(msg)

    def _tolerance_ns(self) -> int:
        count = self._reader.topics[self._topics.left].msgcount
        period_ns = self._reader.duration // max(count - 1, 1)
        return min(period_ns // 2, MAX_TOLERANCE_NS)


def _rgb(msgtype: str, message: Any) -> NDArray[np.uint8]:
    return compressed_to_rgb(message) if msgtype == COMPRESSED else image_to_rgb(message)

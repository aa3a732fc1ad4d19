"""Frames out of rosbags: what one moment of a camera has, whatever bag it came from."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Collection
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
from depth_prune_ros.bags.losses import warn
from depth_prune_ros.bags.measured import MeasuredDepth
from depth_prune_ros.bags.messages import intrinsics
from depth_prune_ros.bags.messages import is_calibrated
from depth_prune_ros.bags.messages import stereo_baseline_m
from depth_prune_ros.bags.oddities import Oddities
from depth_prune_ros.bags.pairing import pair
from depth_prune_ros.bags.reading import BagReader
from depth_prune_ros.bags.reading import decode
from depth_prune_ros.bags.reading import open_bag
from depth_prune_ros.bags.reading import read_messages
from depth_prune_ros.bags.reading import Stamped
from depth_prune_ros.bags.reading import topics_by_type
from depth_prune_ros.bags.topics import choose_topics
from depth_prune_ros.bags.topics import COMPRESSED
from depth_prune_ros.bags.topics import depth_is_named
from depth_prune_ros.bags.topics import list_topics
from depth_prune_ros.bags.topics import Topics
from depth_prune_ros.core.camera import Intrinsics
from depth_prune_ros.core.errors import BagError
from depth_prune_ros.core.errors import CameraError
from depth_prune_ros.core.images import compressed_to_rgb
from depth_prune_ros.core.images import image_to_rgb
import numpy as np
from numpy.typing import NDArray

LIDAR_TOLERANCE_NS = 60 * 10**6
MAX_TOLERANCE_NS = 50 * 10**6
_SAME_PX = 0.1  # principal points closer than this are one


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
    :param depth_source: 'lidar', 'depth' (a depth image topic) or None; where an evaluation's
        ground truth comes from elsewhere, also 'stereo' (a disparity topic) or 'png' (a folder)
    :param depth_origin: which topic or folder depth is from, in words; without depth '', or why
    :param number: which of the recorded images it is, from 0, those that are left out counted;
        None behind damage that took nobody knows how many
    """

    stamp_ns: int
    left: NDArray[np.uint8]
    camera: Intrinsics
    right: NDArray[np.uint8] | None = None
    baseline_m: float | None = None
    depth: NDArray[np.float32] | None = None
    depth_source: str | None = None
    depth_origin: str = ''
    number: int | None = None


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
    an earlier one is left out. A damaged bag gives the frames that are whole, without what does
    not decode beside them. Losses and oddities are told to losses.collect_findings at the end.

    :param bag: a ROS 1 .bag, .db3 or .mcap file, or a folder with or without metadata.yaml
    :param topics: by default find_topics; leave out what is not wanted
    :param need: 'right', 'depth' or both: frames without are left out
    :param strict: raise BagError at the first damage
    :raises BagError: a bag that is missing, damaged beyond use or without frames; a topic that is
        not there or has no camera_info; a lidar without a transform to the camera
    :raises CameraError: a camera that is not calibrated
    :raises EncodingError: images of an encoding that cannot be used
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
        self._types = topics_by_type(reader)
        self._decoded = False
        self._oddities = Oddities(topics.left)
        self._check_topics()
        any_frame = not found or depth_is_named()
        self._measured = MeasuredDepth(reader, topics, self._oddities, any_frame=any_frame)
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
        for left, others in pair(watched, topics.left, tolerances, counts):
            self._oddities.paired(others)
            for topic in self._infos:
                if topic in others:
                    self._heed(others[topic])
            image = self._left(left)
            if image is not None:
                yield self._frame(left, image, others)

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

    def _heed(self, info: Stamped) -> None:
        """Take a camera_info over, but none without calibration after one that has it."""
        if is_calibrated(info.message) or not is_calibrated(self._infos[info.topic]):
            self._infos[info.topic] = info.message
        else:
            self._oddities.unfit(info.topic, 'messages without calibration are left out')

    def _left(self, found: Stamped) -> NDArray[np.uint8] | None:
        image = decode(self._reader, found, self._rgb(found.topic), first=not self._decoded)
        self._decoded = self._decoded or image is not None
        return image

    def _frame(self, left: Stamped, image: NDArray[np.uint8], others: dict[str, Stamped]) -> Frame:
        info = self._infos[self._topics.left_info or '']
        try:
            camera = intrinsics(info, image.shape[1], image.shape[0])
        except CameraError as error:
            msg = f'{self._bag}: {self._topics.left_info}: {error}'
            raise CameraError(msg) from None
        right = self._right(others, image)
        measured = self._measured.of(left, others, camera)
        return Frame(
            stamp_ns=left.stamp_ns,
            left=image,
            camera=camera,
            right=right,
            baseline_m=None if right is None else self._baseline_m(),
            depth=measured.depth,
            depth_source=measured.source,
            depth_origin=measured.origin,
            number=left.number,
        )

    def _right(
        self, others: dict[str, Stamped], left: NDArray[np.uint8]
    ) -> NDArray[np.uint8] | None:
        found = others.get(self._topics.right or '')
        image = None if found is None else decode(self._reader, found, self._rgb(found.topic))
        if found is None or image is None:
            return None
        if image.shape == left.shape:
            return self._moved(image)
        size, wanted = ('x'.join(map(str, i.shape[1::-1])) for i in (image, left))
        self._oddities.unfit(found.topic, f'images of {size} beside {wanted} are left out')
        return None

    def _moved(self, right: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """
        Move the right image to where it has the left one's principal point.

        A disparity is fx * B / Z plus the difference of the two, which some rectifications leave.
        """
        height, width = right.shape[:2]
        infos = [info for info in self._pair_of_infos() if info and is_calibrated(info)]
        places = [intrinsics(info, width, height).cx for info in infos]
        offset_px = places[0] - places[1] if len(places) == 2 else 0.0
        if abs(offset_px) <= _SAME_PX:
            return right
        moving = np.array([[1, 0, offset_px], [0, 1, 0]])
        border = cv2.BORDER_REPLICATE
        return np.asarray(cv2.warpAffine(right, moving, (width, height), borderMode=border))

    def _baseline_m(self) -> float | None:
        left, right = self._pair_of_infos()
        if left is None or right is None:
            return None
        return stereo_baseline_m(self._bag, self._topics, left, right)

    def _pair_of_infos(self) -> tuple[Any, Any]:
        """Return the camera_info of the left and of the right camera, None where there is none."""
        return (
            self._infos.get(self._topics.left_info or ''),
            self._infos.get(self._topics.right_info or ''),
        )

    def _rgb(self, topic: str) -> Callable[[Any], NDArray[np.uint8]]:
        return compressed_to_rgb if self._types[topic] == COMPRESSED else image_to_rgb

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

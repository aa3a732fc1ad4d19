"""Where the ground truth of a bag comes from: the bag itself, another topic, or KITTI's PNGs."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import replace
from itertools import islice
from pathlib import Path
import re
from typing import Any
from typing import TYPE_CHECKING

import cv2
from depth_prune_ros.bags.frames import Frame
from depth_prune_ros.bags.frames import read_frames
from depth_prune_ros.bags.messages import projection
from depth_prune_ros.bags.reading import open_bag
from depth_prune_ros.bags.reading import read_messages
from depth_prune_ros.bags.reading import topics_by_type
from depth_prune_ros.bags.topics import choose_topics
from depth_prune_ros.bags.topics import list_topics
from depth_prune_ros.bags.topics import Topics
from depth_prune_ros.core.errors import BagError
from depth_prune_ros.core.errors import ConfigError
from depth_prune_ros.core.images import image_to_depth
from depth_prune_ros.evaluation.predictions import IMAGE
from depth_prune_ros.evaluation.predictions import StampJoin
import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from depth_prune_ros.bags.reading import BagReader

Float = NDArray[np.float32]

DISPARITY_IMAGE = 'stereo_msgs/msg/DisparityImage'
_DISPARITY = 'disparity:'
# KITTI's uint16 PNGs: metres, or pixels of disparity, times this; 0 = none.
_PNG_SCALE = np.float32(256)


@dataclass(frozen=True)
class BagFrames:
    """
    The frames of a bag with the ground truth asked for.

    :param read: opens the bag and yields its frames; in whatever thread it is run
    :param count: images that the bag has
    :param remarks: what a reader of the figures has to know
    """

    read: Callable[[], Iterator[Frame]]
    count: int
    remarks: tuple[str, ...] = ()


def bag_frames(bag: Path, source: str = '') -> BagFrames:
    """
    Prepare the frames of a bag. The right images are not read: only their camera_info is.

    :param source: '' for what the bag has (a depth image, else lidar); 'lidar'; a topic of depth
        images or stereo_msgs/DisparityImage; a folder of KITTI's depth PNGs (uint16, metres *
        256). With 'disparity:' in front, a topic of 32FC1 images or a folder of PNGs holds
        disparity in pixels, and the stereo pair's baseline makes it depth.
    :raises BagError: the bag cannot be read, has no camera, or lacks what the source needs
    :raises ConfigError: a source that is neither a topic nor a folder
    """
    with open_bag(bag) as reader:
        types = topics_by_type(reader)
        topics = choose_topics(bag, types)
        count = int(reader.topics[topics.left].msgcount)
        baseline_m, remark = _stereo_baseline(bag, reader, topics)
        registered = _is_registered(bag, reader, topics)
    mono = replace(topics, right=None, right_info=None)
    name = source.removeprefix(_DISPARITY)
    is_disparity = source.startswith(_DISPARITY)
    if name in types:
        read = _topic_frames(bag, mono, name, types[name], is_disparity)
    elif Path(name).is_dir() and name:
        files = _match(Path(name), count)
        read = _folder_frames(bag, mono, files, is_disparity)
    elif source in ('', 'lidar'):
        keep = not source and registered
        read = _plain_frames(bag, mono if keep else replace(mono, depth=None))
    else:
        msg = (
            f'{bag}: expected ground truth from lidar, a topic of the bag or a folder of PNGs, '
            f'found {source!r}; the bag has {list_topics(types)}'
        )
        raise ConfigError(msg)
    return BagFrames(
        lambda: (replace(frame, baseline_m=baseline_m) for frame in read(baseline_m)),
        count,
        (remark,) if remark else (),
    )


Read = Callable[['float | None'], Iterator[Frame]]


def _plain_frames(bag: Path, topics: Topics) -> Read:
    return lambda _: read_frames(bag, topics=topics)


def _topic_frames(bag: Path, topics: Topics, topic: str, kind: str, is_disparity: bool) -> Read:
    if kind == IMAGE and not is_disparity:
        return _plain_frames(bag, replace(topics, depth=topic, lidar=None))
    if kind not in (IMAGE, DISPARITY_IMAGE):
        msg = f'{bag}: expected an Image or a DisparityImage on {topic}, found {kind}'
        raise BagError(msg)
    bare = replace(topics, depth=None, lidar=None)

    def read(baseline_m: float | None) -> Iterator[Frame]:
        with open_bag(bag) as reader:
            join = StampJoin(read_messages(bag, reader, [topic]))
            for frame in read_frames(bag, topics=bare):
                found = join.find(frame.stamp_ns)
                depth = None if found is None else _stereo_depth(topic, found, frame, baseline_m)
                yield replace(frame, depth=depth, depth_source=None if found is None else 'stereo')

    return read


def _stereo_depth(topic: str, message: Any, frame: Frame, baseline_m: float | None) -> Float:
    """Turn a DisparityImage, or an Image of disparity, into metres."""
    image = getattr(message, 'image', message)
    if image.encoding != '32FC1':
        msg = f'{topic}: expected disparity in pixels as 32FC1, found {image.encoding!r}'
        raise BagError(msg)
    disparity = image_to_depth(image)
    _check_size(topic, disparity.shape, frame)
    if image is message:
        return _from_disparity(topic, disparity, frame, baseline_m)
    # ROS 1 calls the baseline T.
    own_baseline_m = float(message.t if hasattr(message, 't') else message.T)
    disparity = np.where(disparity >= message.min_disparity, disparity, np.float32(np.nan))
    return np.asarray(np.float32(message.f * own_baseline_m) / disparity, np.float32)


def _from_disparity(name: str, disparity: Float, frame: Frame, baseline_m: float | None) -> Float:
    if baseline_m is None:
        msg = (
            f'{name}: expected the camera_info of a stereo pair for the baseline that makes '
            'disparity depth, found none; record both camera_info topics'
        )
        raise BagError(msg)
    return np.asarray(np.float32(baseline_m * frame.camera.fx) / disparity, np.float32)


def _folder_frames(bag: Path, topics: Topics, files: dict[int, Path], is_disparity: bool) -> Read:
    bare = replace(topics, depth=None, lidar=None)

    def read(baseline_m: float | None) -> Iterator[Frame]:
        for index, frame in enumerate(read_frames(bag, topics=bare)):
            path = files.get(index)
            if path is None:
                yield frame
                continue
            values = _read_png(path)
            _check_size(str(path), values.shape, frame)
            if is_disparity:
                values = _from_disparity(str(path), values, frame, baseline_m)
            yield replace(frame, depth=values, depth_source='png')

    return read


def _match(folder: Path, count: int) -> dict[int, Path]:
    """
    Say which PNG belongs to which frame of the bag, counted from 0 in the order of recording.

    As many PNGs as frames: in the order of their names. Else each name has to have a number (the
    last six or more digits in a row: 0000000005.png, 000005_10.png) below the number of frames:
    that is the frame's. KITTI's official depth leaves out a drive's first and last five frames.
    """
    paths = sorted(folder.glob('*.png'))
    if paths and len(paths) == count:
        return dict(enumerate(paths))
    numbers = [re.findall(r'\d{6,}', path.stem) for path in paths]
    found = {int(n[-1]): path for n, path in zip(numbers, paths, strict=True) if n}
    if paths and len(found) == len(paths) and max(found) < count:
        return found
    names = f'{paths[0].name} .. {paths[-1].name}' if paths else 'none'
    msg = (
        f'{folder}: expected one PNG for each of the {count} frames, or PNGs numbered below '
        f'{count}, found {len(paths)} ({names}); is this the ground truth of this bag?'
    )
    raise BagError(msg)


def _read_png(path: Path) -> Float:
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if image is None or image.dtype != np.uint16 or image.ndim != 2:
        what = 'no image' if image is None else f'{image.dtype} of shape {image.shape}'
        msg = f'{path}: expected a grey PNG of 16 bits (value * 256), found {what}'
        raise BagError(msg)
    values = image.astype(np.float32) / _PNG_SCALE
    values[image == 0] = np.nan
    return values


def _check_size(name: str, shape: Sequence[int], frame: Frame) -> None:
    wanted = frame.left.shape[:2]
    if tuple(shape) != wanted:
        msg = (
            f"{name}: expected ground truth of the image's size {wanted[1]}x{wanted[0]}, found "
            f'{shape[1]}x{shape[0]}; is it of this camera?'
        )
        raise BagError(msg)


def _is_registered(bag: Path, reader: BagReader, topics: Topics) -> bool:
    """Tell whether the depth topic that was found is in the left image's frame."""
    frames = {
        found.message.header.frame_id
        for name in (topics.left, topics.depth)
        if name is not None
        for found in islice(read_messages(bag, reader, [name]), 1)
    }
    return topics.depth is not None and len(frames) == 1


def _stereo_baseline(bag: Path, reader: BagReader, topics: Topics) -> tuple[float | None, str]:
    """Return the baseline of the pair's first camera_infos, or a remark why there is none."""
    names = (topics.left_info, topics.right_info)
    infos = [
        found.message
        for name in names
        if name is not None
        for found in islice(read_messages(bag, reader, [name]), 1)
    ]
    if len(infos) != 2:
        return None, ''
    left, right = infos
    if (left.width, left.height) != (right.width, right.height):
        return None, (
            f'{bag.name}: the left camera has {left.width}x{left.height} px, the right one '
            f'{right.width}x{right.height}: not a rectified pair, so no baseline and no D1-all'
        )
    ours, theirs = projection(left), projection(right)
    baseline_m = float((ours[0, 3] - theirs[0, 3]) / ours[0, 0]) if ours[0, 0] else 0.0
    if baseline_m < 0:
        msg = (
            f'{bag}: expected {topics.right} to the right of {topics.left}, found a baseline of '
            f'{baseline_m:.4f} m; swap the two'
        )
        raise BagError(msg)
    return baseline_m or None, ''

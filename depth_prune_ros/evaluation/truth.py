"""Where the ground truth of a bag comes from: the bag itself, another topic, or KITTI's PNGs."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Collection
from collections.abc import Iterator
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any
from typing import TYPE_CHECKING

from depth_prune_ros.bags.bag_files import bag_name
from depth_prune_ros.bags.frames import Frame
from depth_prune_ros.bags.frames import read_frames
from depth_prune_ros.bags.kitti import read_png
from depth_prune_ros.bags.messages import disparity_baseline_m
from depth_prune_ros.bags.messages import stereo_baseline_m
from depth_prune_ros.bags.reading import decode
from depth_prune_ros.bags.reading import open_bag
from depth_prune_ros.bags.reading import read_messages
from depth_prune_ros.bags.reading import Stamped
from depth_prune_ros.bags.reading import topics_by_type
from depth_prune_ros.bags.topics import choose_topics
from depth_prune_ros.bags.topics import COMPRESSED
from depth_prune_ros.bags.topics import depth_is_named
from depth_prune_ros.bags.topics import DISPARITY
from depth_prune_ros.bags.topics import list_topics
from depth_prune_ros.bags.topics import RAW
from depth_prune_ros.bags.topics import Topics
from depth_prune_ros.core.errors import BagError
from depth_prune_ros.core.errors import ConfigError
from depth_prune_ros.core.images import image_to_depth
from depth_prune_ros.evaluation.pngs import match_pngs
from depth_prune_ros.evaluation.predictions import StampJoin
import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from depth_prune_ros.bags.reading import BagReader

Float = NDArray[np.float32]

_DISPARITY = 'disparity:'
# Why frames have no ground truth whose PNG cannot be told.
_UNKNOWN = 'none, since PNGs go by the number of the image and images before it are lost'


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


def bag_frames(
    bag: Path, source: str = '', judged: Collection[str] = (), *, alone: bool = True
) -> BagFrames:
    """
    Prepare the frames of a bag. The right images are not read: only their camera_info is.

    :param source: '' for what the bag has (a depth image, else lidar); 'lidar'; a topic of depth
        images or stereo_msgs/DisparityImage; a folder of KITTI's depth PNGs (uint16, metres *
        256). With 'disparity:' in front, a topic of 32FC1 images or a folder of PNGs holds
        disparity in pixels, and the stereo pair's baseline makes it depth.
    :param judged: topics that are judged, and so no ground truth unless the source names them
    :param alone: whether the source is for this bag alone, as a folder has to be
    :raises BagError: the bag cannot be read, has no camera, or lacks what the source needs
    :raises ConfigError: a source that is neither a topic nor a folder, or a folder for many bags
    """
    with open_bag(bag) as reader:
        types = topics_by_type(reader)
        topics = choose_topics(bag, types, judged)
        count = int(reader.topics[topics.left].msgcount)
        baseline_m, remark = _stereo_baseline(bag, reader, topics)
        registered = _is_registered(bag, reader, topics)
        whole = not reader.gaps
    mono = replace(topics, right=None, right_info=None)
    name = source.removeprefix(_DISPARITY)
    is_disparity = source.startswith(_DISPARITY)
    if name in types:
        read = _topic_frames(bag, mono, name, types[name], is_disparity)
    elif Path(name).is_dir() and name:
        if not alone:
            msg = f'{name}: expected one bag for a folder of PNGs, found several; judge each alone'
            raise ConfigError(msg)
        files = match_pngs(Path(name), count, whole=whole)
        read = _folder_frames(bag, mono, files, source)
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
    if kind in (RAW, COMPRESSED) and not is_disparity:
        return _plain_frames(bag, replace(topics, depth=topic, lidar=None))
    if kind not in (RAW, DISPARITY):
        msg = f'{bag}: expected an Image or a DisparityImage on {topic}, found {kind}'
        raise BagError(msg)
    bare = replace(topics, depth=None, lidar=None)

    def read(baseline_m: float | None) -> Iterator[Frame]:
        with open_bag(bag) as reader:
            join = StampJoin(reader, topic)
            pixels = partial(_disparity, topic)
            for frame in read_frames(bag, topics=bare):
                found = join.find(frame.stamp_ns)
                disparity = None if found is None else decode(reader, found, pixels)
                if found is None or disparity is None:
                    yield frame
                    continue
                depth = _stereo_depth(found, disparity, frame, baseline_m)
                yield _with_depth(frame, depth, 'stereo', f'disparity {topic}')

    return read


def _with_depth(frame: Frame, depth: Float, source: str, origin: str) -> Frame:
    return replace(frame, depth=depth, depth_source=source, depth_origin=origin)


def _disparity(topic: str, message: Any) -> Float:
    """Return the pixels [H, W] of a DisparityImage, or of an Image of disparity."""
    image = getattr(message, 'image', message)
    if image.encoding != '32FC1':
        msg = f'{topic}: expected disparity in pixels as 32FC1, found {image.encoding!r}'
        raise BagError(msg)
    return image_to_depth(image)


def _stereo_depth(
    found: Stamped, disparity: Float, frame: Frame, baseline_m: float | None
) -> Float:
    """Turn the disparity [H, W] of a DisparityImage, or of an Image, into metres."""
    _check_size(found.topic, disparity.shape, frame)
    message = found.message
    if not hasattr(message, 'image'):
        return _from_disparity(found.topic, disparity, frame, baseline_m)
    disparity = np.where(disparity >= message.min_disparity, disparity, np.float32(np.nan))
    scale = np.float32(message.f * disparity_baseline_m(message))
    return np.asarray(scale / disparity, np.float32)


def _from_disparity(name: str, disparity: Float, frame: Frame, baseline_m: float | None) -> Float:
    if baseline_m is None:
        msg = (
            f'{name}: expected the camera_info of a stereo pair for the baseline that makes '
            'disparity depth, found none; record both camera_info topics'
        )
        raise BagError(msg)
    return np.asarray(np.float32(baseline_m * frame.camera.fx) / disparity, np.float32)


def _folder_frames(bag: Path, topics: Topics, files: dict[int, Path], source: str) -> Read:
    bare = replace(topics, depth=None, lidar=None)

    def read(baseline_m: float | None) -> Iterator[Frame]:
        for frame in read_frames(bag, topics=bare):
            path = None if frame.number is None else files.get(frame.number)
            if path is None:
                yield replace(frame, depth_origin=_UNKNOWN if frame.number is None else '')
                continue
            values = read_png(path)
            _check_size(str(path), values.shape, frame)
            if source.startswith(_DISPARITY):
                values = _from_disparity(str(path), values, frame, baseline_m)
            yield _with_depth(frame, values, 'png', f'PNGs of {source}')

    return read


def _check_size(name: str, shape: Sequence[int], frame: Frame) -> None:
    wanted = frame.left.shape[:2]
    if tuple(shape) != wanted:
        msg = (
            f"{name}: expected ground truth of the image's size {wanted[1]}x{wanted[0]}, found "
            f'{shape[1]}x{shape[0]}; is it of this camera?'
        )
        raise BagError(msg)


def _is_registered(bag: Path, reader: BagReader, topics: Topics) -> bool:
    """Tell whether the depth topic was named, or else is in the left image's frame."""
    if topics.depth is None or depth_is_named():
        return topics.depth is not None
    frames = {
        found.message.header.frame_id
        for name in (topics.left, topics.depth)
        for found in islice(read_messages(bag, reader, [name]), 1)
    }
    return len(frames) == 1


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
            f'{bag_name(bag)}: the left camera has {left.width}x{left.height} px, the right one '
            f'{right.width}x{right.height}: not a rectified pair, so no baseline and no D1-all'
        )
    return stereo_baseline_m(bag, topics, left, right), ''

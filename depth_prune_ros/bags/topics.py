"""Which topics of a bag are the cameras, the lidar and the depth: by type and known layouts."""

from __future__ import annotations

from collections.abc import Collection
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import replace
from os.path import commonprefix
from pathlib import Path
from typing import Any

from depth_prune_ros.bags.reading import open_bag
from depth_prune_ros.bags.reading import topics_by_type
from depth_prune_ros.bags.topic_names import names_depth
from depth_prune_ros.bags.topic_names import PACKED_DEPTH
from depth_prune_ros.bags.topic_names import predicts
from depth_prune_ros.core.errors import BagError
from depth_prune_ros.core.errors import ConfigError

RAW = 'sensor_msgs/msg/Image'
COMPRESSED = 'sensor_msgs/msg/CompressedImage'
INFO = 'sensor_msgs/msg/CameraInfo'
CLOUD = 'sensor_msgs/msg/PointCloud2'
DISPARITY = 'stereo_msgs/msg/DisparityImage'

_KITTI = ('/kitti/camera_color_left/', '/kitti/camera_gray_left/')
_LIDARS = ('/kitti/velo/pointcloud', '/kitti/velodyne_points')
_LIDAR_WORDS = ('velo', 'lidar', 'ouster', 'livox', 'points_raw')
_NOT_PICTURES = ('disparity', 'mask', 'semantic', 'thermal', 'theora', 'compresseddepth')
_COLOUR_WORDS = ('color', 'colour', 'rgb')
_TYPES = {
    'left': (RAW, COMPRESSED),
    'left_info': (INFO,),
    'right': (RAW, COMPRESSED),
    'right_info': (INFO,),
    'lidar': (CLOUD,),
    'depth': (RAW, COMPRESSED),
}


@dataclass(frozen=True)
class Topics:
    """
    The topics that make a Frame; None = not there, or not wanted.

    :param left: Image or CompressedImage of the camera (of a stereo pair: the left one)
    :param left_info: its CameraInfo
    :param right: right camera of the pair
    :param right_info: its CameraInfo
    :param lidar: PointCloud2
    :param depth: Image 32FC1 or 16UC1, or CompressedImage of such, registered to the left image
    """

    left: str
    left_info: str | None = None
    right: str | None = None
    right_info: str | None = None
    lidar: str | None = None
    depth: str | None = None


# Topics that hold for every bag, by the name of the field in Topics; see name_topics.
_named: dict[str, str | None] = {}


def name_topics(**topics: str) -> None:
    """
    Name topics for every bag that this process reads, as a command line does.

    :param topics: field of Topics -> topic; '' finds it, 'none' does without
    :raises ConfigError: none as the left camera
    """
    if topics.get('left') == 'none':
        msg = '--left: expected a topic, found none: no bag is read without a camera; leave it out'
        raise ConfigError(msg)
    _named.clear()
    _named.update({k: None if topic == 'none' else topic for k, topic in topics.items() if topic})


def named_topics() -> dict[str, str | None]:
    """Return what name_topics named, by the field of Topics."""
    return dict(_named)


def topic_options(without: Collection[str] = ()) -> list[str]:
    """
    Return what name_topics named as options of a command line.

    :param without: fields of Topics that are left out
    """
    named = {name: topic or 'none' for name, topic in _named.items() if name not in without}
    return [part for n, topic in named.items() for part in (f'--{n.replace("_", "-")}', topic)]


def depth_is_named() -> bool:
    """Tell whether the depth topic was named: it counts in whatever frame it is."""
    return _named.get('depth') is not None


def find_topics(bag: Path) -> Topics:
    """
    Find the topics of a bag by type and name.

    Order of preference: kitti2bag's colour cameras, its grey ones, a topic with "left" in its
    name, the pair infra1/infra2 when there is no colour camera, a topic with "color" or "rgb" in
    its name, the only image topic. Raw images go before compressed ones, and names without
    "depth" before cameras below such a name. A camera_info is looked for beside its image, from
    the innermost namespace outwards.

    :raises BagError: no image topic, several without a way to choose, or a right camera alone
    """
    with open_bag(bag) as reader:
        types = topics_by_type(reader)
    return choose_topics(bag, types)


def choose_topics(
    bag: Path, types: Mapping[str, str], judged: Collection[str] = (), *, fitting: bool = False
) -> Topics:
    """
    Choose among topics; find_topics for a bag that is open already.

    :param bag: for error messages
    :param types: topic -> message type
    :param judged: topics of predicted depth, which are not found as measured depth
    :param fitting: do without those topics of name_topics that misnamed_topics tells
    :raises BagError: as find_topics; a topic of name_topics that is not there, or of another type
    """
    wrong = misnamed_topics(types)
    if wrong and not fitting:
        raise BagError(f'{bag}: {"; ".join(dict.fromkeys(wrong.values()))}')
    wanted = {name: topic for name, topic in _named.items() if name not in wrong}
    depth = wanted.get('depth')
    left = wanted.get('left') or _left(bag, {t: k for t, k in types.items() if t != depth})
    right = wanted.get('right', _right_of(left, types))
    right_info = wanted.get('right_info', info_of(right, types) if right else None)
    found = Topics(
        left=left,
        left_info=info_of(left, types),
        right=right if right_info or 'right' in wanted else None,
        right_info=right_info,
        lidar=_lidar(types),
        depth=_depth_of(left, types, judged),
    )
    named: dict[str, Any] = {name: topic for name, topic in wanted.items() if name != 'left'}
    return replace(found, **named)


def misnamed_topics(types: Mapping[str, str]) -> dict[str, str]:
    """
    Find the topics of name_topics that a bag does not have, or has with another type.

    :param types: topic -> message type
    :return: field of Topics -> what was expected and found
    """
    named = {name: topic for name, topic in _named.items() if topic}
    missing = {name: topic for name, topic in named.items() if topic not in types}
    gone = f'expected topic {", ".join(missing.values())}, found {list_topics(types)}'
    wrong = dict.fromkeys(missing, gone)
    for name, topic in named.items():
        if name not in missing and types[topic] not in _TYPES[name]:
            wrong[name] = (
                f'{topic}: expected {" or ".join(_TYPES[name])} for --{name.replace("_", "-")}, '
                f'found {types[topic]}; name another one, see bag info'
            )
    if named.get('left') == named.get('depth', '') and not wrong:
        both = (
            f'expected another topic for --depth than for --left, found {named["left"]} for both'
        )
        wrong['depth'] = f'{both}; name the depth image, or none'
    return wrong


def list_topics(types: Mapping[str, str]) -> str:
    """Say in one line which topics there are."""
    return ', '.join(f'{topic} ({kind})' for topic, kind in types.items()) or 'no messages'


def _images(types: Mapping[str, str]) -> list[str]:
    """Return the image topics, raw ones first, without those that are no pictures."""
    found = [
        topic
        for below_depth in (False, True)
        for kind in (RAW, COMPRESSED)
        for topic in sorted(types)
        if types[topic] == kind
        and _has(topic, ('depth',)) == below_depth
        and not names_depth(topic)
        and not _has(topic, _NOT_PICTURES)
    ]
    return [t for t in found if types[t] == RAW or t.removesuffix('/compressed') not in types]


def _left(bag: Path, types: Mapping[str, str]) -> str:
    images = _images(types)
    if not images:
        msg = (
            f'{bag}: expected an image topic, found {list_topics(types)}; record one, or name it '
            'with --left'
        )
        raise BagError(msg)
    known = [topic for start in _KITTI for topic in images if topic.startswith(start)]
    if known:
        return known[0]
    named = [topic for topic in images if 'left' in topic]
    colour = [topic for topic in images if _has(topic, _COLOUR_WORDS) and 'right' not in topic]
    infra = [topic for topic in images if 'infra1' in topic]
    others = [topic for topic in images if 'right' not in topic]
    for choice in (named, colour, infra, others if len(others) == 1 else []):
        if choice:
            return choice[0]
    if not others:
        msg = (
            f'{bag}: expected a left camera beside {images[0]}, found only {", ".join(images)}; '
            'record the left camera too, or name the right one as the only camera'
        )
        raise BagError(msg)
    msg = f'{bag}: expected one camera, found {", ".join(others)}; name it, see bag info'
    raise BagError(msg)


def _right_of(left: str, types: Mapping[str, str]) -> str | None:
    images = _images(types)
    for ours, theirs in (('left', 'right'), ('infra1', 'infra2')):
        names = (theirs.join(left.rsplit(ours, 1)), left.replace(ours, theirs))
        for name in names if ours in left else ():
            plain = name.removesuffix('/compressed')
            for candidate in (name, plain, f'{plain}/compressed'):
                if candidate in images:
                    return candidate
    return None


def info_of(image: str, types: Mapping[str, str]) -> str | None:
    """Find the camera_info of an image topic."""
    parts = image.split('/')[:-1]
    while parts:
        candidate = '/'.join([*parts, 'camera_info'])
        if types.get(candidate) == INFO:
            return candidate
        parts.pop()
    infos = [topic for topic, kind in types.items() if kind == INFO]
    return infos[0] if len(infos) == len(_images(types)) == 1 else None


def _lidar(types: Mapping[str, str]) -> str | None:
    # A depth camera publishes clouds too; those tell nothing that its depth image does not.
    clouds = [t for t, kind in types.items() if kind == CLOUD and not _has(t, ('depth', 'color'))]
    named = [topic for topic in clouds if _has(topic, _LIDAR_WORDS)]
    known = [topic for topic in _LIDARS if topic in clouds]
    return next(iter(known or named or clouds), None)


def _depth_of(left: str, types: Mapping[str, str], judged: Collection[str]) -> str | None:
    image = left.removesuffix('/compressed')
    others = {image, *(topic.removesuffix(PACKED_DEPTH) for topic in judged)}
    found = [
        topic
        for topic, kind in types.items()
        if (kind == RAW or (kind == COMPRESSED and topic.endswith(PACKED_DEPTH)))
        and topic.removesuffix(PACKED_DEPTH) not in others
        and names_depth(topic)
        and not predicts(topic, info_of(topic, types))
    ]
    beside = image.rpartition('/')[0].lower() + '/depth'
    wants = (beside, 'aligned_depth', 'depth_registered', 'image_rect', 'depth')
    own = [topic for topic in found if _owner(topic, [left, *_images(types)]) == left] or found
    return next((topic for want in wants for topic in own if want in topic.lower()), None)


def _owner(topic: str, images: Sequence[str]) -> str:
    """Return the first of the images whose names begin as the topic's does the farthest."""
    return max(images, key=lambda image: len(commonprefix([topic.split('/'), image.split('/')])))


def _has(topic: str, words: Iterable[str]) -> bool:
    return any(word in topic.lower() for word in words)

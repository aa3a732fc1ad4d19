"""What a bag holds, and what can be made of it: for bags whose layout nobody knows."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from depth_prune_ros.bags.frames import read_frames
from depth_prune_ros.bags.messages import disparity_baseline_m
from depth_prune_ros.bags.messages import intrinsics
from depth_prune_ros.bags.messages import projection
from depth_prune_ros.bags.reading import BagReader
from depth_prune_ros.bags.reading import one_line
from depth_prune_ros.bags.reading import open_bag
from depth_prune_ros.bags.reading import read_messages
from depth_prune_ros.bags.reading import topics_by_type
from depth_prune_ros.bags.streams import Camera
from depth_prune_ros.bags.streams import Cloud
from depth_prune_ros.bags.streams import COMPRESSED_AS
from depth_prune_ros.bags.streams import Disparity
from depth_prune_ros.bags.topic_names import names_depth
from depth_prune_ros.bags.topics import choose_topics
from depth_prune_ros.bags.topics import CLOUD
from depth_prune_ros.bags.topics import COMPRESSED
from depth_prune_ros.bags.topics import DISPARITY
from depth_prune_ros.bags.topics import INFO
from depth_prune_ros.bags.topics import info_of
from depth_prune_ros.bags.topics import misnamed_topics
from depth_prune_ros.bags.topics import RAW
from depth_prune_ros.bags.topics import Topics
from depth_prune_ros.bags.transforms import StaticTransforms
from depth_prune_ros.bags.transforms import TOPIC as TF_STATIC
from depth_prune_ros.core.compressed_depth import compressed_to_depth
from depth_prune_ros.core.errors import BagError
from depth_prune_ros.core.errors import CameraError
from depth_prune_ros.core.errors import DepthPruneError
from depth_prune_ros.core.errors import ImageError
from depth_prune_ros.core.images import compressed_to_rgb
import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Check:
    """What reading all of a bag found: frames, and how many have what."""

    frames: int = 0
    right: int = 0
    depth: int = 0
    trouble: str = ''


@dataclass(frozen=True)
class BagInfo:
    """
    What a bag holds.

    :param topics: what is taken without being told; None where nothing could be chosen
    :param trouble: why nothing could be chosen
    :param others: how many topics are of no use here
    :param baseline_m: of the chosen pair, if it is one
    :param misnamed: field of Topics -> why the topic that was named for it is left out
    """

    bag: Path
    files: tuple[Path, ...]
    size: int
    duration_s: float
    messages: int
    cameras: tuple[Camera, ...]
    disparities: tuple[Disparity, ...]
    clouds: tuple[Cloud, ...]
    others: int
    topics: Topics | None
    trouble: str = ''
    baseline_m: float | None = None
    check: Check | None = None
    misnamed: Mapping[str, str] = field(default_factory=dict)

    def camera(self, topic: str | None) -> Camera | None:
        """Find a camera by its topic."""
        return next((camera for camera in self.cameras if camera.topic == topic), None)

    def cloud(self, topic: str | None) -> Cloud | None:
        """Find a cloud by its topic."""
        return next((cloud for cloud in self.clouds if cloud.topic == topic), None)


def read_info(
    bag: Path, *, check: bool = False, progress: Callable[[int], None] | None = None
) -> BagInfo:
    """
    Look into a bag.

    Of each topic only the first message is read, so it takes no time however large the bag is.

    :param check: read everything: checksums, stamps, what goes together
    :param progress: while checking, called with the number of frames
    :raises BagError: a bag that is missing, of no known kind or damaged beyond use
    """
    with open_bag(bag) as reader:
        info = _look(bag, reader)
    return replace(info, check=_check(bag, progress)) if check else info


def _look(bag: Path, reader: BagReader) -> BagInfo:
    types = topics_by_type(reader)
    topics, trouble = _choice(bag, types)
    cameras = tuple(_cameras(bag, reader, types))
    left = next((c for c in cameras if topics and c.topic == topics.left), None)
    transforms = StaticTransforms(read_messages(bag, reader, [TF_STATIC]))
    used = (RAW, COMPRESSED, INFO, CLOUD, DISPARITY)
    return BagInfo(
        bag=bag,
        files=reader.files,
        size=sum(path.stat().st_size for path in reader.files),
        duration_s=reader.duration * 1e-9 if reader.message_count else 0.0,
        messages=reader.message_count,
        cameras=cameras,
        disparities=tuple(_disparities(bag, reader, types)),
        clouds=tuple(_clouds(bag, reader, types, transforms, left)),
        others=sum(kind not in used and topic != TF_STATIC for topic, kind in types.items()),
        topics=topics,
        trouble=trouble,
        baseline_m=_baseline_m(cameras, topics),
        misnamed=misnamed_topics(types),
    )


def _choice(bag: Path, types: dict[str, str]) -> tuple[Topics | None, str]:
    try:
        return choose_topics(bag, types, fitting=True), ''
    except BagError as error:
        return None, str(error).removeprefix(f'{bag}: ')


def _cameras(bag: Path, reader: BagReader, types: dict[str, str]) -> Iterator[Camera]:
    for topic, kind in types.items():
        if kind not in (RAW, COMPRESSED):
            continue
        image = _first(bag, reader, topic)
        if image is None:
            continue
        if kind == RAW:
            size, encoding = (image.width, image.height), image.encoding
        else:
            size, encoding = _decoded_size(topic, image), f'{COMPRESSED_AS}{image.format}'
        found = Camera(*_stream(reader, topic, image), size, encoding, info_of(topic, types))
        yield _calibrated(found, _first(bag, reader, found.info_topic))


def _calibrated(camera: Camera, info: Any | None) -> Camera:
    if info is None:
        return camera
    coefficients = np.abs(np.asarray(info.d if hasattr(info, 'd') else info.D, np.float64))
    largest = float(coefficients.max(initial=0.0))
    try:
        known = intrinsics(info, *camera.size)
    except CameraError:
        return camera
    p = projection(info)
    return replace(
        camera,
        intrinsics=known,
        distortion=f'{info.distortion_model}, up to {largest:.2g}' if largest else '',
        tx=float(p[0, 3] * known.fx / p[0, 0]),
    )


def _disparities(bag: Path, reader: BagReader, types: dict[str, str]) -> Iterator[Disparity]:
    for topic in (topic for topic, kind in types.items() if kind == DISPARITY):
        found = _first(bag, reader, topic)
        if found is not None:
            size = found.image.width, found.image.height
            yield Disparity(
                *_stream(reader, topic, found), size, float(found.f), disparity_baseline_m(found)
            )


def _clouds(
    bag: Path,
    reader: BagReader,
    types: dict[str, str],
    transforms: StaticTransforms,
    left: Camera | None,
) -> Iterator[Cloud]:
    for topic in (topic for topic, kind in types.items() if kind == CLOUD):
        cloud = _first(bag, reader, topic)
        if cloud is not None:
            stream = _stream(reader, topic, cloud)
            frames = (left.frame_id, stream[-1]) if left else None
            chain = transforms.chain(*frames, reader.end_time) if frames else None
            yield Cloud(*stream, cloud.width * cloud.height, chain)


def _first(bag: Path, reader: BagReader, topic: str | None) -> Any | None:
    """Return the first message of a topic that can be read."""
    messages = read_messages(bag, reader, [topic] if topic else [])
    return next((found.message for found in islice(messages, 1)), None)


def _stream(reader: BagReader, topic: str, message: Any) -> tuple[str, int, float, str]:
    count = reader.topics[topic].msgcount
    rate_hz = (count - 1) / (reader.duration * 1e-9) if count > 1 and reader.duration else 0.0
    return topic, count, rate_hz, message.header.frame_id


def _decoded_size(topic: str, image: Any) -> tuple[int, int]:
    how: Callable[[Any], NDArray[Any]] = (
        compressed_to_depth if names_depth(topic) else compressed_to_rgb
    )
    try:
        height, width = how(image).shape[:2]
    except ImageError:
        return 0, 0
    return width, height


def _baseline_m(cameras: tuple[Camera, ...], topics: Topics | None) -> float | None:
    found = {camera.topic: camera for camera in cameras}
    left = found.get(topics.left) if topics else None
    right = found.get(topics.right or '') if topics else None
    if not (left and right and left.intrinsics and right.intrinsics):
        return None
    return left.tx / left.intrinsics.fx - right.tx / right.intrinsics.fx


def _check(bag: Path, progress: Callable[[int], None] | None) -> Check:
    """Read every message, then every frame."""
    frames = right = depth = 0
    try:
        with open_bag(bag) as reader, one_line(bag):
            for _ in reader.messages():
                pass
        for frame in read_frames(bag):
            frames += 1
            right += frame.right is not None
            depth += frame.depth is not None
            if progress is not None:
                progress(frames)
    except DepthPruneError as error:
        return Check(frames, right, depth, str(error).removeprefix(f'{bag}: '))
    return Check(frames, right, depth)

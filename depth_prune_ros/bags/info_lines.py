"""A BagInfo in words: what is there, what is missing, and the command lines to write."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
import shlex

from depth_prune_ros.bags.bag_files import bag_name
from depth_prune_ros.bags.info import BagInfo
from depth_prune_ros.bags.streams import Camera
from depth_prune_ros.bags.streams import Cloud
from depth_prune_ros.bags.streams import Disparity
from depth_prune_ros.bags.streams import Stream
from depth_prune_ros.bags.topic_names import is_kitti
from depth_prune_ros.bags.topics import depth_is_named
from depth_prune_ros.bags.topics import topic_options
from depth_prune_ros.bags.topics import Topics
from depth_prune_ros.core.images import RGB_ENCODINGS

_TRUTH = 'ground truth: a lidar with /tf_static, or registered depth'


def info_lines(info: BagInfo) -> Iterator[str]:
    """Say everything about a bag, line by line."""
    kinds = ', '.join(sorted({path.suffix for path in info.files}))
    yield (
        f'{info.bag}: {len(info.files)} file{"s" * (len(info.files) > 1)} ({kinds}), '
        f'{info.size / 1e6:.1f} MB, {info.duration_s:.1f} s, {info.messages} messages'
    )
    yield from (_camera(camera) for camera in info.cameras)
    yield from (_disparity(disparity) for disparity in info.disparities)
    yield from (_cloud(cloud, info.topics) for cloud in info.clouds)
    if info.others:
        yield f'{info.others} other topics'
    yield from _choice(info)
    if info.check is not None:
        yield _check(info)
    yield from _uses(info)


def _camera(camera: Camera) -> str:
    kind = 'depth ' if camera.is_depth else 'camera'
    if not all(camera.size):
        why = f'its first image does not decode{" as depth" * camera.is_depth}'
        return f'{kind}  {_stream(camera)}, {camera.encoding}: {why}'
    return f'{kind}  {_stream(camera)}, {"x".join(map(str, camera.size))} {camera.encoding}; ' + (
        _calibration(camera)
    )


def _calibration(camera: Camera) -> str:
    if camera.info_topic is None:
        return 'no camera_info'
    found = camera.intrinsics
    if found is None:
        return f'{camera.info_topic}: not calibrated'
    distortion = (
        f'distortion {camera.distortion}: rectify, unless the images are rectified already'
        if camera.distortion
        else 'no distortion'
    )
    return (
        f'{camera.info_topic}: fx {found.fx:.1f}, fy {found.fy:.1f}, cx {found.cx:.1f}, '
        f'cy {found.cy:.1f}, {distortion}'
    )


def _disparity(found: Disparity) -> str:
    return (
        f'disparity  {_stream(found)}, {"x".join(map(str, found.size))}; f {found.focal_px:.1f}, '
        f'baseline {found.baseline_m:.4f} m'
    )


def _cloud(cloud: Cloud, topics: Topics | None) -> str:
    if topics is None:
        way = 'no camera to connect it with'
    elif cloud.chain is None:
        way = f'no chain in /tf_static to the frame of {topics.left}'
    else:
        way = ' -> '.join(cloud.chain)
    return f'lidar   {_stream(cloud)}, {cloud.points} points; {way}'


def _stream(stream: Stream) -> str:
    rate = f' at {stream.rate_hz:.1f} Hz' if stream.rate_hz else ''
    return f'{stream.topic}: {stream.messages}{rate}, frame {stream.frame_id!r}'


def _choice(info: BagInfo) -> Iterator[str]:
    yield from (f'left out: {reason}' for reason in dict.fromkeys(info.misnamed.values()))
    if info.topics is None:
        yield f'nothing chosen: {info.trouble}'
        return
    named = {f.name: getattr(info.topics, f.name) for f in fields(info.topics)}
    yield 'used: ' + ', '.join(f'{k} {topic}' for k, topic in named.items() if topic)
    if info.baseline_m is not None:
        yield f'baseline: {info.baseline_m:.4f} m'


def _check(info: BagInfo) -> str:
    check = info.check
    if check is None:
        return ''
    text = f'checked: {check.frames} frames, {check.right} with right image, {check.depth} with '
    return text + f'ground truth{"; " + check.trouble if check.trouble else ""}'


def _uses(info: BagInfo) -> Iterator[str]:
    """Say for each command whether it can work, and with which options or what is missing."""
    options, hints = _options(info)
    found, named = _truth(info), _truth_to_name(info)
    judged_by = ['--ground-truth', named.topic] if named and not found else []
    left = _left(info)
    if judged_by and left and isinstance(named, Camera) and named.frame_id != left.frame_id:
        hints.append(
            f'{named.topic} is in the frame {named.frame_id!r}, the camera in {left.frame_id!r}: '
            'judge by it only where it is registered to the camera all the same'
        )
    # the default leaves out what is sky in KITTI's images
    judged_by += ['--protocol', 'plain'] if left and not is_kitti(left.topic) else []
    yield from (f'hint: {hint}' for hint in hints)
    no_camera = [] if left else [f'a camera {_unusable(info)}']
    no_views = [] if found or _pair(info) else [f'a right camera with baseline, or {_TRUTH}']
    for what, missing, command in (
        (
            'evaluate',
            no_camera or ([] if found or named else [f'{_TRUTH}, or stereo_msgs/DisparityImage']),
            ['evaluate', str(info.bag), *judged_by],
        ),
        (
            'train',
            no_camera or no_views,
            ['train', '--bags', str(info.bag), '--out', f'runs/{bag_name(info.bag)}'],
        ),
        ('replay', no_camera, ['replay', str(info.bag), *judged_by]),
    ):
        line = shlex.join(['depth-prune', *options, *command])
        yield f'{what}: ' + (f'missing {"; ".join(missing)}' if missing else line)


def _left(info: BagInfo) -> Camera | None:
    """Return the camera that is used, or the first that could be."""
    if info.topics is not None:
        found = info.camera(info.topics.left)
        return found if found and _is_usable(found) else None
    return next((c for c in info.cameras if _is_usable(c) and not c.is_depth), None)


def _unusable(info: BagInfo) -> str:
    """Say what a camera should be, where none that could be used is."""
    seen = [info.camera(info.topics.left)] if info.topics else info.cameras
    calibrated = any(camera and camera.intrinsics and not camera.is_depth for camera in seen)
    return 'whose encoding is read here' if calibrated else 'with camera_info that is calibrated'


def _is_usable(camera: Camera) -> bool:
    """Tell whether a camera is calibrated, and its images of an encoding that is read here."""
    known = camera.encoding.startswith('compressed') or camera.encoding in RGB_ENCODINGS
    return known and camera.intrinsics is not None


def _truth(info: BagInfo) -> bool:
    """Tell whether something measures the depth of the left images that is found by itself."""
    left = _left(info)
    if left is None:
        return False
    topics = info.topics
    depths = [info.camera(topics.depth)] if topics else _depths(info, left)
    clouds = [info.cloud(topics.lidar)] if topics else []
    any_frame = depth_is_named() and 'depth' not in info.misnamed
    registered = any(
        d is not None and d.size == left.size and (d.frame_id == left.frame_id or any_frame)
        for d in depths
    )
    return registered or any(c is not None and c.chain is not None for c in clouds)


def _truth_to_name(info: BagInfo) -> Stream | None:
    """Return what measures the depth of the left images where --ground-truth names it."""
    left = _left(info)
    if left is None:
        return None
    fitting = (found for found in info.disparities if found.size == left.size)
    return next(fitting, next(iter(_depths(info, left)), None))


def _depths(info: BagInfo, left: Camera) -> list[Camera]:
    """Return the depth images of the left image's size, those of its frame first."""
    found = [c for c in info.cameras if c.measures_depth and c.size == left.size]
    return sorted(found, key=lambda camera: camera.frame_id != left.frame_id)


def _pair(info: BagInfo) -> bool:
    left, right = _left(info), info.camera(info.topics.right if info.topics else None)
    return bool(left and right and left.size == right.size and (info.baseline_m or 0) > 0)


def _options(info: BagInfo) -> tuple[list[str], list[str]]:
    """Return options that make the bag work, and what to know about them."""
    options = topic_options(info.misnamed)
    hints: list[str] = []
    left = _left(info)
    if info.topics is None and left is not None:
        options += ['--left', left.topic]
        if left.info_topic:
            options += ['--left-info', left.info_topic]
        hints.append('name another camera with --left, its camera_info with --left-info')
    if info.topics is not None:
        cloud = info.cloud(info.topics.lidar)
        if cloud is not None and cloud.chain is None:
            options += ['--lidar', 'none']
            hints.append(f'{cloud.topic} is left out: record /tf_static to use it')
        if info.baseline_m is not None and info.baseline_m < 0:
            options += ['--left', info.topics.right or '', '--right', info.topics.left]
            hints.append('left and right are swapped')
    return options, hints

"""A BagInfo in words: what is there, what is missing, and the command lines to write."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields

from depth_prune_ros.bags.info import BagInfo
from depth_prune_ros.bags.info import Camera
from depth_prune_ros.bags.info import Cloud
from depth_prune_ros.bags.topics import named_topics
from depth_prune_ros.bags.topics import Topics


def info_lines(info: BagInfo) -> Iterator[str]:
    """Say everything about a bag, line by line."""
    kinds = ', '.join(sorted({path.suffix for path in info.files}))
    yield (
        f'{info.bag}: {len(info.files)} file{"s" * (len(info.files) > 1)} ({kinds}), '
        f'{info.size / 1e6:.1f} MB, {info.duration_s:.1f} s, {info.messages} messages'
    )
    yield from (_camera(camera) for camera in info.cameras)
    yield from (_cloud(cloud, info.topics) for cloud in info.clouds)
    if info.others:
        yield f'{info.others} other topics'
    yield from _choice(info)
    if info.check is not None:
        yield _check(info)
    yield from _uses(info)


def _camera(camera: Camera) -> str:
    kind = 'depth ' if camera.is_depth else 'camera'
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


def _cloud(cloud: Cloud, topics: Topics | None) -> str:
    if topics is None:
        way = 'no camera to connect it with'
    elif cloud.chain is None:
        way = f'no chain in /tf_static to the frame of {topics.left}'
    else:
        way = ' -> '.join(cloud.chain)
    return f'lidar   {_stream(cloud)}, {cloud.points} points; {way}'


def _stream(stream: Camera | Cloud) -> str:
    rate = f' at {stream.rate_hz:.1f} Hz' if stream.rate_hz else ''
    return f'{stream.topic}: {stream.messages}{rate}, frame {stream.frame_id!r}'


def _choice(info: BagInfo) -> Iterator[str]:
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
    yield from (f'hint: {hint}' for hint in hints)
    truth, why_not = _truth(info), 'ground truth: a lidar with /tf_static, or registered depth'
    pair = _pair(info)
    no_camera = [] if _left(info) else ['a camera with camera_info that is calibrated']
    start = ' '.join(['depth-prune', *options])
    for what, missing, command in (
        ('evaluate', no_camera + ([] if truth else [why_not]), f'evaluate {info.bag}'),
        (
            'train',
            no_camera + ([] if truth or pair else [f'a right camera with baseline, or {why_not}']),
            f'train --bags {info.bag} --out runs/{info.bag.stem}',
        ),
        ('replay', [] if info.cameras else ['a camera'], f'demo --bag {info.bag}'),
    ):
        yield f'{what}: ' + (f'missing {"; ".join(missing)}' if missing else f'{start} {command}')


def _left(info: BagInfo) -> Camera | None:
    """Return the camera that is used, or the first that could be."""
    if info.topics is not None:
        found = info.camera(info.topics.left)
        return found if found and found.intrinsics else None
    return next((c for c in info.cameras if c.intrinsics and not c.is_depth), None)


def _truth(info: BagInfo) -> bool:
    """Tell whether something measures the depth of the left images."""
    left = _left(info)
    if left is None:
        return False
    topics = info.topics
    depths = [info.camera(topics.depth)] if topics else [c for c in info.cameras if c.is_depth]
    clouds = [info.cloud(topics.lidar)] if topics else []
    registered = any(
        d is not None and (d.size, d.frame_id) == (left.size, left.frame_id) for d in depths
    )
    return registered or any(c is not None and c.chain is not None for c in clouds)


def _pair(info: BagInfo) -> bool:
    left, right = _left(info), info.camera(info.topics.right if info.topics else None)
    return bool(left and right and left.size == right.size and (info.baseline_m or 0) > 0)


def _options(info: BagInfo) -> tuple[list[str], list[str]]:
    """Return options that make the bag work, and what to know about them."""
    named = named_topics().items()
    options = [part for k, v in named for part in (f'--{k.replace("_", "-")}', v or 'none')]
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

"""Stamps and sizes that do not fit: what read_frames makes of them, and what it says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from depth_prune_ros.bags.frames import Frame
from depth_prune_ros.bags.frames import read_frames
from depth_prune_ros.bags.losses import collect_findings
from depth_prune_ros.bags.topics import find_topics
from depth_prune_ros.core.errors import BagError
from depth_prune_ros.core.errors import CameraError
import numpy as np
import pytest
from robot_bags import RobotBag
from robot_bags import SECOND
from robot_bags import START_NS

TENTH = SECOND // 10


def stereo(left: list[int], right: list[int]) -> RobotBag:
    """Make a pair whose images are recorded every 0.1 s and stamped in tenths of a second."""
    bag = RobotBag()
    for side, stamps, tx in (('left', left, 0.0), ('right', right, -5.0)):
        bag.info(f'/{side}/camera_info', START_NS, tx=tx)
        for number, stamp in enumerate(stamps):
            bag.image(
                f'/{side}/image_raw',
                START_NS + stamp * TENTH,
                level=number,
                late_ns=(number - stamp) * TENTH,
            )
    return bag


def read(path: Path) -> tuple[list[Frame], list[str]]:
    """Return the frames and the warnings, which name the bag."""
    with collect_findings() as findings:
        frames = list(read_frames(path))
    assert not findings.losses
    assert all(line.startswith(f'{path}: ') and '\n' not in line for line in findings.warnings)
    return frames, [line.removeprefix(f'{path}: ') for line in findings.warnings]


def test_stamps_that_never_match_leave_the_right_image_out(tmp_path: Path) -> None:
    path = stereo(list(range(10)), list(range(500, 510))).write(tmp_path / 'bag')
    frames, warnings = read(path)
    assert len(frames) == 10
    assert all(frame.right is None for frame in frames)
    (warning,) = warnings
    assert warning.startswith(
        '/right/image_raw: none of 10 messages is near an image of /left/image_raw in time '
        '(the first ones are +50.000 s apart)'
    )
    with pytest.raises(BagError, match=r'frames with right, found none .*\+50.000 s apart'):
        list(read_frames(path, need=['right']))


def test_images_of_one_stamp_are_one_frame(tmp_path: Path) -> None:
    path = stereo([0, 1, 1, 2, 0, 3], [0, 1, 2, 3]).write(tmp_path / 'bag')
    frames, warnings = read(path)
    assert [frame.left[0, 0, 0] for frame in frames] == [0, 1, 3, 5]
    assert [frame.right[0, 0, 0] for frame in frames if frame.right is not None] == [0, 1, 2, 3]
    (warning,) = warnings
    assert warning.startswith('/left/image_raw: 2 images have the stamp of an earlier one')


def test_stamps_that_go_back_stay_in_the_order_of_recording(tmp_path: Path) -> None:
    stamps = [100, 101, 102, 103, 0, 1, 2, 3]
    frames, warnings = read(stereo(stamps, stamps).write(tmp_path / 'bag'))
    assert [(frame.stamp_ns - START_NS) // TENTH for frame in frames] == stamps
    assert [None if f.right is None else f.right[0, 0, 0] for f in frames] == list(range(8))
    (warning,) = warnings
    assert warning.startswith('/left/image_raw: 1 images are stamped earlier than the one before')


def test_a_clock_that_was_set_back_costs_no_pair_that_comes_late(tmp_path: Path) -> None:
    bag = RobotBag()
    for side, tx in (('left', 0.0), ('right', -5.0)):
        bag.info(f'/{side}/camera_info', START_NS, tx=tx)
        for number, stamp in enumerate([100, 101, 102, *range(20)]):
            # Each right image is recorded 0.15 s late: after the next left one.
            late = number * TENTH + (3 * TENTH // 2 if side == 'right' else 0)
            late -= stamp * TENTH
            bag.image(f'/{side}/image_raw', START_NS + stamp * TENTH, level=number, late_ns=late)
            if side == 'right':
                # Not the same stamp: it has to be waited for.
                bag.messages[-1][3].header.stamp.nanosec += 10**6
    frames, _ = read(bag.write(tmp_path / 'bag'))
    assert [None if f.right is None else f.right[0, 0, 0] for f in frames] == list(range(23))


def test_a_right_image_of_another_size_is_left_out(tmp_path: Path) -> None:
    bag = stereo([0, 1], [0, 1])
    for message in bag.messages:
        if message[1] == '/right/image_raw':
            message[3].height, message[3].data = 3, message[3].data[:24]
    path = bag.write(tmp_path / 'bag')
    frames, warnings = read(path)
    assert [frame.right for frame in frames] == [None, None]
    assert [frame.baseline_m for frame in frames] == [None, None]
    assert warnings == ['/right/image_raw: images of 8x3 beside 8x6 are left out']
    with pytest.raises(BagError, match='frames with right, found none .*images of 8x3 beside 8x6'):
        list(read_frames(path, need=['right']))


def test_missing_intrinsics_name_the_topic(tmp_path: Path) -> None:
    bag = stereo([0], [0])
    bag.messages = [message for message in bag.messages if message[1] != '/left/camera_info']
    path = bag.write(tmp_path / 'bag')
    with pytest.raises(BagError, match='expected a camera_info beside /left/image_raw, found'):
        list(read_frames(path))
    bag = stereo([0], [])
    bag.messages[0][3].k[:] = bag.messages[0][3].p[:] = 0
    path = bag.write(tmp_path / 'zeros')
    with pytest.raises(CameraError, match=r'zeros: /left/camera_info: .*calibrate the camera'):
        list(read_frames(path))


def test_an_image_that_does_not_decode_is_lost_alone(tmp_path: Path) -> None:
    bag = stereo([0, 1, 2], [])
    bag.messages[2][3].data = bag.messages[2][3].data[:5]
    path = bag.write(tmp_path / 'bag')
    with collect_findings() as findings:
        frames = list(read_frames(path))
    assert [frame.left[0, 0, 0] for frame in frames] == [0, 2]
    assert 'expected 48 bytes' in str(findings.losses[path])
    bag.messages[1][3].encoding = 'unknown'
    with pytest.raises(Exception, match="found 'unknown'"):
        list(read_frames(bag.write(tmp_path / 'unknown')))


def test_a_right_or_depth_image_that_does_not_decode_costs_no_frame(tmp_path: Path) -> None:
    bag = stereo([0, 1, 2], [0, 1, 2])
    for stamp in range(3):
        values = np.full((6, 8), 2 + stamp, np.float32)
        bag.depth('/left/depth', START_NS + stamp * TENTH, values)
    rights, depths = (
        [message for _, found, _, message in bag.messages if found == topic]
        for topic in ('/right/image_raw', '/left/depth')
    )
    for damaged in (rights[0], depths[1]):
        damaged.data = damaged.data[:5]
    path = bag.write(tmp_path / 'bag')
    with collect_findings() as findings:
        frames = list(read_frames(path))
    assert [frame.left[0, 0, 0] for frame in frames] == [0, 1, 2]
    assert [frame.right is None for frame in frames] == [True, False, False]
    assert [f.depth if f.depth is None else f.depth[0, 0] for f in frames] == [2, None, 4]
    assert [f.depth_origin for f in frames] == ['/left/depth', '', '/left/depth']
    reasons = [damage.reason for damage in findings.losses[path].damages]
    assert [reason.split(': expected ')[0] for reason in reasons] == [
        f'/right/image_raw at {START_NS} ns',
        f'/left/depth at {START_NS + TENTH} ns',
    ]


def test_the_depth_image_of_another_size_is_told(tmp_path: Path) -> None:
    bag = stereo([0, 1], [])
    for stamp in (0, 1):
        bag.depth('/left/depth', START_NS + stamp * TENTH, np.full((3, 4), 2, np.float32))
    path = bag.write(tmp_path / 'bag')
    frames, warnings = read(path)
    assert [frame.depth for frame in frames] == [None, None]
    assert warnings == [
        "/left/depth: depth images of 4x3 in 'cam' are not registered to those of 8x6 in 'cam' "
        'and are left out'
    ]
    assert replace(find_topics(path), depth=None).depth is None

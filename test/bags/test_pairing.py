"""Which messages come together, and how few are held meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
import weakref

from depth_prune_ros.bags.frames import read_frames
from depth_prune_ros.bags.pairing import pair
from depth_prune_ros.bags.reading import Stamped
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
import numpy as np
from robot_bags import RobotBag
from robot_bags import START_NS

MS = 10**6


def stream(topic: str, *stamps_ms: float, late_ms: float = 0) -> list[Stamped]:
    return [Stamped(topic, round(t * MS), round((t + late_ms) * MS), None) for t in stamps_ms]


def paired(*streams: list[Stamped], tolerance_ms: float = 50) -> list[tuple[float, float | None]]:
    """Return (left, right) stamps in milliseconds of streams 'left' and 'right'."""
    messages = sorted((m for s in streams for m in s), key=lambda m: m.bag_ns)
    counts = {'right': sum(m.topic == 'right' for m in messages)}
    found = pair(messages, 'left', {'right': round(tolerance_ms * MS)}, counts)
    return [
        (left.stamp_ns / MS, others['right'].stamp_ns / MS if 'right' in others else None)
        for left, others in found
    ]


def test_equal_stamps_go_together_whatever_the_order_of_recording() -> None:
    left = stream('left', 100, 200, 300)
    for late_ms in (0, 5, 250):
        right = stream('right', 100, 200, 300, late_ms=late_ms)
        assert paired(left, right) == [(100, 100), (200, 200), (300, 300)]
    late_left = stream('left', 100, 200, 300, late_ms=250)
    assert paired(late_left, stream('right', 100, 200, 300)) == [(t, t) for t in (100, 200, 300)]


def test_the_nearest_goes_with_a_frame_before_or_after() -> None:
    right = stream('right', 90, 210.5, 297)
    assert paired(stream('left', 100, 200, 300), right) == [(100, 90), (200, 210.5), (300, 297)]


def test_a_pause_takes_nothing_from_the_frames_before_it() -> None:
    moments = [0, 100, 200, 10_000, 13_000, 13_100, 60_000]
    right = stream('right', *(moment + 990 for moment in moments))
    left = stream('left', *(moment + 1000 for moment in moments))
    assert paired(left, right) == [(t + 1000, t + 990) for t in moments]


def test_a_message_that_is_nearer_to_the_next_frame_is_left_to_it() -> None:
    right = stream('right', 145, 201)
    found = paired(stream('left', 100, 150, 200), right)
    assert found == [(100, None), (150, 145), (200, 201)]


def test_an_exact_stamp_goes_before_a_message_that_was_recorded_earlier() -> None:
    right = stream('right', 99, 100)
    assert paired(stream('left', 100), right) == [(100, 100)]


def test_a_gap_in_either_stream_shifts_nothing() -> None:
    assert paired(stream('left', 0, 100, 200, 300), stream('right', 1, 201, 301)) == [
        (0, 1),
        (100, None),
        (200, 201),
        (300, 301),
    ]
    assert paired(stream('left', 0, 200), stream('right', 1, 101, 201)) == [(0, 1), (200, 201)]


def test_images_in_another_order_than_their_stamps_keep_their_pairs() -> None:
    left = stream('left', 100, 200, 400, 300, 500)
    for number, message in enumerate(left):
        left[number] = replace(message, bag_ns=(number + 1) * 100 * MS)
    for offset_ms in (0, 10):
        right = stream('right', *(t + offset_ms for t in (100, 200, 300, 400, 500)))
        assert paired(left, right) == [(t, t + offset_ms) for t in (100, 200, 400, 300, 500)]


def test_beyond_the_tolerance_nothing_goes_together() -> None:
    left = stream('left', 100, 1100)
    right = stream('right', 110, 1111)
    assert paired(left, right, tolerance_ms=10) == [(100, 110), (1100, None)]


@settings(max_examples=60)
@given(
    st.lists(st.integers(0, 2000), max_size=12, unique=True),
    st.lists(st.integers(0, 2000), max_size=12, unique=True),
    st.integers(0, 300),
)
def test_each_message_is_given_once_and_within_tolerance(
    lefts: list[int], rights: list[int], late_ms: int
) -> None:
    right = stream('right', *sorted(rights), late_ms=late_ms)
    found = paired(stream('left', *sorted(lefts)), right)
    assert [left for left, _ in found] == sorted(lefts)
    given_out = [right for _, right in found if right is not None]
    assert len(given_out) == len(set(given_out))
    for left, match in found:
        assert match is None or abs(left - match) <= 50
        if left in rights:
            assert match == left


def test_only_a_second_or_two_is_held() -> None:
    alive: list[weakref.ref[Stamped]] = []

    def endless(topic: str) -> Iterator[Stamped]:
        for i in range(400):
            message = Stamped(topic, i * 100 * MS, i * 100 * MS, None)
            alive.append(weakref.ref(message))
            yield message
            held = sum(ref() is not None for ref in alive)
            assert held <= 25

    lone_right = pair(endless('right'), 'left', {'right': 50 * MS}, {'right': 400})
    assert list(lone_right) == []
    alive.clear()
    # A stream that never comes, though the bag says it has messages.
    lone_left = pair(endless('left'), 'left', {'right': 50 * MS}, {'right': 400})
    assert sum(not others for _, others in lone_left) == 400


def test_no_more_is_held_where_the_recorder_s_clock_goes_back() -> None:
    alive: list[weakref.ref[Stamped]] = []

    def endless() -> Iterator[Stamped]:
        for i in (*range(1000, 1100), *range(400)):
            message = Stamped('right', i * 100 * MS, i * 100 * MS, None)
            alive.append(weakref.ref(message))
            yield message
            assert sum(ref() is not None for ref in alive) <= 25

    assert list(pair(endless(), 'left', {'right': 50 * MS}, {'right': 500})) == []
    assert len(alive) == 500


def test_a_slow_camera_does_not_stretch_the_tolerances(tmp_path: Path) -> None:
    """At 1 Hz half a period would be 500 ms: by then a car has moved on."""
    bag = RobotBag()
    point = np.array([[(0.0, 0.0, 8.0)]], [(n, '<f4') for n in 'xyz'])
    bag.tf(START_NS, 'cam', 'lidar', (0, 0, 0), (0, 0, 0, 1))
    for second, (right_ms, lidar_ms) in enumerate(((45, 55), (55, 65), (400, 400))):
        stamp_ns = START_NS + 1000 * MS * second
        bag.image('/left/image_raw', stamp_ns)
        bag.info('/left/camera_info', stamp_ns)
        bag.image('/right/image_raw', stamp_ns + right_ms * MS)
        bag.info('/right/camera_info', stamp_ns + right_ms * MS, tx=-5.0)
        bag.cloud('/lidar/points', stamp_ns + lidar_ms * MS, point)
    frames = list(read_frames(bag.write(tmp_path / 'bag')))
    assert [frame.right is not None for frame in frames] == [True, False, False]
    assert [frame.depth is not None for frame in frames] == [True, False, False]

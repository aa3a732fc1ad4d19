"""Stereo pairs whose rectification gave each camera a principal point of its own."""

from __future__ import annotations

from pathlib import Path

from depth_prune_ros.bags.frames import read_frames
import numpy as np
import pytest
from robot_bags import HEIGHT
from robot_bags import RobotBag
from robot_bags import START_NS
from robot_bags import WIDTH

ROW = np.array([10, 20, 30, 40, 50, 60, 70, 80], np.uint8)


def _pair(path: Path, cx_right: float, *, tx: float = -5.0) -> Path:
    """Write one pair, the left camera's cx 3.5; the right image is ROW in every line."""
    bag = RobotBag()
    for side, shift in (('left', 0.0), ('right', tx)):
        bag.info(f'/{side}/camera_info', START_NS, tx=shift)
        bag.image(f'/{side}/image_raw', START_NS)
    bag.messages[-1][3].data = np.tile(ROW, HEIGHT)
    bag.messages[-2][3].p[2] = cx_right
    return bag.write(path)


@pytest.mark.parametrize(
    ('cx_right', 'expected'),
    [
        (3.5, [10, 20, 30, 40, 50, 60, 70, 80]),
        (3.45, [10, 20, 30, 40, 50, 60, 70, 80]),
        (1.5, [10, 10, 10, 20, 30, 40, 50, 60]),
        (4.5, [20, 30, 40, 50, 60, 70, 80, 80]),
        (3.0, [10, 15, 25, 35, 45, 55, 65, 75]),
    ],
)
def test_the_right_image_is_moved_to_the_left_one_s(
    cx_right: float, expected: list[int], tmp_path: Path
) -> None:
    (frame,) = read_frames(_pair(tmp_path / 'bag', cx_right))
    assert frame.right is not None
    assert frame.right.shape == (HEIGHT, WIDTH, 3)
    assert frame.right[2, :, 1].tolist() == expected
    assert frame.baseline_m == 0.5


def test_a_baseline_that_is_no_number_is_none(tmp_path: Path) -> None:
    (frame,) = read_frames(_pair(tmp_path / 'bag', 3.5, tx=float('nan')))
    assert frame.baseline_m is None

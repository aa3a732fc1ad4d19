"""An encoding that nothing reads ends the reading; an image that is damaged is lost alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from depth_prune_ros.bags.frames import read_frames
from depth_prune_ros.bags.losses import collect_findings
from depth_prune_ros.core.errors import EncodingError
import pytest
from robot_bags import RobotBag
from robot_bags import SECOND
from robot_bags import START_NS


def three_images() -> tuple[RobotBag, list[Any]]:
    bag = RobotBag()
    for number in range(3):
        stamp_ns = START_NS + number * SECOND
        bag.info('/cam/camera_info', stamp_ns)
        bag.image('/cam/image_raw', stamp_ns, level=number)
    return bag, [message for _, topic, _, message in bag.messages if topic == '/cam/image_raw']


def levels(path: Path) -> tuple[list[int], list[str]]:
    """Return the grey levels of the images, and what was said of those that are lost."""
    with collect_findings() as findings:
        found = [int(frame.left[0, 0, 0]) for frame in read_frames(path)]
    lost = findings.losses.get(path)
    return found, [damage.reason for damage in lost.damages] if lost else []


def test_an_encoding_that_nothing_reads_names_bag_and_topic(tmp_path: Path) -> None:
    bag, images = three_images()
    for image in images:
        image.encoding = 'nv21'
    path = bag.write(tmp_path / 'bag')
    said = f"^{path}: /cam/image_raw at {START_NS} ns: expected an image .* found 'nv21'"
    with pytest.raises(EncodingError, match=said):
        levels(path)


@pytest.mark.parametrize('at', [0, 1, 2])
def test_an_image_cut_short_is_lost_alone_wherever_it_is(tmp_path: Path, at: int) -> None:
    bag, images = three_images()
    images[at].data = images[at].data[:-1]
    found, (reason,) = levels(bag.write(tmp_path / 'bag'))
    assert found == [number for number in range(3) if number != at]
    assert reason.startswith(f'/cam/image_raw at {START_NS + at * SECOND} ns: expected ')


def test_an_odd_encoding_behind_good_ones_is_damage(tmp_path: Path) -> None:
    bag, images = three_images()
    images[1].encoding = 'mono\x88'
    found, (reason,) = levels(bag.write(tmp_path / 'bag'))
    assert found == [0, 2]
    assert "found 'mono\\x88'" in reason


def test_a_cut_image_before_an_encoding_that_nothing_reads(tmp_path: Path) -> None:
    bag, images = three_images()
    images[0].data = images[0].data[:-1]
    for image in images[1:]:
        image.encoding = 'nv21'
    with pytest.raises(EncodingError, match=f'/cam/image_raw at {START_NS + SECOND} ns: .*nv21'):
        levels(bag.write(tmp_path / 'bag'))

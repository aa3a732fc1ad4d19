"""Which of the recorded images a frame is: also where some are left out, damaged or lost."""

from __future__ import annotations

from pathlib import Path
import shutil

from depth_prune_ros.bags.frames import read_frames
from depth_prune_ros.bags.losses import collect_findings
from noise_bags import camera
from noise_bags import flip
from noise_bags import FRAMES
from noise_bags import KINDS
from noise_bags import PIXELS
from noise_bags import UNCOMPRESSED
import pytest
from robot_bags import SECOND
from robot_bags import START_NS


def numbers(bag: Path) -> dict[int, int | None]:
    """Return what read_frames numbers the frames, by their true number."""
    with collect_findings():
        return {(f.stamp_ns - START_NS) // SECOND: f.number for f in read_frames(bag)}


def test_images_that_are_left_out_are_counted(tmp_path: Path) -> None:
    bag = camera()
    images = [message for message in bag.messages if message[1] == '/cam/image_raw']
    images[1][3].header.stamp = images[0][3].header.stamp
    images[4][3].data = images[4][3].data[:5]
    found = numbers(bag.write(tmp_path / 'bag'))
    assert found == {i: i for i in range(FRAMES) if i not in (1, 4)}


@pytest.mark.parametrize('kind', KINDS)
def test_a_whole_bag_s_images_are_counted(tmp_path: Path, kind: str) -> None:
    assert numbers(KINDS[kind](tmp_path)) == {i: i for i in range(FRAMES)}


def test_behind_a_lost_chunk_nobody_knows(tmp_path: Path) -> None:
    path = UNCOMPRESSED['mcap'](tmp_path)
    flip(path, path.read_bytes().index(PIXELS[30].tobytes()) + 100)
    found = numbers(path)
    assert 30 not in found
    assert [i for i in found if i < 20] == list(range(20))
    assert all(number == (i if i < 30 else None) for i, number in found.items())


@pytest.mark.parametrize('kind', sorted(KINDS.keys() - {'sqlite'}))
def test_what_is_before_a_cut_is_counted(tmp_path: Path, kind: str) -> None:
    path = KINDS[kind](tmp_path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    found = numbers(path)
    assert 10 < len(found) < FRAMES
    assert found == {i: i for i in range(len(found))}


def test_where_the_place_of_the_damage_is_not_known_nothing_is(tmp_path: Path) -> None:
    path = UNCOMPRESSED['sqlite'](tmp_path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    found = numbers(path)
    assert found
    assert set(found.values()) == {None}


def test_behind_a_file_that_is_cut_nobody_knows(tmp_path: Path) -> None:
    whole = tmp_path / 'whole'
    whole.mkdir()
    for part in (0, 1):
        bag = camera()
        bag.messages = bag.messages[part * FRAMES : (part + 1) * FRAMES]
        bag.write(tmp_path / str(part))
        shutil.copy(tmp_path / str(part) / f'{part}.mcap', whole)
    first = whole / '0.mcap'
    first.write_bytes(first.read_bytes()[: first.stat().st_size * 2 // 3])
    found = numbers(whole)
    half = FRAMES // 2
    assert {i for i in found if i >= half} == set(range(half, FRAMES))
    assert all(number == (i if i < half else None) for i, number in found.items())
    assert 5 < len([i for i in found if i < half]) < half

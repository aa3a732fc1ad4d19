"""Bags of several files, damaged bags, and what is no bag."""

from __future__ import annotations

from pathlib import Path
import shutil

from depth_prune_ros.bags.frames import read_frames
from depth_prune_ros.core.errors import BagError
import pytest
from robot_bags import RobotBag
from robot_bags import SECOND
from robot_bags import START_NS
from rosbags.rosbag2 import StoragePlugin


def test_a_folder_of_several_files_without_metadata_is_one_bag(tmp_path: Path) -> None:
    whole = tmp_path / 'whole'
    whole.mkdir()
    for part, seconds in enumerate((0, 1)):
        bag = RobotBag()
        bag.info('/cam/camera_info', START_NS + seconds * SECOND)
        bag.image('/cam/image_raw', START_NS + seconds * SECOND, level=seconds)
        bag.write(tmp_path / f'part{part}')
        shutil.copy(tmp_path / f'part{part}' / f'part{part}.mcap', whole)
    assert [frame.left[0, 0, 0] for frame in read_frames(whole)] == [0, 1]


def test_an_empty_bag_says_so(tmp_path: Path) -> None:
    path = RobotBag().write(tmp_path / 'bag')
    with pytest.raises(BagError, match='expected an image topic, found no messages'):
        list(read_frames(path))


@pytest.mark.parametrize('storage', StoragePlugin)
@pytest.mark.parametrize('size', [0, 5, 60])
def test_a_bag_of_which_nothing_is_left_is_named_in_one_line(
    tmp_path: Path, storage: StoragePlugin, size: int
) -> None:
    bag = RobotBag()
    bag.info('/cam/camera_info', START_NS)
    bag.image('/cam/image_raw', START_NS)
    path = bag.write(tmp_path / 'bag', storage)
    (file,) = (child for child in path.iterdir() if child.suffix != '.yaml')
    file.write_bytes(file.read_bytes()[:size])
    for damaged in (path, file):
        with pytest.raises(BagError, match=r'cannot be read as a bag .*copy it again') as caught:
            list(read_frames(damaged))
        assert str(damaged) in str(caught.value)
        assert '\n' not in str(caught.value)


@pytest.mark.parametrize('size', [0, 5, 60])
def test_a_ros_1_bag_of_which_nothing_is_left(tmp_path: Path, size: int) -> None:
    bag = RobotBag(ros1=True)
    bag.image('/cam/image_raw', START_NS)
    path = bag.write(tmp_path / 'a.bag')
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(BagError, match=r'a.bag: cannot be read as a bag'):
        list(read_frames(path))


def test_what_is_no_bag_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BagError, match='nowhere: expected a bag, found nothing there'):
        list(read_frames(tmp_path / 'nowhere'))
    with pytest.raises(BagError, match='expected a folder with .mcap, .db3 or .bag files'):
        list(read_frames(tmp_path))
    (tmp_path / 'notes.txt').write_text('no bag')
    with pytest.raises(BagError, match=r'expected a folder, or a file .mcap, .db3, .bag'):
        list(read_frames(tmp_path / 'notes.txt'))
    (tmp_path / 'run.bag.active').touch()
    with pytest.raises(BagError, match=r'found .active; rename it to .bag first'):
        list(read_frames(tmp_path / 'run.bag.active'))

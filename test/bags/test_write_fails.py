"""What is left of a bag whose writing fails, and what is there already stays."""

from __future__ import annotations

from pathlib import Path
import sqlite3
from typing import Any

from depth_prune_ros.bags.write import BagWriter
from depth_prune_ros.core.errors import BagError
import numpy as np
import pytest
from rosbags.highlevel import AnyReader
from rosbags.rosbag2 import Writer

STAMP_NS = 1_317_042_164_327_963_904
STORAGES = ('mcap', 'sqlite3')
PIXELS = np.zeros((4, 6, 3), np.uint8)


@pytest.mark.parametrize('storage', STORAGES)
@pytest.mark.parametrize('error', [RuntimeError, KeyboardInterrupt])
def test_nothing_is_left_of_a_bag_that_failed(
    tmp_path: Path, storage: str, error: type[BaseException]
) -> None:
    with pytest.raises(error), BagWriter(tmp_path / 'bag', storage=storage) as bag:
        bag.image('/cam/image_raw', STAMP_NS, 'cam', PIXELS)
        assert len(list(tmp_path.iterdir())) == 1
        raise error
    assert list(tmp_path.iterdir()) == []


def test_the_bag_is_not_there_before_it_is_whole(tmp_path: Path) -> None:
    with BagWriter(tmp_path / 'bag') as bag:
        bag.image('/cam/image_raw', STAMP_NS, 'cam', PIXELS)
        assert not (tmp_path / 'bag').exists()
    assert [path.name for path in tmp_path.iterdir()] == ['bag']


def test_two_writers_of_one_bag_leave_each_other_alone(tmp_path: Path) -> None:
    path = tmp_path / 'bag'
    late = pytest.raises(BagError, match='bag: exists already')
    with late, BagWriter(path) as last, BagWriter(path) as first:
        first.image('/cam/image_raw', STAMP_NS, 'cam', PIXELS)
        with pytest.raises(RuntimeError), BagWriter(path) as failing:
            failing.image('/cam/image_raw', STAMP_NS + 1, 'cam', PIXELS)
            raise RuntimeError
        first.points('/velo/points', STAMP_NS, 'velo', np.zeros((5, 4), np.float32))
        last.image('/cam/image_raw', STAMP_NS + 2, 'cam', PIXELS)
    assert list(tmp_path.iterdir()) == [path]
    with AnyReader([path]) as reader:
        found = [(connection.topic, bag_ns) for connection, bag_ns, _ in reader.messages()]
    assert sorted(found) == [('/cam/image_raw', STAMP_NS), ('/velo/points', STAMP_NS)]


@pytest.mark.parametrize('make', [Path.mkdir, Path.touch])
def test_an_existing_path_is_kept(tmp_path: Path, make: Any) -> None:
    make(tmp_path / 'bag')
    with pytest.raises(BagError, match=r'bag: exists already and is not overwritten'):
        BagWriter(tmp_path / 'bag')
    assert [path.name for path in tmp_path.iterdir()] == ['bag']


def test_a_path_that_appears_meanwhile_is_kept(tmp_path: Path) -> None:
    with pytest.raises(BagError, match='exists already'), BagWriter(tmp_path / 'bag') as bag:
        bag.image('/cam/image_raw', STAMP_NS, 'cam', PIXELS)
        (tmp_path / 'bag').mkdir()
    assert [path.name for path in tmp_path.iterdir()] == ['bag']
    assert list((tmp_path / 'bag').iterdir()) == []


@pytest.mark.parametrize(
    'full',
    [sqlite3.OperationalError('database or disk is full'), OSError(28, 'No space left on device')],
)
def test_a_full_disk_names_the_bag_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, full: Exception
) -> None:
    def fail(*_: object) -> None:
        raise full

    monkeypatch.setattr(Writer, 'write', fail)
    said = f'^{tmp_path / "bag"}: expected to write the bag, found: .*; free space'
    with pytest.raises(BagError, match=said), BagWriter(tmp_path / 'bag') as bag:
        bag.image('/image', 1, 'cam', PIXELS)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_at_the_start_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Writer) -> None:
        raise sqlite3.OperationalError('database or disk is full')

    monkeypatch.setattr(Writer, 'open', fail)
    said = f'^{tmp_path / "bag"}: expected to write the bag, found: database or disk is full'
    with pytest.raises(BagError, match=said), BagWriter(tmp_path / 'bag'):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    file = tmp_path / 'file'
    file.touch()
    with pytest.raises(BagError) as told, BagWriter(file / 'folder' / 'bag'):
        pass
    wanted = 'expected to write the bag, found: Not a directory; free space, or name another'
    assert str(told.value) == f'{file / "folder" / "bag"}: {wanted}'
    assert list(tmp_path.iterdir()) == [file]

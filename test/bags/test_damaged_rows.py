"""Rows of a database that SQLite fails on cost themselves and nothing beside them."""

from __future__ import annotations

from pathlib import Path
import sqlite3

from depth_prune_ros.bags.losses import collect_findings
from depth_prune_ros.bags.reading import open_bag
from depth_prune_ros.bags.reading import read_messages
from depth_prune_ros.bags.sqlite_pages import Pages
import numpy as np
import pytest
from robot_bags import RobotBag
from robot_bags import SECOND
from robot_bags import START_NS
from rosbags.rosbag2 import StoragePlugin

MOMENTS = 6
TOPICS = ('/small', '/large', '/small', '/other', '/large')
LARGE = {'/large': 3000}


def moments(path: Path) -> Path:
    """Write five messages of each moment, numbered, the large ones on pages of their own."""
    bag = RobotBag()
    for number in range(MOMENTS * len(TOPICS)):
        moment, place = divmod(number, len(TOPICS))
        topic = TOPICS[place]
        bag.image(topic, START_NS + moment * SECOND, level=number)
        image = bag.messages[-1][3]
        image.data = np.full(LARGE.get(topic, 48), number, np.uint8)
    file = bag.write(path, StoragePlugin.SQLITE3) / f'{path.name}.db3'
    with sqlite3.connect(file, isolation_level=None) as base:
        base.execute('PRAGMA page_size = 1024')
        base.execute('VACUUM')
    base.close()
    return file


def cut_row(file: Path, rowid: int) -> None:
    """Let a row go on in a page that does not exist."""
    pages = Pages(file)
    (cell,) = (c for c in pages.cells() if c.rowid == rowid and c.size > 2000)
    pages.close()
    data = bytearray(file.read_bytes())
    pointer = cell.at + cell.local
    data[pointer : pointer + 4] = (2**31 - 5).to_bytes(4, 'big')
    file.write_bytes(data)


def cells_of(file: Path) -> int:
    """Count the rows that are found page by page."""
    pages = Pages(file)
    count = sum(1 for _ in pages.cells())
    pages.close()
    return count


@pytest.mark.parametrize('place', [1, 4])
@pytest.mark.parametrize('moment', [0, 3, 5])
def test_a_broken_row_takes_no_other_of_its_moment(
    tmp_path: Path, place: int, moment: int
) -> None:
    file = moments(tmp_path / 'bag')
    broken = moment * len(TOPICS) + place
    cut_row(file, broken + 1)
    with collect_findings() as findings, open_bag(file) as reader:
        found = list(read_messages(file, reader, TOPICS))
    numbers = [int(message.message.data[0]) for message in found]
    assert numbers == [n for n in range(MOMENTS * len(TOPICS)) if n != broken]
    assert [message.topic for message in found] == [TOPICS[n % len(TOPICS)] for n in numbers]
    reasons = [damage.reason for damage in findings.losses[file].damages]
    assert f'row {broken + 1} goes on in a page that is not there' in reasons


def test_a_damaged_number_of_rows_makes_none_up(tmp_path: Path) -> None:
    file = moments(tmp_path / 'bag')
    rows = cells_of(file)
    data = bytearray(file.read_bytes())
    leaves = [at for at in range(1024, len(data), 1024) if data[at] == 0x0D]
    for at in leaves:
        data[at + 3 : at + 5] = (0xD000).to_bytes(2, 'big')
    file.write_bytes(data)
    assert rows <= cells_of(file) <= len(leaves) * (1024 - 8) // 2
    with collect_findings() as findings, open_bag(file) as reader:
        found = list(read_messages(file, reader, TOPICS))
    assert [int(m.message.data[0]) for m in found] == list(range(MOMENTS * len(TOPICS)))
    assert file in findings.losses

"""Files are whole or not there, whatever comes between."""

from __future__ import annotations

from collections.abc import Iterator
import os
from pathlib import Path

from depth_prune_ros.core.files import write_whole
from full_disk import files_of_at_most
import pytest


@pytest.fixture
def private() -> Iterator[None]:
    before = os.umask(0o027)
    yield
    os.umask(before)


def test_a_file_and_its_folders_are_made(tmp_path: Path) -> None:
    write_whole(tmp_path / 'new' / 'deep' / 'a.json', b'first')
    write_whole(tmp_path / 'new' / 'deep' / 'a.json', b'second')
    assert (tmp_path / 'new' / 'deep' / 'a.json').read_bytes() == b'second'
    assert [file.name for file in (tmp_path / 'new' / 'deep').iterdir()] == ['a.json']


@pytest.mark.usefixtures('private')
def test_who_may_read_it_is_said_by_the_umask(tmp_path: Path) -> None:
    write_whole(tmp_path / 'a.json', b'')
    assert (tmp_path / 'a.json').stat().st_mode & 0o777 == 0o640


def test_a_full_disk_leaves_what_was_before_and_nothing_else(tmp_path: Path) -> None:
    write_whole(tmp_path / 'a.json', b'before')
    with files_of_at_most(10), pytest.raises(OSError, match='too large'):
        write_whole(tmp_path / 'a.json', bytes(11))
    assert (tmp_path / 'a.json').read_bytes() == b'before'
    assert [file.name for file in tmp_path.iterdir()] == ['a.json']


def test_what_is_interrupted_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr('os.fsync', stop)
    with pytest.raises(KeyboardInterrupt):
        write_whole(tmp_path / 'a.json', b'half')
    assert list(tmp_path.iterdir()) == []

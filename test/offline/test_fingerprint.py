"""Digests of bags: all bytes, no path, and nothing noted that may change unseen."""

from __future__ import annotations

import os
from pathlib import Path
import shutil

from depth_prune_ros.offline import fingerprint
import pytest


def _bag(folder: Path) -> Path:
    (folder / 'more').mkdir(parents=True)
    (folder / 'metadata.yaml').write_text('version: 9')
    (folder / 'a.mcap').write_bytes(b'a' * 1000)
    (folder / 'more' / 'b.mcap').write_bytes(b'b')
    return folder


def test_the_path_does_not_count(tmp_path: Path) -> None:
    bag, notes = _bag(tmp_path / 'bag'), tmp_path / 'notes'
    first = fingerprint.bag_digest(bag, notes)
    assert fingerprint.bag_digest(bag.rename(tmp_path / 'other'), notes) == first
    one, two = tmp_path / 'x.mcap', tmp_path / 'y.mcap'
    shutil.copy(tmp_path / 'other' / 'a.mcap', one)
    shutil.copy(one, two)
    assert fingerprint.bag_digest(one, notes) == fingerprint.bag_digest(two, notes)
    ros1 = shutil.copy(one, tmp_path / 'x.bag')
    assert fingerprint.bag_digest(ros1, notes) != fingerprint.bag_digest(one, notes)


def test_every_byte_and_name_counts(tmp_path: Path) -> None:
    bag, notes = _bag(tmp_path / 'bag'), tmp_path / 'notes'
    seen = {fingerprint.bag_digest(bag, notes)}
    (bag / 'a.mcap').write_bytes(b'a' * 500 + b'b' + b'a' * 499)
    seen.add(fingerprint.bag_digest(bag, notes))
    (bag / 'more' / 'b.mcap').rename(bag / 'more' / 'c.mcap')
    seen.add(fingerprint.bag_digest(bag, notes))
    (bag / 'more' / 'd.mcap').write_bytes(b'')
    seen.add(fingerprint.bag_digest(bag, notes))
    (bag / 'more' / 'c.mcap').unlink()
    seen.add(fingerprint.bag_digest(bag, notes))
    assert len(seen) == 5


def test_noted_digests_are_of_files_at_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fresh file is read again; an old one is not, until its identity changes."""
    bag, notes = _bag(tmp_path / 'bag'), tmp_path / 'notes'
    monkeypatch.setattr(fingerprint, '_SETTLED_S', 3600.0)
    first = fingerprint.bag_digest(bag, notes)
    assert not notes.exists()
    monkeypatch.setattr(fingerprint, '_SETTLED_S', -1.0)
    assert fingerprint.bag_digest(bag, notes) == first
    assert len(list(notes.iterdir())) == len([p for p in bag.rglob('*') if p.is_file()])
    for note in notes.iterdir():
        note.write_text('noted')
    noted = fingerprint.bag_digest(bag, notes)
    assert noted != first
    for file in bag.rglob('*.*'):
        before = file.stat()
        file.write_bytes(file.read_bytes())
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert fingerprint.bag_digest(bag, notes) == first

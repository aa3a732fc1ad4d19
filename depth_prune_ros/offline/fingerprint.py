"""
What a bag's bytes are, whatever its path: a digest of every file in it.

Only a digest of all bytes makes a stale cache impossible: a bag can be recorded anew with the
same size, or be given its old modification time. Reading all of it costs little beside decoding
it, and is done once: the digest is noted under the file's identity (device, inode, size,
modification and change time). Nobody can set a change time, so a file with the same identity has
the same bytes; but for a file of this very moment, which may change again within the clock's
resolution: its digest is not noted.
"""

from __future__ import annotations

from contextlib import suppress
import hashlib
from pathlib import Path
import time

from depth_prune_ros.core.files import write_whole

_BLOCK = 1 << 22
_SETTLED_S = 3.0


def bag_digest(bag: Path, notes: Path) -> str:
    """
    Return a digest of a bag: a file, or every file of a folder under its name in it.

    :param notes: folder where the digests of known files are noted
    :raises OSError: a file that cannot be read
    """
    whole = hashlib.blake2b(digest_size=16)
    inside = sorted(path for path in bag.rglob('*') if path.is_file()) if bag.is_dir() else [bag]
    for path in inside:
        # how a single file is read depends on its ending alone
        name = path.relative_to(bag).as_posix() if bag.is_dir() else path.suffix
        whole.update(f'{name}\0{_file_digest(path, notes)}\n'.encode())
    return whole.hexdigest()


def _file_digest(path: Path, notes: Path) -> str:
    note = notes / _identity(path)
    with suppress(OSError):
        return note.read_text()
    before = _identity(path)
    digest = _digest(path)
    found = path.stat()
    age = time.time() - max(found.st_mtime, found.st_ctime)
    if before == _identity(path) and age > _SETTLED_S:
        with suppress(OSError):  # without notes the file is read again next time
            write_whole(note, digest.encode())
    return digest


def _identity(path: Path) -> str:
    found = path.stat()
    parts = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
    return hashlib.blake2b(repr(parts).encode(), digest_size=16).hexdigest()


def _digest(path: Path) -> str:
    digest = hashlib.blake2b(digest_size=16)
    with path.open('rb') as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()

"""Files that are either whole or not there."""

from __future__ import annotations

from contextlib import suppress
import os
from pathlib import Path
import secrets


def write_whole(path: Path, data: bytes) -> None:
    """
    Write a file, and its folder where there is none, under a name beside it, then rename it.

    :raises OSError: it cannot be written; what was there before stays, and nothing else is left
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # processes in containers may have the same number and share a cache
    partial = path.with_name(f'.{path.name}.{secrets.token_hex(4)}.partial')
    try:
        with partial.open('xb') as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        with suppress(OSError):
            partial.unlink()

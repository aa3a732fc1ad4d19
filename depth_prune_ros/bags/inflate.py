"""Decompression that goes as far as damaged data allows."""

from __future__ import annotations

import bz2
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lz4.frame
import zstandard

# Typed as bytes where rosbags does so: it takes both.
Buffer = Any

ZSTD_MAGIC = b'\x28\xb5\x2f\xfd'
_STEP = 1 << 16
_ENGINES: dict[str, Callable[[], Any]] = {
    'zstd': lambda: zstandard.ZstdDecompressor().decompressobj(),
    'lz4': lz4.frame.LZ4FrameDecompressor,
    'bz2': bz2.BZ2Decompressor,
}


def inflate_message(data: Buffer) -> Buffer:
    """
    Decompress a message of a bag with compression mode "message"; any other comes back.

    :raises ValueError: it does not decompress
    """
    # No serialised message starts like this: CDR begins with 0, ROS 1 with its header's number.
    if data[:4] != ZSTD_MAGIC:
        return data
    try:
        return zstandard.ZstdDecompressor().decompressobj().decompress(data)
    except zstandard.ZstdError as error:
        raise ValueError(str(error)) from error


def inflate_part(kind: str, data: Buffer) -> Buffer:
    """
    Decompress what can be decompressed of a chunk that is cut short.

    :param kind: as the bag names it: zstd, lz4, bz2; '' or none for data that is not compressed
    """
    if kind not in _ENGINES:
        return data
    engine, parts = _ENGINES[kind](), []
    for start in range(0, len(data), _STEP):
        try:
            parts.append(engine.decompress(data[start : start + _STEP]))
        except Exception:  # noqa: BLE001 - each library has its own errors; what came before stays
            break
    return b''.join(parts)


def inflate_file(source: Path, target: Path) -> int | None:
    """
    Decompress a .zstd file as far as it goes.

    :return: bytes of the source that could not be used; None where all could
    """
    with source.open('rb') as packed, target.open('wb') as whole:
        engine = zstandard.ZstdDecompressor().decompressobj()
        while data := engine.unused_data or packed.read(_STEP):
            # A file may hold several frames, one after the other.
            if engine.eof:
                engine = zstandard.ZstdDecompressor().decompressobj()
            try:
                whole.write(engine.decompress(data))
            except zstandard.ZstdError:
                return source.stat().st_size - packed.tell() + len(data)
    return None if engine.eof else 0

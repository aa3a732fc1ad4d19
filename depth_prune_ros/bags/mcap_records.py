"""The records of an .mcap file: framing, chunks and their checksums."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
import struct

from depth_prune_ros.bags.inflate import Buffer
from mcap.data_stream import ReadDataStream
from mcap.records import Chunk
from rosbags.rosbag2.errors import ReaderError
from rosbags.rosbag2.storage_mcap import decompress

MAGIC = b'\x89MCAP0\r\n'
# A longer record is taken for damage: no recorder makes such chunks, and they would not fit.
LONGEST_RECORD = 1 << 28
RECORD = struct.Struct('<BQ')
MESSAGE = struct.Struct('<HIQQ')
CHUNK = struct.Struct('<QQQII')
LENGTH = struct.Struct('<Q')
FOOTER = struct.Struct('<BQQQI8s')


def records(data: Buffer, *, cut: bool = False) -> Iterator[tuple[int, memoryview]]:
    """Yield opcode and body of each whole record; data that is cut may end inside one."""
    view = memoryview(data)
    at = 0
    while at < len(view):
        end = len(view) + 1
        if at + 9 <= len(view):
            opcode, length = RECORD.unpack_from(view, at)
            end = at + 9 + length
        if end > len(view):
            if cut:
                return
            msg = 'A record ends behind its chunk.'
            raise ReaderError(msg)
        yield opcode, view[at + 9 : end]
        at = end


def read_chunk(body: Buffer) -> Chunk:
    """
    Read the body of a chunk's record as mcap does, but without copying its data.

    :raises ReaderError: the lengths in it do not fit
    """
    view = memoryview(body)
    try:
        start, end, size, crc, length = CHUNK.unpack_from(view)
        at = CHUNK.size + length
        compression = bytes(view[CHUNK.size : at]).decode()
        (packed,) = LENGTH.unpack_from(view, at)
    except (struct.error, UnicodeDecodeError) as error:
        msg = f'Invalid chunk: {error}.'
        raise ReaderError(msg) from error
    data: Buffer = view[at + LENGTH.size :]
    # The last chunk of a file that is cut short has less.
    return Chunk(compression, data[:packed], end, start, crc, size)


def inflate(chunk: Chunk) -> bytes:
    """Decompress a chunk; raises where its size or its CRC (0: none was made) does not fit."""
    sizes = chunk.uncompressed_size, chunk.uncompressed_crc
    return decompress(chunk.data, chunk.compression, *sizes)


def stream(body: Buffer) -> ReadDataStream:
    """Return what mcap reads records from."""
    return ReadDataStream(BytesIO(body))

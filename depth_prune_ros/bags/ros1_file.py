"""One ROS 1 .bag file, read as far as it is whole: no index is needed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from collections.abc import Collection
from collections.abc import Generator
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from heapq import merge
from io import BytesIO
from operator import itemgetter
from pathlib import Path
import struct
from typing import Any
from typing import BinaryIO

from depth_prune_ros.bags.file_buffer import FileBuffer
from depth_prune_ros.bags.inflate import inflate_part
from depth_prune_ros.bags.losses import Damage
from depth_prune_ros.bags.losses import OnDamage
from depth_prune_ros.bags.losses import words_of
from rosbags.interfaces import Connection
from rosbags.interfaces import ConnectionExtRosbag1
from rosbags.interfaces import MessageDefinition
from rosbags.interfaces import MessageDefinitionFormat
from rosbags.rosbag1 import Reader
from rosbags.rosbag1.reader import Chunk
from rosbags.rosbag1.reader import ChunkInfo
from rosbags.rosbag1.reader import decompressors
from rosbags.rosbag1.reader import Header
from rosbags.rosbag1.reader import normalize
from rosbags.rosbag1.reader import read_bytes
from rosbags.rosbag1.reader import read_uint32
from rosbags.rosbag1.reader import ReaderError
from rosbags.rosbag1.reader import RecordType
from rosbags.typesys.msg import normalize_msgtype

MAGIC = b'#ROSBAG V2.0\n'
# Of a chunk whose size is damaged no more than this is looked at: the rest may not fit.
LONGEST_CHUNK = 1 << 28

_TOO_LONG = 'A record ends behind its chunk.'

Read = tuple[Connection, int, bytes]
# A record's header, and what gives its data as long as the next record is not asked for.
Record = tuple[Header, Callable[[], bytes]]


class Ros1File(Reader):
    """rosbags' reader, which goes on where a file has no index and after a damaged chunk."""

    def __init__(self, path: Path, on_damage: OnDamage) -> None:
        """Prepare to read; on_damage hears of every damaged place."""
        super().__init__(path)
        self._file = path
        self._size = path.stat().st_size
        self._on_damage = on_damage
        self._kinds: dict[int, str] = {}
        self._cut = -1
        self._buffer = FileBuffer()
        self._used = 0

    def __enter__(self) -> Ros1File:
        """Read the index; where it is missing or damaged, find out from the chunks themselves."""
        try:
            self.open()
        except Exception as error:  # noqa: BLE001 - garbage raises anything
            self.connections, self.chunk_infos, self.chunks = [], [], {}
            self._rescan(words_of(error))
        return self

    def messages(
        self,
        connections: Collection[Connection] = (),
        start: int | None = None,
        stop: int | None = None,
    ) -> Generator[Read, None, None]:
        """Yield connection, time and data in the order of time; damaged chunks are left out."""
        wanted = {connection.id: connection for connection in connections or self.connections}
        sources = [
            self._chunk(info, wanted)
            for info in self.chunk_infos
            if wanted.keys() & info.connection_counts.keys()
        ]
        for connection, stamp_ns, data in merge(*sources, key=itemgetter(1)):
            late = stop is not None and stamp_ns >= stop
            if connection is not None and not late and (start is None or stamp_ns >= start):
                yield connection, stamp_ns, data

    def _chunk(self, info: ChunkInfo, wanted: dict[int, Connection]) -> Iterator[Any]:
        # The first one is for merge alone: it holds the chunk back until its time has come.
        yield None, info.start_time, b''
        chunk, found = self.chunks[info.pos], []
        try:
            for header, data in self._contents(info.pos, chunk):
                if header.get_uint8('op') == RecordType.MSGDATA:
                    number = header.get_uint32('conn')
                    if number in wanted:
                        found.append((wanted[number], header.get_time('time'), data()))
        except Exception as error:  # noqa: BLE001 - garbage raises anything
            self._lose(info.pos, chunk.datasize, words_of(error))
        found.sort(key=itemgetter(1))
        yield from found

    def _contents(self, at: int, chunk: Chunk) -> Iterator[Record]:
        """Yield the records of a chunk; of the one that is cut short, the whole ones."""
        bio = self.bio
        if bio is None:
            msg = f'{self._file} is not open.'
            raise ReaderError(msg)
        cut = at == self._cut
        if chunk.decompressor is decompressors['none'] and not cut:
            return _records_in_place(bio, chunk.datapos, chunk.datapos + chunk.datasize)
        packed: Any = self._buffer.read(bio, chunk.datapos, chunk.datasize)
        if not cut:
            return _records(memoryview(chunk.decompressor(packed)))
        return self._whole_records(memoryview(inflate_part(self._kinds[at], packed)), at, chunk)

    def _whole_records(self, view: memoryview, at: int, chunk: Chunk) -> Iterator[Record]:
        """Yield the whole records of the chunk that is cut short, and note how far they go."""
        used = 0
        with suppress(ReaderError, struct.error):
            for header, data in _records(view):
                yield header, data
                used += 8 + sum(4 + len(k) + 1 + len(v) for k, v in header.items()) + len(data())
                # Exact where the chunk is not compressed.
                self._used = chunk.datapos - at + chunk.datasize * used // len(view)

    def _rescan(self, reason: str) -> None:
        """Make the index of a file that has none that can be used."""
        self.bio = bio = self.path.open('rb')
        if bio.read(len(MAGIC)) != MAGIC:
            self._lose(0, self._size, reason)
            return
        at = bio.tell()
        try:
            while at < self._size:
                op = self._take(at)
                if op in (RecordType.CONNECTION, RecordType.CHUNK_INFO):
                    break
                at = bio.tell()
        except Exception as error:  # noqa: BLE001 - garbage raises anything
            lost = self._size - at - self._used
            self._lose(self._size - lost, lost, f'cut short or damaged ({words_of(error)})')
        else:
            if at >= self._size:
                self._lose(at, 0, f'without its end ({reason})')
        self._count()

    def _take(self, at: int) -> int:
        """Learn what the record at an offset says, and go behind it; returns its kind."""
        bio = self.bio
        if bio is None:
            raise ReaderError('closed')
        bio.seek(at)
        header = Header.read(bio)
        op = header.get_uint8('op')
        size, datapos = read_uint32(bio), bio.tell()
        if op == RecordType.CHUNK:
            self._kinds[at] = header.get_string('compression')
            # A recorder that was killed left 0 for the size of its last chunk.
            if not size or datapos + size > self._size:
                self._cut, size = at, min(self._size - datapos, LONGEST_CHUNK)
            self._take_chunk(at, Chunk(size, datapos, decompressors[self._kinds[at]]))
        if self._cut == at or datapos + size > self._size:
            msg = f'a record of it ends behind its {self._size} bytes'
            raise ReaderError(msg)
        bio.seek(datapos + size)
        return op

    def _take_chunk(self, at: int, chunk: Chunk) -> None:
        counts: Counter[int] = Counter()
        times = []
        try:
            for header, data in self._contents(at, chunk):
                if header.get_uint8('op') == RecordType.MSGDATA:
                    counts[header.get_uint32('conn')] += 1
                    times.append(header.get_time('time'))
                else:
                    self._add_connection(header, data())
        except Exception as error:  # noqa: BLE001 - garbage raises anything
            self._lose(at, chunk.datasize, words_of(error))
        if times:
            self.chunks[at] = chunk
            self.chunk_infos.append(ChunkInfo(at, min(times), max(times) + 1, dict(counts)))

    def _add_connection(self, header: Header, data: bytes) -> None:
        number = header.get_uint32('conn')
        if any(known.id == number for known in self.connections):
            return
        about = Header.read(BytesIO(struct.pack('<I', len(data)) + data))
        latching = about.get('latching')
        self.connections.append(
            Connection(
                number,
                normalize(header.get_string('topic')),
                normalize_msgtype(about.get_string('type')),
                MessageDefinition(
                    MessageDefinitionFormat.MSG, about.get_string('message_definition')
                ),
                about.get_string('md5sum'),
                0,
                ConnectionExtRosbag1(None, int(latching) if latching else None),
                self,
            )
        )

    def _count(self) -> None:
        """Give each connection its number of messages."""
        counts: Counter[int] = Counter()
        for info in self.chunk_infos:
            counts.update(info.connection_counts)
        self.connections = [c._replace(msgcount=counts[c.id]) for c in self.connections]

    def _lose(self, at: int, size: int, reason: str) -> None:
        self._on_damage(Damage(self._file, at, size, reason))


def _records(view: Any) -> Iterator[Record]:
    """Yield the records of a chunk that is in memory."""
    at = 0
    while at < len(view):
        middle = at + 4 + struct.unpack_from('<I', view, at)[0]
        header = Header.read(BytesIO(view[at:middle]))
        end = middle + 4 + struct.unpack_from('<I', view, middle)[0]
        if end > len(view):
            raise ReaderError(_TOO_LONG)
        # A copy: whoever keeps a message must not keep the whole chunk.
        yield header, partial(bytes, view[middle + 4 : end])
        at = end


def _records_in_place(bio: BinaryIO, at: int, end: int) -> Iterator[Record]:
    """Yield the records of a chunk that is not compressed; what nobody wants is not read."""
    while at < end:
        bio.seek(at)
        header = Header.read(bio)
        size = read_uint32(bio)
        at = bio.tell() + size
        if at > end:
            raise ReaderError(_TOO_LONG)
        yield header, partial(read_bytes, bio, size)

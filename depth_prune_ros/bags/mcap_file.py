"""One .mcap file, read as far as it is whole: every chunk's CRC is checked, no index is needed."""

from __future__ import annotations

from binascii import crc32
from collections import Counter
from collections.abc import Collection
from collections.abc import Generator
from collections.abc import Iterator
from heapq import merge
from operator import itemgetter
from pathlib import Path
from typing import Any
from typing import BinaryIO

from depth_prune_ros.bags.file_buffer import FileBuffer
from depth_prune_ros.bags.inflate import Buffer
from depth_prune_ros.bags.inflate import inflate_part
from depth_prune_ros.bags.losses import Damage
from depth_prune_ros.bags.losses import OnDamage
from depth_prune_ros.bags.losses import words_of
from depth_prune_ros.bags.mcap_records import FOOTER
from depth_prune_ros.bags.mcap_records import inflate
from depth_prune_ros.bags.mcap_records import LONGEST_RECORD
from depth_prune_ros.bags.mcap_records import MAGIC
from depth_prune_ros.bags.mcap_records import MESSAGE
from depth_prune_ros.bags.mcap_records import read_chunk
from depth_prune_ros.bags.mcap_records import RECORD
from depth_prune_ros.bags.mcap_records import records
from depth_prune_ros.bags.mcap_records import stream
from mcap.opcode import Opcode
from mcap.records import Channel
from mcap.records import Chunk
from mcap.records import Schema
from rosbags.interfaces import Connection
from rosbags.interfaces import ConnectionExtRosbag2
from rosbags.rosbag2.errors import ReaderError
from rosbags.rosbag2.metadata import parse_qos
from rosbags.rosbag2.metadata import ReaderMetadata
from rosbags.rosbag2.storage_mcap import ChunkInfo
from rosbags.rosbag2.storage_mcap import get_msgdef
from rosbags.rosbag2.storage_mcap import MAXSIZE
from rosbags.rosbag2.storage_mcap import McapReader
from rosbags.rosbag2.storage_mcap import Schema as RosbagsSchema

Read = tuple[Connection, int, bytes]


class McapFile(McapReader):
    """rosbags' reader, which goes on where a file has no index and after a damaged chunk."""

    def __init__(self, path: Path, on_damage: OnDamage) -> None:
        """Prepare to read; on_damage hears of every damaged place."""
        super().__init__(path)
        self._file = path
        self._size = path.stat().st_size
        self._on_damage = on_damage
        self._counts: Counter[int] = Counter()
        self._schemas: dict[int, Schema] = {}
        self._cut = -1
        self._buffer = FileBuffer()
        self._first_ns, self._last_ns = MAXSIZE, -1

    def _open(self) -> None:
        """Read the index; where it is missing or damaged, find out from the records themselves."""
        try:
            super()._open()
            self._check_summary()
        except Exception as error:  # noqa: BLE001 - garbage raises anything
            reason = words_of(error)
        else:
            return
        self.schemas.clear()
        self.channels.clear()
        self.chunks.clear()
        self.connections.clear()
        try:
            self._rescan(reason)
        except ReaderError as error:
            self._lose(0, self._size, words_of(error))

    def messages(
        self,
        connections: Collection[Connection],
        start: int | None = None,
        stop: int | None = None,
    ) -> Generator[Read, None, None]:
        """
        Yield connection, time and data in the order of time; damaged chunks are left out.

        Messages outside of chunks come in the order of the file.
        """
        wanted = {connection.id: connection for connection in connections}
        found: Iterator[Any] = (
            merge(*self._sources(wanted), key=itemgetter(1))
            if self.chunks
            else self._loose(wanted)
        )
        for connection, stamp_ns, data in found:
            late = stop is not None and stamp_ns >= stop
            if connection is not None and not late and (start is None or stamp_ns >= start):
                yield connection, stamp_ns, data

    def _sources(self, wanted: dict[int, Connection]) -> list[Iterator[Any]]:
        return [
            self._chunk(info, wanted)
            for info in self.chunks
            if not info.channel_count or wanted.keys() & info.channel_count.keys()
        ]

    def _chunk(self, info: ChunkInfo, wanted: dict[int, Connection]) -> Iterator[Any]:
        # The first one is for merge alone: it holds the chunk back until its time has come.
        yield None, info.message_start_time, b''
        found = []
        try:
            for opcode, body in self._contents(info):
                if opcode == Opcode.MESSAGE:
                    channel, _, stamp_ns, _ = MESSAGE.unpack_from(body)
                    if channel in wanted:
                        # A copy: whoever keeps a message must not keep the whole chunk.
                        data = bytes(body[MESSAGE.size :])
                        found.append((wanted[channel], stamp_ns, data))
        except Exception as error:  # noqa: BLE001 - garbage raises anything
            self._lose(info.chunk_start_offset, info.chunk_length, words_of(error))
        found.sort(key=itemgetter(1))
        yield from found

    def _loose(self, wanted: dict[int, Connection]) -> Iterator[Read]:
        at = self.data_start
        try:
            for found in self.messages_scan(list(wanted.values())):
                at = self.bio.tell() if self.bio else at
                yield found
        except ReaderError as error:
            self._lose(at, self.data_end - at, words_of(error))

    def _contents(self, info: ChunkInfo) -> Iterator[tuple[int, memoryview]]:
        """Read and decompress one chunk; of the one that is cut short, what there is."""
        bio: Any = self.bio
        body = self._buffer.read(bio, info.chunk_start_offset + 9, info.chunk_length - 9)
        chunk = read_chunk(body)
        if info.chunk_start_offset == self._cut:
            return records(inflate_part(chunk.compression, chunk.data), cut=True)
        return records(inflate(chunk))

    def _rescan(self, reason: str) -> None:
        """Make the index of a file that has none that can be used."""
        if self._bytes(0, 8) != MAGIC:
            msg = reason if self._size else f'File {str(self.path)!r} seems to be empty.'
            raise ReaderError(msg)
        self.data_start = at = 8
        while not self._ends(at):
            length = self._whole_record(at)
            if length is None:
                self._take_cut(at, reason)
                break
            self._take(at, *next(records(self._bytes(at, length))))
            at += length
        self.data_end = at
        if not self.connections:
            raise ReaderError(reason)
        self._sum_up()

    def _whole_record(self, at: int) -> int | None:
        """Return the length of the record at an offset, if all of it is there."""
        head = self._bytes(at, 9)
        if len(head) < 9:
            return None
        opcode, length = RECORD.unpack(head)
        known = 0 < opcode <= Opcode.DATA_END or opcode >= 0x80
        whole = at + 9 + length <= self._size and length <= LONGEST_RECORD
        return 9 + length if known and whole else None

    def _ends(self, at: int) -> bool:
        ends = RECORD.pack(Opcode.DATA_END, 4), RECORD.pack(Opcode.FOOTER, 20)
        return self._bytes(at, 9) in ends

    def _take(self, at: int, opcode: int, body: Buffer) -> None:
        """Learn what a record says; of a damaged chunk, nothing."""
        try:
            if opcode == Opcode.CHUNK:
                chunk = read_chunk(body)
                self._take_chunk(at, len(body) + 9, chunk, records(inflate(chunk)))
            else:
                self._learn(opcode, body, self._counts)
        except Exception as error:  # noqa: BLE001 - garbage raises anything
            self._lose(at, len(body) + 9, words_of(error))

    def _take_cut(self, at: int, reason: str) -> None:
        """Use the beginning of the record that a file ends in, if it is a chunk."""
        rest = self._bytes(at, min(self._size - at, LONGEST_RECORD))
        lost = self._size - at
        if len(rest) > 9 and rest[0] == Opcode.CHUNK:
            try:
                chunk = read_chunk(rest[9:])
                part = inflate_part(chunk.compression, chunk.data)
                used = self._take_chunk(at, len(rest), chunk, records(part, cut=True))
                self._cut = at
                # Exact where the chunk is not compressed.
                lost -= len(rest) - len(chunk.data) + len(chunk.data) * used // max(len(part), 1)
            except Exception as error:  # noqa: BLE001 - garbage raises anything
                reason = words_of(error)
        self._lose(self._size - lost, lost, f'cut short or damaged ({reason})')

    def _take_chunk(
        self, at: int, length: int, chunk: Chunk, found: Iterator[tuple[int, memoryview]]
    ) -> int:
        """Learn what a chunk says; returns how many of its bytes that were."""
        counts: Counter[int] = Counter()
        used = 0
        for opcode, body in found:
            self._learn(opcode, body, counts)
            used += 9 + len(body)
        self._counts.update(counts)
        times = chunk.message_start_time, chunk.message_end_time
        sizes = len(chunk.data), chunk.uncompressed_size
        info = ChunkInfo(*times, at, length, {}, 0, chunk.compression, *sizes, dict(counts))
        self.chunks.append(info)
        return used

    def _learn(self, opcode: int, body: Buffer, counts: Counter[int]) -> None:
        if opcode == Opcode.MESSAGE:
            channel, _, stamp_ns, _ = MESSAGE.unpack_from(body)
            counts[channel] += 1
            self._first_ns = min(self._first_ns, stamp_ns)
            self._last_ns = max(self._last_ns, stamp_ns)
        elif opcode == Opcode.SCHEMA:
            schema = Schema.read(stream(body))
            self._schemas[schema.id] = schema
        elif opcode == Opcode.CHANNEL:
            self._add_connection(Channel.read(stream(body)))

    def _add_connection(self, channel: Channel) -> None:
        if any(known.id == channel.id for known in self.connections):
            return
        if channel.message_encoding != 'cdr':
            return
        schema = self._schemas[channel.schema_id]
        text = RosbagsSchema(schema.id, schema.name, schema.encoding, schema.data.decode())
        qos = parse_qos(channel.metadata.get('offered_qos_profiles', ''))
        ext = ConnectionExtRosbag2(channel.message_encoding, qos)
        names = channel.id, channel.topic, schema.name
        self.connections.append(Connection(*names, get_msgdef(text), '', 0, ext, self))

    def _sum_up(self) -> None:
        counts = self._counts
        self.connections = [c._replace(msgcount=counts[c.id]) for c in self.connections]
        total = sum(counts.values())
        start, end = self._first_ns, self._last_ns + 1
        duration = max(end - start, 0)
        self.metadata = ReaderMetadata(duration, start, end, total, None, None, None, None)

    def _check_summary(self) -> None:
        """Raise where the index disagrees with its CRC (0: the recorder made none)."""
        footer = self._bytes(self._size - FOOTER.size, FOOTER.size)
        if len(footer) < FOOTER.size:
            return
        opcode, _, start, _, crc, _ = FOOTER.unpack(footer)
        if opcode != Opcode.FOOTER or not crc or not start:
            return
        if crc32(self._bytes(start, self._size - 12 - start)) != crc:
            msg = 'Summary checksum mismatch.'
            raise ReaderError(msg)

    def _bytes(self, at: int, length: int) -> bytes:
        bio: BinaryIO | None = self.bio
        if bio is None:
            msg = f'{self._file} is not open.'
            raise ReaderError(msg)
        bio.seek(max(at, 0))
        return bio.read(max(length, 0))

    def _lose(self, at: int, size: int, reason: str) -> None:
        self._on_damage(Damage(self._file, at, size, reason))

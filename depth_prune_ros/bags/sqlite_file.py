"""One .db3 file, read as far as it is whole: row by row where its tree of pages is broken."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from collections.abc import Generator
from pathlib import Path

from depth_prune_ros.bags.losses import Damage
from depth_prune_ros.bags.losses import OnDamage
from depth_prune_ros.bags.losses import words_of
from depth_prune_ros.bags.sqlite_pages import BrokenRowError
from depth_prune_ros.bags.sqlite_pages import Cell
from depth_prune_ros.bags.sqlite_pages import Pages
from depth_prune_ros.bags.sqlite_pages import Value
from rosbags.interfaces import Connection
from rosbags.interfaces import ConnectionExtRosbag2
from rosbags.interfaces import MessageDefinition
from rosbags.interfaces import MessageDefinitionFormat
from rosbags.rosbag2.metadata import parse_qos
from rosbags.rosbag2.metadata import ReaderMetadata
from rosbags.rosbag2.storage_sqlite3 import Sqlite3Reader

_FORMATS = {'ros2msg': MessageDefinitionFormat.MSG, 'ros2idl': MessageDefinitionFormat.IDL}
_NO_DEFINITION = MessageDefinition(MessageDefinitionFormat.NONE, '')

Read = tuple[Connection, int, bytes]


class SqliteFile(Sqlite3Reader):
    """rosbags' reader, which looks for the rows itself where SQLite gives up."""

    def __init__(self, path: Path, on_damage: OnDamage) -> None:
        """Prepare to read; on_damage hears of every damaged place."""
        super().__init__(path)
        self._file = path
        self._on_damage = on_damage
        self._pages: Pages | None = None
        # time in the bag, topic, where
        self._found: list[tuple[int, int, Cell]] = []

    def _open(self) -> None:
        """Open the database; where it is broken, find its rows page by page."""
        try:
            super()._open()
        except Exception as error:  # noqa: BLE001 - garbage raises anything
            self._rescan(words_of(error))
        log = self._file.with_name(f'{self._file.name}-wal')
        if log.is_file() and log.stat().st_size:
            reason = f'its newest messages are in {log.name} (sqlite3: PRAGMA wal_checkpoint)'
            self._on_damage(Damage(log, None, log.stat().st_size, reason))

    def close(self) -> None:
        """Close the file."""
        if self._pages is not None:
            self._pages.close()
        super().close()

    def messages(
        self,
        connections: Collection[Connection],
        start: int | None = None,
        stop: int | None = None,
    ) -> Generator[Read, None, None]:
        """Yield connection, time and data in the order of time; broken rows are left out."""
        # Of the last moment that was read: connection -> how many of its rows were yielded.
        given = Counter[int]()
        if self._pages is None:
            try:
                for found in super().messages(connections, start, stop):
                    yield found
                    if found[1] != start:
                        given.clear()
                        start = found[1]
                    given[found[0].id] += 1
            except Exception as error:  # noqa: BLE001 - the database's own exceptions
                self._look_for_rows(words_of(error))
            else:
                return
        wanted = {connection.id: connection for connection in connections}
        for stamp_ns, topic, cell in self._found:
            late = stop is not None and stamp_ns >= stop
            if topic in wanted and not late and (start is None or stamp_ns >= start):
                if stamp_ns == start and given[topic]:
                    given[topic] -= 1
                    continue
                data = self._data(cell)
                if data is not None:
                    yield wanted[topic], stamp_ns, data

    def _data(self, cell: Cell) -> bytes | None:
        try:
            data = self._pages.values(cell)[3] if self._pages else None
        except BrokenRowError as error:
            self._on_damage(Damage(self._file, cell.at, cell.size, words_of(error)))
            return None
        return data if isinstance(data, bytes) else None

    def _rescan(self, reason: str) -> None:
        """Find topics and messages without the database."""
        topics, definitions = self._look_for_rows(reason)
        counts = Counter(topic for _, topic, _ in self._found)
        self.connections = [
            self._connection(number, row, definitions, counts[number])
            for number, row in sorted(topics.items())
        ]
        start, end = (self._found[0][0], self._found[-1][0] + 1) if self._found else (0, 0)
        total = len(self._found)
        self.metadata = ReaderMetadata(end - start, start, end, total, None, None, None, None)

    def _look_for_rows(
        self, reason: str
    ) -> tuple[dict[int, list[str]], dict[str, MessageDefinition]]:
        """Fill in where the messages are; returns the topics' rows and the message definitions."""
        try:
            self._pages = pages = Pages(self._file)
        except ValueError:
            self._on_damage(Damage(self._file, 0, self._file.stat().st_size, reason))
            return {}, {}
        topics: dict[int, list[str]] = {}
        definitions: dict[str, MessageDefinition] = {}
        rowids: list[int] = []
        for cell in pages.cells():
            try:
                row = pages.head(cell)
            except (BrokenRowError, IndexError):
                continue
            texts = [value for value in row[1:] if isinstance(value, str)]
            if _is_message(row):
                rowids.append(cell.rowid)
                self._found.append((int(row[2] or 0), int(row[1] or 0), cell))
            elif len(texts) >= 3 and texts[2] == 'cdr':
                topics[cell.rowid] = texts
            elif len(texts) >= 3 and texts[1] in _FORMATS:
                definitions[texts[0]] = MessageDefinition(_FORMATS[texts[1]], texts[2])
        # As the database orders them, so that rows of one moment can be counted off.
        self._found.sort(key=lambda found: (found[0], found[2].rowid))
        gone = max(rowids, default=0) - len(rowids)
        missing = max(pages.expected_size - pages.file_size, 0)
        what = f'{reason}; {len(rowids)} messages found' + (f', {gone} gone' if gone > 0 else '')
        self._on_damage(Damage(self._file, None, missing or None, what))
        return topics, definitions

    def _connection(
        self,
        number: int,
        row: list[str],
        definitions: dict[str, MessageDefinition],
        count: int,
    ) -> Connection:
        name, kind, form, qos, digest = (*row, '', '')[:5]
        ext = ConnectionExtRosbag2(form, parse_qos(qos))
        definition = definitions.get(kind, _NO_DEFINITION)
        return Connection(number, name, kind, definition, digest, count, ext, self)


def _is_message(row: list[Value]) -> bool:
    """Tell whether a row is (id, topic_id, timestamp, data) of the table of messages."""
    kinds = [type(value) for value in row]
    return len(kinds) == 4 and kinds[1:] == [int, int, bytes]

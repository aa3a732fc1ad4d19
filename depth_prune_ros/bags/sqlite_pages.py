"""
The rows of an SQLite file page by page, for files whose tree of pages is broken.

Format: https://www.sqlite.org/fileformat2.html. Leaf pages of tables say themselves what they
are, and a long value goes on through pages that each name the next one; so rows are found
without the pages above them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

_LEAF = 0x0D
_BLOCK_PAGES = 256
# Bytes of the integers of serial types 1 to 6.
_SIZES = (0, 1, 2, 3, 4, 6, 8)

Value = int | str | bytes | None


class BrokenRowError(ValueError):
    """A row whose pages are not all there."""


@dataclass(frozen=True)
class Cell:
    """
    Where a row is.

    :param rowid: its number
    :param size: bytes of its values
    :param at: where its values begin in the file
    :param local: how many bytes of them are there; the others are on other pages
    """

    rowid: int
    size: int
    at: int
    local: int


class Pages:
    """The pages of one file."""

    def __init__(self, path: Path) -> None:
        """Open the file; raises ValueError for what is no SQLite file."""
        self._file: BinaryIO = path.open('rb')
        head = self._file.read(100)
        size = int.from_bytes(head[16:18], 'big')
        self.page_size = 65536 if size == 1 else size
        if not head.startswith(b'SQLite format 3\0') or self.page_size < 512:
            self._file.close()
            msg = 'file is not a database'
            raise ValueError(msg)
        self._usable = self.page_size - head[20]
        self.file_size = path.stat().st_size
        # What the file should have, by its own header.
        self.expected_size = int.from_bytes(head[28:32], 'big') * self.page_size

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def cells(self) -> Iterator[Cell]:
        """Find the rows of all tables, in the order of their pages."""
        block, at = self.page_size * _BLOCK_PAGES, 0
        while at < self.file_size:
            data = self._read(at, block)
            for start in range(0, len(data), self.page_size):
                # The first page begins with the file's header.
                if data[start] == _LEAF or (at == start == 0 and data[100:101] == bytes([_LEAF])):
                    yield from self._cells(data[start : start + self.page_size], at + start)
            at += block

    def values(self, cell: Cell) -> list[Value]:
        """Read a row's values; raises BrokenRowError where not all of it is there."""
        return _values(self._payload(cell))

    def head(self, cell: Cell) -> list[Value]:
        """Read a row's values, of a blob only as much as lies with the others."""
        values = _values(self._read(cell.at, cell.local))
        return self.values(cell) if any(isinstance(value, str) for value in values) else values

    def _cells(self, page: bytes, at: int) -> Iterator[Cell]:
        head = 100 if at == 0 else 0
        count = int.from_bytes(page[head + 3 : head + 5], 'big')
        fitting = (len(page) - head - 8) // 2
        for number in range(min(count, fitting)):
            pointer = head + 8 + 2 * number
            start = int.from_bytes(page[pointer : pointer + 2], 'big')
            try:
                size, here = _varint(page, start)
                rowid, here = _varint(page, here)
            except IndexError:
                continue
            local = self._local(size)
            if here + local <= len(page):
                yield Cell(rowid, size, at + here, local)

    def _local(self, size: int) -> int:
        """Return how many bytes of a row stay on its leaf page."""
        if size <= self._usable - 35:
            return size
        least = (self._usable - 12) * 32 // 255 - 23
        local = least + (size - least) % (self._usable - 4)
        return local if local <= self._usable - 35 else least

    def _payload(self, cell: Cell) -> bytes:
        parts = [self._read(cell.at, cell.local)]
        missing = cell.size - cell.local
        if not missing:
            return parts[0]
        page = int.from_bytes(self._read(cell.at + cell.local, 4), 'big')
        while missing > 0:
            data = self._read((page - 1) * self.page_size, self._usable) if page > 1 else b''
            part = data[4 : 4 + missing]
            if len(part) < min(missing, self._usable - 4):
                msg = f'row {cell.rowid} goes on in a page that is not there'
                raise BrokenRowError(msg)
            parts.append(part)
            missing -= len(part)
            page = int.from_bytes(data[:4], 'big')
        return b''.join(parts)

    def _read(self, at: int, size: int) -> bytes:
        self._file.seek(at)
        return self._file.read(size)


def _values(data: bytes) -> list[Value]:
    header_size, at = _varint(data, 0)
    start, values = header_size, []
    while at < header_size:
        kind, at = _varint(data, at)
        value, start = _value(data, start, kind)
        values.append(value)
    return values


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for count in range(9):
        byte = data[at + count]
        if count == 8:
            return value << 8 | byte, at + 9
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, at + count + 1
    raise IndexError


def _value(data: bytes, at: int, kind: int) -> tuple[Value, int]:
    """Return the value of a serial type at an offset, and where the next one begins."""
    if kind < len(_SIZES):
        end = at + _SIZES[kind]
        return int.from_bytes(data[at:end], 'big', signed=True) if kind else None, end
    if kind in (8, 9):
        return kind - 8, at
    if kind < 12:
        msg = f'a value of unknown type {kind}'
        raise BrokenRowError(msg)
    end = at + (kind - 12) // 2
    return (data[at:end] if kind % 2 == 0 else data[at:end].decode('utf-8', 'replace')), end

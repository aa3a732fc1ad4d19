"""Memory that chunk after chunk of a file is read into."""

from __future__ import annotations

from typing import BinaryIO

_KEPT_BYTES = 16 << 20


class FileBuffer:
    """
    One block of memory, used again and again.

    A new block for each chunk would have to come from the system, page by page: as slow as
    reading the chunk.
    """

    def __init__(self) -> None:
        """Begin with no memory at all, but let what is freed later be kept for what follows."""
        # glibc gives freed memory back to the system from twice the size of the largest block
        # on that was ever freed: without this one, every frame's images.
        self._block = bytearray(_KEPT_BYTES)
        self._block = bytearray()

    def read(self, file: BinaryIO, at: int, size: int) -> memoryview:
        """
        Read from an offset; what a call returns holds until the next one.

        :raises ValueError: the file ends before
        """
        if len(self._block) < size:
            self._block = bytearray(size)
        view = memoryview(self._block)[:size]
        file.seek(at)
        found = file.readinto(view)  # type: ignore[attr-defined]
        if found != size:
            msg = f'got only {found} of {size} bytes at {at}'
            raise ValueError(msg)
        return view

"""How decoded samples lie on the disk: their bytes one after the other, and an index of them."""

from __future__ import annotations

from collections.abc import Iterator
import json
from pathlib import Path
from typing import Any

from depth_prune_ros.bags.losses import tell_again
from depth_prune_ros.offline.samples import Array
from depth_prune_ros.offline.samples import Sample
import numpy as np

_ALIGNED = 64
ROW = np.dtype(
    [
        ('offset', '<u8'),
        ('points', '<u4'),
        ('has_right', '?'),
        ('has_hints', '?'),
        ('fx_over_width', '<f8'),
        ('fy_over_height', '<f8'),
        ('baseline_m', '<f8'),
        ('stamp_ns', '<i8'),
    ]
)


class CachedSamples:
    """The samples of one bag, read from the disk as they are asked for."""

    def __init__(self, folder: Path, bag: Path) -> None:
        """
        Map a bag's cache into memory, and tell what reading it had to say.

        :raises OSError, ValueError, KeyError: not a whole cache
        """
        about = json.loads((folder / 'about.json').read_text())
        file = folder / 'samples.bin'
        if file.stat().st_size != about['bytes']:
            msg = f'{file}: expected {about["bytes"]} bytes, found {file.stat().st_size}'
            raise ValueError(msg)
        self.fingerprint: str = about['fingerprint']
        self._size: tuple[int, int] = tuple(about['sample_size'])
        self._rows = np.load(folder / 'index.npy')
        mapped = np.memmap(file, np.uint8, 'r') if about['bytes'] else np.zeros(0, np.uint8)
        self._bytes: Array = np.asarray(mapped)
        tell_again(about['findings'], bag)

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self._rows)

    def __iter__(self) -> Iterator[Sample]:
        """Yield the samples one by one."""
        return (self[index] for index in range(len(self)))

    def __getitem__(self, index: int) -> Sample:
        """Return a sample whose arrays lie in the memory map."""
        row = self._rows[index]
        height, width = self._size
        start = int(row['offset'])
        stop = start + height * width * 3 * (1 + int(row['has_right']))
        views = self._bytes[start:stop].reshape(-1, height, width, 3)
        at = stop + _padding(stop - start)
        end = at + 12 * int(row['points'])
        at_hints = end + _padding(end - at)
        matched = self._bytes[at_hints : at_hints + 4 * height * width].view(np.float16)
        return Sample(
            left=views[0],
            right=views[1] if row['has_right'] else None,
            points=self._bytes[at:end].view(np.float32).reshape(-1, 3),
            fx_over_width=float(row['fx_over_width']),
            fy_over_height=float(row['fy_over_height']),
            baseline_m=float(row['baseline_m']),
            stamp_ns=int(row['stamp_ns']),
            hints=matched.reshape(2, height, width) if row['has_hints'] else None,
        )


def packed(sample: Sample) -> list[bytes]:
    """Return a sample's bytes: its views, points and hints, each padded to _ALIGNED."""
    views = [b'' if view is None else _bytes(view) for view in (sample.left, sample.right)]
    parts = [*views, bytes(_padding(sum(map(len, views))))]
    for values in (sample.points, sample.hints):
        parts.append(b'' if values is None else _bytes(values))
        parts.append(bytes(_padding(len(parts[-1]))))
    return parts


def row_of(sample: Sample, start: int) -> tuple[Any, ...]:
    """Return what the index says of a sample whose bytes begin there."""
    there = (sample.right is not None, sample.hints is not None)
    focal = (sample.fx_over_width, sample.fy_over_height)
    return (start, len(sample.points), *there, *focal, sample.baseline_m, sample.stamp_ns)


def _bytes(values: Array) -> bytes:
    return np.ascontiguousarray(values).tobytes()


def _padding(count: int) -> int:
    """Return how many bytes behind ``count`` reach the next multiple of _ALIGNED."""
    return -count % _ALIGNED

"""
A table of measured layers: of networks of random widths, made once for a computer and kept.

Each network is measured several times with the others between, so that a slow moment of the
computer does not stay in the table. The file is written after each measurement: a table whose
making was interrupted is gone on with.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from dataclasses import asdict
from dataclasses import dataclass
from dataclasses import replace
import hashlib
import itertools
import json
import os
from pathlib import Path
import tempfile

from depth_prune_ros.core.errors import ConfigError
from depth_prune_ros.core.files import write_whole
from depth_prune_ros.offline.latency import export_model
from depth_prune_ros.offline.latency import Model
from depth_prune_ros.offline.latency import time_model
from depth_prune_ros.offline.latency import Timing
from depth_prune_ros.offline.latency import VERSION
from depth_prune_ros.offline.latency_fit import LatencyModel
from depth_prune_ros.offline.latency_fit import Sample
from depth_prune_ros.offline.machine import processor
from depth_prune_ros.offline.networks.catalogue import build
import numpy as np

Progress = Callable[[int, int], None]

NETWORKS = 36
ROUNDS = 5
# kernels work in whole blocks of 8 or 16 and read no less than 4: both are measured
_MULTIPLES = (8, 4)
_LEAST_SHARE = 0.1
_SPREAD = 0.6


@dataclass(frozen=True)
class Key:
    """What a table holds for, and nothing else."""

    network: str
    layers: str
    height: int
    width: int
    threads: int
    cpu: str
    onnxruntime: str

    @property
    def size(self) -> tuple[int, int]:
        """Return height and width of the image."""
        return self.height, self.width

    def file(self) -> Path:
        """Return where a table for it is kept: in the user's cache."""
        cache = os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache'
        digest = _digest(json.dumps(asdict(self)))
        name = f'latency_{self.network}_{self.height}x{self.width}_{self.threads}_{digest}.json'
        return Path(cache) / 'depth_prune_ros' / name


@dataclass(frozen=True)
class _Table:
    """
    What a file holds.

    :param done: measurements made
    :param total: measurements of a whole table
    :param samples: the networks measured so far
    """

    key: Key
    done: int
    total: int
    samples: list[Sample]


def key(network: str, size: tuple[int, int], threads: int) -> Key:
    """Return what a table made here and now holds for."""
    dense = build(network)
    layers = _digest(repr((dense.widths, dense.layers)))
    return Key(network, layers, *size, threads, processor(), VERSION)


def load_table(path: Path, wanted: Key) -> LatencyModel:
    """
    Read a table that the user names.

    :raises ConfigError: not there, not whole, or not of this network, size, threads or computer
    """
    found = _read(path)
    if found is None:
        msg = f'{path}: expected a latency table, found none that can be read; leave it out'
        raise ConfigError(msg)
    for name, value in asdict(wanted).items():
        other = getattr(found.key, name)
        if other != value:
            msg = (
                f'{path}: expected a latency table of {name} {value}, found one of {other}; '
                'leave it out, and one is made for this computer'
            )
            raise ConfigError(msg)
    if found.done != found.total or not found.samples:
        msg = (
            f'{path}: expected a whole latency table, found {found.done} of {found.total} '
            'measurements; leave it out'
        )
        raise ConfigError(msg)
    return LatencyModel(build(wanted.network), found.samples)


def cached_table(
    wanted: Key, progress: Progress, *, networks: int = NETWORKS, rounds: int = ROUNDS
) -> LatencyModel:
    """
    Return the table of this computer, made or gone on with where it is not whole.

    :param progress: called with measurements done and all of them
    :param networks: how many are measured
    :param rounds: how often each of them is, the others between
    """
    path, total = wanted.file(), networks * rounds
    table = _read(path)
    if table is None or (table.key, table.total) != (wanted, total):
        table = _Table(wanted, 0, total, [])
    drawn = list(itertools.islice(_widths(build(wanted.network).widths), networks))
    with tempfile.TemporaryDirectory() as folder:
        models: dict[int, Model] = {}
        for count in range(table.done, total):
            progress(count, total)
            number = count % networks
            if number not in models:
                network = build(wanted.network, drawn[number])
                file = Path(folder) / f'{number}.onnx'
                models[number] = export_model(network, wanted.size, file, wanted.threads)
            _add(table.samples, number, Sample(drawn[number], time_model(models[number])))
            _write(path, replace(table, done=count + 1))
            progress(count + 1, total)
    return LatencyModel(build(wanted.network), table.samples)


def _add(samples: list[Sample], number: int, new: Sample) -> None:
    """Take the lesser times of a network's old and new measurement."""
    if number == len(samples):
        samples.append(new)
        return
    old = samples[number].timing
    whole = tuple(map(min, old.whole, new.timing.whole))
    layers = tuple(
        {name: min(before[name], after[name]) for name in before}
        for before, after in zip(old.layers, new.timing.layers, strict=True)
    )
    samples[number] = Sample(new.widths, Timing(whole, layers))


def _widths(dense: Mapping[str, int]) -> Iterator[dict[str, int]]:
    """Yield the dense widths, the narrowest ones, and random ones between them."""
    rng = np.random.default_rng(0)
    shares = dict.fromkeys(dense, 1.0)
    for number in itertools.count():
        multiple = _MULTIPLES[number % len(_MULTIPLES)]
        yield {
            group: min(width, multiple * max(1, round(shares[group] * width / multiple)))
            for group, width in dense.items()
        }
        whole = _LEAST_SHARE ** (rng.random() if number else 1.0)
        spread = rng.lognormal(0, _SPREAD if number else 0.0, len(dense))
        shares = dict(zip(dense, np.minimum(1, whole * spread).tolist(), strict=True))


def _read(path: Path) -> _Table | None:
    try:
        values = json.loads(path.read_text())
        samples = [
            Sample(
                one['widths'],
                Timing(tuple(one['timing']['whole']), tuple(one['timing']['layers'])),
            )
            for one in values['samples']
        ]
        return _Table(Key(**values['key']), int(values['done']), int(values['total']), samples)
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _write(path: Path, table: _Table) -> None:
    try:
        write_whole(path, json.dumps(asdict(table)).encode())
    except OSError as error:
        msg = f'{path}: expected to keep a latency table, found: {error.strerror or error}'
        raise ConfigError(msg) from error


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]

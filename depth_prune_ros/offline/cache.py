"""
Decoded samples on disk: made once per bag and options, then read through a memory map.

A cache is a folder, ``<bag>-<key>``: ``samples.bin`` (for each sample its left image, right image
and points, one after the other), ``index.npy`` (where they begin) and ``about.json`` (what the key
was made of). The key is a digest of all bytes of the bag, of the options, of the topics that are
named and of the code that decodes, so what has changed has another name and nothing stale is ever
read. The fingerprint is a digest of the options and of what was decoded: newer code that decodes
the same has the same. A cache is written under a hidden name, synchronised and renamed: one that
has its name is whole. A lock makes a second process wait for the first.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from contextlib import contextmanager
import errno
import fcntl
from glob import escape
import hashlib
from importlib.metadata import version
import json
import os
from pathlib import Path
import shutil
from typing import Any

import cv2
from depth_prune_ros.bags.frames import read_frames
from depth_prune_ros.bags.losses import collect_findings
from depth_prune_ros.bags.reading import open_bag
from depth_prune_ros.bags.reading import topics_by_type
from depth_prune_ros.bags.topics import choose_topics
from depth_prune_ros.bags.topics import named_topics
from depth_prune_ros.core.errors import BagError
from depth_prune_ros.core.errors import TrainingError
from depth_prune_ros.offline.checkpoint import sync
from depth_prune_ros.offline.fingerprint import bag_digest
from depth_prune_ros.offline.sample_file import CachedSamples
from depth_prune_ros.offline.sample_file import packed
from depth_prune_ros.offline.sample_file import ROW
from depth_prune_ros.offline.sample_file import row_of
from depth_prune_ros.offline.samples import kept_size
from depth_prune_ros.offline.samples import load_samples
from depth_prune_ros.offline.samples import Sample
import numpy as np

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_PACKAGE = Path(__file__).resolve().parents[1]
# what a frame goes through on its way to a sample
_DECODING = (
    'bags/*.py',
    'core/images.py',
    'core/compressed_depth.py',
    'core/camera.py',
    'offline/hints.py',
    'offline/samples.py',
)


def default_folder() -> Path:
    """Return where caches are kept where nothing else is said."""
    cache = os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache'
    return Path(cache) / 'depth_prune_ros' / 'frames'


def cached_samples(
    bag: Path,
    size: tuple[int, int],
    baseline_m: float,
    progress: Callable[[int], None],
    folder: Path | None = None,
    *,
    hints: bool = False,
) -> CachedSamples:
    """
    Return the samples of a bag: those of its cache, which is made where there is none.

    :param size: (height, width) of the network
    :param progress: called with the frames read so far
    :param folder: of all caches; default_folder() by default
    :param hints: whether the views are matched, too
    :raises BagError: a bag that cannot be read, or that changes meanwhile
    :raises TrainingError: a cache that cannot be written; the disk is full
    """
    folder = folder or default_folder()
    about = _about(bag, size, baseline_m, folder, hints=hints)
    final = folder / f'{bag.resolve().name}-{about["key"]}'
    found = _open(final, bag)
    if found is None:
        with _one_line(folder), _locked(folder / f'.{final.name}.lock'):
            found = _open(final, bag)
            if found is None:
                return _make(bag, final, about, progress)
    progress(len(found))
    return found


def _make(
    bag: Path, final: Path, about: dict[str, Any], progress: Callable[[int], None]
) -> CachedSamples:
    """Decode a bag into a cache; the caller holds its lock."""
    for dead in final.parent.glob(f'.{escape(final.name)}.*.partial'):
        shutil.rmtree(dead)
    partial = final.parent / f'.{final.name}.{os.getpid()}.partial'
    partial.mkdir()
    try:
        size, baseline_m, hints = tuple(about['size']), about['baseline_m'], about['hints']
        with collect_findings() as findings:
            samples = load_samples(read_frames(bag), size, baseline_m, progress, hints=hints)
            rows = _write(partial / 'samples.bin', samples, bag, final.parent)
        about |= {
            'bytes': (partial / 'samples.bin').stat().st_size,
            'findings': findings.of(bag),
        }
        np.save(partial / 'index.npy', np.array(rows, ROW))
        decoded = bag_digest(partial, final.parent / 'digests')
        about['fingerprint'] = _digest({'decoded': decoded, 'options': [size, baseline_m, hints]})
        (partial / 'about.json').write_text(json.dumps(about, indent=1))
        if bag_digest(bag, final.parent / 'digests') != about['bag']:
            msg = f'{bag}: expected a bag at rest, found it changed while it was read; try again'
            raise BagError(msg)
        for path in (*partial.iterdir(), partial):
            sync(path)
        shutil.rmtree(final, ignore_errors=True)  # a damaged one
        partial.rename(final)
        sync(final.parent)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return CachedSamples(final, bag)


def _write(
    path: Path, samples: Iterable[Sample], bag: Path, folder: Path
) -> list[tuple[Any, ...]]:
    """Write the samples one after the other and return their rows of the index."""
    rows: list[tuple[Any, ...]] = []
    stop = 0
    try:
        with path.open('wb') as file:
            for sample in samples:
                parts = packed(sample)
                rows.append(row_of(sample, stop))
                stop += sum(map(len, parts))
                if len(rows) == 1 and _needed(bag, stop) > shutil.disk_usage(folder).free:
                    raise OSError(errno.ENOSPC, 'not enough room')
                file.writelines(parts)
    except OSError as error:
        if error.errno not in _FULL:
            raise
        needed = _needed(bag, stop / max(1, len(rows)))
        free = shutil.disk_usage(folder).free + path.stat().st_size
        msg = (
            f'{folder}: expected {needed} bytes for the frames of {bag}, found {free} free; free '
            'some, or name a folder on another disk as cache in the configuration'
        )
        raise TrainingError(msg) from error
    return rows


def _needed(bag: Path, each: float) -> int:
    """Return how many bytes a cache takes, from those of one sample."""
    with open_bag(bag) as reader:
        return int(each * reader.topics[choose_topics(bag, topics_by_type(reader)).left].msgcount)


def _about(
    bag: Path, size: tuple[int, int], baseline_m: float, folder: Path, *, hints: bool
) -> dict[str, Any]:
    """Return everything that a cache depends on, and its digest, the key."""
    with open_bag(bag):  # says what is wrong with one that is none
        pass
    about = {
        'bag': bag_digest(bag, folder / 'digests'),
        'size': list(size),
        'sample_size': list(kept_size(size)),
        'baseline_m': baseline_m,
        'hints': hints,
        'topics': named_topics(),
        'decoding': _decoding(),
        'layout': str(ROW),
    }
    return {**about, 'key': _digest(about)}


def _digest(values: dict[str, Any]) -> str:
    return hashlib.blake2b(json.dumps(values, sort_keys=True).encode(), digest_size=16).hexdigest()


def _decoding() -> str:
    """Return a digest of the code that decodes, ours and others'."""
    digest = hashlib.blake2b(digest_size=16)
    for pattern in _DECODING:
        for path in sorted(_PACKAGE.glob(pattern)):
            digest.update(path.read_bytes())
    digest.update(f'{cv2.__version__} {np.__version__} {version("rosbags")}'.encode())
    return digest.hexdigest()


def _open(folder: Path, bag: Path) -> CachedSamples | None:
    try:
        return CachedSamples(folder, bag)
    except (OSError, ValueError, KeyError):
        return None


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a lock that the kernel gives back however the process ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open('w') as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def _one_line(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        msg = (
            f'{folder}: expected to write decoded frames there, found: {error.strerror or error}; '
            'name another folder as cache in the configuration'
        )
        raise TrainingError(msg) from error

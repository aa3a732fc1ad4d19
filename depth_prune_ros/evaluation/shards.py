"""One evaluation on many computers: what each leaves, and how that becomes one."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import asdict
from dataclasses import dataclass
import json
from pathlib import Path
from typing import Any

import cv2
from depth_prune_ros.core.errors import ConfigError
from depth_prune_ros.evaluation.gallery import choose
from depth_prune_ros.evaluation.gallery import Shot
from depth_prune_ros.evaluation.pictures import write_file
from depth_prune_ros.evaluation.pictures import write_png
from depth_prune_ros.evaluation.results import joined
from depth_prune_ros.evaluation.results import Result
from depth_prune_ros.evaluation.results import result_from_json
import numpy as np

FILE = 'shard.json'
_VERSION = 2


@dataclass(frozen=True)
class Shard:
    """One of `count` parts of the work, `number` counted from 1."""

    number: int = 1
    count: int = 1

    def frames(self, total: int) -> tuple[int, int]:
        """Return its first frame out of `total`, and the first that is no longer its own."""
        return total * (self.number - 1) // self.count, total * self.number // self.count


def parse_shard(text: str) -> Shard:
    """
    Read a shard such as 2/4.

    :raises ConfigError: something else
    """
    number, _, count = text.partition('/')
    valid = number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count)
    if not valid:
        msg = f'expected a shard such as 1/4 (the first of four), found {text!r}'
        raise ConfigError(msg)
    return Shard(int(number), int(count))


@dataclass(frozen=True)
class Merged:
    """One evaluation: its results, the frames to show, and what it is called."""

    results: tuple[Result, ...]
    shots: tuple[Shot, ...]
    title: str


def write_shard(
    folder: Path,
    evaluated: Merged,
    shard: Shard,
    work: Mapping[str, Any],
) -> Path:
    """
    Write what merge needs of a shard: shard.json and the pictures of the frames it may show.

    :param evaluated: the shard's own results, the frames it may show, the title of the whole
    :param work: what the whole is, as JSON: shards of something else are not merged with it
    :return: shard.json; written last, so that a folder with it is whole
    :raises ConfigError: the folder cannot be made or written
    """
    rows = []
    for number, shot in enumerate(evaluated.shots):
        names = [f'shot_{number}_{i}.png' for i in range(1 + len(shot.others))]
        for name, picture in zip(names, (shot.picture, *shot.others), strict=True):
            write_png(folder / name, picture)
        about = {k: v for k, v in vars(shot).items() if k not in ('picture', 'others')}
        rows.append({**about, 'pictures': names})
    found = {
        'version': _VERSION,
        'shard': asdict(shard),
        'work': work,
        'title': evaluated.title,
        'results': [result.to_json() for result in evaluated.results],
        'shots': rows,
    }
    write_file(folder / FILE, (json.dumps(found, allow_nan=False) + '\n').encode())
    return folder / FILE


def merge_shards(folders: Sequence[Path]) -> Merged:
    """
    Put all shards of one evaluation together, in whatever order they are named.

    Every figure is computed anew from the frames, and so is that of one run.

    :raises ConfigError: a folder without a shard, one that is missing or there twice, shards
        of different evaluations, or no prediction for any frame of theirs
    """
    parts = [_read(folder) for folder in folders]
    _check(folders, parts)
    parts.sort(key=lambda part: part.shard.number)
    columns = zip(*(part.evaluated.results for part in parts), strict=True)
    results = tuple(joined(column) for column in columns)
    for result in results:
        if result.frames_in and not result.frames_out:
            msg = f'expected depth of {result.name} in the shards, found none for any frame'
            raise ConfigError(msg)
    shots = [shot for part in parts for shot in part.evaluated.shots]
    return Merged(results, choose(shots, results[0]), parts[0].evaluated.title)


@dataclass(frozen=True)
class _Part:
    """What a shard's folder holds; `work` is what the whole is, as write_shard was told."""

    shard: Shard
    work: Any
    evaluated: Merged

    def whole(self) -> list[Any]:
        """Return what all parts of one evaluation have in common."""
        results = [[r.name, r.rules, r.model] for r in self.evaluated.results]
        return [self.shard.count, self.work, self.evaluated.title, results]


def _read(folder: Path) -> _Part:
    path = folder / FILE
    try:
        found = json.loads(path.read_text(encoding='utf-8'))
    except (OSError, ValueError) as error:
        msg = f'{path}: expected what depth-prune evaluate --shard writes, found: {error}'
        raise ConfigError(msg) from error
    if not isinstance(found, dict) or found.get('version') != _VERSION:
        msg = f'{path}: expected a shard of version {_VERSION}, found another; evaluate it again'
        raise ConfigError(msg)
    try:
        results = tuple(result_from_json(result) for result in found['results'])
        shots = tuple(_shot(folder, row) for row in found['shots'])
        evaluated = Merged(results, shots, found['title'])
        return _Part(Shard(**found['shard']), found['work'], evaluated)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        msg = f'{path}: expected what depth-prune evaluate --shard writes, found: {error!r}'
        raise ConfigError(msg) from error


def _check(folders: Sequence[Path], parts: Sequence[_Part]) -> None:
    """Refuse shards that are not the parts of one evaluation."""
    for folder, part in zip(folders, parts, strict=True):
        if part.whole() != parts[0].whole():
            msg = (
                f'{folder}: expected a shard of the same bags, models, ground truth, protocol and '
                f'number of parts as {folders[0]}, found another evaluation'
            )
            raise ConfigError(msg)
    count = parts[0].shard.count
    numbers = sorted(part.shard.number for part in parts)
    if numbers != list(range(1, count + 1)):
        seen = ', '.join(map(str, numbers))
        msg = f'expected the shards 1 to {count}, each once, found {seen}'
        raise ConfigError(msg)


def _shot(folder: Path, row: Mapping[str, Any]) -> Shot:
    about = {key: value for key, value in row.items() if key not in ('pictures', 'abs_rel')}
    picture, *others = [_read_picture(folder / name) for name in row['pictures']]
    return Shot(**about, abs_rel=tuple(row['abs_rel']), picture=picture, others=tuple(others))


def _read_picture(path: Path) -> np.ndarray[Any, np.dtype[np.uint8]]:
    bgr = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if bgr is None:
        msg = f'{path}: expected a picture of the shard, found none; evaluate it again'
        raise ConfigError(msg)
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)

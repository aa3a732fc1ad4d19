"""
A stage's folder and its record: what it was made from, and whether it is whole.

``stage.json`` lies in the folder that it tells of, so that both come and go in one rename: a
folder is always that of the inputs in its record, at whatever moment a process was killed.
"""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
import hashlib
import json
from pathlib import Path
import shutil
from typing import Any

from depth_prune_ros.core.errors import ConfigError
from depth_prune_ros.core.files import write_whole
from depth_prune_ros.offline.checkpoint import exists
from depth_prune_ros.offline.checkpoint import latest
from depth_prune_ros.offline.checkpoint import sync

_RECORD = 'stage.json'
_NAMED = 3

Inputs = dict[str, Any]


@dataclass(frozen=True)
class Begun:
    """
    How a stage begins.

    :param state: 'unchanged', 'resumed' or 'made'
    :param why: of one that is made again: what has changed
    """

    state: str
    why: str = ''


class StageFolder:
    """The folder of one stage of a run."""

    def __init__(self, path: Path, inputs: Mapping[str, Any]) -> None:
        """
        Tell of a stage.

        :param inputs: everything that its results depend on, as JSON has it
        """
        self.path = path
        self._inputs: Inputs = json.loads(json.dumps(dict(inputs)))

    def begin(self, *, goes_on: bool) -> Begun:
        """
        Have the folder ready: as it is, to be gone on with, or empty.

        What was whole and has other inputs now is kept beside it as NAME.before, a training that
        was not yet whole as NAME.stopped. One of whose products a file is gone is made again; a
        training (longer than its record says, perhaps) is kept then, too.

        :param goes_on: whether the stage can go on from where it was interrupted
        :raises ConfigError: a folder that no stage has made
        """
        record = self._record()
        why = ''
        if record is not None:
            same = record['inputs'] == self._inputs
            products = record.get('products', ())
            missing = [name for name in products if not (self.path / name).is_file()]
            if same and record['done'] and not missing:
                return Begun('unchanged')
            trained = exists(self.path)
            stopped = goes_on and not record['done'] and trained
            if same and stopped:
                return Begun('resumed')
            lost = f'missing: {", ".join(missing)}' if missing else ''
            why = lost if same else _changes(record['inputs'], self._inputs)
            whole = record['done'] and (not missing or trained)
            self._clear('before' if whole else 'stopped' if stopped else '')
        self._make()
        return Begun('made', why)

    def finish(self, products: Iterable[Path] = ()) -> None:
        """
        Say that the stage is whole.

        :param products: the files in its folder that others read
        """
        names = [str(path.relative_to(self.path)) for path in products]
        self._write(self.path, done=True, products=names)

    def _record(self) -> dict[str, Any] | None:
        if not self.path.exists():
            return None
        try:
            record: dict[str, Any] = json.loads((self.path / _RECORD).read_text())
        except (OSError, ValueError) as error:
            msg = (
                f'{self.path}: expected the folder of a stage ({_RECORD} in it), found another; '
                'name another out'
            )
            raise ConfigError(msg) from error
        return record

    def _clear(self, kept_as: str) -> None:
        hidden = self.path.with_name(f'.{self.path.name}.old')
        shutil.rmtree(hidden, ignore_errors=True)
        self.path.rename(hidden)
        if kept_as:
            kept = self.path.with_name(f'{self.path.name}.{kept_as}')
            shutil.rmtree(kept, ignore_errors=True)
            hidden.rename(kept)
        shutil.rmtree(hidden, ignore_errors=True)

    def _make(self) -> None:
        partial = self.path.with_name(f'.{self.path.name}.partial')
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        self._write(partial, done=False)
        partial.rename(self.path)
        sync(self.path.parent)

    def _write(self, folder: Path, *, done: bool, products: Sequence[str] = ()) -> None:
        record = {'inputs': self._inputs, 'done': done, 'products': products}
        write_whole(folder / _RECORD, json.dumps(record, indent=1).encode())
        sync(folder)


def is_done(path: Path) -> bool:
    """Return whether the stage of a folder is whole."""
    return bool(json.loads((path / _RECORD).read_text())['done'])


def run_digest(run: Path) -> str:
    """Return a digest of a run's last checkpoint: weights, masks and what its card says."""
    return file_digest(*run_files(run))


def run_files(run: Path) -> list[Path]:
    """Return the files of a run's last checkpoint, without what a training goes on from."""
    folder = latest(run)
    return [folder / name for name in ('weights.safetensors', 'checkpoint.json')]


def file_digest(*paths: Path) -> str:
    """Return a digest of files' bytes."""
    digest = hashlib.blake2b(digest_size=16)
    for path in paths:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def flat(section: Mapping[str, Any], above: str = '') -> Inputs:
    """Return the values of nested sections under names such as losses.depth."""
    found: Inputs = {}
    for key, value in section.items():
        if isinstance(value, Mapping):
            found |= flat(value, f'{above}{key}.')
        else:
            found[f'{above}{key}'] = value
    return found


def _changes(before: Inputs, now: Inputs) -> str:
    """Name what differs, the first few of it."""
    names = [key for key in {**before, **now} if before.get(key) != now.get(key)]
    more = f' and {len(names) - _NAMED} more' if len(names) > _NAMED else ''
    return f'changed: {", ".join(names[:_NAMED])}{more}'

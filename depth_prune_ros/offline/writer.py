"""Checkpoints written beside the training: the loop waits for a copy in memory, not for a disk."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Mapping
from concurrent.futures import Future
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
import copy
from dataclasses import replace
from pathlib import Path
import time
from typing import Any

from depth_prune_ros.core.errors import CheckpointError
from depth_prune_ros.offline import checkpoint as checkpoints
from depth_prune_ros.offline.checkpoint import Checkpoint


@contextmanager
def checkpoint_writer(run: Path) -> Iterator[CheckpointWriter]:
    """
    Write the checkpoints of a run; at the end, wait for the last one.

    :raises CheckpointError: the run's folder cannot be made; or the last one could not be
        written, and no other error is under way
    """
    try:
        run.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        msg = f'{run}: expected a folder for checkpoints, found: {error.strerror}'
        raise CheckpointError(msg) from error
    with ThreadPoolExecutor(1) as thread:
        writer = CheckpointWriter(run, thread)
        yield writer
        writer.wait()


class CheckpointWriter:
    """
    Writes the checkpoints of one run in a thread, one at a time.

    :ivar held_up_s: how long the training waited for it, seconds
    """

    def __init__(self, run: Path, thread: ThreadPoolExecutor) -> None:
        """Write into the run's folder; :func:`checkpoint_writer` ends the thread, too."""
        self._run = run
        self._thread = thread
        self._pending: Future[Path] | None = None
        self.held_up_s = 0.0

    def write(self, checkpoint: Checkpoint, training: Mapping[str, Any]) -> None:
        """
        Copy a checkpoint, and write the copy; wait for the one before where it is not done.

        :raises CheckpointError: the one before could not be written
        """
        start = time.perf_counter()
        self.wait()
        mine = replace(
            checkpoint,
            weights={key: value.detach().clone() for key, value in checkpoint.weights.items()},
            masks={key: value.detach().clone() for key, value in checkpoint.masks.items()},
            card=copy.deepcopy(checkpoint.card),
        )
        state = copy.deepcopy(dict(training))
        self._pending = self._thread.submit(checkpoints.save, self._run, mine, state)
        self.held_up_s += time.perf_counter() - start

    def wait(self) -> None:
        """
        Wait until the last checkpoint is on the disk.

        :raises CheckpointError: it could not be written
        """
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.result()

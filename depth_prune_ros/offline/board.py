"""TensorBoard: what a training reports, as event files in the run's folder."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
import logging
from pathlib import Path
import threading
from typing import Any

from depth_prune_ros.core.camera import depth_from_disparity
from depth_prune_ros.evaluation.pictures import error_map
from depth_prune_ros.evaluation.pictures import fit_sparse
from depth_prune_ros.evaluation.pictures import strip
from depth_prune_ros.offline.progress import Progress
from depth_prune_ros.offline.validation import Preview

FOLDER = 'events'
_log = logging.getLogger(__name__)


class Board:
    """
    Writes losses, metrics, learning rate, masks and samples; call it with every Progress.

    Without the package tensorboard it does nothing, and says nothing. Where events cannot be
    written (the disk is full) it says so once, and the training goes on without.
    """

    def __init__(self, run: Path) -> None:
        """Write into ``run/events``, from the first report on."""
        self._folder = run / FOLDER
        self._writer: Any = None
        self._missing = False

    def __call__(self, progress: Progress) -> None:
        """Write what a step reports."""
        with self._no_more_at_failure():
            self._write(progress)

    def close(self) -> None:
        """Have everything on the disk."""
        with self._no_more_at_failure():
            if self._writer is not None:
                self._writer.close()

    def _write(self, progress: Progress) -> None:
        writer = self._open(progress.step)
        if writer is None:
            return
        step = progress.step
        for name, value in progress.terms.items():
            writer.add_scalar(f'loss/{name}', value, step)
        writer.add_scalar('learning_rate', progress.learning_rate, step)
        if progress.widths:
            writer.add_scalar('masks/budget', progress.share, step)
            writer.add_scalar('masks/filters', sum(progress.widths.values()), step)
        for bag, metrics in progress.validation.items():
            for name, value in asdict(metrics).items():
                writer.add_scalar(f'{name}/{bag}', value, step)
        if progress.validation:
            for group, width in progress.widths.items():
                writer.add_scalar(f'filters/{group}', width, step)
        for bag, preview in progress.previews.items():
            writer.add_image(f'sample/{bag}', _strip(preview), step, dataformats='HWC')
            writer.add_histogram(f'disparity/{bag}', preview.disparity, step)

    @contextmanager
    def _no_more_at_failure(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self._writer, self._missing = None, True
            reason = error.strerror or error
            _log.warning('%s: no more events of this training: %s', self._folder, reason)

    def _open(self, step: int) -> Any:
        if self._writer is None and not self._missing:
            make = _summary_writer()
            self._missing = make is None
            if make is not None:
                threading.excepthook = _leave_to_the_next_call
                # what a killed process wrote beyond its last checkpoint comes again
                self._writer = make(str(self._folder), purge_step=step)
        return self._writer


def _leave_to_the_next_call(failed: threading.ExceptHookArgs) -> None:
    """Say nothing of tensorboard's own thread: what ended it is raised by the next call."""
    if not type(failed.thread).__module__.startswith('tensorboard.'):
        threading.__excepthook__(failed)


def _summary_writer() -> Callable[..., Any] | None:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ModuleNotFoundError:
        return None
    writer: Callable[..., Any] = SummaryWriter
    return writer


def _strip(preview: Preview) -> Any:
    """Return the image, its depth, the ground truth and the error, one below the other."""
    scale = preview.baseline_m * preview.fx_over_width
    depth = depth_from_disparity(preview.disparity, scale, 1.0)
    truth = fit_sparse(preview.truth, *preview.disparity.shape)
    return strip(preview.image, depth, truth, error_map(truth, depth))

"""TensorBoard: what a training reports, as event files in the run's folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from depth_prune_ros.core.camera import depth_from_disparity
from depth_prune_ros.evaluation.pictures import error_map
from depth_prune_ros.evaluation.pictures import fit_sparse
from depth_prune_ros.evaluation.pictures import strip
from depth_prune_ros.offline.progress import Progress
from depth_prune_ros.offline.validation import Preview

FOLDER = 'events'


class Board:
    """
    Writes losses, metrics, learning rate, masks and samples; call it with every Progress.

    Without the package tensorboard it does nothing, and says nothing.
    """

    def __init__(self, run: Path) -> None:
        """Write into ``run/events``, from the first report on."""
        self._folder = run / FOLDER
        self._writer: Any = None
        self._missing = False

    def __call__(self, progress: Progress) -> None:
        """Write what a step reports."""
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

    def close(self) -> None:
        """Have everything on the disk."""
        if self._writer is not None:
            self._writer.close()

    def _open(self, step: int) -> Any:
        if self._writer is None and not self._missing:
            make = _summary_writer()
            self._missing = make is None
            if make is not None:
                # what a killed process wrote beyond its last checkpoint comes again
                self._writer = make(str(self._folder), purge_step=step)
        return self._writer


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

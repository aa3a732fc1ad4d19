"""What the commands print: progress bars, tables, one-line errors."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
from contextlib import contextmanager
from datetime import timedelta
import math
import os
from pathlib import Path
import shlex
import sys
import time
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from depth_prune_ros.offline.config import TrainConfig
    from depth_prune_ros.offline.progress import Progress as TrainingProgress
    from depth_prune_ros.offline.progress import Report

Progress = Callable[..., None]
_EVERY_S = 10.0
_ENDLESS = 10_000
# of the processes that train together, the first one speaks
_SPEAKS = os.environ.get('RANK', '0') == '0'


def say(text: str) -> None:
    """Print a line."""
    if _SPEAKS:
        sys.stdout.write(f'{text}\n')


def following(*arguments: object) -> str:
    """Name the command that comes next, ready to be pasted."""
    return f'Next: depth-prune {shlex.join(map(str, arguments))}'


def log(text: str) -> None:
    """Print a line that is no result, on stderr."""
    if _SPEAKS:
        sys.stderr.write(f'{text}\n')


def error_line(text: str) -> None:
    """Print an error as one line on stderr."""
    sys.stderr.write(f'error: {" ".join(text.split())}\n')


def warning_line(text: str) -> None:
    """Print a warning as one line on stderr."""
    sys.stderr.write(f'warning: {" ".join(text.split())}\n')


@contextmanager
def bars() -> Iterator[Progress]:
    """
    Show one progress bar per step.

    :return: call it with the step's name, done, total (0: not known) and a remark
    """
    from rich.console import Console
    from rich.progress import BarColumn
    from rich.progress import MofNCompleteColumn
    from rich.progress import Progress as Bars
    from rich.progress import TaskID
    from rich.progress import TextColumn
    from rich.progress import TimeRemainingColumn

    columns = (
        TextColumn('{task.description}'),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(elapsed_when_finished=True),
    )
    tasks: dict[str, TaskID] = {}
    shown = Bars(*columns, console=Console(stderr=True), disable=not _SPEAKS)

    def progress(name: str, done: int, total: int, remark: str = '') -> None:
        if name not in tasks:
            shown.start()
            tasks[name] = shown.add_task(name, total=total or None)
        text = f'{name} {remark}'.strip()
        shown.update(tasks[name], completed=done, total=total or None, description=text)

    try:
        yield progress
    finally:
        if tasks:
            shown.stop()


class Pace:
    """The line that says how a training does: where it is, how fast, how good, how much longer."""

    def __init__(self, images: int, clock: Callable[[], float] = time.monotonic) -> None:
        """Count from the first step on, which takes longer than the others."""
        self._images = images
        self._clock = clock
        self._first: tuple[int, float] | None = None
        self._written_s = -math.inf

    def line(self, step: int, steps: int, loss: float, abs_rel: float | None) -> str:
        """
        Return the line of a step.

        :param abs_rel: of the last validation, or None
        """
        now = self._clock()
        first, start_s = self._first = self._first or (step, now)
        each_s = (now - start_s) / (step - first) if step > first else math.nan
        speed = f'{self._images / each_s:.1f}' if each_s > 0 else '-'
        left = str(timedelta(seconds=round(each_s * (steps - step)))) if each_s > 0 else '-'
        error = '-' if abs_rel is None else f'{abs_rel:.4f}'
        return (
            f'step {step}/{steps}, {speed} images/s, loss {loss:.4f}, AbsRel {error}, '
            f'remaining {left}'
        )

    def write(self, line: str, *, last: bool) -> None:
        """Write the line where stderr is no terminal, which has a bar: now and then, and last."""
        if sys.stderr.isatty() or not (last or self._clock() - self._written_s > _EVERY_S):
            return
        self._written_s = self._clock()
        log(line)


@contextmanager
def training_shown(
    progress: Progress, name: str, out: Path, config: TrainConfig
) -> Iterator[Report]:
    """
    Show a training, and write its events.

    :param progress: of :func:`bars`
    :param name: of its bar
    :param out: folder of the run
    :return: call it with every step's progress
    """
    from depth_prune_ros.offline.board import Board

    board = Board(out)
    show = _training_line(progress, name, Pace(config.batch))

    def report(state: TrainingProgress) -> None:
        show(state)
        if config.tensorboard:
            board(state)

    try:
        yield report
    finally:
        board.close()


def _training_line(progress: Progress, name: str, pace: Pace) -> Report:
    """Return what shows a training: a bar, or lines where there is no terminal."""
    abs_rel: float | None = None
    speed = ''

    def show(state: TrainingProgress) -> None:
        nonlocal abs_rel, speed
        if speed != state.speed:
            speed = state.speed
            log(speed)
        share = f', cost {state.share:.1%}' if state.share < 1 else ''
        if state.validation:
            errors = [metrics.abs_rel for metrics in state.validation.values()]
            abs_rel = sum(errors) / len(errors)
        line = pace.line(state.step, state.steps, state.terms['task'], abs_rel) + share
        progress(name, state.step, state.steps, f'({line})')
        pace.write(line, last=state.step == state.steps)
        for bag, m in state.validation.items():
            say(f'step {state.step}, {bag}: AbsRel {m.abs_rel:.4f}, a1 {m.a1:.3f}{share}')

    return show


@contextmanager
def stoppable() -> Iterator[None]:
    """Say in one line how to go on after Ctrl-C or SIGTERM."""
    try:
        yield
    except KeyboardInterrupt as stopped:
        say(str(stopped) or 'stopped; the same command goes on from what is done')
        raise typer.Exit(130) from None


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table as it is; into a file or a pipe as wide as it is, so nothing is cut off."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    shown = Table(*map(escape, head), box=SIMPLE_HEAD)
    for row in rows:
        shown.add_row(*map(escape, row))
    if _SPEAKS:
        console = Console()
        if not console.is_terminal:
            endless = console.options.update(max_width=_ENDLESS)
            console.width = console.measure(shown, options=endless).maximum
        console.print(shown)

"""What the commands print: progress bars, tables, one-line errors."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
from contextlib import contextmanager
import sys

Progress = Callable[..., None]


def say(text: str) -> None:
    """Print a line."""
    sys.stdout.write(f'{text}\n')


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
    shown = Bars(*columns, console=Console(stderr=True))

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


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    shown = Table(*head, box=SIMPLE_HEAD)
    for row in rows:
        shown.add_row(*row)
    Console().print(shown)

"""The command that says how fast model files are here: time."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

from depth_prune_ros.cli_terminal import bars
from depth_prune_ros.cli_terminal import say
from depth_prune_ros.cli_terminal import table
import typer


def time(
    models: Annotated[
        list[Path] | None,
        typer.Argument(help='Model files or names of shipped ones; by default depth_small.'),
    ] = None,
    threads: Annotated[int, typer.Option(min=0, help='Of one inference; 0: all cores.')] = 2,
    write: Annotated[bool, typer.Option(help="Keep what came out in the models' cards.")] = False,
) -> None:
    """
    Time models in turn on this computer, as the node runs them.

    Example: depth-prune time depth_small depth_tiny --threads 2
    """
    from depth_prune_ros.core.models import model_file
    from depth_prune_ros.offline.speed import keep_speed
    from depth_prune_ros.offline.speed import measure_speeds

    files = [model_file(model) for model in models or [Path()]]
    with bars() as progress:
        found = measure_speeds(files, threads, partial(progress, 'timing'))
    rows = [
        (
            file.stem,
            f'{one.ms:.1f}',
            f'{min(one.rounds_ms):.1f} to {max(one.rounds_ms):.1f}',
            f'{1e3 / one.ms:.0f}',
        )
        for file, one in zip(files, found, strict=True)
    ]
    table(('model', 'ms', 'rounds', 'a second'), rows)
    say(f'{threads or "all"} threads, {found[0].provider}, {found[0].processor}')
    if write:
        for file, one in zip(files, found, strict=True):
            keep_speed(file, one)


def add_time_command(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(time)

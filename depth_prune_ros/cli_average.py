"""The command that makes one network of several trainings: average."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from depth_prune_ros.cli_terminal import bars
from depth_prune_ros.cli_terminal import following
from depth_prune_ros.cli_terminal import say
import typer


def average(
    runs: Annotated[list[Path], typer.Argument(help='Runs of one network, or checkpoints.')],
    out: Annotated[Path, typer.Option(help='Folder of the run to be made.')],
    val: Annotated[
        list[Path], typer.Option(help='Bag to be judged on, for the card; repeat for more.')
    ] = [],  # noqa: B006
) -> None:
    """
    Average the weights of several trainings.

    They have to have begun with one network.

    Example: depth-prune average runs/small_1 runs/small_2 --val bags/street --out runs/small
    """
    from depth_prune_ros.offline.average import average as mean_of

    with bars() as progress:
        found = mean_of(runs, out, val, lambda bag, n: progress(f'reading {bag}', n, 0))
    for bag, metrics in found.card['metrics'].items():
        say(f'{bag}: AbsRel {metrics["abs_rel"]:.4f}, a1 {metrics["a1"]:.3f}')
    say(f'{out}: the mean of {len(runs)}. {following("export", out, f"{out}.onnx")}')


def add_average_command(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(average)

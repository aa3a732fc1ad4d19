"""The commands that make model files and time them: export, quantize, time."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

from depth_prune_ros.cli_terminal import bars
from depth_prune_ros.cli_terminal import following
from depth_prune_ros.cli_terminal import say
from depth_prune_ros.cli_terminal import table
import typer


def export(
    run: Annotated[Path, typer.Argument(help='Folder of a run, or one of its checkpoints.')],
    model: Annotated[Path, typer.Argument(help='The ONNX file to make.')],
    name: Annotated[str, typer.Option(help="Name in the card; by default the file's.")] = '',
) -> None:
    """
    Write the one file that the node loads.

    Example: depth-prune export runs/small models/depth_small.onnx
    """
    from depth_prune_ros.offline.checkpoint import load
    from depth_prune_ros.offline.export import export as write

    card = write(load(run), model, name)
    say(
        f'{model}: {card.parameters} parameters, {card.macs / 1e9:.3f} GMACs, within '
        f'{card.parity["torch_onnx"]:.1g} of torch. '
        + following('evaluate', 'BAG', '--model', model)
    )


def quantize(
    model: Annotated[Path, typer.Argument(help='A float model file.')],
    out: Annotated[Path, typer.Argument(help='The int8 model file to make.')],
    bags: Annotated[list[Path], typer.Option(help='Bag to calibrate on; repeat for more.')],
    val: Annotated[list[Path], typer.Option(help='Bag to be judged on; repeat for more.')],
    max_loss: Annotated[
        float, typer.Option(help='How much AbsRel may grow on any --val bag, as a fraction.')
    ] = 0.05,
) -> None:
    """
    Make an int8 model file.

    Layers that hurt stay float, as few of them as the allowed loss needs.

    Example: depth-prune quantize models/depth_small.onnx models/depth_small_int8.onnx
    --bags bags/0005 --val bags/0002
    """
    from depth_prune_ros.offline.quantize import quantize as write

    with bars() as progress:
        card = write(model, out, bags=bags, val=val, max_loss=max_loss, progress=progress)
    about = card.provenance['int8']
    for bag, found in about['abs_rel'].items():
        say(
            f'{bag} ({found["frames"]} frames): AbsRel {found["before"]:.4f} before, '
            f'{found["after"]:.4f} after'
        )
    say(
        f'{out}: {about["int8_share_of_macs"]:.1%} of the MACs in int8, '
        f'{len(about["float_layers"])} layers float. '
        + following('evaluate', 'BAG', '--model', out)
    )


def time(
    models: Annotated[
        list[Path] | None,
        typer.Argument(help='Model files or names of shipped ones; by default depth_small.'),
    ] = None,
    threads: Annotated[
        int, typer.Option(min=0, max=64, help='Of one inference; 0: all cores.')
    ] = 2,
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


def add_model_commands(app: typer.Typer) -> None:
    """Register the commands."""
    for command in (export, quantize, time):
        app.command()(command)

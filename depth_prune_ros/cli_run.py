"""The command that makes a model of bags in one go: run."""

from __future__ import annotations

from pathlib import Path
import shlex
from typing import Annotated
from typing import TYPE_CHECKING

from depth_prune_ros.cli_terminal import bars
from depth_prune_ros.cli_terminal import say
from depth_prune_ros.cli_terminal import stoppable
from depth_prune_ros.cli_terminal import table
from depth_prune_ros.cli_terminal import training_shown
import typer

if TYPE_CHECKING:
    from depth_prune_ros.offline.stage_folder import Begun


def run(
    config: Annotated[Path, typer.Argument(help='YAML file, see config/run_*.yaml.')],
) -> None:
    """
    Go from bags to a model file in one command.

    Train, prune, compact, fine-tune, export, quantise, evaluate.

    What has been made of the same inputs is not made again; what was interrupted is gone on with.

    Example: depth-prune run config/run_own_robot.yaml
    """
    from depth_prune_ros.offline import ranks
    from depth_prune_ros.offline.judgement import PAGE
    from depth_prune_ros.offline.judgement import read_judgement
    from depth_prune_ros.offline.machine import keep_freed_memory
    from depth_prune_ros.offline.pipeline import Pipeline
    from depth_prune_ros.offline.pipeline import Watch
    from depth_prune_ros.offline.run_config import read_run_config

    keep_freed_memory()
    settings = read_run_config(config)
    with ranks.process_group(), stoppable(), bars() as progress:
        watch = Watch(
            lambda out, about: training_shown(progress, out.name, out, about), progress, _say_stage
        )
        pipeline = Pipeline(settings, watch)
        model = pipeline.run()
    judgement = read_judgement(pipeline.report)
    for grid in judgement.tables:
        table(grid.head, grid.rows)
    for note in judgement.notes:
        say(f'note: {note}')
    say(f'report: {pipeline.report / PAGE}\nmodel:  {model}\nnode:   {node_command(model)}')


def node_command(model: Path) -> str:
    """Return the command that starts the node with a model."""
    from depth_prune_ros.core.models import parameter_text

    topics = ('image:=/camera/image_rect', 'camera_info:=/camera/camera_info')
    parts = [
        'depth-prune',
        'node',
        '--ros-args',
        '-p',
        f'model:={parameter_text(model.resolve())}',
    ]
    return shlex.join([*parts, *(part for topic in topics for part in ('-r', topic))])


def _say_stage(name: str, begun: Begun) -> None:
    say(f'{name}: {begun.state}{" again; " if begun.why else ""}{begun.why}')


def add_run_command(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(run)

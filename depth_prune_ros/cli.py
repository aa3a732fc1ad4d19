"""The command line: one command per stage, each a thin call into the package."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
import sys
from typing import Annotated
from typing import Any
from typing import TYPE_CHECKING

from depth_prune_ros.cli_bag import add_bag_commands
from depth_prune_ros.cli_bag import telling_findings
from depth_prune_ros.cli_offline import add_offline_commands
from depth_prune_ros.cli_terminal import bars
from depth_prune_ros.cli_terminal import error_line
from depth_prune_ros.cli_terminal import say
from depth_prune_ros.core.errors import DepthPruneError
import typer

if TYPE_CHECKING:
    from depth_prune_ros.evaluation.evaluate import Result

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help='Metric depth from one camera on ROS 2, by networks pruned end to end.',
)


@app.command()
def evaluate(
    bag: Annotated[Path, typer.Argument(help='Bag with ground truth: lidar or a depth image.')],
    model: Annotated[
        Path | None, typer.Option(help='Model file; the shipped one by default.')
    ] = None,
    depth_topic: Annotated[
        str, typer.Option(help='Judge this recorded depth topic instead of a model.')
    ] = '',
    depth_bag: Annotated[
        Path | None, typer.Option(help='Bag of the depth topic, if it is another one.')
    ] = None,
    protocol: Annotated[str, typer.Option(help='eigen, eigen50 or plain.')] = 'eigen',
    out: Annotated[
        Path | None, typer.Option(help='Folder for report.html, strip.png and metrics.json.')
    ] = None,
) -> None:
    """
    Judge depth against a bag's ground truth.

    Example: depth-prune evaluate bags/0002 --model models/depth_small.onnx --out report
    """
    from depth_prune_ros.bags.frames import read_frames
    from depth_prune_ros.core.engine import DepthEngine
    from depth_prune_ros.core.metrics import protocol as find_protocol
    from depth_prune_ros.core.models import default_model
    from depth_prune_ros.evaluation.evaluate import evaluate_depth_topic
    from depth_prune_ros.evaluation.evaluate import evaluate_model
    from depth_prune_ros.evaluation.evaluate import read_depth_topic
    from depth_prune_ros.evaluation.pictures import Gallery
    from depth_prune_ros.evaluation.report import write_report

    rules = find_protocol(protocol)
    gallery = Gallery()
    frames = read_frames(bag)
    with bars() as progress:
        options: dict[str, Any] = {
            'on_frame': gallery if out else None,
            'progress': lambda done, total: progress('judging', done, total),
        }
        if depth_topic:
            depths = read_depth_topic(depth_bag or bag, depth_topic)
            result = evaluate_depth_topic(frames, depths, rules, **options)
        else:
            engine = DepthEngine.load(model or default_model())
            result = evaluate_model(frames, engine, rules, **options)
    _print_result(result)
    if out:
        say(f'report: {write_report(out, result, gallery.shots(), f"Depth of {bag.name}")}')


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help='Folder for everything the demo makes.')] = Path(
        'demo_out'
    ),
    bag: Annotated[Path | None, typer.Option(help='A bag instead of a rendered street.')] = None,
    model: Annotated[
        Path | None, typer.Option(help='Model file; the shipped one by default.')
    ] = None,
) -> None:
    """
    Play a street (or a bag) to the depth node over ROS 2; record, judge and draw its depth.

    Example: depth-prune demo --out demo_out
    """
    from depth_prune_ros.demo import run_demo

    with bars() as progress:
        done = run_demo(out, bag=bag, model=model, progress=progress)
    _print_result(done.result)
    say(f'report:   {done.page}\npictures: {out / "strip.png"}\nrecorded: {done.recorded}')


@app.command(context_settings={'allow_extra_args': True, 'ignore_unknown_options': True})
def node() -> None:
    """
    Run the depth node, as `ros2 run depth_prune_ros depth_node` does.

    Example: depth-prune node --ros-args -r image:=/camera/image_raw -p max_depth:=20.0
    """
    from depth_prune_ros.ros.depth_node import main as run_node

    sys.exit(run_node())


def main() -> None:
    """Run the command line; an error of ours is one line and exit code 1, a loss one and 3."""
    with _one_line(), telling_findings():
        app()


@contextmanager
def _one_line() -> Iterator[None]:
    try:
        yield
    except DepthPruneError as error:
        error_line(str(error))
        sys.exit(1)
    except ModuleNotFoundError as error:
        extras = {'rclpy': 'ros-wheels', 'sensor_msgs': 'ros-wheels', 'rerun': 'view'}
        extra = extras.get(error.name or '', 'offline')
        error_line(f'expected the module {error.name}, found none; pip install ".[{extra}]"')
        sys.exit(1)
    except KeyboardInterrupt:
        error_line('interrupted')
        sys.exit(130)


def _print_result(result: Result) -> None:
    from depth_prune_ros.cli_terminal import table
    from depth_prune_ros.evaluation.report import table as rows

    table(('metric', 'value', ''), [(row.name, row.value, row.hint) for row in rows(result)])


add_bag_commands(app)
add_offline_commands(app)

if __name__ == '__main__':
    main()

"""The command line: one command per stage, each a thin call into the package."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
import errno
from pathlib import Path
import signal
import sys
import tempfile
from typing import Annotated
from typing import TYPE_CHECKING

from depth_prune_ros.cli_average import add_average_command
from depth_prune_ros.cli_bag import add_bag_commands
from depth_prune_ros.cli_bag import telling_findings
from depth_prune_ros.cli_evaluate import add_evaluation_commands
from depth_prune_ros.cli_evaluate import GroundTruth
from depth_prune_ros.cli_evaluate import print_results
from depth_prune_ros.cli_evaluate import ProtocolName
from depth_prune_ros.cli_model import add_model_commands
from depth_prune_ros.cli_offline import add_offline_commands
from depth_prune_ros.cli_run import add_run_command
from depth_prune_ros.cli_terminal import bars
from depth_prune_ros.cli_terminal import error_line
from depth_prune_ros.cli_terminal import say
from depth_prune_ros.core.errors import DepthPruneError
import typer

if TYPE_CHECKING:
    from depth_prune_ros.demo import DemoResult

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help='Metric depth from one camera on ROS 2, by networks pruned end to end.',
)


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help='Folder for everything the demo makes.')] = Path(
        'demo_out'
    ),
    bag: Annotated[Path | None, typer.Option(help='A bag instead of a rendered street.')] = None,
    model: Annotated[
        Path | None,
        typer.Option(help='Model file or name of a shipped one; default: depth_small.'),
    ] = None,
) -> None:
    """
    Run a rendered street or a bag through the node; judge it.

    The street (or bag) is played over ROS 2; the depth that comes back is recorded and drawn.

    Example: depth-prune demo --out demo_out
    """
    from depth_prune_ros.demo import run_demo

    with bars() as progress:
        done = run_demo(out, bag=bag, model=model, progress=progress)
    _print_demo(done)


@app.command()
def replay(
    bag: Annotated[Path, typer.Argument(help='Bag with a camera; figures need ground truth.')],
    out: Annotated[Path, typer.Option(help='Folder of the report and the recorded bag.')] = Path(
        'replay_out'
    ),
    model: Annotated[
        Path | None,
        typer.Option(help='Model file or name of a shipped one; default: depth_small.'),
    ] = None,
    rate: Annotated[float, typer.Option(min=0.01, help='2.0 plays twice as fast.')] = 1.0,
    loop: Annotated[int, typer.Option(min=1, help='How often in a row; the last is judged.')] = 1,
    clock: Annotated[
        bool, typer.Option('--clock', help="Publish the bag's time; the node goes by it.")
    ] = False,
    ground_truth: GroundTruth = '',
    protocol: ProtocolName = 'eigen',
    switch: Annotated[
        list[str], typer.Option(help='median or keep-occluded; repeat for more.')
    ] = [],  # noqa: B006
) -> None:
    """
    Play a bag to the node, record its depth, judge it.

    Example: depth-prune replay bags/0002 --rate 0.5 --out replay_out
    """
    from depth_prune_ros.demo import replay_and_judge
    from depth_prune_ros.demo import Terms
    from depth_prune_ros.ros.play import Playback

    terms = Terms(protocol, tuple(switch), ground_truth)
    with bars() as progress:
        playback = Playback(rate, loop, clock)
        done = replay_and_judge(bag, out, playback, model=model, terms=terms, progress=progress)
    _print_demo(done)


@app.command(context_settings={'allow_extra_args': True, 'ignore_unknown_options': True})
def node() -> None:
    """
    Run the depth node.

    As `ros2 run depth_prune_ros depth_node` does.

    Example: depth-prune node --ros-args -r image:=/camera/image_raw -p max_depth:=20.0
    """
    from depth_prune_ros.ros.depth_node import main as run_node

    sys.exit(run_node())


def main() -> None:
    """Run the command line; an error of ours is one line and exit code 1, a loss one and 3."""
    # a replay that is told to end takes its node with it; nohup has it live on
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)
    with _one_line(), telling_findings():
        app()


@contextmanager
def _one_line() -> Iterator[None]:
    try:
        yield
    except DepthPruneError as error:
        error_line(str(error))
        sys.exit(1)
    except OSError as error:
        where = error.filename or 'a file'
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            folder = tempfile.gettempdir()
            where += f' (where the output goes, or in {folder}: TMPDIR names another)'
        error_line(f'{where}: {error.strerror or error}')
        sys.exit(1)
    except ModuleNotFoundError as error:
        extras = {'rclpy': 'ros-wheels', 'sensor_msgs': 'ros-wheels', 'rerun': 'view'}
        extra = extras.get(error.name or '', 'offline')
        error_line(f'expected the module {error.name}, found none; pip install ".[{extra}]"')
        sys.exit(1)
    except BaseException as error:
        if not _is_interrupt(error):
            raise
        error_line('interrupted')
        sys.exit(130)


def _is_interrupt(error: BaseException | None) -> bool:
    """Tell whether Ctrl-C is behind it: typer makes an exit of one, a C module an ImportError."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return error is not None


def _print_demo(done: DemoResult) -> None:
    print_results([done.result])
    strip = done.page.with_name('strip.png')
    say(f'report:   {done.page}\npictures: {strip}\nrecorded: {done.recorded}')


add_bag_commands(app)
add_evaluation_commands(app)
add_offline_commands(app)
add_average_command(app)
add_run_command(app)
add_model_commands(app)

if __name__ == '__main__':
    main()

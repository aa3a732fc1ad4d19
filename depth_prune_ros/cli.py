"""The command line: one command per stage, each a thin call into the package."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
import sys
from typing import Annotated

from depth_prune_ros.cli_evaluate import add_evaluation_commands
from depth_prune_ros.cli_evaluate import print_results
from depth_prune_ros.cli_offline import add_offline_commands
from depth_prune_ros.cli_run import add_run_command
from depth_prune_ros.cli_terminal import bars
from depth_prune_ros.cli_terminal import error_line
from depth_prune_ros.cli_terminal import say
from depth_prune_ros.core.errors import DepthPruneError
import typer

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help='Metric depth from one camera on ROS 2, by networks pruned end to end.',
)
bag_app = typer.Typer(no_args_is_help=True, help='Make rosbags: from KITTI, or of a street.')
app.add_typer(bag_app, name='bag')

Storage = Annotated[str, typer.Option(help='mcap or sqlite3.')]
Images = Annotated[str, typer.Option(help='raw, jpeg or png (CompressedImage).')]
BagOut = Annotated[Path, typer.Argument(help='The bag to make (a folder).')]


@bag_app.command('kitti')
def bag_kitti(
    source: Annotated[
        Path, typer.Argument(help='Raw drive, odometry sequence or object/training.')
    ],
    bag: BagOut,
    storage: Storage = 'mcap',
    images: Images = 'raw',
    annotated: Annotated[
        Path | None, typer.Option(help='Folder of the official accumulated depth of the drive.')
    ] = None,
) -> None:
    """
    Turn a KITTI folder into a bag with kitti2bag's topics and frames.

    Example: depth-prune bag kitti kitti/raw/2011_09_26/2011_09_26_drive_0002_sync bags/0002
    """
    from depth_prune_ros.bags.kitti import kitti_to_bag

    with bars() as progress:
        kitti_to_bag(
            source,
            bag,
            storage=storage,
            images=images,
            annotated=annotated,
            progress=lambda done, total: progress('writing', done, total),
        )
    say(f'{bag}: written. Next: depth-prune evaluate {bag}')


@bag_app.command('street')
def bag_street(
    bag: BagOut,
    seed: Annotated[int, typer.Option(help='Which street; the same seed, the same bag.')] = 0,
    frames: Annotated[int, typer.Option(help='How many moments, at 10 Hz.')] = 60,
    size: Annotated[str, typer.Option(help='Image width x height.')] = '960x288',
    speed: Annotated[float, typer.Option(help='How fast the camera drives, m/s.')] = 8.0,
    storage: Storage = 'mcap',
    images: Images = 'raw',
) -> None:
    """
    Render a street with stereo, lidar and exact depth into a bag.

    Example: depth-prune bag street bags/street --seed 3 --frames 20
    """
    from depth_prune_ros.bags.street import Street
    from depth_prune_ros.bags.street import street_to_bag

    width, height = _size(size)
    street = Street(seed=seed, frames=frames, width=width, height=height, speed_m_s=speed)
    with bars() as progress:
        street_to_bag(
            bag,
            street,
            storage=storage,
            images=images,
            progress=lambda done, total: progress('rendering', done, total),
        )
    say(f'{bag}: written. Next: depth-prune evaluate {bag}')


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
    print_results([done.result])
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
    """Run the command line; an error of ours is one line and exit code 1."""
    with _one_line():
        app()


@contextmanager
def _one_line() -> Iterator[None]:
    try:
        yield
    except DepthPruneError as error:
        error_line(str(error))
        sys.exit(1)
    except ModuleNotFoundError as error:
        extra = 'ros-wheels' if error.name in ('rclpy', 'sensor_msgs') else 'offline'
        error_line(f'expected the module {error.name}, found none; pip install ".[{extra}]"')
        sys.exit(1)
    except KeyboardInterrupt:
        error_line('interrupted')
        sys.exit(130)


def _size(text: str) -> tuple[int, int]:
    from depth_prune_ros.core.errors import ConfigError

    width, _, height = text.partition('x')
    if not (width.isdigit() and height.isdigit()):
        msg = f'expected a size such as 960x288, found {text!r}'
        raise ConfigError(msg)
    return int(width), int(height)


add_evaluation_commands(app)
add_offline_commands(app)
add_run_command(app)

if __name__ == '__main__':
    main()

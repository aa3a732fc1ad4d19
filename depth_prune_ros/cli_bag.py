"""The commands that make bags and look at them, and what reading had to say at the end."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
from contextlib import contextmanager
from contextlib import ExitStack
from functools import partial
from pathlib import Path
import sys
from typing import Annotated

from depth_prune_ros.cli_terminal import bars
from depth_prune_ros.cli_terminal import following
from depth_prune_ros.cli_terminal import say
from depth_prune_ros.cli_terminal import warning_line
import typer

LOST = 3

Storage = Annotated[str, typer.Option(help='mcap or sqlite3.')]
Images = Annotated[str, typer.Option(help='raw, jpeg or png (CompressedImage).')]
_topic = partial(typer.Option, metavar='TOPIC')
BagOut = Annotated[Path, typer.Argument(help='The bag to make (a folder).')]


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
    say(f'{bag}: written. {following("evaluate", bag)}')


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
    say(f'{bag}: written. {following("evaluate", bag)}')


def bag_info(
    bag: Annotated[Path, typer.Argument(help='A bag of any kind, a damaged one, too.')],
    check: Annotated[
        bool,
        typer.Option('--check', help='Read all of it: checksums, stamps, pairs.'),
    ] = False,
) -> None:
    """
    Show what a bag holds, what can be done with it, and the options to write.

    Example: depth-prune bag info bags/garden --check
    """
    from depth_prune_ros.bags.info import read_info
    from depth_prune_ros.bags.info_lines import info_lines

    with bars() as progress:
        info = read_info(bag, check=check, progress=lambda n: progress('checking', n, 0))
    for line in info_lines(info):
        say(line)


def view(
    bag: Annotated[Path, typer.Argument(help='A bag with a camera; ground truth is shown, too.')],
    model: Annotated[
        Path | None,
        typer.Option(help='Model file or name of a shipped one; default: depth_small.'),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help='Write a .rrd file instead of opening rerun.')
    ] = None,
    viewer: Annotated[
        str, typer.Option(help='URL of a running viewer, rerun+http://HOST:9876/proxy.')
    ] = '',
    video: Annotated[
        Path | None, typer.Option(help='Write the strips as a film (.mp4); needs no rerun.')
    ] = None,
) -> None:
    """
    Look at depth and ground truth in rerun, or as a film.

    rerun comes with the extra "view".

    Example: depth-prune view bags/0002 --model models/depth_small.onnx --out 0002.rrd
    """
    from depth_prune_ros.bags.frames import read_frames
    from depth_prune_ros.bags.topics import find_topics
    from depth_prune_ros.core.engine import DepthEngine
    from depth_prune_ros.core.models import model_file
    from depth_prune_ros.evaluation.film import Film
    from depth_prune_ros.evaluation.view import RerunLog
    from depth_prune_ros.evaluation.view import view_frames

    engine = DepthEngine.load(model_file(model))
    find_topics(bag)  # a viewer opens for nothing that is no bag
    with bars() as progress, ExitStack() as stack:
        watchers: list[Callable[..., None]] = [stack.enter_context(Film(video))] if video else []
        if out:
            watchers.append(stack.enter_context(RerunLog(out)))
        if viewer or not (out or video):
            watchers.append(stack.enter_context(RerunLog(viewer=viewer)))
        done = view_frames(read_frames(bag), engine, watchers, lambda n: progress('showing', n, 0))
    say(f'{bag}: {done} frames shown{"".join(f"; {path}" for path in (out, video) if path)}')


def topic_options(
    left: Annotated[
        str, _topic(help="Left or only camera's image in every bag that is read.")
    ] = '',
    left_info: Annotated[str, _topic(help='Its camera_info.')] = '',
    right: Annotated[
        str, _topic(help="Right camera's image; 'none', here and below: without.")
    ] = '',
    right_info: Annotated[str, _topic(help='Its camera_info.')] = '',
    lidar: Annotated[str, _topic(help="Lidar's PointCloud2.")] = '',
    depth: Annotated[str, _topic(help='Measured depth image.')] = '',
) -> None:
    """Metric depth from one camera on ROS 2, by networks pruned end to end."""
    from depth_prune_ros.bags.topics import name_topics

    name_topics(
        left=left,
        left_info=left_info,
        right=right,
        right_info=right_info,
        lidar=lidar,
        depth=depth,
    )


def add_bag_commands(app: typer.Typer) -> None:
    """Register the commands, and the options that name topics for all commands."""
    bag_app = typer.Typer(no_args_is_help=True, help='Make rosbags, and look into them.')
    for name, command in (('kitti', bag_kitti), ('street', bag_street), ('info', bag_info)):
        bag_app.command(name)(command)
    app.add_typer(bag_app, name='bag')
    app.command()(view)
    app.callback()(topic_options)


@contextmanager
def telling_findings() -> Iterator[None]:
    """Print what reading bags had to say; exit with code 3 where something was lost."""
    from depth_prune_ros.bags.losses import collect_findings

    with collect_findings() as findings:
        try:
            yield
        except SystemExit as done:
            if done.code or not findings.losses:
                raise
            sys.exit(LOST)
        finally:
            for line in (*findings.warnings, *findings.losses.values()):
                warning_line(str(line))


def _size(text: str) -> tuple[int, int]:
    from depth_prune_ros.core.errors import ConfigError

    width, _, height = text.partition('x')
    if not (width.isdecimal() and height.isdecimal()):
        msg = f'expected a size such as 960x288, found {text!r}'
        raise ConfigError(msg)
    return int(width), int(height)

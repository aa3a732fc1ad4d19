"""The commands that judge depth: evaluate, merge."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
from contextlib import contextmanager
from pathlib import Path
import time
from typing import Annotated
from typing import TYPE_CHECKING

from depth_prune_ros.cli_terminal import bars
from depth_prune_ros.cli_terminal import Progress
from depth_prune_ros.cli_terminal import say
from depth_prune_ros.cli_terminal import table
from depth_prune_ros.core.errors import ConfigError
import typer

if TYPE_CHECKING:
    from depth_prune_ros.evaluation.results import Result
    from depth_prune_ros.evaluation.run import Job


Bags = Annotated[list[Path], typer.Argument(metavar='BAG...', help='Bags to judge on.')]
Models = Annotated[
    list[Path],
    typer.Option(
        help='Model file, or a shipped one by its name (depth_small by default); the others go '
        'against the first.'
    ),
]
DepthTopics = Annotated[
    list[str], typer.Option(help='Judge this recorded depth topic; repeat for more.')
]
DepthBag = Annotated[
    Path | None, typer.Option(help='Bag of the depth topics, if it is another one.')
]
GroundTruth = Annotated[
    str,
    typer.Option(
        help="lidar, a topic or a folder of KITTI PNGs; 'disparity:' in front where these hold "
        'pixels of disparity. By default a depth image topic, else lidar.'
    ),
]
ProtocolName = Annotated[
    str,
    typer.Option(
        help="eigen (KITTI's: without the upper 41 %), plain (all of the image), eigen_50, "
        'eigen-benchmark or kitti2015.'
    ),
]
Switches = Annotated[
    list[str], typer.Option(help='median, baseline, flip or keep-occluded; repeat for more.')
]
ShardOption = Annotated[
    str, typer.Option(help='Do the i-th of n parts of the frames: i/n; merge puts together.')
]
Out = Annotated[Path | None, typer.Option(help='Folder for the page, pictures, JSON and CSV.')]


def evaluate(
    bags: Bags,
    model: Models = [],  # noqa: B006
    depth_topic: DepthTopics = [],  # noqa: B006
    depth_bag: DepthBag = None,
    ground_truth: GroundTruth = '',
    protocol: ProtocolName = 'eigen',
    switch: Switches = [],  # noqa: B006
    shard: ShardOption = '',
    out: Out = None,
) -> None:
    """
    Judge depth against the ground truth of bags.

    Several models are judged side by side, on the same frames.

    Example: depth-prune evaluate bags/0002 --model models/depth_small.onnx --out report
    """
    from depth_prune_ros.core.metrics import protocol as find_protocol
    from depth_prune_ros.core.metrics import with_switches
    from depth_prune_ros.evaluation.run import Job
    from depth_prune_ros.evaluation.run import load_engines

    if depth_bag and not depth_topic:
        msg = f'expected --depth-topic TOPIC of {depth_bag}, found none; bag info lists its topics'
        raise ConfigError(msg)
    job = Job(
        bags=tuple(bags),
        rules=with_switches(find_protocol(protocol), switch),
        engines=() if depth_topic and not model else load_engines(model),
        topics=tuple(depth_topic),
        depth_bag=depth_bag,
        ground_truth=ground_truth,
    )
    _run(job, shard, out)


def merge(
    shards: Annotated[
        list[Path], typer.Argument(metavar='FOLDER...', help='What evaluate --shard left.')
    ],
    out: Annotated[Path, typer.Option(help='Folder for the page, pictures, JSON and CSV.')],
) -> None:
    """
    Put the shards of an evaluation together.

    The figures are those of one run.

    Example: depth-prune merge out/1 out/2 --out report
    """
    from depth_prune_ros.evaluation.report import write_report
    from depth_prune_ros.evaluation.shards import merge_shards

    merged = merge_shards(shards)
    with _printed_at_last(merged.results):
        page = write_report(out, merged.results, merged.shots, merged.title)
    say(f'report: {page}')


def _run(job: Job, shard: str, out: Path | None) -> None:
    """Evaluate with a progress bar, print, and write what was asked for."""
    from depth_prune_ros.evaluation.gallery import Gallery
    from depth_prune_ros.evaluation.report import write_report
    from depth_prune_ros.evaluation.run import evaluate_bags
    from depth_prune_ros.evaluation.run import identity
    from depth_prune_ros.evaluation.shards import Merged
    from depth_prune_ros.evaluation.shards import parse_shard
    from depth_prune_ros.evaluation.shards import write_shard

    piece = parse_shard(shard) if shard else None
    if piece and not out:
        msg = f'expected --out FOLDER for shard {shard}, found none; merge reads it'
        raise ConfigError(msg)
    if out and out.is_file():
        msg = f'{out}: expected a folder for what is written, found a file; name another --out'
        raise ConfigError(msg)
    gallery = Gallery()
    with bars() as progress:
        results = evaluate_bags(
            job,
            shard=piece,
            on_frame=gallery if out else None,
            progress=_with_rate(progress),
        )
    title = f'Depth of {", ".join(bag.resolve().name for bag in job.bags)}'
    written = ''
    with _printed_at_last(results):
        if piece and out:
            evaluated = Merged(results, gallery.shots(), title)
            written = f'shard: {write_shard(out, evaluated, piece, identity(job))}'
        elif out:
            written = f'report: {write_report(out, results, gallery.shots(), title)}'
    if written:
        say(written)


@contextmanager
def _printed_at_last(results: Sequence[Result]) -> Iterator[None]:
    """Print when all is written, or cannot be: whoever reads along may be gone (| head)."""
    try:
        yield
    finally:
        print_results(results)


def _with_rate(progress: Progress) -> Callable[[int, int], None]:
    """Show beside the bar how many frames are judged a second."""
    start = time.monotonic()

    def step(done: int, total: int) -> None:
        rate = done / max(time.monotonic() - start, 1e-9)
        progress('judging', done, total, f'({rate:.1f} frames/s)')

    return step


def print_results(results: Sequence[Result]) -> None:
    """Print the summary, the error by distance, and what has to be known of them."""
    from depth_prune_ros.evaluation.breakdown import analyse
    from depth_prune_ros.evaluation.notes import notes
    from depth_prune_ros.evaluation.tables import parts
    from depth_prune_ros.evaluation.tables import summary

    analysis = analyse(results)
    found = summary(analysis)
    table(found.head, found.rows)
    if analysis.judged:
        by_distance = parts(analysis, 'distance')
        table(by_distance.head, by_distance.rows)
    for note in notes(results):
        say(f'note: {note}')


def add_evaluation_commands(app: typer.Typer) -> None:
    """Register the commands."""
    for command in (evaluate, merge):
        app.command()(command)

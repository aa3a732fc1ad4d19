"""The whole way in one job: a bag through the real node, its depth judged and drawn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from dataclasses import replace
from pathlib import Path
import shutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from depth_prune_ros.evaluation.evaluate import Result
    from depth_prune_ros.ros.play import Playback

Progress = Callable[[str, int, int], None]

STREET_FRAMES = 60
STREET_SEED = 7


@dataclass(frozen=True)
class DemoResult:
    """
    What the demo leaves.

    :param result: the figures of the recorded depth
    :param page: the HTML report; metrics.json and strip.png lie beside it
    :param recorded: the bag with what the node published
    """

    result: Result
    page: Path
    recorded: Path


def run_demo(
    out: Path, *, bag: Path | None = None, model: Path | None = None, progress: Progress
) -> DemoResult:
    """
    Render a street (or take a bag), play it to the depth node, record, compare, report.

    :param out: folder for everything; what an earlier demo left there is replaced
    :param bag: any bag with a camera and ground truth; None renders a street
    :param model: the model file; None takes the shipped one
    :param progress: called with the step's name, done and total
    :raises DepthPruneError: the bag, the model or the node does not do its part
    """
    from depth_prune_ros.ros.play import ONCE

    source = _street(out, progress) if bag is None else bag
    return replay_and_judge(source, out, ONCE, model=model, progress=progress)


def replay_and_judge(
    bag: Path, out: Path, playback: Playback, *, model: Path | None = None, progress: Progress
) -> DemoResult:
    """
    Play a bag to the depth node, record its depth, and judge that like `evaluate` does.

    The node gets every image reliably; where it is slower than the bag, the newest wins. Of
    several loops the last one is judged.

    :param out: folder of the report and of `recorded`, a bag; what was there is replaced
    :raises DepthPruneError: the bag, the model or the node does not do its part
    """
    from depth_prune_ros.bags.frames import read_frames
    from depth_prune_ros.core.engine import DepthEngine
    from depth_prune_ros.core.metrics import EIGEN
    from depth_prune_ros.core.models import default_model
    from depth_prune_ros.evaluation.evaluate import evaluate_depth_topic
    from depth_prune_ros.evaluation.evaluate import read_depth_topic
    from depth_prune_ros.evaluation.gallery import Gallery
    from depth_prune_ros.evaluation.report import write_report
    from depth_prune_ros.ros.replay import replay

    model = default_model() if model is None else model
    card = DepthEngine.load(model).card
    recorded = _fresh(out / 'recorded')
    playing = _step(progress, 'playing to the node')
    played = replay(bag, model, recorded, playback=playback, progress=playing)
    depths = read_depth_topic(recorded, played.depth_topic)
    gallery = Gallery()
    judged = evaluate_depth_topic(
        read_frames(bag), depths, EIGEN, on_frame=gallery, progress=_step(progress, 'judging')
    )
    result = replace(
        judged,
        latency_ms=dict(played.latency_ms),
        model=card.as_dict(),
        frames_in=played.frames_in,
        frames_out=played.frames_out,
    )
    page = write_report(out, [result], gallery.shots(), f'Depth of {bag.name} by {card.name}')
    return DemoResult(result, page, recorded)


def _street(out: Path, progress: Progress) -> Path:
    from depth_prune_ros.bags.street import Street
    from depth_prune_ros.bags.street import street_to_bag

    bag = _fresh(out / 'street')
    street = Street(seed=STREET_SEED, frames=STREET_FRAMES)
    street_to_bag(bag, street, progress=_step(progress, 'rendering a street'))
    return bag


def _fresh(bag: Path) -> Path:
    """Make room for a bag where an earlier demo left one."""
    if (bag / 'metadata.yaml').is_file():
        shutil.rmtree(bag)
    return bag


def _step(progress: Progress, name: str) -> Callable[[int, int], None]:
    return lambda done, total: progress(name, done, total)

"""The whole way in one job: a bag through the real node, its depth judged and drawn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from dataclasses import replace
from pathlib import Path
import shutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from depth_prune_ros.core.metrics import Protocol
    from depth_prune_ros.evaluation.evaluate import Result
    from depth_prune_ros.ros.play import Playback

Progress = Callable[[str, int, int], None]

STREET_FRAMES = 60
STREET_SEED = 7
# What only a model file can be judged with: see topic_predictor.
MODEL_SWITCHES = ('baseline', 'flip')


@dataclass(frozen=True)
class Terms:
    """
    What depth is judged by; the defaults are those of `depth-prune evaluate`.

    :param protocol: name of a protocol of core/metrics.py
    :param switches: of :data:`depth_prune_ros.core.metrics.SWITCHES`, but those of a model
    :param ground_truth: see :func:`depth_prune_ros.evaluation.truth.bag_frames`
    """

    protocol: str = 'eigen'
    switches: tuple[str, ...] = ()
    ground_truth: str = ''


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
    :param bag: any bag with a camera, for figures with ground truth; None renders a street
    :param model: the model file; None takes the shipped one
    :param progress: called with the step's name, done and total
    :raises DepthPruneError: the bag, the model or the node does not do its part
    """
    from depth_prune_ros.ros.play import ONCE

    source = _street(out, progress) if bag is None else bag
    return replay_and_judge(source, out, ONCE, model=model, progress=progress)


def replay_and_judge(
    bag: Path,
    out: Path,
    playback: Playback,
    *,
    model: Path | None = None,
    terms: Terms | None = None,
    progress: Progress,
) -> DemoResult:
    """
    Play a bag to the depth node, record its depth, and judge that as `evaluate` does.

    What cannot be judged is refused before anything is played; a bag without ground truth gets
    pictures and no figures. Where the node is slower than the bag, the newest image wins. Of
    several loops the last one is recorded and judged.

    :param out: folder of the report and of `recorded`, a bag; what was there is replaced
    :param terms: by default those of `evaluate`
    :raises ConfigError: terms that do not exist, or that a recorded topic cannot be judged by
    :raises DepthPruneError: the bag, the model or the node does not do its part
    """
    from depth_prune_ros.core.engine import DepthEngine
    from depth_prune_ros.core.models import model_file
    from depth_prune_ros.evaluation.gallery import Gallery
    from depth_prune_ros.evaluation.report import write_report
    from depth_prune_ros.evaluation.run import evaluate_bags
    from depth_prune_ros.evaluation.run import Job
    from depth_prune_ros.ros.replay import replay

    terms = terms or Terms()
    rules = _rules(terms)
    model = model_file(model)
    card = DepthEngine.load(model).card
    _check_first_frame(bag, rules, terms.ground_truth)
    recorded = _fresh(out / 'recorded')
    playing = _step(progress, 'playing to the node')
    played = replay(bag, model, recorded, playback=playback, progress=playing)
    job = Job(
        bags=(bag,),
        rules=rules,
        topics=(played.depth_topic,),
        depth_bag=recorded,
        ground_truth=terms.ground_truth,
    )
    gallery = Gallery()
    (judged,) = evaluate_bags(job, on_frame=gallery, progress=_step(progress, 'judging'))
    result = replace(judged, latency_ms=dict(played.latency_ms), model=card.as_dict())
    page = write_report(out, [result], gallery.shots(), f'Depth of {bag.name} by {card.name}')
    return DemoResult(result, page, recorded)


def _rules(terms: Terms) -> Protocol:
    from depth_prune_ros.core.errors import ConfigError
    from depth_prune_ros.core.metrics import protocol
    from depth_prune_ros.core.metrics import with_switches

    rules = with_switches(protocol(terms.protocol), terms.switches)
    for switch in MODEL_SWITCHES:
        if switch in terms.switches:
            msg = (
                f'expected switches for depth that the node published, found {switch!r}, which is '
                'for a model file; leave it out, or take depth-prune evaluate --model'
            )
            raise ConfigError(msg)
    return rules


def _check_first_frame(bag: Path, rules: Protocol, ground_truth: str) -> None:
    """Raise what judging would raise after the whole bag was played: no camera_info, say."""
    from depth_prune_ros.evaluation.judging import judge
    from depth_prune_ros.evaluation.truth import bag_frames
    import numpy as np

    first = next(bag_frames(bag, ground_truth).read())
    judge(first, None, np.ones((1, 1), np.float32), 1.0, rules)


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

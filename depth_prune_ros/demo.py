"""The whole way in one job: a bag through the real node, its depth judged and drawn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from dataclasses import replace
from pathlib import Path
import tempfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from depth_prune_ros.bags.street import Street
    from depth_prune_ros.core.metrics import Protocol
    from depth_prune_ros.evaluation.results import Result
    from depth_prune_ros.ros.play import Playback
    from depth_prune_ros.ros.replay import ReplayReport

Progress = Callable[[str, int, int], None]

STREET_FRAMES = 60
STREET_SEED = 7
# In the metadata of the street that the demo has made, and may replace.
STREET_KEY = 'depth_prune_ros.demo'
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

    :param out: folder for everything; what an earlier demo left there is replaced, and no bag else
    :param bag: any bag with a camera, for figures with ground truth; None renders a street
    :param model: the model file; None takes the shipped one
    :param progress: called with the step's name, done and total
    :raises DepthPruneError: the bag, the model or the node does not do its part
    """
    from depth_prune_ros.ros.play import ONCE

    _check_recording(out / 'recorded', bag)
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

    :param out: folder of the report and of `recorded`, a bag; an earlier recording is replaced
        when the new one is complete
    :param terms: by default those of `evaluate`
    :raises BagError: `recorded` is there and no recording of ours, or it is the bag to be played
    :raises ConfigError: terms that do not exist, or that a recorded topic cannot be judged by
    :raises DepthPruneError: the bag, the model or the node does not do its part
    """
    from depth_prune_ros.core.engine import DepthEngine
    from depth_prune_ros.core.models import model_file
    from depth_prune_ros.evaluation.gallery import Gallery
    from depth_prune_ros.evaluation.report import write_report
    from depth_prune_ros.evaluation.run import evaluate_bags
    from depth_prune_ros.evaluation.run import Job

    terms = terms or Terms()
    rules = _rules(terms)
    recorded = out / 'recorded'
    _check_recording(recorded, bag)
    model = model_file(model)
    card = DepthEngine.load(model).card
    _check_first_frame(bag, rules, terms.ground_truth)
    played = _record(bag, model, recorded, playback, _step(progress, 'playing to the node'))
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
    page = write_report(out, [result], gallery.shots(), _title(bag, card.name))
    return DemoResult(result, page, recorded)


def _title(bag: Path, model: str) -> str:
    from depth_prune_ros.bags.bag_files import bag_name

    return f'Depth of {bag_name(bag)} by {model}'


def _record(
    bag: Path,
    model: Path,
    recorded: Path,
    playback: Playback,
    progress: Callable[[int, int], None],
) -> ReplayReport:
    """Play a bag and record; an earlier recording makes way only when all went well."""
    from depth_prune_ros.ros.replay import replay

    with _workshop(recorded.parent) as folder:
        made = Path(folder) / recorded.name
        played = replay(bag, model, made, playback=playback, progress=progress)
        _swap(made, recorded)
    return replace(played, out_bag=recorded)


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

    bag = out / 'street'
    street = Street(seed=STREET_SEED, frames=STREET_FRAMES)
    if bag.exists() and not _is_marked(bag, STREET_KEY) and _holds(bag, street):
        # Demos of before left no mark.
        return bag
    _check_ours(bag, STREET_KEY, 'the street of a demo')
    with _workshop(out) as folder:
        made = Path(folder) / bag.name
        step = _step(progress, 'rendering a street')
        street_to_bag(made, street, notes={STREET_KEY: bag.name}, progress=step)
        _swap(made, bag)
    return bag


def _holds(bag: Path, street: Street) -> bool:
    """Tell whether a bag holds this street, by its first image and the number of all messages."""
    from depth_prune_ros.bags.frames import read_frames
    from depth_prune_ros.bags.reading import open_bag
    from depth_prune_ros.bags.street import render_street
    from depth_prune_ros.core.errors import BagError
    import numpy as np

    try:
        with open_bag(bag) as reader:
            counts = {connection.msgcount for connection in reader.connections}
        if counts != {1, street.frames}:
            return False
        found = next(read_frames(bag)).left
    except (BagError, StopIteration):
        return False
    return np.array_equal(found, next(render_street(street)).left)


def _check_recording(recorded: Path, bag: Path | None) -> None:
    """Raise BagError where a recording would replace something else, or the bag it is made of."""
    from depth_prune_ros.core.errors import BagError
    from depth_prune_ros.ros.replay import NOTE_KEY

    place = recorded.resolve()
    if bag is not None and place in (bag.resolve(), *bag.resolve().parents):
        msg = f'{bag}: expected a bag outside {recorded}, which is written; name another --out'
        raise BagError(msg)
    _check_ours(recorded, NOTE_KEY, 'a recording of depth-prune')


def _check_ours(bag: Path, key: str, what: str) -> None:
    from depth_prune_ros.core.errors import BagError

    if (bag.exists() or bag.is_symlink()) and not _is_marked(bag, key):
        msg = f'{bag}: exists already and is not {what}; name another --out'
        raise BagError(msg)


def _is_marked(bag: Path, key: str) -> bool:
    """Tell whether the custom_data of a bag's metadata has a key."""
    import yaml

    if bag.is_symlink():
        return False
    try:
        metadata = yaml.safe_load((bag / 'metadata.yaml').read_text(encoding='utf-8'))
        return key in metadata['rosbag2_bagfile_information']['custom_data']
    except (OSError, ValueError, LookupError, TypeError, yaml.YAMLError):
        return False


def _workshop(out: Path) -> tempfile.TemporaryDirectory[str]:
    """Make a hidden folder in which a bag is made; what remains in it goes with it."""
    out.mkdir(parents=True, exist_ok=True)
    return tempfile.TemporaryDirectory(prefix='.making-', dir=out)


def _swap(made: Path, bag: Path) -> None:
    """Give a bag its place; what was there goes with the workshop."""
    if bag.exists():
        bag.rename(made.with_name('earlier'))
    made.rename(bag)


def _step(progress: Progress, name: str) -> Callable[[int, int], None]:
    return lambda done, total: progress(name, done, total)

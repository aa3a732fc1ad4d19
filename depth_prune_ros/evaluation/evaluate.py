"""Frames and predictions -> figures: by model files, or by depth topics somebody recorded."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import replace
from functools import partial
from operator import length_hint
from typing import TYPE_CHECKING

from depth_prune_ros.bags.frames import Frame
from depth_prune_ros.core.errors import BagError
from depth_prune_ros.core.metrics import Protocol
from depth_prune_ros.evaluation.judging import judge
from depth_prune_ros.evaluation.judging import Judged
from depth_prune_ros.evaluation.judging import truth_of
from depth_prune_ros.evaluation.pipeline import in_order
from depth_prune_ros.evaluation.predictions import describe_stamps
from depth_prune_ros.evaluation.predictions import model_predictor
from depth_prune_ros.evaluation.predictions import Predictor
from depth_prune_ros.evaluation.predictions import topic_predictor
from depth_prune_ros.evaluation.results import Result
from depth_prune_ros.evaluation.tally import Part
from depth_prune_ros.evaluation.tally import Place
from depth_prune_ros.evaluation.tally import Read
from depth_prune_ros.evaluation.tally import Seen
from depth_prune_ros.evaluation.tally import Tally
import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from depth_prune_ros.core.engine import DepthEngine

Float = NDArray[np.float32]
# A frame with what each predictor, in their order, said of it (None = nothing), and its place.
OnFrame = Callable[[Frame, 'Sequence[Judged | None]', Place], None]
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Watch:
    """
    Who looks on.

    :param on_frame: sees each frame with what each predictor said of it, in the bag's order
    :param progress: called with (done, total) after each frame; total is 0 where nobody knows it
    :param total: how many frames there will be; 0 = as many as the frames say
    """

    on_frame: OnFrame | None = None
    progress: Progress | None = None
    total: int = 0


def evaluate_frames(
    frames: Iterable[Frame],
    predictors: Sequence[Predictor],
    rules: Protocol,
    *,
    part: Part | None = None,
    workers: int = 1,
    watch: Watch | None = None,
) -> tuple[Result, ...]:
    """
    Judge every predictor on the same frames, each read once.

    Frames are read ahead in a thread of their own; predictions and metrics of `workers` frames
    are computed at a time; the rest happens in the caller's thread, in the bag's order.

    :param frames: where the ground truth is their `depth`
    :param part: the frames wanted; by default all
    :return: one a predictor; with 0 frames where there was nothing to judge by
    :raises BagError: not one frame got a prediction
    """
    part, watch = part or Part(), watch or Watch()
    tally = Tally(part, predictors, rules)
    total = watch.total or length_hint(frames)
    work = partial(_look, predictors=predictors, rules=rules)
    for seen in in_order(tally.read(frames), work, workers):
        judged = tally.add(seen)
        if seen.index < part.first:
            continue
        if watch.on_frame is not None:
            # The ground truth that was judged by, without what the protocol leaves out.
            shown = replace(seen.frame, depth=seen.truth.depth) if seen.truth else seen.frame
            watch.on_frame(shown, judged, Place(part.bag, seen.index))
        if watch.progress is not None:
            watch.progress(tally.counts['frames'], total)
    return tally.results()


def evaluate_model(frames: Iterable[Frame], engine: DepthEngine, rules: Protocol) -> Result:
    """
    Judge a model on frames with ground truth, a few frames in memory at a time.

    The latency is that of `engine.disparity`, its resizing included; a first run that only
    warms up is not counted.

    :raises BagError: no frame has ground truth that the protocol can judge
    """
    (result,) = evaluate_frames(frames, [model_predictor(engine, rules)], rules)
    return _require_judged(result)


def evaluate_depth_topic(
    frames: Iterable[Frame], depths: Mapping[int, Float], rules: Protocol
) -> Result:
    """
    Judge recorded depth against the frames of the same header stamps.

    Frames without depth of exactly their stamp count in `frames_in` but not in `frames_out`.
    Latency and model are unknown here: `dataclasses.replace` fills them in.

    :param depths: stamp in nanoseconds -> [h, w] metres, NaN = invalid
    :raises BagError: no stamp fits, or no frame has ground truth that the protocol can judge
    """
    predictor = topic_predictor(depths.get, rules, span=lambda: describe_stamps(sorted(depths)))
    (result,) = evaluate_frames(frames, [predictor], rules)
    return _require_judged(result)


def _look(read: Read, predictors: Sequence[Predictor], rules: Protocol) -> Seen:
    """Predict and judge one frame; several threads do so at a time."""
    truth = truth_of(read.frame, rules)
    judged: list[Judged | None] = []
    latencies: list[float | None] = []
    for predictor, early in zip(predictors, read.early, strict=True):
        found = early if predictor.in_turn else predictor.predict(read.frame)
        latencies.append(None if found is None else found.latency_ms)
        judged.append(
            None
            if found is None
            else judge(read.frame, truth, found.disparity, found.baseline_m, rules)
        )
    return Seen(read.index, read.frame, truth, tuple(judged), tuple(latencies))


def _require_judged(result: Result) -> Result:
    """Refuse a result without one judged frame."""
    if not result.frames:
        low, high = result.rules['min_depth_m'], result.rules['max_depth_m']
        msg = (
            f'expected frames with ground truth between {low:g} and {high:g} m, found none in '
            f'{result.frames_in}; the bag needs lidar with tf_static, or a depth topic'
        )
        raise BagError(msg)
    return result

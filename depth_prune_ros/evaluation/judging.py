"""One frame against its ground truth: the metrics, and where in the frame the error is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import replace
from functools import cached_property

from depth_prune_ros.bags.frames import Frame
from depth_prune_ros.core.camera import depth_from_disparity
from depth_prune_ros.core.errors import BagError
from depth_prune_ros.core.metrics import d1_all
from depth_prune_ros.core.metrics import depth_metrics
from depth_prune_ros.core.metrics import judged_depth
from depth_prune_ros.core.metrics import Protocol
from depth_prune_ros.core.metrics import resize_disparity
from depth_prune_ros.core.metrics import valid_pixels
from depth_prune_ros.core.occlusion import occluded
from depth_prune_ros.evaluation.results import Detail
from depth_prune_ros.evaluation.results import FrameResult
from depth_prune_ros.evaluation.results import Sums
import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]
Index = NDArray[np.int64]

# Edges of the bins of true distance, metres; the last bin is open.
DISTANCES_M = (0.0, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 60.0)
GRID = 3
# Edges of the bins of ln(prediction / truth); both ends are open.
LOG_RATIOS = tuple(round(-1.0 + 0.05 * i, 2) for i in range(41))
# Two measurements of a lidar on something that stays differ by less (2 cm at 5 m: 0.4 %).
STATIC_RATIO = 0.01
# Frames further apart in time are no neighbours.
NEIGHBOURS_NS = 500_000_000


@dataclass(frozen=True)
class Truth:
    """
    The ground truth of one frame, looked at once for all predictions.

    :param depth: float32 [H, W] metres, NaN = none, occluded points left out
    :param pixels: flat indices [N] of those that the protocol judges, rising
    :param occluded: how many points were left out
    """

    depth: Float
    pixels: Index
    occluded: int

    @cached_property
    def values(self) -> Float:
        """Metres [N] of the judged pixels."""
        return self.depth.ravel()[self.pixels]

    @cached_property
    def bins(self) -> Index:
        """Bin of distance [N] of each judged pixel."""
        edges = np.asarray(DISTANCES_M[1:], np.float32)
        return np.asarray(np.searchsorted(edges, self.values, 'right'))

    @cached_property
    def regions(self) -> Index:
        """Region [N] of each judged pixel, row by row."""
        height, width = self.depth.shape
        rows, columns = np.divmod(self.pixels, width)
        return np.asarray((rows * GRID // height) * GRID + columns * GRID // width)


@dataclass(frozen=True)
class Judged:
    """
    One prediction of one frame.

    :param disparity: [h, w] fractions of the image width, as predicted
    :param scale: metres times fraction of the width: depth is this over disparity, scaled to the
        ground truth where the protocol does so
    :param result: None where there is nothing to judge by
    :param depth: [N] metres that were judged, of the truth's pixels
    """

    disparity: Float
    scale: float
    result: FrameResult | None = None
    depth: Float | None = None


def truth_of(frame: Frame, rules: Protocol) -> Truth | None:
    """Return what a protocol takes as ground truth; None where it leaves no pixel."""
    if frame.depth is None:
        return None
    depth, hidden = frame.depth, 0
    if rules.drop_occluded and frame.depth_source == 'lidar':
        mask = occluded(depth)
        hidden = int(np.count_nonzero(mask))
        depth = depth.copy()
        depth[mask] = np.nan
    pixels = np.flatnonzero(valid_pixels(depth, rules))
    return Truth(depth, pixels, hidden) if pixels.size else None


def judge(
    frame: Frame, truth: Truth | None, disparity: Float, baseline_m: float, rules: Protocol
) -> Judged:
    """
    Judge one prediction.

    :param truth: from :func:`truth_of`
    :param disparity: [h, w] fractions of the image width
    :param baseline_m: the baseline that the disparity refers to
    :raises BagError: the protocol needs the bag's stereo baseline and there is none
    """
    used_m = _baseline_m(frame, baseline_m, rules)
    scale = used_m * frame.camera.fx_over_width
    if truth is None:
        return Judged(disparity, scale)
    resized = resize_disparity(disparity, *truth.depth.shape).ravel()
    true, mine = truth.values, resized[truth.pixels]
    depth, factor = judged_depth(true, mine, scale, rules)
    unscaled = depth
    if rules.median_scaling:
        unscaled, _ = judged_depth(true, mine, scale, replace(rules, median_scaling=False))
    result = FrameResult(
        stamp_ns=frame.stamp_ns,
        metrics=depth_metrics(true, depth),
        pixels=int(truth.pixels.size),
        d1_all=_d1_all(frame, truth, resized, used_m),
        detail=_detail(truth, depth, float(np.median(unscaled / true))),
    )
    return Judged(disparity, scale * factor, result, depth)


def with_flicker(
    now: Judged, now_truth: Truth | None, before: Judged, before_truth: Truth | None
) -> Judged:
    """
    Add how much a prediction moves, from one frame to the next, where the ground truth stays.

    A pixel stays where both frames judge it and their true depths differ by at most 1 %. What
    moves there is the prediction's own doing.
    """
    if now.result is None or before.result is None or now_truth is None or before_truth is None:
        return now
    gap_ns = now.result.stamp_ns - before.result.stamp_ns
    same_size = now_truth.depth.shape == before_truth.depth.shape
    if not (0 < gap_ns <= NEIGHBOURS_NS and same_size):
        return now
    mine, theirs = static_pixels(now_truth, before_truth)
    if not mine.size or now.depth is None or before.depth is None or now.result.detail is None:
        return now
    change = np.abs(np.log(now.depth[mine].astype(np.float64) / before.depth[theirs]))
    detail = replace(
        now.result.detail, flicker=float(np.mean(change)), static_pixels=int(mine.size)
    )
    return replace(now, result=replace(now.result, detail=detail))


def static_pixels(now: Truth, before: Truth) -> tuple[Index, Index]:
    """Return where in `now.pixels` and in `before.pixels` those are whose true depth stays."""
    place = np.full(before.depth.size, -1, np.int64)
    place[before.pixels] = np.arange(before.pixels.size)
    theirs = place[now.pixels]
    mine = np.flatnonzero(theirs >= 0)
    theirs = theirs[mine]
    stays = np.abs(np.log(now.values[mine] / before.values[theirs])) <= STATIC_RATIO
    return mine[stays], theirs[stays]


def depth_image(judged: Judged) -> Float:
    """Return the predicted depth [h, w] in metres, NaN where there is none."""
    return depth_from_disparity(judged.disparity, judged.scale, 1.0)


def _baseline_m(frame: Frame, trained_m: float, rules: Protocol) -> float:
    needed = rules.known_baseline or rules.needs_disparity
    if needed and frame.baseline_m is None:
        what = 'the known-baseline scale' if rules.known_baseline else f'protocol {rules.name}'
        msg = (
            f'{what}: expected a stereo pair with camera_info (its baseline), found one camera; '
            'take a bag with the right camera, or another protocol'
        )
        raise BagError(msg)
    return frame.baseline_m if rules.known_baseline and frame.baseline_m else trained_m


def _d1_all(frame: Frame, truth: Truth, resized: Float, used_m: float) -> float | None:
    if frame.baseline_m is None:
        return None
    known = np.flatnonzero(truth.depth > 0)
    true_px = frame.baseline_m * frame.camera.fx / truth.depth.ravel()[known]
    # The stereo pair's own baseline: a network's disparity belongs to the one it learned with.
    own_px = resized[known] * (frame.camera.width * frame.baseline_m / used_m)
    return d1_all(true_px.astype(np.float32), own_px.astype(np.float32))


def _detail(truth: Truth, depth: Float, median_ratio: float) -> Detail:
    true = truth.values.astype(np.float64)
    error = true - depth
    log_ratio = np.log(depth / true)
    weights = (np.abs(error) / true, error * error, log_ratio)
    counts = np.bincount(
        np.searchsorted(LOG_RATIOS, log_ratio, 'right'), minlength=len(LOG_RATIOS) + 1
    )
    return Detail(
        distance=_sums(truth.bins, len(DISTANCES_M), weights),
        regions=_sums(truth.regions, GRID * GRID, weights),
        log_ratios=tuple(int(count) for count in counts),
        median_ratio=median_ratio,
        occluded=truth.occluded,
    )


def _sums(parts: Index, count: int, weights: Sequence[NDArray[np.float64]]) -> tuple[Sums, ...]:
    pixels = np.bincount(parts, minlength=count)
    columns = [np.bincount(parts, weight, minlength=count) for weight in weights]
    return tuple(
        Sums(int(pixels[i]), *(float(column[i]) for column in columns)) for i in range(count)
    )

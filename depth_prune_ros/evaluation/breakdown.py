"""Beyond averages: the error by distance, region and time, intervals, and A against B."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from dataclasses import dataclass
import math
from typing import Any

from depth_prune_ros.evaluation.judging import DISTANCES_M
from depth_prune_ros.evaluation.judging import GRID
from depth_prune_ros.evaluation.results import Detail
from depth_prune_ros.evaluation.results import figures
from depth_prune_ros.evaluation.results import FrameResult
from depth_prune_ros.evaluation.results import Result
from depth_prune_ros.evaluation.results import Sums
from depth_prune_ros.evaluation.statistics import bootstrap_means
from depth_prune_ros.evaluation.statistics import bootstrap_ratios
from depth_prune_ros.evaluation.statistics import compare
from depth_prune_ros.evaluation.statistics import Comparison
from depth_prune_ros.evaluation.statistics import Interval
import numpy as np

# Of these more is better; of all others less.
HIGHER_IS_BETTER = ('a1', 'a2', 'a3')
WORST = 10


@dataclass(frozen=True)
class PartError:
    """
    The error in one part of the scene or of the image, pooled over its pixels.

    :param name: what the part is called
    :param pixels: of all frames together
    :param abs_rel: mean |d - p| / d with its interval; None where there is no pixel
    :param rmse: metres
    :param ratio: exp(mean ln(p / d)): 1.1 = predicted 10 % too far
    """

    name: str
    pixels: int
    abs_rel: Interval | None
    rmse: float | None
    ratio: float | None


@dataclass(frozen=True)
class Breakdown:
    """
    What a result says beyond its means.

    :param intervals: by metric, over frames
    :param distance: by true distance, near to far
    :param regions: by region of the image, row by row, GRID a side
    :param flicker: mean |ln p now - ln p before| a pixel whose true depth stays; None where none
        does
    :param static_pixels: how many these are
    :param scale: mean of the frames' median p / d
    :param scale_drift: standard deviation of its logarithm over the frames: 0.02 = 2 %
    :param log_ratios: pixels by ln(p / d), over judging.LOG_RATIOS
    :param occluded: ground truth points left out because the camera does not see them
    :param worst: frames by AbsRel, the worst first
    """

    intervals: dict[str, Interval]
    distance: tuple[PartError, ...]
    regions: tuple[PartError, ...]
    flicker: Interval | None
    static_pixels: int
    scale: Interval | None
    scale_drift: float | None
    log_ratios: tuple[int, ...]
    occluded: int
    worst: tuple[FrameResult, ...]


def break_down(result: Result) -> Breakdown:
    """Look into a result that has judged frames; any parts of a job give the same figures."""
    details = [f.detail for f in result.per_frame if f.detail is not None]
    worst = sorted(result.per_frame, key=lambda f: -f.metrics.abs_rel)[:WORST]
    if not details:
        return Breakdown(_intervals(result), (), (), None, 0, None, None, (), 0, tuple(worst))
    ratios = np.array([[d.median_ratio] for d in details])
    return Breakdown(
        intervals=_intervals(result),
        distance=_parts(distance_names(), [d.distance for d in details]),
        regions=_parts(region_names(), [d.regions for d in details]),
        flicker=_flicker(details),
        static_pixels=sum(d.static_pixels for d in details),
        scale=bootstrap_means(ratios)[0],
        scale_drift=float(np.std(np.log(ratios))),
        log_ratios=tuple(int(n) for n in np.sum([d.log_ratios for d in details], axis=0)),
        occluded=sum(d.occluded for d in details),
        worst=tuple(worst),
    )


@dataclass(frozen=True)
class Analysis:
    """
    Results of the same frames, and what they say beyond their means.

    :param beyond: one a result; None where no frame was judged
    :param against_first: what each but the first has against it, by metric
    """

    results: tuple[Result, ...]
    beyond: tuple[Breakdown | None, ...]
    against_first: tuple[dict[str, Comparison], ...]

    @property
    def judged(self) -> list[tuple[Result, Breakdown]]:
        """Return the results that have judged frames."""
        pairs = zip(self.results, self.beyond, strict=True)
        return [(result, found) for result, found in pairs if found is not None]


def analyse(results: Sequence[Result]) -> Analysis:
    """Look into results; the first one is what the others are compared with."""
    return Analysis(
        tuple(results),
        tuple(break_down(result) if result.frames else None for result in results),
        tuple(compare_results(results[0], other) for other in results[1:]),
    )


def compare_results(a: Result, b: Result) -> dict[str, Comparison]:
    """Return B against A by metric, over the frames both were judged on; empty without any."""
    pairs = judged_for_both(a, b)
    rows = [(figures(x.metrics, x.d1_all), figures(y.metrics, y.d1_all)) for x, y in pairs]
    both = {key: None for x, y in rows for key in x if key in y}
    return {
        key: compare(
            [x[key] for x, y in rows if key in x and key in y],
            [y[key] for x, y in rows if key in x and key in y],
            lower_is_better=key not in HIGHER_IS_BETTER,
        )
        for key in both
    }


def judged_for_both(a: Result, b: Result) -> list[tuple[FrameResult, FrameResult]]:
    """Pair the frames that were judged for both results."""
    ours = {(f.bag, f.index): f for f in a.per_frame}
    return [(ours[f.bag, f.index], f) for f in b.per_frame if (f.bag, f.index) in ours]


def distance_names() -> tuple[str, ...]:
    """Name the bins of distance."""
    edges = [f'{edge:g}' for edge in DISTANCES_M]
    closed = [f'{low}-{high} m' for low, high in zip(edges[:-1], edges[1:], strict=True)]
    return (*closed, f'over {edges[-1]} m')


def region_names() -> tuple[str, ...]:
    """Name the regions of the image, row by row."""
    rows, columns = ('top', 'middle', 'bottom'), ('left', 'centre', 'right')
    return tuple(f'{rows[i // GRID]} {columns[i % GRID]}' for i in range(GRID * GRID))


def breakdown_to_json(found: Breakdown) -> dict[str, Any]:
    """Return the keys that metrics.json has beside its contract."""
    return {
        'intervals': {key: asdict(value) for key, value in found.intervals.items()},
        'distance': [asdict(part) for part in found.distance],
        'regions': [asdict(part) for part in found.regions],
        'flicker': asdict(found.flicker) if found.flicker else None,
        'static_pixels': found.static_pixels,
        'scale': asdict(found.scale) if found.scale else None,
        'scale_drift': found.scale_drift,
        'log_ratios': list(found.log_ratios),
        'occluded': found.occluded,
        'worst': [
            {'bag': f.bag, 'index': f.index, 'stamp_ns': f.stamp_ns, 'abs_rel': f.metrics.abs_rel}
            for f in found.worst
        ],
    }


def _intervals(result: Result) -> dict[str, Interval]:
    """Return the mean of every figure over the frames that have it."""
    rows = [figures(f.metrics, f.d1_all) for f in result.per_frame]
    keys = list({key: None for row in rows for key in row})
    found = bootstrap_ratios(
        np.array([[row.get(key, 0.0) for key in keys] for row in rows]),
        np.array([[float(key in row) for key in keys] for row in rows]),
    )
    return {key: one for key, one in zip(keys, found, strict=True) if one is not None}


def _parts(names: Sequence[str], frames: Sequence[Sequence[Sums]]) -> tuple[PartError, ...]:
    rows = np.array(
        [[(s.pixels, s.abs_rel, s.square, s.log_ratio) for s in frame] for frame in frames]
    )
    intervals = bootstrap_ratios(rows[..., 1], rows[..., 0])
    parts = []
    for name, interval, (pixels, _, square, log_ratio) in zip(
        names, intervals, rows.sum(axis=0), strict=True
    ):
        parts.append(
            PartError(
                name=name,
                pixels=int(pixels),
                abs_rel=interval,
                rmse=math.sqrt(square / pixels) if pixels else None,
                ratio=math.exp(log_ratio / pixels) if pixels else None,
            )
        )
    return tuple(parts)


def _flicker(details: Sequence[Detail]) -> Interval | None:
    pixels = np.array([[d.static_pixels] for d in details], np.float64)
    change = np.array([[(d.flicker or 0.0) * d.static_pixels] for d in details])
    return bootstrap_ratios(change, pixels)[0]

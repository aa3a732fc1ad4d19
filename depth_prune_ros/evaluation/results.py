"""What an evaluation leaves: one record a frame, and the means over them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import asdict
from dataclasses import dataclass
from dataclasses import field
from dataclasses import fields
from dataclasses import replace
import math
from typing import Any

from depth_prune_ros.core.metrics import DepthMetrics
from depth_prune_ros.core.metrics import mean_metrics
import numpy as np

METRICS = tuple(f.name for f in fields(DepthMetrics))


@dataclass(frozen=True, slots=True)
class Sums:
    """
    Sums over the judged pixels of one part (a range of distances, a region of the image).

    :param pixels: how many these are
    :param abs_rel: sum of |d - p| / d
    :param square: sum of (d - p)^2, square metres
    :param log_ratio: sum of ln(p / d)
    """

    pixels: int
    abs_rel: float
    square: float
    log_ratio: float


@dataclass(frozen=True, slots=True)
class Detail:
    """
    What one frame says beyond its means.

    :param distance: sums by true distance, over :data:`judging.DISTANCES_M`
    :param regions: sums by region of the image, row by row, :data:`judging.GRID` a side
    :param log_ratios: pixels by ln(p / d), over :data:`judging.LOG_RATIOS`
    :param median_ratio: median of p / d before any scaling to the ground truth
    :param flicker: mean |ln p now - ln p before| where the ground truth stays; None where it
        stays nowhere, or where there is no frame before
    :param static_pixels: how many pixels that is
    :param occluded: ground truth points left out because the camera does not see them
    """

    distance: tuple[Sums, ...]
    regions: tuple[Sums, ...]
    log_ratios: tuple[int, ...]
    median_ratio: float
    flicker: float | None = None
    static_pixels: int = 0
    occluded: int = 0


@dataclass(frozen=True, slots=True)
class FrameResult:
    """
    One judged frame.

    :param stamp_ns: header stamp of the image, nanoseconds
    :param metrics: over the pixels that the protocol leaves
    :param pixels: how many these are
    :param d1_all: %, over every pixel with ground truth; None without a stereo baseline
    :param bag: name of the bag
    :param index: number of the frame in its bag, from 0
    :param detail: what the frame says beyond its means
    """

    stamp_ns: int
    metrics: DepthMetrics
    pixels: int
    d1_all: float | None = None
    bag: str = ''
    index: int = 0
    detail: Detail | None = None


@dataclass(frozen=True)
class Result:
    """
    How good the depth of one or more bags is.

    :param frames: frames judged; with 0 the metrics are NaN
    :param protocol: name of the protocol
    :param metrics: means over the judged frames
    :param per_frame: the judged frames in the order of the bags
    :param latency_ms: 'p50' and 'p99' of one prediction; None where nobody measured
    :param model: the model card as a dictionary; empty where unknown
    :param d1_all: mean over the frames that have one
    :param frames_in: frames the bags have
    :param frames_out: frames that got a prediction, judged or not
    :param name: what tells it from the results beside it
    :param rules: the protocol's numbers and switches
    :param latencies_ms: of every prediction
    :param remarks: what a reader of the figures has to know of a bag, a sentence each
    :param ground_truth: frames by where their ground truth is from, in words
    :param counts: frames by what happened to them, see :mod:`depth_prune_ros.evaluation.notes`
    """

    frames: int
    protocol: str
    metrics: DepthMetrics
    per_frame: tuple[FrameResult, ...]
    latency_ms: dict[str, float | None]
    model: dict[str, Any] = field(default_factory=dict)
    d1_all: float | None = None
    frames_in: int = 0
    frames_out: int = 0
    name: str = ''
    rules: dict[str, Any] = field(default_factory=dict)
    latencies_ms: tuple[float, ...] = ()
    ground_truth: dict[str, int] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the contract of metrics.json; d1_all only where disparity is known."""
        return {
            'frames': self.frames,
            'protocol': self.protocol,
            'metrics': figures(self.metrics, self.d1_all) if self.frames else {},
            'per_frame': [_frame_to_json(found) for found in self.per_frame],
            'latency_ms': self.latency_ms,
            'model': self.model,
            'name': self.name,
            'frames_in': self.frames_in,
            'frames_out': self.frames_out,
            'rules': self.rules,
            'latencies_ms': list(self.latencies_ms),
            'ground_truth': self.ground_truth,
            'counts': self.counts,
            'remarks': list(self.remarks),
        }


def figures(metrics: DepthMetrics, d1: float | None) -> dict[str, float]:
    """Return the metrics by name, D1-all among them where there is one."""
    return asdict(metrics) if d1 is None else {**asdict(metrics), 'd1_all': d1}


def summed(template: Result, per_frame: Sequence[FrameResult]) -> Result:
    """Return a result with these frames, their number and their means."""
    d1 = [found.d1_all for found in per_frame if found.d1_all is not None]
    nothing = DepthMetrics(*[math.nan] * len(METRICS))
    return replace(
        template,
        frames=len(per_frame),
        metrics=mean_metrics([f.metrics for f in per_frame]) if per_frame else nothing,
        per_frame=tuple(per_frame),
        d1_all=float(np.mean(d1)) if d1 else None,
    )


def joined(parts: Sequence[Result]) -> Result:
    """
    Put results of one model on several bags, or on parts of them, together, in this order.

    Everything is computed anew from the frames, so that it does not matter how they were split.
    """
    latencies = tuple(ms for part in parts for ms in part.latencies_ms)
    whole = replace(
        parts[0],
        latencies_ms=latencies,
        latency_ms=latency_percentiles(latencies),
        frames_in=sum(part.frames_in for part in parts),
        frames_out=sum(part.frames_out for part in parts),
        remarks=tuple(dict.fromkeys(text for part in parts for text in part.remarks)),
        ground_truth=dict(sorted(_added(part.ground_truth for part in parts).items())),
        counts=dict(_added(part.counts for part in parts)),
    )
    return summed(whole, [found for part in parts for found in part.per_frame])


def _added(parts: Iterable[Mapping[str, int]]) -> Counter[str]:
    return sum(map(Counter, parts), Counter())


def latency_percentiles(latencies_ms: Sequence[float]) -> dict[str, float | None]:
    """Return the 50th and 99th percentile as 'p50' and 'p99'; None where nothing was measured."""
    if not latencies_ms:
        return {'p50': None, 'p99': None}
    return {key: float(np.percentile(latencies_ms, q)) for key, q in (('p50', 50), ('p99', 99))}


def result_from_json(found: Mapping[str, Any]) -> Result:
    """
    Restore what :meth:`Result.to_json` wrote, to the last bit.

    :raises LookupError: a part of it is not there
    :raises TypeError: a part of it is something else
    """
    empty = Result(
        frames=0,
        protocol=found['protocol'],
        metrics=DepthMetrics(*[math.nan] * len(METRICS)),
        per_frame=(),
        latency_ms=found['latency_ms'],
        model=found['model'],
        frames_in=found['frames_in'],
        frames_out=found['frames_out'],
        name=found['name'],
        rules=found['rules'],
        latencies_ms=tuple(found['latencies_ms']),
        ground_truth=found['ground_truth'],
        counts=found['counts'],
        remarks=tuple(found['remarks']),
    )
    return summed(empty, [_frame_from_json(frame) for frame in found['per_frame']])


def _frame_to_json(found: FrameResult) -> dict[str, Any]:
    row: dict[str, Any] = {
        'stamp_ns': found.stamp_ns,
        'pixels': found.pixels,
        **figures(found.metrics, found.d1_all),
        'bag': found.bag,
        'index': found.index,
    }
    if found.detail is not None:
        detail = asdict(found.detail)
        for key in ('distance', 'regions'):
            detail[key] = [list(sums.values()) for sums in detail[key]]
        row['detail'] = detail
    return row


def _frame_from_json(row: Mapping[str, Any]) -> FrameResult:
    detail = None
    if 'detail' in row:
        found = dict(row['detail'])
        for key in ('distance', 'regions'):
            found[key] = tuple(Sums(*sums) for sums in found[key])
        detail = Detail(**{**found, 'log_ratios': tuple(found['log_ratios'])})
    return FrameResult(
        stamp_ns=row['stamp_ns'],
        metrics=DepthMetrics(**{key: row[key] for key in METRICS}),
        pixels=row['pixels'],
        d1_all=row.get('d1_all'),
        bag=row['bag'],
        index=row['index'],
        detail=detail,
    )

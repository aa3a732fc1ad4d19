"""Adds judged frames up: which of a bag's frames count, and the results over them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence
from dataclasses import asdict
from dataclasses import dataclass
from dataclasses import replace
import math

from depth_prune_ros.bags.frames import Frame
from depth_prune_ros.core.errors import BagError
from depth_prune_ros.core.metrics import DepthMetrics
from depth_prune_ros.core.metrics import Protocol
from depth_prune_ros.evaluation.judging import Judged
from depth_prune_ros.evaluation.judging import Truth
from depth_prune_ros.evaluation.judging import with_flicker
from depth_prune_ros.evaluation.predictions import Prediction
from depth_prune_ros.evaluation.predictions import Predictor
from depth_prune_ros.evaluation.results import FrameResult
from depth_prune_ros.evaluation.results import latency_percentiles
from depth_prune_ros.evaluation.results import METRICS
from depth_prune_ros.evaluation.results import Result
from depth_prune_ros.evaluation.results import summed


@dataclass(frozen=True)
class Part:
    """
    Which frames of a bag are to be judged, and how the bag is called.

    :param bag: name
    :param first: number of the first frame, from 0
    :param end: number of the first frame that is not wanted any more; None = to the end
    """

    bag: str = ''
    first: int = 0
    end: int | None = None

    @property
    def whole(self) -> bool:
        """Tell whether it is all of the bag."""
        return self.first == 0 and self.end is None


@dataclass(frozen=True)
class Place:
    """Where a frame stands: the bag's name, and its number in it, from 0."""

    bag: str
    index: int


@dataclass(frozen=True)
class Read:
    """A frame, its number, and what was predicted while it was read."""

    index: int
    frame: Frame
    early: tuple[Prediction | None, ...]


@dataclass(frozen=True)
class Seen:
    """A frame with its ground truth and what each predictor said of it."""

    index: int
    frame: Frame
    truth: Truth | None
    judged: tuple[Judged | None, ...]
    latencies_ms: tuple[float | None, ...]


class Tally:
    """Adds frames up, one result a predictor."""

    def __init__(self, part: Part, predictors: Sequence[Predictor], rules: Protocol) -> None:
        self._part = part
        self._predictors = predictors
        self._rules = rules
        self._stamps: list[int] = []
        self._before: Seen | None = None
        self._judged: list[list[FrameResult]] = [[] for _ in predictors]
        self._latencies: list[list[float]] = [[] for _ in predictors]
        self._predicted = [0] * len(predictors)
        self._truths: Counter[str] = Counter()
        self.counts: Counter[str] = Counter()

    def read(self, frames: Iterable[Frame]) -> Iterator[Read]:
        """Yield the frames wanted with their numbers, and predict what wants to be in turn."""
        first, end = self._part.first, self._part.end
        before_ns = -1
        try:
            for index, frame in enumerate(frames):
                if end is not None and index >= end:
                    return
                if index >= first:
                    self.counts['stamps back'] += frame.stamp_ns < before_ns
                before_ns = frame.stamp_ns
                # One frame more, in front: flicker is between neighbours.
                if index < first - 1:
                    continue
                early = tuple(p.predict(frame) if p.in_turn else None for p in self._predictors)
                yield Read(index, frame, early)
        finally:
            for predictor in self._predictors:
                predictor.close()

    def add(self, seen: Seen) -> tuple[Judged | None, ...]:
        """Count a frame; returns its predictions with their flicker."""
        before, self._before = self._before, seen
        judged = tuple(self._named(one, seen.index) for one in seen.judged)
        if before is not None:
            judged = tuple(
                with_flicker(now, seen.truth, then, before.truth) if now and then else now
                for now, then in zip(judged, before.judged, strict=True)
            )
        if seen.index >= self._part.first:
            self._count(seen, judged)
        return judged

    def _named(self, one: Judged | None, index: int) -> Judged | None:
        if one is None or one.result is None:
            return one
        return replace(one, result=replace(one.result, bag=self._part.bag, index=index))

    def _count(self, seen: Seen, judged: Sequence[Judged | None]) -> None:
        self._stamps.append(seen.frame.stamp_ns)
        self.counts['frames'] += 1
        if seen.frame.depth_origin:
            self._truths[seen.frame.depth_origin] += 1
        self.counts['no ground truth'] += seen.frame.depth is None
        self.counts['ground truth out of range'] += (
            seen.frame.depth is not None and seen.truth is None
        )
        for i, one in enumerate(judged):
            latency_ms = seen.latencies_ms[i]
            if latency_ms is not None:
                self._latencies[i].append(latency_ms)
            if one is None:
                continue
            self._predicted[i] += 1
            if one.result is not None:
                self._judged[i].append(one.result)

    def results(self) -> tuple[Result, ...]:
        """Return the means, one result a predictor."""
        return tuple(self._result(i, predictor) for i, predictor in enumerate(self._predictors))

    def _result(self, i: int, predictor: Predictor) -> Result:
        if self._part.whole and self._stamps and not self._predicted[i]:
            raise BagError(predictor.why_none(self._stamps))
        latencies = tuple(self._latencies[i])
        nothing = DepthMetrics(*[math.nan] * len(METRICS))
        empty = Result(
            frames=0,
            protocol=self._rules.name,
            metrics=nothing,
            per_frame=(),
            latency_ms=latency_percentiles(latencies),
            model=predictor.card,
            frames_in=len(self._stamps),
            frames_out=self._predicted[i],
            name=predictor.name,
            rules=asdict(self._rules),
            latencies_ms=latencies,
            ground_truth=dict(sorted(self._truths.items())),
            counts={**self.counts, 'no prediction': len(self._stamps) - self._predicted[i]},
        )
        return summed(empty, self._judged[i])

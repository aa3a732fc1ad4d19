"""Charts laid out for SVG: error over distance and time, scale over time, histogram of ratios."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import replace
import math

from depth_prune_ros.evaluation.breakdown import Breakdown
from depth_prune_ros.evaluation.judging import LOG_RATIOS
from depth_prune_ros.evaluation.results import FrameResult
from depth_prune_ros.evaluation.results import Result
import numpy as np

WIDTH, HEIGHT = 640, 220
LEFT, RIGHT, TOP, BOTTOM = 52, 14, 12, 38
# More points than this are averaged in groups: a screen has no more columns.
_POINTS = 800


@dataclass(frozen=True)
class Tick:
    """A place on an axis, in the chart's pixels, and its label."""

    at: float
    label: str


@dataclass(frozen=True)
class Dot:
    """A value in the chart's pixels, its interval, and what it says when pointed at."""

    x: float
    y: float
    text: str
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Curve:
    """The values of one result."""

    name: str
    dots: tuple[Dot, ...]


@dataclass(frozen=True)
class Chart:
    """A chart, laid out; `rule` is a line across, at the place of a value that means something."""

    title: str
    x_label: str
    curves: tuple[Curve, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    rule: Tick | None = None
    width: int = WIDTH
    height: int = HEIGHT


@dataclass(frozen=True)
class _Series:
    name: str
    xs: Sequence[float]
    ys: Sequence[float]
    texts: Sequence[str]
    spans: Sequence[tuple[float, float]] = ()


def over_distance(found: Sequence[tuple[str, Breakdown]]) -> Chart:
    """Lay AbsRel with its intervals out over true distance."""
    names = [part.name for part in found[0][1].distance]
    series = []
    for name, one in found:
        parts = [(i, p, p.abs_rel) for i, p in enumerate(one.distance) if p.abs_rel]
        series.append(
            _Series(
                name,
                [i + 0.5 for i, _, _ in parts],
                [a.value for _, _, a in parts],
                [f'{name}, {p.name}: {a.value:.4f}, {p.pixels} pixels' for _, p, a in parts],
                [(a.low, a.high) for _, _, a in parts],
            )
        )
    ticks = [(i + 0.5, name) for i, name in enumerate(names)]
    return _chart('AbsRel by true distance', '', series, ticks, right=len(names))


def over_time(results: Sequence[Result], title: str, kind: str) -> Chart:
    """
    Lay a figure out over the judged frames.

    :param kind: 'abs_rel', or 'scale' for the median of prediction / truth
    """
    frames = [f for result in results for f in result.per_frame]
    seconds = len({f.bag for f in frames}) == 1
    start = min(f.stamp_ns for f in frames)
    places = sorted({(f.bag, f.index) for f in frames})
    number = {place: i for i, place in enumerate(places)}

    def x(f: FrameResult) -> float:
        return (f.stamp_ns - start) / 1e9 if seconds else float(number[f.bag, f.index])

    series = []
    for result in results:
        shown = [f for f in result.per_frame if kind != 'scale' or f.detail]
        xs, ys = [x(f) for f in shown], [_figure(f, kind) for f in shown]
        xs, ys = _thinned(xs, ys)
        unit = ' s' if seconds else ''
        texts = [f'{result.name}, {a:.6g}{unit}: {b:.4g}' for a, b in zip(xs, ys, strict=True)]
        series.append(_Series(result.name, xs, ys, texts))
    right = max(max(s.xs, default=0.0) for s in series)
    ticks = [(t, f'{t:g}') for t in steps(right) if t <= right]
    label = 'seconds' if seconds else 'judged frames, bag after bag'
    return _chart(title, label, series, ticks, right=right, rule=1.0 if kind == 'scale' else None)


def histogram(found: Sequence[tuple[str, Breakdown]]) -> Chart:
    """Lay out how many percent of the pixels have which ratio of prediction to truth."""
    edges = [LOG_RATIOS[0] - 0.05, *LOG_RATIOS]
    series = []
    for name, one in found:
        total = max(sum(one.log_ratios), 1)
        shares = [100 * n / total for n in one.log_ratios]
        middles = [edge + 0.025 + 1.05 for edge in edges]
        texts = [
            f'{name}, ratio {math.exp(edge + 0.025):.2f}: {share:.1f} %'
            for edge, share in zip(edges, shares, strict=True)
        ]
        series.append(_Series(name, middles, shares, texts))
    ratios = (0.4, 0.5, 0.67, 0.8, 1.0, 1.25, 1.5, 2.0, 2.5)
    ticks = [(math.log(r) + 1.05, f'{r:g}') for r in ratios]
    label = 'prediction / truth (logarithmic); % of the pixels, 5 % wide bins'
    return _chart('Ratio of prediction to truth', label, series, ticks, right=2.1)


def steps(largest: float) -> list[float]:
    """Return 0 and three to six round numbers up to the first that is not below `largest`."""
    if not largest > 0:
        return [0.0, 1.0]
    raw = largest / 4
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(f * power for f in (1, 2, 5, 10) if f * power >= raw * 0.999)
    count = math.ceil(largest / step - 1e-9)
    return [float(f'{i * step:.6g}') for i in range(count + 1)]


def _figure(found: FrameResult, kind: str) -> float:
    if kind == 'scale':
        return found.detail.median_ratio if found.detail else math.nan
    return float(getattr(found.metrics, kind))


def _thinned(xs: Sequence[float], ys: Sequence[float]) -> tuple[list[float], list[float]]:
    if len(xs) <= _POINTS:
        return list(xs), list(ys)
    groups = np.array_split(np.arange(len(xs)), _POINTS)
    return (
        [float(np.mean(np.asarray(xs)[g])) for g in groups],
        [float(np.mean(np.asarray(ys)[g])) for g in groups],
    )


def _chart(
    title: str,
    x_label: str,
    series: Sequence[_Series],
    ticks: Sequence[tuple[float, str]],
    *,
    right: float,
    rule: float | None = None,
) -> Chart:
    tops = [high for s in series for _, high in s.spans] + [y for s in series for y in s.ys]
    y_ticks = steps(max([*tops, rule or 0.0]))
    wide, top = max(right, 1e-9), y_ticks[-1]

    def x(value: float) -> float:
        return round(LEFT + value / wide * (WIDTH - LEFT - RIGHT), 1)

    def y(value: float) -> float:
        return round(HEIGHT - BOTTOM - value / top * (HEIGHT - TOP - BOTTOM), 1)

    curves = []
    for s in series:
        dots = [Dot(x(a), y(b), text) for a, b, text in zip(s.xs, s.ys, s.texts, strict=True)]
        if s.spans:
            spans = zip(dots, s.spans, strict=True)
            dots = [replace(dot, low=y(low), high=y(high)) for dot, (low, high) in spans]
        curves.append(Curve(s.name, tuple(dots)))
    return Chart(
        title=title,
        x_label=x_label,
        curves=tuple(curves),
        x_ticks=tuple(Tick(x(place), text) for place, text in ticks),
        y_ticks=tuple(Tick(y(v), f'{v:g}') for v in y_ticks),
        rule=None if rule is None else Tick(y(rule), f'{rule:g}'),
    )

"""
How sure a figure is, and whether one model is better than another. NumPy alone, seeded.

Frames are the units: they are drawn with replacement (Efron's bootstrap, percentile intervals).
Frames of one drive are alike, so the truth is less sure than these intervals say: they are about
these drives, not about all roads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
import math

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]

SEED = 0
RESAMPLES = 2000
LEVEL = 0.95
# Above this many differences Wilcoxon's distribution is normal to three digits.
_EXACT = 25
_BLOCK = 100


@dataclass(frozen=True)
class Interval:
    """A figure and the interval that its bootstrap leaves at 95 %."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Comparison:
    """
    B against A over the frames that both were judged on.

    :param frames: how many these are
    :param difference: mean of B - A, with its interval
    :param p_value: of Wilcoxon's signed-rank test, two-sided: how probable differences as lopsided
        as these are if neither is better
    :param verdict: 'better', 'worse' or 'no difference': the interval leaves 0 out and p < 0.05,
        or not
    """

    frames: int
    difference: Interval
    p_value: float
    verdict: str


def bootstrap_means(columns: Values) -> tuple[Interval, ...]:
    """
    Return the mean of each column and its interval, rows (frames) drawn with replacement.

    :param columns: [frames, figures]; all figures take the same draws
    """
    found = bootstrap_ratios(columns, np.ones_like(columns))
    return tuple(interval for interval in found if interval is not None)


def bootstrap_ratios(numerators: Values, denominators: Values) -> tuple[Interval | None, ...]:
    """
    Return sum of numerators / sum of denominators (an error a pixel, say) and its interval.

    :param numerators: [frames, figures]; all figures take the same draws
    :param denominators: [frames, figures]
    :return: one a figure; None where its denominators are all 0
    """
    frames = len(numerators)
    generator = np.random.default_rng(SEED)
    ratios = []
    for _ in range(RESAMPLES // _BLOCK):
        # How often each frame is drawn; blocks, since a long bag times all draws is gigabytes.
        draw = generator.multinomial(frames, np.full(frames, 1 / frames), _BLOCK)
        # A draw may leave out every frame that has such pixels.
        with np.errstate(invalid='ignore', divide='ignore'):
            ratios.append((draw @ numerators) / (draw @ denominators))
    tail = 100 * (1 - LEVEL) / 2
    there = denominators.sum(axis=0) > 0
    low, high = np.nanpercentile(
        np.where(there, np.concatenate(ratios), 0.0), [tail, 100 - tail], axis=0
    )
    value = numerators.sum(axis=0) / np.where(there, denominators.sum(axis=0), 1.0)
    return tuple(
        Interval(float(value[i]), float(low[i]), float(high[i])) if there[i] else None
        for i in range(len(there))
    )


def compare(a: Sequence[float], b: Sequence[float], *, lower_is_better: bool) -> Comparison:
    """
    Compare two models frame by frame.

    :param a: a figure of A, one a frame
    :param b: the same of B on the same frames, in the same order; at least one
    """
    difference = np.asarray(b, np.float64) - np.asarray(a, np.float64)
    (interval,) = bootstrap_means(difference[:, None])
    p_value = wilcoxon(difference)
    verdict = 'no difference'
    if p_value < 1 - LEVEL and not interval.low <= 0 <= interval.high:
        verdict = 'better' if (interval.value < 0) == lower_is_better else 'worse'
    return Comparison(len(difference), interval, p_value, verdict)


def wilcoxon(differences: Values) -> float:
    """
    Return the two-sided p-value of Wilcoxon's signed-rank test (Biometrics Bulletin, 1945).

    Zero differences are left out, ties share their mean rank. Up to 25 differences: exact, by
    counting which choices of signs give which sum of ranks; else the normal approximation with
    the correction for ties.

    :param differences: [N]
    :return: 1 where nothing differs
    """
    found = differences[differences != 0]
    count = len(found)
    if not count:
        return 1.0
    size = np.abs(found)
    _, inverse, ties = np.unique(size, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(ties) - (ties - 1) / 2)[inverse]
    positive = float(ranks[found > 0].sum())
    if count <= _EXACT:
        return _exact(ranks, positive)
    mean = count * (count + 1) / 4
    variance = count * (count + 1) * (2 * count + 1) / 24 - float(np.sum(ties**3 - ties)) / 48
    return math.erfc(abs(positive - mean) / math.sqrt(2 * variance))


def _exact(ranks: Values, positive: float) -> float:
    """Count the choices of signs by twice their sum of ranks (a shared rank may be a half)."""
    doubled = np.rint(2 * ranks).astype(np.int64)
    total = int(doubled.sum())
    ways = np.zeros(total + 1)
    ways[0] = 1
    for rank in doubled:
        ways[rank:] = ways[rank:] + ways[:-rank]
    smaller = min(round(2 * positive), total - round(2 * positive))
    return min(1.0, float(2 * ways[: smaller + 1].sum() / 2.0 ** len(ranks)))

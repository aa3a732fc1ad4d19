"""The bootstrap and Wilcoxon's test against exact and naive values."""

from __future__ import annotations

from itertools import product

from depth_prune_ros.evaluation.statistics import bootstrap_means
from depth_prune_ros.evaluation.statistics import bootstrap_ratios
from depth_prune_ros.evaluation.statistics import compare
from depth_prune_ros.evaluation.statistics import wilcoxon
import numpy as np
from numpy.typing import NDArray
import pytest


def naive_wilcoxon(differences: NDArray[np.float64]) -> float:
    """Try every choice of signs."""
    found = [d for d in differences if d]
    order = sorted(abs(d) for d in found)
    ranks = [order.index(abs(d)) + (order.count(abs(d)) + 1) / 2 for d in found]
    seen = sum(rank for rank, d in zip(ranks, found, strict=True) if d > 0)
    sums = [
        sum(r for r, sign in zip(ranks, signs, strict=True) if sign)
        for signs in product((0, 1), repeat=len(ranks))
    ]
    low, high = (sum(s <= seen for s in sums), sum(s >= seen for s in sums))
    return min(1.0, 2 * min(low, high) / len(sums))


def test_wilcoxon_by_hand() -> None:
    # five differences of one sign: 2 of 2^5; the tables' critical case for n = 6 is a sum of 0
    assert wilcoxon(np.array([1.0, 2, 3, 4, 5])) == 2 / 32
    assert wilcoxon(np.array([-1.0, -2, -3, -4, -5, -6])) == 2 / 64
    # the smallest one turned round: sums 0 and 1, each one choice
    assert wilcoxon(np.array([-1.0, 2, 3, 4, 5])) == 4 / 32
    assert wilcoxon(np.array([1.0, -1, 0])) == 1
    assert wilcoxon(np.zeros(9)) == 1


@pytest.mark.parametrize('seed', range(12))
def test_wilcoxon_agrees_with_every_choice_of_signs(seed: int) -> None:
    generator = np.random.default_rng(seed)
    # rounded, so that there are ties and zeros
    differences = np.round(generator.normal(0.4, 1, 10), 1 + seed % 2)
    assert wilcoxon(differences) == pytest.approx(naive_wilcoxon(differences), abs=1e-12)


def test_wilcoxon_s_approximation_meets_the_exact_value() -> None:
    generator = np.random.default_rng(4)
    differences = generator.normal(0.3, 1, 25)
    exact = wilcoxon(differences)
    # one far pair of opposite signs more: 27 differences, approximated
    approximate = wilcoxon(np.concatenate([differences, [1e-9, -2e-9]]))
    assert approximate == pytest.approx(exact, abs=0.03)


def test_wilcoxon_keeps_its_promise_where_neither_is_better() -> None:
    generator = np.random.default_rng(0)
    found = [wilcoxon(generator.normal(0, 1, 40)) < 0.05 for _ in range(2000)]
    assert np.mean(found) == pytest.approx(0.05, abs=0.015)


def test_intervals_hold_the_mean_as_often_as_they_say() -> None:
    generator = np.random.default_rng(1)
    found = bootstrap_means(generator.normal(3, 1, (60, 400)))
    inside = [interval.low <= 3 <= interval.high for interval in found]
    assert np.mean(inside) == pytest.approx(0.94, abs=0.03)
    width = np.mean([interval.high - interval.low for interval in found])
    assert width == pytest.approx(2 * 1.96 / 60**0.5, rel=0.05)


def test_intervals_of_two_frames_by_hand() -> None:
    # of two frames the draws are: both the one (1/4), both the other (1/4), one each (1/2)
    (interval,) = bootstrap_means(np.array([[1.0], [3.0]]))
    assert (interval.value, interval.low, interval.high) == (2, 1, 3)
    (same,) = bootstrap_means(np.full((7, 1), 0.5))
    assert (same.value, same.low, same.high) == (0.5, 0.5, 0.5)


def test_draws_are_seeded_and_shared() -> None:
    columns = np.random.default_rng(2).normal(size=(30, 1))
    twice = bootstrap_means(np.hstack([columns, columns]))
    assert twice[0] == twice[1]
    assert twice == bootstrap_means(np.hstack([columns, columns]))
    assert twice[0].low == pytest.approx(bootstrap_means(columns)[0].low, rel=1e-12)


def test_ratios_are_pooled_over_pixels() -> None:
    # 10 pixels of error 1 and 90 of error 2; a part without pixels; one in a single frame
    numerators = np.array([[10.0, 0, 4], [180, 0, 0]])
    denominators = np.array([[10.0, 0, 2], [90, 0, 0]])
    pooled, nothing, single = bootstrap_ratios(numerators, denominators)
    assert pooled is not None
    assert (pooled.value, pooled.low, pooled.high) == (1.9, 1, 2)
    assert nothing is None
    assert single is not None
    assert (single.value, single.low, single.high) == (2, 2, 2)


def test_better_means_something() -> None:
    generator = np.random.default_rng(3)
    a = generator.uniform(0.1, 0.5, 40)
    better = a - generator.uniform(0.001, 0.01, 40)
    noisy = a + generator.normal(0, 0.01, 40)
    assert compare(a, better, lower_is_better=True).verdict == 'better'
    assert compare(a, better, lower_is_better=False).verdict == 'worse'
    assert compare(better, a, lower_is_better=True).verdict == 'worse'
    assert compare(a, noisy, lower_is_better=True).verdict == 'no difference'
    same = compare(a, a, lower_is_better=True)
    assert (same.verdict, same.p_value, same.frames) == ('no difference', 1, 40)
    assert (same.difference.value, same.difference.low, same.difference.high) == (0, 0, 0)

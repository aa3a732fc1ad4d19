"""The switches of a protocol, and a whole frame against a naive second implementation."""

from __future__ import annotations

from dataclasses import asdict
from dataclasses import replace
import math

from depth_prune_ros.core.errors import ConfigError
from depth_prune_ros.core.metrics import d1_all
from depth_prune_ros.core.metrics import EIGEN
from depth_prune_ros.core.metrics import EIGEN_50
from depth_prune_ros.core.metrics import EIGEN_BENCHMARK
from depth_prune_ros.core.metrics import evaluate_frame
from depth_prune_ros.core.metrics import flip_post_process
from depth_prune_ros.core.metrics import PLAIN
from depth_prune_ros.core.metrics import Protocol
from depth_prune_ros.core.metrics import with_switches
from hypothesis import given
from hypothesis import HealthCheck
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as nst
import numpy as np
from numpy.typing import NDArray
import pytest

Float = NDArray[np.float32]
BASELINE_M, FX_OVER_WIDTH = 0.5, 0.6
HEIGHT, WIDTH = 12, 20
# 1 mm as the arrays have it: a float32 of exactly that is not beyond it
LOWEST = float(np.float32(1e-3))


def naive_frame(gt: Float, disparity: Float, rules: Protocol) -> dict[str, float] | None:
    """Write the protocol down once more, one pixel at a time, by the papers' words."""
    top, bottom = int(0.40810811 * HEIGHT), int(0.99189189 * HEIGHT)
    left, right = int(0.03594771 * WIDTH), int(0.96405229 * WIDTH)
    pairs = []
    for v in range(HEIGHT):
        for u in range(WIDTH):
            if rules.crop and not (top <= v < bottom and left <= u < right):
                continue
            d = float(gt[v, u])
            if not math.isnan(d) and LOWEST < d < rules.max_depth_m:
                pairs.append((d, BASELINE_M * FX_OVER_WIDTH / float(disparity[v, u])))
    if not pairs:
        return None
    scale = 1.0
    if rules.median_scaling:
        scale = middle([d for d, _ in pairs]) / middle([p for _, p in pairs])
    sums = dict.fromkeys(('abs_rel', 'sq_rel', 'rmse', 'rmse_log'), 0.0)
    for d, raw in pairs:
        p = min(max(raw * scale, rules.min_depth_m), rules.max_depth_m)
        sums['abs_rel'] += abs(d - p) / d
        sums['sq_rel'] += (d - p) ** 2 / d
        sums['rmse'] += (d - p) ** 2
        sums['rmse_log'] += (math.log(d) - math.log(p)) ** 2
        for power in (1, 2, 3):
            # float32 may move a ratio across a threshold: between these two lies the truth
            for end, slack in (('', -1e-5), ('+', 1e-5)):
                key = f'a{power}{end}'
                sums[key] = sums.get(key, 0) + (max(d / p, p / d) < 1.25**power * (1 + slack))
    means = {key: value / len(pairs) for key, value in sums.items()}
    return {key: math.sqrt(m) if key.startswith('rmse') else m for key, m in means.items()}


def middle(values: list[float]) -> float:
    """Return the median of a list."""
    ranked, half = sorted(values), len(values) // 2
    return ranked[half] if len(ranked) % 2 else (ranked[half - 1] + ranked[half]) / 2


depths = nst.arrays(
    np.float32,
    (HEIGHT, WIDTH),
    elements=st.one_of(st.just(float('nan')), st.floats(0.0009765625, 120, width=32)),
)
disparities = nst.arrays(
    np.float32, (HEIGHT, WIDTH), elements=st.floats(0.0009765625, 0.5, width=32)
)


@pytest.mark.parametrize('scaled', [False, True])
@pytest.mark.parametrize('rules', [EIGEN, EIGEN_50, EIGEN_BENCHMARK], ids=lambda r: r.name)
@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(gt=depths, disparity=disparities)
def test_a_frame_agrees_with_the_naive_loops(
    rules: Protocol, scaled: bool, gt: Float, disparity: Float
) -> None:
    rules = replace(rules, median_scaling=scaled)
    found = evaluate_frame(gt, disparity, BASELINE_M, FX_OVER_WIDTH, rules)
    expected = naive_frame(gt, disparity, rules)
    if found is None or expected is None:
        assert found is expected
        return
    figures = asdict(found)
    for key in ('a1', 'a2', 'a3'):
        low, high = expected.pop(key), expected.pop(f'{key}+')
        assert low - 1e-9 <= figures.pop(key) <= high + 1e-9
    assert figures == pytest.approx(expected, rel=2e-4, abs=1e-5)


def test_a_frame_by_hand() -> None:
    # inside the crop of 12 x 20 (rows 4..10, columns 0..18): 10 m seen as 12, 20 m seen as 15
    gt = np.full((HEIGHT, WIDTH), np.nan, np.float32)
    gt[5, 3], gt[10, 18], gt[0, 5], gt[5, 19] = 10, 20, 30, 40
    disparity = np.full((HEIGHT, WIDTH), 0.3 / 12, np.float32)
    disparity[10, 18] = 0.3 / 15
    found = evaluate_frame(gt, disparity, BASELINE_M, FX_OVER_WIDTH, EIGEN)
    assert found is not None
    assert found.abs_rel == pytest.approx((0.2 + 0.25) / 2, abs=1e-6)
    assert found.sq_rel == pytest.approx((0.4 + 1.25) / 2, abs=1e-5)
    assert found.rmse == pytest.approx(math.sqrt((4 + 25) / 2), abs=1e-5)
    logs = math.log(1.2) ** 2 + math.log(0.75) ** 2
    assert found.rmse_log == pytest.approx(math.sqrt(logs / 2), abs=1e-6)
    assert (found.a1, found.a2, found.a3) == (0.5, 1, 1)


@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(st.floats(0, 120, width=32), st.floats(0, 120, width=32)),
        min_size=1,
        max_size=30,
    )
)
def test_d1_all_agrees_with_the_naive_loops(pairs: list[tuple[float, float]]) -> None:
    known = [(g, p) for g, p in pairs if g > 0]
    wrong = sum(abs(g - p) >= 3 and abs(g - p) / g >= 0.05 for g, p in known)
    gt, mine = (np.array([pair[i] for pair in pairs], np.float32) for i in (0, 1))
    found = d1_all(gt, mine)
    if not known:
        assert found is None
    else:
        assert found == pytest.approx(100 * wrong / len(known), abs=100 / len(known) * 1.001)
        # 5 % of a float32 can round to either side; anything else is exact
        if all(abs(abs(g - p) / g - 0.05) > 1e-6 for g, p in known):
            assert found == pytest.approx(100 * wrong / len(known))


def test_flip_post_processing_by_hand() -> None:
    # 41 columns: x = 0, 0.025, ...; the ramp is 1 up to 5 %, 0.5 at 7.5 %, 0 from 10 % on
    plain = np.full((2, 41), 1, np.float32)
    mirrored = np.full((2, 41), 3, np.float32)
    found = flip_post_process(plain, mirrored)
    assert found.dtype == np.float32
    assert found[0, :6].tolist() == pytest.approx([3, 3, 3, 2.5, 2, 2])
    assert found[1, -6:].tolist() == pytest.approx([2, 2, 1.5, 1, 1, 1])
    assert (found[:, 5:-5] == 2).all()


def test_flip_post_processing_turns_the_mirrored_one_back() -> None:
    plain = np.tile(np.arange(40, dtype=np.float32), (3, 1))
    assert np.allclose(flip_post_process(plain, plain[:, ::-1]), plain)


def godard(l_disp: NDArray[np.float64], mirrored: NDArray[np.float64]) -> NDArray[np.float64]:
    """Compute pixel by pixel what the paper says of the two ramps."""
    height, width = l_disp.shape
    out = np.empty_like(l_disp)
    for v in range(height):
        for u in range(width):
            here, back = l_disp[v, u], mirrored[v, width - 1 - u]
            x = u / (width - 1)
            left = 1 - min(max(20 * (x - 0.05), 0), 1)
            right = 1 - min(max(20 * ((1 - x) - 0.05), 0), 1)
            out[v, u] = right * here + left * back + (1 - left - right) * (here + back) / 2
    return out


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(disparities, disparities)
def test_flip_post_processing_agrees_with_the_naive_loops(one: Float, other: Float) -> None:
    expected = godard(one.astype(np.float64), other.astype(np.float64))
    assert np.allclose(flip_post_process(one, other), expected, rtol=1e-5, atol=1e-7)


def test_switches_by_name() -> None:
    assert with_switches(EIGEN, []) == replace(EIGEN, drop_occluded=True)
    assert with_switches(PLAIN, ['keep-occluded']) == PLAIN
    found = with_switches(EIGEN, ['median', 'baseline', 'flip'])
    assert (found.median_scaling, found.known_baseline, found.flip) == (True, True, True)
    with pytest.raises(ConfigError, match="median, baseline, flip, keep-occluded, found 'scale'"):
        with_switches(EIGEN, ['scale'])

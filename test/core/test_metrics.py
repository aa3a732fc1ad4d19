"""The metrics against values worked out by hand and against a naive second implementation."""

from __future__ import annotations

from dataclasses import asdict
import math

from depth_prune_ros.core.camera import disparity_from_depth
from depth_prune_ros.core.errors import ConfigError
from depth_prune_ros.core.errors import ImageError
from depth_prune_ros.core.metrics import crop_box
from depth_prune_ros.core.metrics import d1_all
from depth_prune_ros.core.metrics import depth_metrics
from depth_prune_ros.core.metrics import DepthMetrics
from depth_prune_ros.core.metrics import EIGEN
from depth_prune_ros.core.metrics import EIGEN_50
from depth_prune_ros.core.metrics import evaluate_frame
from depth_prune_ros.core.metrics import mean_metrics
from depth_prune_ros.core.metrics import PLAIN
from depth_prune_ros.core.metrics import Protocol
from depth_prune_ros.core.metrics import protocol
from depth_prune_ros.core.metrics import resize_disparity
from depth_prune_ros.core.metrics import valid_pixels
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
import numpy as np
from numpy.typing import NDArray
import pytest

BASELINE_M = 0.5
FX_OVER_WIDTH = 0.6


def f32(*values: float) -> NDArray[np.float32]:
    """Make a row of float32."""
    return np.array(values, np.float32)


def disparity_of(depth_m: float, shape: tuple[int, int]) -> NDArray[np.float32]:
    """Make a flat disparity image that means one depth."""
    return np.full(shape, BASELINE_M * FX_OVER_WIDTH / depth_m, np.float32)


def naive(gt: list[float], prediction: list[float]) -> dict[str, float]:
    """Write the formulas down once more, one pixel at a time."""
    sums = dict.fromkeys(('abs_rel', 'sq_rel', 'square', 'log', 'a1', 'a2', 'a3'), 0.0)
    for d, p in zip(gt, prediction, strict=True):
        sums['abs_rel'] += abs(d - p) / d
        sums['sq_rel'] += (d - p) * (d - p) / d
        sums['square'] += (d - p) * (d - p)
        sums['log'] += math.log(d / p) ** 2
        worse = d / p if d > p else p / d
        for power, key in enumerate(('a1', 'a2', 'a3'), start=1):
            if worse < 1.25**power:
                sums[key] += 1
    mean = {key: value / len(gt) for key, value in sums.items()}
    mean['rmse'] = math.sqrt(mean.pop('square'))
    mean['rmse_log'] = math.sqrt(mean.pop('log'))
    return mean


def test_values_by_hand() -> None:
    # errors 1, 2, 20 m: ratios 1.1, 1.6667 (between 1.25^2 and 1.25^3), 2
    found = depth_metrics(f32(10, 5, 40), f32(11, 3, 20))
    assert found.abs_rel == pytest.approx((0.1 + 0.4 + 0.5) / 3)
    assert found.sq_rel == pytest.approx((0.1 + 0.8 + 10) / 3)
    assert found.rmse == pytest.approx(math.sqrt((1 + 4 + 400) / 3))
    logs = (math.log(1.1), math.log(5 / 3), math.log(2))
    assert found.rmse_log == pytest.approx(math.sqrt(sum(v * v for v in logs) / 3))
    assert (found.a1, found.a2, found.a3) == pytest.approx((1 / 3, 1 / 3, 2 / 3))


def test_a_ratio_of_exactly_the_threshold_is_outside() -> None:
    found = depth_metrics(f32(1.25, 1.0), f32(1.0, 1.0))
    assert (found.a1, found.a2) == (0.5, 1.0)


def test_perfect_depth() -> None:
    assert depth_metrics(f32(1, 2), f32(1, 2)) == DepthMetrics(0, 0, 0, 0, 1, 1, 1)


depths = st.floats(0.5, 90, width=32)


@settings(max_examples=100)
@given(st.lists(st.tuples(depths, depths), min_size=1, max_size=30))
def test_agrees_with_the_naive_loops(pairs: list[tuple[float, float]]) -> None:
    gt, prediction = [p[0] for p in pairs], [p[1] for p in pairs]
    found = asdict(depth_metrics(f32(*gt), f32(*prediction)))
    assert found == pytest.approx(naive(gt, prediction), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize(
    ('gt', 'prediction'),
    [(f32(1, 2), f32(1)), (f32(), f32()), (np.ones((2, 2), np.float32),) * 2],
)
def test_refuses_what_is_not_two_rows(
    gt: NDArray[np.float32], prediction: NDArray[np.float32]
) -> None:
    with pytest.raises(ImageError, match='expected two equally long rows'):
        depth_metrics(gt, prediction)


def test_crop_of_a_kitti_image() -> None:
    # .40810811 * 375 = 153.04, .99189189 * 375 = 371.96, * 1242 = 44.65 and 1197.35
    assert crop_box(375, 1242, 'garg') == (153, 371, 44, 1197)
    assert crop_box(375, 1242, None) == (0, 375, 0, 1242)


def test_valid_pixels_are_those_in_the_crop_and_the_range() -> None:
    gt = np.full((375, 1242), 10, np.float32)
    gt[200, 100:105] = [np.nan, 80, 79.9, 1e-3, 0.002]
    mask = valid_pixels(gt, EIGEN)
    assert mask[200, 100:105].tolist() == [False, False, True, False, True]
    rows, columns = np.nonzero(mask)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (153, 370, 44, 1196)
    assert mask.sum() == (371 - 153) * (1197 - 44) - 3
    assert valid_pixels(gt, PLAIN).sum() == 375 * 1242 - 3


def test_protocols_by_name() -> None:
    assert protocol('eigen') == Protocol('eigen', 1e-3, 80, 'garg', False)
    assert protocol('eigen_50') is EIGEN_50
    assert EIGEN_50.max_depth_m == 50
    assert protocol('plain').crop is None
    assert protocol('eigen50') is EIGEN_50
    assert protocol('eigen-benchmark') == Protocol('eigen-benchmark', 1e-3, 80)
    assert protocol('kitti2015') == Protocol('kitti2015', 1e-3, 80, needs_disparity=True)
    known = 'out of eigen, eigen_50, eigen-benchmark, kitti2015, plain'
    with pytest.raises(ConfigError, match=f"{known}, found 'kitti'"):
        protocol('kitti')


def test_frame_depth_is_baseline_times_focal_length_over_disparity() -> None:
    gt = np.full((40, 100), 10, np.float32)
    found = evaluate_frame(gt, disparity_of(12, (8, 20)), BASELINE_M, FX_OVER_WIDTH, PLAIN)
    assert found is not None
    assert found.abs_rel == pytest.approx(0.2, abs=1e-6)
    assert found.rmse == pytest.approx(2, abs=1e-5)


def test_frame_resizes_disparity_not_depth() -> None:
    # half-way between 0.1 and 0.3 in disparity: 0.2 -> 1.5 m (half-way in depth: 2 m)
    gt = np.full((1, 4), np.nan, np.float32)
    gt[0, 1:3] = [0.3 / 0.15, 0.3 / 0.25]
    found = evaluate_frame(gt, f32(0.1, 0.3)[None], BASELINE_M, FX_OVER_WIDTH, PLAIN)
    assert found is not None
    assert found.abs_rel == pytest.approx(0, abs=1e-6)


def test_frame_clips_to_the_cap() -> None:
    gt = np.full((40, 100), 40, np.float32)
    far = disparity_of(500, (40, 100))
    capped = evaluate_frame(gt, far, BASELINE_M, FX_OVER_WIDTH, EIGEN)
    capped_50 = evaluate_frame(gt, far, BASELINE_M, FX_OVER_WIDTH, EIGEN_50)
    assert capped is not None
    assert capped_50 is not None
    assert (capped.rmse, capped_50.rmse) == pytest.approx((40, 10))


def test_no_disparity_counts_as_infinitely_far() -> None:
    gt = np.full((1, 2), 40, np.float32)
    for nothing in (np.nan, 0, -0.1):
        found = evaluate_frame(gt, f32(0.3 / 40, nothing)[None], BASELINE_M, FX_OVER_WIDTH, PLAIN)
        assert found is not None
        assert found.abs_rel == pytest.approx((0 + 1) / 2, abs=1e-6)


def test_median_scaling() -> None:
    gt = np.full((4, 4), 10, np.float32)
    scaled = Protocol('scaled', median_scaling=True)
    found = evaluate_frame(gt, disparity_of(2, (4, 4)), BASELINE_M, FX_OVER_WIDTH, scaled)
    assert found is not None
    assert found.abs_rel == pytest.approx(0, abs=1e-6)


def test_nothing_to_judge_is_none() -> None:
    gt = np.full((375, 1242), np.nan, np.float32)
    gt[0, 0] = 10
    assert evaluate_frame(gt, disparity_of(10, (4, 4)), 0.5, 0.6, EIGEN) is None
    assert evaluate_frame(gt, disparity_of(10, (4, 4)), 0.5, 0.6, PLAIN) is not None


def test_recorded_depth_and_disparity_give_the_same_numbers() -> None:
    rng = np.random.default_rng(3)
    gt = rng.uniform(2, 90, (40, 100)).astype(np.float32)
    disparity = rng.uniform(0.003, 0.1, (8, 20)).astype(np.float32)
    disparity[2, 3] = 0
    offline = evaluate_frame(gt, disparity, BASELINE_M, FX_OVER_WIDTH, EIGEN)
    recorded = disparity_from_depth(
        disparity_from_depth(disparity, BASELINE_M, FX_OVER_WIDTH), BASELINE_M, FX_OVER_WIDTH
    )
    online = evaluate_frame(gt, recorded, BASELINE_M, FX_OVER_WIDTH, EIGEN)
    assert offline is not None
    assert online is not None
    assert asdict(online) == pytest.approx(asdict(offline), rel=1e-5)


def test_resized_disparity_keeps_its_values() -> None:
    resized = resize_disparity(disparity_of(3, (6, 10)), 12, 40)
    assert resized.shape == (12, 40)
    assert np.allclose(resized, 0.1)


def test_d1_all_needs_both_thresholds() -> None:
    # 3 px of 10 counts, 2.9 of 10 does not, 4 of 100 (4 %) does not, 5 of 100 (5 %) does
    gt = f32(10, 10, 100, 100, np.nan, 0)[None]
    prediction = f32(13, 12.9, 104, 95, 50, 50)[None]
    assert d1_all(gt, prediction) == pytest.approx(50)
    assert d1_all(f32(20)[None], f32(np.nan)[None]) == 100
    assert d1_all(f32(np.nan)[None], f32(1)[None]) is None


def test_means_are_over_images() -> None:
    one = DepthMetrics(0.1, 1, 2, 0.1, 1, 1, 1)
    two = DepthMetrics(0.3, 3, 6, 0.5, 0, 0.5, 1)
    assert asdict(mean_metrics([one, two])) == pytest.approx(
        {'abs_rel': 0.2, 'sq_rel': 2, 'rmse': 4, 'rmse_log': 0.3, 'a1': 0.5, 'a2': 0.75, 'a3': 1}
    )
    with pytest.raises(ImageError, match='at least one image'):
        mean_metrics([])

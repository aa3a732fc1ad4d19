"""Where in a frame the error is: hand-made scenes of known bins, regions and flicker."""

from __future__ import annotations

from dataclasses import replace
import math

from depth_prune_ros.bags.frames import Frame
from depth_prune_ros.core.errors import BagError
from depth_prune_ros.core.metrics import EIGEN
from depth_prune_ros.core.metrics import evaluate_frame
from depth_prune_ros.core.metrics import KITTI_2015
from depth_prune_ros.core.metrics import PLAIN
from depth_prune_ros.core.metrics import Protocol
from depth_prune_ros.evaluation.breakdown import break_down
from depth_prune_ros.evaluation.breakdown import compare_results
from depth_prune_ros.evaluation.evaluate import evaluate_frames
from depth_prune_ros.evaluation.judging import depth_image
from depth_prune_ros.evaluation.judging import judge
from depth_prune_ros.evaluation.judging import Judged
from depth_prune_ros.evaluation.judging import truth_of
from depth_prune_ros.evaluation.predictions import topic_predictor
from depth_prune_ros.evaluation.results import Detail
from depth_prune_ros.evaluation.results import Result
from evaluation_scenes import BASELINE_M
from evaluation_scenes import frame
from evaluation_scenes import FX_OVER_WIDTH
from evaluation_scenes import HEIGHT
from evaluation_scenes import WIDTH
import numpy as np
from numpy.typing import NDArray
import pytest

Float = NDArray[np.float32]


def flat(value: float) -> Float:
    """Make a flat image."""
    return np.full((HEIGHT, WIDTH), value, np.float32)


def with_depth(index: int, depth: Float, source: str = 'lidar') -> Frame:
    """Make a frame with this ground truth."""
    return replace(frame(index), depth=depth, depth_source=source)


def judged(one: Frame, depth: Float, rules: Protocol = PLAIN) -> Judged:
    """Judge predicted depth [H, W]."""
    scale = BASELINE_M * one.camera.fx_over_width
    disparity = (np.float32(scale) / depth).astype(np.float32)
    return judge(one, truth_of(one, rules), disparity, BASELINE_M, rules)


def detail_of(found: Judged) -> Detail:
    """Return the detail of a judged frame."""
    assert found.result is not None
    assert found.result.detail is not None
    return found.result.detail


def evaluate(frames: list[Frame], depths: list[Float]) -> Result:
    """Judge predicted depths, a frame each."""
    by_stamp = {f.stamp_ns: d for f, d in zip(frames, depths, strict=True)}
    return evaluate_frames(frames, [topic_predictor(by_stamp.get, PLAIN)], PLAIN)[0]


def test_bins_of_distance_by_hand() -> None:
    gt = flat(np.nan)
    # exactly on an edge belongs to the bin beyond
    gt[0, :5] = [4, 5, 9.99, 60, 79]
    found = detail_of(judged(with_depth(0, gt), gt * np.float32(1.2)))
    assert [part.pixels for part in found.distance] == [1, 2, 0, 0, 0, 0, 0, 2]
    near = found.distance[0]
    assert near.abs_rel == pytest.approx(0.2, abs=1e-5)
    assert near.square == pytest.approx(0.8**2, abs=1e-4)
    assert near.log_ratio == pytest.approx(math.log(1.2), abs=1e-5)
    # 60 * 1.2 = 72, 79 * 1.2 is capped at 80
    assert found.distance[-1].abs_rel == pytest.approx(0.2 + 1 / 79, abs=1e-4)


def test_regions_by_hand() -> None:
    gt = flat(10)
    wrong = flat(10)
    wrong[-1, -1], wrong[0, 0] = 15, 20
    found = detail_of(judged(with_depth(0, gt), wrong))
    assert sum(part.pixels for part in found.regions) == HEIGHT * WIDTH
    # 20 rows: 7, 7, 6; 40 columns: 14, 13, 13
    assert [part.pixels for part in found.regions[:4]] == [7 * 14, 7 * 13, 7 * 13, 7 * 14]
    errors = [part.abs_rel for part in found.regions]
    assert errors == pytest.approx([1, 0, 0, 0, 0, 0, 0, 0, 0.5], abs=1e-4)


def test_histogram_of_ratios_by_hand() -> None:
    gt = flat(np.nan)
    gt[0, :4] = 10
    prediction = flat(10)
    prediction[0, 1:4] = [12, 2, 70]
    found = detail_of(judged(with_depth(0, gt), prediction)).log_ratios
    assert sum(found) == 4
    # ln 1.2 = 0.18 is in 0.15..0.2: bin 24 of those from -1 in steps of 0.05, after the open one
    assert (found[0], found[24], found[-1]) == (1, 1, 1)
    assert found[20] + found[21] == 1


def test_scale_is_told_before_median_scaling() -> None:
    one = with_depth(0, flat(10))
    found = judged(one, flat(8), replace(PLAIN, median_scaling=True))
    assert found.result is not None
    assert found.result.metrics.abs_rel == pytest.approx(0, abs=1e-6)
    assert detail_of(found).median_ratio == pytest.approx(0.8, abs=1e-6)


def test_pictures_show_depth_as_it_was_scaled() -> None:
    one = with_depth(0, flat(10))
    for median, shown_m in ((True, 10), (False, 8)):
        found = judged(one, flat(8), replace(PLAIN, median_scaling=median))
        assert depth_image(found) == pytest.approx(flat(shown_m), rel=1e-5)
    far = judged(one, flat(200), replace(PLAIN, median_scaling=True))
    assert depth_image(far) == pytest.approx(flat(10), rel=1e-5)


def test_judging_gives_what_evaluate_frame_gives() -> None:
    generator = np.random.default_rng(1)
    gt = generator.uniform(1, 90, (HEIGHT, WIDTH)).astype(np.float32)
    gt[generator.random(gt.shape) < 0.5] = np.nan
    disparity = generator.uniform(0.001, 0.2, (8, 16)).astype(np.float32)
    one = with_depth(0, gt)
    for rules in (EIGEN, PLAIN, replace(EIGEN, median_scaling=True)):
        found = judge(one, truth_of(one, rules), disparity, BASELINE_M, rules)
        assert found.result is not None
        expected = evaluate_frame(gt, disparity, BASELINE_M, FX_OVER_WIDTH, rules)
        assert found.result.metrics == expected


def test_known_baseline_scales_by_the_bag_s_over_the_training_s() -> None:
    # trained with 0.5 m, the bag has 1 m: what was 5 m is 10 m
    one = replace(with_depth(0, flat(10)), baseline_m=1.0)
    found = judged(one, flat(5), replace(PLAIN, known_baseline=True))
    assert found.result is not None
    assert found.result.metrics.abs_rel == pytest.approx(0, abs=1e-6)
    assert found.result.d1_all == 0
    without = judged(one, flat(5))
    assert without.result is not None
    assert without.result.metrics.abs_rel == pytest.approx(0.5, abs=1e-6)


def test_what_needs_a_baseline_says_so() -> None:
    one = with_depth(0, flat(10))
    with pytest.raises(BagError, match='protocol kitti2015: expected a stereo pair'):
        judged(one, flat(5), KITTI_2015)
    with pytest.raises(BagError, match='the known-baseline scale: expected a stereo pair'):
        judged(one, flat(5), replace(PLAIN, known_baseline=True))


def test_occluded_points_count_only_where_wanted_and_from_lidar() -> None:
    gt = flat(np.nan)
    gt[10, 10], gt[10, 11] = 5, 20
    drop = replace(PLAIN, drop_occluded=True)
    found = detail_of(judged(with_depth(0, gt), flat(10), drop))
    assert (found.occluded, sum(p.pixels for p in found.distance)) == (1, 1)
    truth = truth_of(with_depth(0, gt), drop)
    assert truth is not None
    assert truth.depth[10, 10] == 5
    assert np.isnan(truth.depth[10, 11])
    assert gt[10, 11] == 20
    assert detail_of(judged(with_depth(0, gt), flat(10))).occluded == 0
    assert detail_of(judged(with_depth(0, gt, 'depth'), flat(10), drop)).occluded == 0


def test_flicker_is_the_change_where_the_truth_stays() -> None:
    # the left half stays (0.5 % is noise), the right half comes nearer: by 20 %, a row by 1.5 %
    before, now = flat(10), flat(10.05)
    now[:, WIDTH // 2 :] = 8
    now[3, WIDTH // 2 :] = 9.85
    seen = flat(10)
    seen[:, : WIDTH // 4] = 11
    result = evaluate([with_depth(0, before), with_depth(1, now)], [flat(10), seen])
    first, second = (f.detail for f in result.per_frame)
    assert first is not None
    assert second is not None
    assert (first.flicker, first.static_pixels) == (None, 0)
    assert second.static_pixels == HEIGHT * WIDTH // 2
    assert second.flicker == pytest.approx(math.log(1.1) / 2, abs=1e-5)
    whole = break_down(result)
    assert whole.flicker is not None
    assert whole.flicker.value == pytest.approx(math.log(1.1) / 2, abs=1e-5)


@pytest.mark.parametrize('index', [6, -1])
def test_flicker_is_between_neighbours_in_time(index: int) -> None:
    frames = [with_depth(0, flat(10)), with_depth(index, flat(10))]
    assert break_down(evaluate(frames, [flat(10), flat(11)])).flicker is None


def test_images_of_another_size_do_not_flicker() -> None:
    other = np.full((HEIGHT // 2, 2 * WIDTH), 10, np.float32)
    frames = [with_depth(0, flat(10)), with_depth(1, other)]
    assert break_down(evaluate(frames, [flat(10), flat(11)])).flicker is None


def test_scale_drift_and_worst_frames() -> None:
    frames = [with_depth(i, flat(10)) for i in range(3)]
    result = evaluate(frames, [flat(10), flat(11), flat(12.1)])
    found = break_down(result)
    assert found.scale is not None
    assert found.scale.value == pytest.approx(1.10333, abs=1e-4)
    # ln: 0, x, 2x with x = ln 1.1; standard deviation x * sqrt(2 / 3)
    assert found.scale_drift == pytest.approx(math.log(1.1) * (2 / 3) ** 0.5, abs=1e-5)
    assert [f.index for f in found.worst] == [2, 1, 0]
    distance = {part.name: part for part in found.distance}
    assert distance['10-15 m'].rmse == pytest.approx(((1 + 2.1**2) / 3) ** 0.5, abs=1e-4)
    assert distance['10-15 m'].ratio == pytest.approx(1.1, abs=1e-4)
    assert distance['0-5 m'].rmse is None


def test_comparison_pairs_the_frames_that_both_have() -> None:
    frames = [with_depth(i, flat(10)) for i in range(4)]
    a = evaluate(frames, [flat(11)] * 4)
    b = replace(a, per_frame=a.per_frame[2:])
    assert compare_results(a, b)['abs_rel'].frames == 2
    assert compare_results(a, replace(a, per_frame=())) == {}
    apart = replace(a, per_frame=tuple(replace(f, bag='other') for f in a.per_frame))
    assert compare_results(a, apart) == {}


def test_less_error_and_more_within_a_factor_are_better() -> None:
    frames = [with_depth(i, flat(10)) for i in range(8)]
    a, b = (evaluate(frames, [flat(depth)] * 8) for depth in (14, 10))
    found = compare_results(a, b)
    for key, value in (('abs_rel', -0.4), ('a1', 1.0)):
        assert found[key].difference.value == pytest.approx(value, abs=1e-5)
        assert (found[key].verdict, found[key].p_value) == ('better', 2 / 256)

"""Frames and predictions to figures."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Sequence
from dataclasses import replace
import json
from pathlib import Path
from types import SimpleNamespace

from depth_prune_ros.bags.frames import Frame
from depth_prune_ros.core.camera import depth_from_disparity
from depth_prune_ros.core.engine import DepthEngine
from depth_prune_ros.core.errors import BagError
from depth_prune_ros.core.metrics import EIGEN
from depth_prune_ros.core.metrics import PLAIN
from depth_prune_ros.evaluation.evaluate import evaluate_depth_topic
from depth_prune_ros.evaluation.evaluate import evaluate_frames
from depth_prune_ros.evaluation.evaluate import evaluate_model
from depth_prune_ros.evaluation.evaluate import Watch
from depth_prune_ros.evaluation.judging import depth_image
from depth_prune_ros.evaluation.judging import Judged
from depth_prune_ros.evaluation.predictions import model_predictor
from depth_prune_ros.evaluation.results import latency_percentiles
from depth_prune_ros.evaluation.tally import Place
from evaluation_scenes import BASELINE_M
from evaluation_scenes import CARD
from evaluation_scenes import depth_of
from evaluation_scenes import frame
from evaluation_scenes import FX_OVER_WIDTH
from evaluation_scenes import recorded_depth
from evaluation_scenes import START_NS
from evaluation_scenes import write_depth_bag
import numpy as np
import pytest


def test_model_on_frames_of_known_depth(red_engine: DepthEngine) -> None:
    # red 51 is 0.02 of the width, 15 m for this camera (not for the card's); red 102 is 7.5 m
    result = evaluate_model([frame(0, 51, 10), frame(1, 102, 10)], red_engine, PLAIN)
    assert result.frames == result.frames_in == result.frames_out == 2
    assert [f.metrics.abs_rel for f in result.per_frame] == pytest.approx([0.5, 0.25], abs=1e-5)
    assert result.metrics.abs_rel == pytest.approx(0.375, abs=1e-5)
    assert [f.stamp_ns for f in result.per_frame] == [START_NS, START_NS + 100_000_000]
    assert result.per_frame[0].pixels == 40 * 20
    assert result.d1_all is None


def test_json_is_the_contract(red_engine: DepthEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(perf_counter=iter([7.0, 7.004]).__next__)
    monkeypatch.setattr('depth_prune_ros.evaluation.predictions.time', clock)
    result = evaluate_model([frame(0, 51, 15)], red_engine, EIGEN)
    found = json.loads(json.dumps(result.to_json(), allow_nan=False))
    contract = ['frames', 'protocol', 'metrics', 'per_frame', 'latency_ms', 'model']
    assert list(found)[:6] == contract
    keys = ['abs_rel', 'sq_rel', 'rmse', 'rmse_log', 'a1', 'a2', 'a3']
    assert list(found['metrics']) == keys
    assert list(found['per_frame'][0])[:9] == ['stamp_ns', 'pixels', *keys]
    assert found['per_frame'][0]['stamp_ns'] == START_NS
    # rows 8..18, columns 1..37 of 20 x 40
    assert found['per_frame'][0]['pixels'] == (19 - 8) * (38 - 1)
    assert found['protocol'] == 'eigen'
    assert found['latency_ms'] == pytest.approx({'p50': 4.0, 'p99': 4.0})
    assert found['model'] == json.loads(CARD.to_json())


def test_d1_all_of_a_stereo_camera(red_engine: DepthEngine) -> None:
    # baseline 5 m, fx 24 px: 10 m is 12 px, the predicted 15 m is 8 px, 7.5 m is 16 px
    frames = [frame(0, 51, 10, baseline_m=5), frame(1, 51, 15, baseline_m=5)]
    result = evaluate_model(frames, red_engine, PLAIN)
    assert [f.d1_all for f in result.per_frame] == [100, 0]
    assert result.to_json()['metrics']['d1_all'] == 50
    assert result.to_json()['per_frame'][0]['d1_all'] == 100


def test_frames_without_ground_truth_are_seen_but_not_judged(red_engine: DepthEngine) -> None:
    seen: list[tuple[int, float]] = []
    steps: list[tuple[int, int]] = []

    def look(one: Frame, judged: Sequence[Judged | None], _: Place) -> None:
        (found,) = judged
        assert found is not None
        depth = depth_image(found)
        assert depth.shape == (CARD.input_height, CARD.input_width)
        seen.append((one.stamp_ns, float(depth[0, 0])))

    (result,) = evaluate_frames(
        [frame(0, 51, None), frame(1, 102, 10)],
        [model_predictor(red_engine, PLAIN)],
        PLAIN,
        watch=Watch(look, lambda done, total: steps.append((done, total))),
    )
    assert (result.frames, result.frames_in, result.frames_out) == (1, 2, 2)
    assert [s for s, _ in seen] == [START_NS, START_NS + 100_000_000]
    assert [d for _, d in seen] == pytest.approx([depth_of(51), depth_of(102)], rel=1e-5)
    assert steps == [(1, 2), (2, 2)]


def test_no_ground_truth_at_all(red_engine: DepthEngine) -> None:
    with pytest.raises(BagError, match=r'between 0.001 and 80 m, found none in 2; the bag needs'):
        evaluate_model([frame(0, 51, None), frame(1, 51, 200)], red_engine, PLAIN)


def test_frames_come_in_order_and_few_are_read_ahead(red_engine: DepthEngine) -> None:
    read: list[int] = []
    ahead: list[int] = []

    def source() -> Iterator[Frame]:
        for i in range(30):
            read.append(i)
            yield frame(i)

    seen: list[int] = []

    def look(one: Frame, *_: object) -> None:
        seen.append((one.stamp_ns - START_NS) // 10**8)
        ahead.append(len(read) - len(seen))

    evaluate_frames(source(), [model_predictor(red_engine, PLAIN)], PLAIN, watch=Watch(look))
    assert seen == list(range(30))
    assert max(ahead) <= 4


def test_recorded_depth_gives_the_model_s_figures(red_engine: DepthEngine) -> None:
    rng = np.random.default_rng(5)
    left = rng.integers(0, 256, (20, 40, 3), dtype=np.uint8)
    gt = rng.uniform(1, 90, (20, 40)).astype(np.float32)
    gt[rng.random(gt.shape) < 0.7] = np.nan
    frames = [replace(frame(i, baseline_m=5), left=np.roll(left, i, 1), depth=gt) for i in (0, 1)]
    offline = evaluate_model(frames, red_engine, EIGEN)
    recorded = {f.stamp_ns: red_engine.infer(f.left, FX_OVER_WIDTH) for f in frames}
    online = evaluate_depth_topic(frames, recorded, EIGEN)
    found, expected = online.to_json(), offline.to_json()
    assert found['metrics'] == pytest.approx(expected['metrics'], rel=1e-5)
    assert found['latency_ms'] == {'p50': None, 'p99': None}
    assert found['model'] == {}


def test_stamps_are_joined_exactly() -> None:
    frames = [frame(i) for i in range(3)]
    flat = np.full((4, 8), 12, np.float32)
    depths = {START_NS: flat, START_NS + 100_000_001: flat}
    result = evaluate_depth_topic(frames, depths, PLAIN)
    assert (result.frames, result.frames_in, result.frames_out) == (1, 3, 1)
    assert result.metrics.abs_rel == pytest.approx(0.2, abs=1e-5)


def test_no_stamp_fits() -> None:
    flat = np.full((4, 8), 12, np.float32)
    with pytest.raises(BagError) as caught:
        evaluate_depth_topic([frame(0), frame(1)], {17: flat}, PLAIN)
    assert str(caught.value) == (
        f'expected depth of the stamps {START_NS}..{START_NS + 100_000_000} (2), '
        'found 17..17 (1); is the depth recorded from this bag, headers untouched?'
    )
    with pytest.raises(BagError, match='found none'):
        evaluate_depth_topic([frame(0)], {}, PLAIN)


def test_latency_percentiles() -> None:
    assert latency_percentiles(range(101)) == {'p50': 50, 'p99': 99}
    assert latency_percentiles([]) == {'p50': None, 'p99': None}


def test_depth_topic_is_keyed_by_header_stamp(tmp_path: Path) -> None:
    depth = depth_from_disparity(np.full((3, 5), 0.1, np.float32), BASELINE_M, FX_OVER_WIDTH)
    depth[1, 2] = np.nan
    bag = write_depth_bag(tmp_path / 'bag', {START_NS: depth, START_NS + 1: depth * 2})
    frames = [replace(frame(0), stamp_ns=START_NS + i) for i in range(3)]
    found = recorded_depth(bag, '/depth', frames)
    assert list(found) == [START_NS, START_NS + 1]
    np.testing.assert_allclose(found[START_NS], depth, rtol=1e-6)
    np.testing.assert_allclose(found[START_NS + 1], depth * 2, rtol=1e-6)


def test_depth_topic_that_is_not_there(tmp_path: Path) -> None:
    bag = write_depth_bag(tmp_path / 'bag', {START_NS: np.ones((3, 5), np.float32)})
    with pytest.raises(BagError, match=r'depth images on /range, found image topics /depth'):
        recorded_depth(bag, '/range', [frame(0)])
    with pytest.raises(BagError, match=r'on /words, found std_msgs/msg/String'):
        recorded_depth(bag, '/words', [frame(0)])
    with pytest.raises(BagError):
        recorded_depth(tmp_path / 'nothing', '/depth', [frame(0)])


def test_truncated_depth_bag(tmp_path: Path) -> None:
    bag = write_depth_bag(tmp_path / 'bag', {START_NS: np.ones((30, 50), np.float32)})
    (file,) = bag.glob('*.mcap')
    file.write_bytes(file.read_bytes()[:2000])
    with pytest.raises(BagError) as caught:
        recorded_depth(bag, '/depth', [frame(0)])
    assert '\n' not in str(caught.value)

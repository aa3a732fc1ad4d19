"""Whole bags: several models and topics, shards, and bags that are not as they should be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from depth_prune_ros.core.engine import DepthEngine
from depth_prune_ros.core.errors import BagError
from depth_prune_ros.core.errors import ConfigError
from depth_prune_ros.core.errors import ModelError
from depth_prune_ros.core.metrics import EIGEN
from depth_prune_ros.core.metrics import KITTI_2015
from depth_prune_ros.core.metrics import PLAIN
from depth_prune_ros.evaluation.notes import notes
from depth_prune_ros.evaluation.results import Result
from depth_prune_ros.evaluation.run import evaluate_bags
from depth_prune_ros.evaluation.run import Job
from depth_prune_ros.evaluation.run import load_engines
from evaluation_scenes import BASELINE_M
from evaluation_scenes import camera_topics
from evaluation_scenes import depth_of
from evaluation_scenes import depth_stream
from evaluation_scenes import FX_OVER_WIDTH
from evaluation_scenes import HEIGHT
from evaluation_scenes import IMAGE
from evaluation_scenes import image_message
from evaluation_scenes import info_message
from evaluation_scenes import stamp_of
from evaluation_scenes import Stream
from evaluation_scenes import WIDTH
from evaluation_scenes import write_bag
from evaluation_scenes import write_red_model
import numpy as np
import pytest

STAMPS = [stamp_of(i) for i in range(5)]


def make_bag(
    path: Path, stamps: Sequence[int] = STAMPS, depth_m: float | None = 10.0, **more: Stream
) -> Path:
    """Write a bag whose image the red model sees at 15 m; the ground truth is flat."""
    topics = camera_topics(stamps)
    if depth_m is not None:
        topics['/left/depth'] = depth_stream(stamps, depth_m)
    return write_bag(path, {**topics, **{f'/{name}': stream for name, stream in more.items()}})


def job(engine: DepthEngine, *bags: Path, **more: object) -> Job:
    """Make a job of one model."""
    return replace(Job(bags, PLAIN, (('red', engine),)), **more)  # type: ignore[arg-type]


def errors(result: Result) -> list[float]:
    """Return AbsRel by frame."""
    return [f.metrics.abs_rel for f in result.per_frame]


def test_models_and_topics_side_by_side_on_two_bags(
    red_engine: DepthEngine, tmp_path: Path
) -> None:
    a = make_bag(tmp_path / 'a', recorded=depth_stream(STAMPS, 12))
    b = make_bag(tmp_path / 'b', STAMPS[:2], 20, recorded=depth_stream(STAMPS[1:2], 20))
    work = job(red_engine, a, b, topics=('/recorded',))
    model, topic = evaluate_bags(work)
    assert (model.name, topic.name) == ('red', '/recorded')
    assert errors(model) == pytest.approx([0.5] * 5 + [0.25] * 2, abs=1e-5)
    assert errors(topic) == pytest.approx([0.2] * 5 + [0], abs=1e-5)
    assert [(f.bag, f.index) for f in topic.per_frame[4:]] == [('a', 4), ('b', 1)]
    assert (topic.frames_in, topic.frames_out) == (7, 6)
    assert notes((model, topic)) == (
        'Ground truth: /left/depth (7 of 7 frames).',
        '/recorded: no depth of exactly their stamp for 1 of 7 frames; these are not judged.',
    )


def test_a_model_against_itself_is_exactly_equal(tmp_path: Path) -> None:
    path = write_red_model(tmp_path / 'red.onnx')
    engines = load_engines([path, path])
    assert [name for name, _ in engines] == ['red', 'red (2)']
    work = Job((make_bag(tmp_path / 'bag'),), EIGEN, engines)
    one, other = evaluate_bags(work, workers=2)
    assert one.per_frame == other.per_frame
    assert one.metrics == other.metrics


def test_flip_post_processing_sees_the_mirrored_image(
    red_engine: DepthEngine, tmp_path: Path
) -> None:
    pixels = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    pixels[:, : WIDTH // 2, 0], pixels[:, WIDTH // 2 :, 0] = 51, 102
    topics = camera_topics(STAMPS[:1])
    topics['/left/image'] = (IMAGE, [(STAMPS[0], image_message(STAMPS[0], pixels, 'rgb8'))])
    topics['/left/depth'] = depth_stream(STAMPS[:1], 10)
    bag = write_bag(tmp_path / 'bag', topics)
    # the red model mirrors with its image, so that nothing changes
    (plain,) = evaluate_bags(job(red_engine, bag))
    (flipped,) = evaluate_bags(job(red_engine, bag, rules=replace(PLAIN, flip=True)))
    assert flipped.metrics.abs_rel == pytest.approx(plain.metrics.abs_rel, rel=1e-5)
    assert plain.metrics.abs_rel == pytest.approx(0.375, abs=0.02)


def test_a_bag_is_read_in_parts_as_a_whole(red_engine: DepthEngine, tmp_path: Path) -> None:
    bag = make_bag(tmp_path / 'bag')
    one = evaluate_bags(job(red_engine, bag), workers=1)[0]
    two = evaluate_bags(job(red_engine, bag), workers=3)[0]
    assert one.per_frame == two.per_frame


def test_switches_that_only_a_model_has(tmp_path: Path) -> None:
    bag = make_bag(tmp_path / 'bag')
    for rules in (replace(PLAIN, flip=True), replace(PLAIN, known_baseline=True)):
        with pytest.raises(ConfigError, match='expected a model for the switch'):
            evaluate_bags(Job((bag,), rules, topics=('/left/depth',)))


def test_no_ground_truth_leaves_the_figures_out(red_engine: DepthEngine, tmp_path: Path) -> None:
    bag = make_bag(tmp_path / 'bag', depth_m=None)
    (result,) = evaluate_bags(job(red_engine, bag))
    assert (result.frames, result.frames_in, result.frames_out) == (0, 5, 5)
    assert result.to_json()['metrics'] == {}
    first, second = notes([result])
    assert first == 'No frame has ground truth: there are pictures, but no figures.'
    assert second.startswith('5 of 5 frames have no ground truth')


def test_ground_truth_out_of_range_is_told(red_engine: DepthEngine, tmp_path: Path) -> None:
    bag = make_bag(tmp_path / 'bag', depth_m=200)
    (result,) = evaluate_bags(job(red_engine, bag))
    assert any('inside the protocol' in note for note in notes([result]))


def test_missing_camera_info(red_engine: DepthEngine, tmp_path: Path) -> None:
    topics = camera_topics(STAMPS)
    del topics['/left/camera_info']
    bag = write_bag(tmp_path / 'bag', topics)
    with pytest.raises(BagError, match='expected a camera_info beside /left/image'):
        evaluate_bags(job(red_engine, bag))


def test_uncalibrated_camera(red_engine: DepthEngine, tmp_path: Path) -> None:
    topics = camera_topics(STAMPS)
    kind, _ = topics['/left/camera_info']
    blank = [(s, info_message(s, WIDTH, HEIGHT, 0.0)) for s in STAMPS]
    bag = write_bag(tmp_path / 'bag', {**topics, '/left/camera_info': (kind, blank)})
    with pytest.raises(Exception, match='calibrate the camera') as caught:
        evaluate_bags(job(red_engine, bag))
    assert '\n' not in str(caught.value)


def test_two_cameras_of_different_size_give_no_baseline(
    red_engine: DepthEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    topics = camera_topics(STAMPS, right=(WIDTH // 2, HEIGHT // 2))
    topics['/left/depth'] = depth_stream(STAMPS, 10)
    monkeypatch.chdir(write_bag(tmp_path / 'bag', topics))
    bag = Path()
    (result,) = evaluate_bags(job(red_engine, bag))
    assert result.d1_all is None
    assert result.metrics.abs_rel == pytest.approx(0.5, abs=1e-5)
    assert notes([result]) == (
        'bag: the left camera has 40x20 px, the right one 20x10: not a rectified pair, so no '
        'baseline and no D1-all',
        'Ground truth: /left/depth (5 of 5 frames).',
    )
    with pytest.raises(BagError, match='protocol kitti2015: expected a stereo pair'):
        evaluate_bags(job(red_engine, bag, rules=KITTI_2015))


def test_a_pair_of_one_size_gives_d1_all(red_engine: DepthEngine, tmp_path: Path) -> None:
    topics = camera_topics(STAMPS, right=(WIDTH, HEIGHT))
    topics['/left/depth'] = depth_stream(STAMPS, 10)
    bag = write_bag(tmp_path / 'bag', topics)
    # 5 m apart, fx 24 px: 10 m is 12 px, the predicted 15 m is 8 px
    (result,) = evaluate_bags(job(red_engine, bag, rules=KITTI_2015))
    assert result.d1_all == 100
    assert depth_of(51) == pytest.approx(15)
    # 2.5 m is 48 px and 50 px are within 5 %: the bag's baseline over the training's is 10
    rules = replace(KITTI_2015, known_baseline=True)
    (scaled,) = evaluate_bags(job(red_engine, bag, rules=rules))
    assert scaled.metrics.abs_rel == pytest.approx((80 - 10) / 10, abs=1e-5)
    assert pytest.approx(0.3) == BASELINE_M * FX_OVER_WIDTH


def test_cameras_of_two_bags_may_differ(red_engine: DepthEngine, tmp_path: Path) -> None:
    pixels = np.zeros((HEIGHT * 2, WIDTH * 2, 3), np.uint8)
    pixels[..., 0] = 51
    depth = np.full((HEIGHT * 2, WIDTH * 2), 10, np.float32)
    big = write_bag(
        tmp_path / 'big',
        {
            '/left/image': (IMAGE, [(STAMPS[0], image_message(STAMPS[0], pixels, 'rgb8'))]),
            '/left/camera_info': (
                'sensor_msgs/msg/CameraInfo',
                [(STAMPS[0], info_message(STAMPS[0], WIDTH * 2, HEIGHT * 2, 48))],
            ),
            '/left/depth': (IMAGE, [(STAMPS[0], image_message(STAMPS[0], depth, '32FC1'))]),
        },
    )
    (result,) = evaluate_bags(job(red_engine, make_bag(tmp_path / 'small'), big))
    assert errors(result) == pytest.approx([0.5] * 6, abs=1e-5)
    assert [f.pixels for f in result.per_frame] == [800] * 5 + [3200]


def test_depth_whose_stamps_never_match(tmp_path: Path) -> None:
    shifted = [s + 1 for s in STAMPS]
    bag = make_bag(tmp_path / 'bag', recorded=depth_stream(shifted, 12))
    with pytest.raises(BagError) as caught:
        evaluate_bags(Job((bag,), PLAIN, topics=('/recorded',)))
    assert str(caught.value) == (
        f'{bag}: expected depth of the stamps {STAMPS[0]}..{STAMPS[-1]} (5), found '
        f'{shifted[0]}..{shifted[-1]} (5); is the depth recorded from this bag, headers '
        'untouched?'
    )


def test_depth_of_another_bag_is_joined_there(tmp_path: Path) -> None:
    bag = make_bag(tmp_path / 'bag')
    other = write_bag(tmp_path / 'other', {'/recorded': depth_stream(STAMPS[2:], 11)})
    work = Job((bag,), PLAIN, topics=('/recorded',), depth_bag=other)
    (result,) = evaluate_bags(work)
    assert [f.index for f in result.per_frame] == [2, 3, 4]
    assert errors(result) == pytest.approx([0.1] * 3, abs=1e-5)


def test_recorded_depth_in_millimetres(tmp_path: Path) -> None:
    """12 m where 10 m are right; 0, no depth, counts as the farthest that is judged: 80 m."""
    bag = make_bag(tmp_path / 'bag')
    millimetres = [12_000, 12_000, 0, 12_000, 12_000]
    images = [
        image_message(stamp, np.full((HEIGHT, WIDTH), depth, np.uint16), '16UC1')
        for stamp, depth in zip(STAMPS, millimetres, strict=True)
    ]
    other = write_bag(
        tmp_path / 'other', {'/recorded': (IMAGE, list(zip(STAMPS, images, strict=True)))}
    )
    (result,) = evaluate_bags(Job((bag,), PLAIN, topics=('/recorded',), depth_bag=other))
    assert errors(result) == pytest.approx([0.2, 0.2, 7.0, 0.2, 0.2], abs=1e-5)


def test_frames_with_one_stamp_count_once(red_engine: DepthEngine, tmp_path: Path) -> None:
    stamps = [STAMPS[0], STAMPS[1], STAMPS[1], STAMPS[2], STAMPS[0]]
    bag = make_bag(tmp_path / 'bag', stamps, recorded=depth_stream([*stamps[:2], *stamps[3:4]], 9))
    model, topic = evaluate_bags(job(red_engine, bag, topics=('/recorded',)))
    assert [f.stamp_ns for f in model.per_frame] == STAMPS[:3]
    assert [f.index for f in topic.per_frame] == [0, 1, 2]
    assert model.frames_in == 3


def test_stamps_that_go_back_are_judged_and_told(red_engine: DepthEngine, tmp_path: Path) -> None:
    stamps = [STAMPS[0], STAMPS[3], STAMPS[1], STAMPS[4]]
    bag = make_bag(tmp_path / 'bag', stamps, recorded=depth_stream(stamps, 10))
    model, topic = evaluate_bags(job(red_engine, bag, topics=('/recorded',)))
    assert [f.stamp_ns for f in model.per_frame] == stamps
    assert topic.frames == 4
    flickers = [f.detail.flicker is None for f in model.per_frame if f.detail]
    assert flickers == [True, False, True, False]
    assert notes([model])[1:] == (
        '1 times the stamps go back; flicker is taken over rising stamps only.',
    )


def test_stamps_that_rise_behind_a_step_back_are_not_counted(
    red_engine: DepthEngine, tmp_path: Path
) -> None:
    bag = make_bag(tmp_path / 'bag', [STAMPS[i] for i in (0, 3, 1, 2, 4)])
    (result,) = evaluate_bags(job(red_engine, bag))
    assert result.counts['stamps back'] == 1


def test_nothing_in_common_is_told(tmp_path: Path) -> None:
    topics = {'a': depth_stream(STAMPS[:2], 11), 'b': depth_stream(STAMPS[3:], 12)}
    bag = make_bag(tmp_path / 'bag', **topics)
    results = evaluate_bags(Job((bag,), PLAIN, topics=('/a', '/b')))
    assert [r.frames for r in results] == [2, 2]
    assert any('no frame was judged for both' in note for note in notes(results))


def test_missing_bag_and_missing_model(red_engine: DepthEngine, tmp_path: Path) -> None:
    with pytest.raises(BagError, match='expected a bag, found nothing there'):
        evaluate_bags(job(red_engine, tmp_path / 'nowhere'))
    with pytest.raises(ModelError):
        load_engines([tmp_path / 'nothing.onnx'])


def test_bags_of_one_name_are_told_apart(red_engine: DepthEngine, tmp_path: Path) -> None:
    names = ('x/bag', 'y/bag', 'z/bag#2', 'u/bag#2', 'v/bag')
    bags = [make_bag(tmp_path / name, STAMPS[:1]) for name in names]
    (result,) = evaluate_bags(job(red_engine, *bags))
    assert [f.bag for f in result.per_frame] == ['bag', 'bag#2', 'bag#2#2', 'bag#2#3', 'bag#3']

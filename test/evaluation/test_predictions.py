"""Recorded depth beside the frames: exact stamps whatever the clock did, and damaged images."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from depth_prune_ros.bags.losses import collect_findings
from depth_prune_ros.bags.reading import open_bag
from depth_prune_ros.core.camera import Intrinsics
from depth_prune_ros.core.engine import DepthEngine
from depth_prune_ros.core.errors import BagError
from depth_prune_ros.core.metrics import PLAIN
from depth_prune_ros.evaluation import predictions
from depth_prune_ros.evaluation.predictions import model_predictor
from depth_prune_ros.evaluation.predictions import StampJoin
from depth_prune_ros.evaluation.run import evaluate_bags
from depth_prune_ros.evaluation.run import Job
from depth_prune_ros.evaluation.truth import bag_frames
from evaluation_scenes import camera_topics
from evaluation_scenes import depth_stream
from evaluation_scenes import DISPARITY
from evaluation_scenes import disparity_message
from evaluation_scenes import frame
from evaluation_scenes import HEIGHT
from evaluation_scenes import IMAGE
from evaluation_scenes import image_message
from evaluation_scenes import stamp_of
from evaluation_scenes import Stream
from evaluation_scenes import WIDTH
from evaluation_scenes import write_bag
import numpy as np
import pytest
from tiny_model import CARD
from tiny_model import write_tiny_model

# The clock is set back by 90 s in the middle.
BACK = [stamp_of(i) for i in (*range(900, 905), *range(5))]


def found_of(path: Path, recorded: list[int], asked: list[int]) -> list[int]:
    """Return which of the stamps are found that are asked for, one after the other."""
    bag = write_bag(path, {'/depth': depth_stream(recorded, 10)})
    with open_bag(bag) as reader:
        join = StampJoin(reader, '/depth')
        return [stamp for stamp in asked if join.find(stamp) is not None]


def test_a_clock_that_was_set_back_loses_nothing(tmp_path: Path) -> None:
    assert found_of(tmp_path / 'all', BACK, BACK) == BACK
    # Nothing leads from one time to the other: what is next to the jump is missing.
    gaps = [*BACK[:4], *BACK[6:]]
    assert found_of(tmp_path / 'gaps', gaps, BACK) == gaps
    assert found_of(tmp_path / 'frames', BACK, gaps) == gaps


def test_long_gaps_of_either_side_lose_nothing(tmp_path: Path) -> None:
    long = [stamp_of(i) for i in range(200)]
    ends = long[:3] + long[-3:]
    assert found_of(tmp_path / 'frames', long, ends) == ends
    assert found_of(tmp_path / 'topic', ends, long) == ends


def test_another_order_is_found_as_far_as_messages_are_kept(tmp_path: Path) -> None:
    stamps = [stamp_of(i) for i in range(predictions.KEPT + 2)]
    asked = [*stamps[-1:], *stamps[:-1]]
    # The last one first: all before it have to wait, and the first one no longer does.
    assert found_of(tmp_path / 'bag', stamps, asked) == [stamps[-1], *stamps[1:-1]]


def judged(path: Path, **more: Stream) -> tuple[list[float], Path]:
    """Judge /recorded by /truth in a bag whose clock is set back; AbsRel by frame, and the bag."""
    topics = {**camera_topics(BACK), **{f'/{name}': stream for name, stream in more.items()}}
    bag = write_bag(path, topics)
    work = Job((bag,), PLAIN, topics=('/recorded',), ground_truth='/truth')
    (result,) = evaluate_bags(work)
    assert result.counts['stamps back'] == 1
    return [frame.metrics.abs_rel for frame in result.per_frame], bag


def test_depth_and_disparity_are_judged_behind_a_clock_that_was_set_back(tmp_path: Path) -> None:
    disparity = np.full((HEIGHT, WIDTH), 5, np.float32)
    messages = [(s, disparity_message(s, disparity, 100.0, 0.5)) for s in BACK]
    errors, _ = judged(
        tmp_path / 'bag', recorded=depth_stream(BACK, 12), truth=(DISPARITY, messages)
    )
    # f * t / d = 100 * 0.5 / 5 = 10 m
    assert errors == pytest.approx([0.2] * 10, abs=1e-5)


def test_a_model_makes_pixels_square_that_are_not(tmp_path: Path) -> None:
    model = write_tiny_model(tmp_path / 'm.onnx', replace(CARD, size_multiple=8))
    predictor = model_predictor(DepthEngine.load(model), PLAIN)
    image, shapes = np.zeros((64, 64, 3), np.uint8), []
    for fy in (38.4, 76.8):
        camera = Intrinsics(64, 64, 38.4, fy, 31.5, 31.5)
        found = predictor.predict(replace(frame(0), left=image, camera=camera))
        assert found is not None
        shapes.append(found.disparity.shape)
    assert shapes == [(64, 64), (32, 64)]


@pytest.mark.parametrize('which', [0, 4])
def test_a_damaged_image_of_depth_costs_its_frame_alone(tmp_path: Path, which: int) -> None:
    kind, messages = depth_stream(BACK, 12)
    messages[which][1].data = messages[which][1].data[:7]
    with collect_findings() as findings:
        errors, bag = judged(
            tmp_path / 'bag', recorded=(kind, messages), truth=depth_stream(BACK, 10)
        )
    assert errors == pytest.approx([0.2] * 9, abs=1e-5)
    (damage,) = findings.losses[bag].damages
    assert damage.reason.startswith(f'/recorded at {BACK[which]} ns: expected 3200 bytes')


def test_a_damaged_disparity_costs_its_ground_truth_alone(tmp_path: Path) -> None:
    disparity = np.full((HEIGHT, WIDTH), 5, np.float32)
    messages = [(s, disparity_message(s, disparity, 100.0, 0.5)) for s in BACK]
    messages[0][1].image.data = messages[0][1].image.data[:7]
    bag = write_bag(tmp_path / 'bag', {**camera_topics(BACK), '/stereo': (DISPARITY, messages)})
    with collect_findings() as findings:
        frames = list(bag_frames(bag, '/stereo').read())
    assert [frame.depth is None for frame in frames] == [True, *[False] * 9]
    assert '/stereo at' in str(findings.losses[bag])


def test_a_topic_that_holds_no_depth_says_so(tmp_path: Path) -> None:
    pixels = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    stream = IMAGE, [(s, image_message(s, pixels, 'rgb8')) for s in BACK]
    with pytest.raises(BagError, match="found .*expected a depth image .* found 'rgb8'") as caught:
        judged(tmp_path / 'bag', recorded=stream, truth=depth_stream(BACK, 10))
    assert '\n' not in str(caught.value)

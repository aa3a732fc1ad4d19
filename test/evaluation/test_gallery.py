"""The best, the median and the worst frames are shown, each once."""

from __future__ import annotations

from depth_prune_ros.core.metrics import PLAIN
from depth_prune_ros.evaluation.evaluate import evaluate_frames
from depth_prune_ros.evaluation.evaluate import Watch
from depth_prune_ros.evaluation.gallery import Gallery
from depth_prune_ros.evaluation.predictions import topic_predictor
from evaluation_scenes import frame
from evaluation_scenes import stamp_of
import numpy as np
import pytest


def look(errors: list[float], gallery: Gallery, *, judged: bool = True) -> Gallery:
    """Show a gallery frames with these relative errors."""
    frames = [frame(i, depth_m=10.0 if judged else None) for i in range(len(errors))]
    depths = {stamp_of(i): np.full((4, 8), 10 * (1 + e), np.float32) for i, e in enumerate(errors)}
    predictors = [topic_predictor(depths.get, PLAIN)]
    evaluate_frames(frames, predictors, PLAIN, watch=Watch(on_frame=gallery))
    return gallery


def test_best_median_and_worst_of_many() -> None:
    generator = np.random.default_rng(0)
    errors = [float(e) for e in generator.permutation(np.linspace(0, 0.99, 100))]
    shots = look(errors, Gallery(each=2, spread=100)).shots()
    ranks = {kind: [s.index for s in shots if s.kind == kind] for kind in ('best', 'worst')}
    order = [int(i) for i in np.argsort(errors)]
    assert ranks['best'] == order[:2]
    assert ranks['worst'] == order[:-3:-1]
    middle = [s.abs_rel[0] for s in shots if s.kind == 'median']
    assert middle == pytest.approx([0.495, 0.495], abs=0.006)
    assert [s.kind for s in shots] == ['best'] * 2 + ['median'] * 2 + ['worst'] * 2


def test_median_of_a_long_bag_is_near_the_middle_and_memory_is_bounded() -> None:
    generator = np.random.default_rng(1)
    gallery = Gallery(each=3, spread=8)
    look([float(e) for e in generator.uniform(0, 0.9, 300)], gallery)
    middle = [s.abs_rel[0] or 0 for s in gallery.shots() if s.kind == 'median']
    assert len(middle) == 3
    assert middle == pytest.approx([0.45] * 3, abs=0.25)
    assert len(gallery._spread) < 16


@pytest.mark.parametrize('count', [1, 2, 4, 7])
def test_few_frames_are_shown_once(count: int) -> None:
    shots = look([0.1 * i for i in range(count)], Gallery()).shots()
    assert sorted(s.index for s in shots) == list(range(count))
    assert shots[0].kind == 'best'


@pytest.mark.parametrize('count', [1, 7, 200])
def test_without_ground_truth_frames_are_evenly_spread(count: int) -> None:
    shots = look([0.1] * count, Gallery(each=3), judged=False).shots()
    assert {s.kind for s in shots} == {'unjudged'}
    places = [s.index for s in shots]
    assert len(places) == min(count, 9)
    assert places[0] == 0
    if count > 100:
        assert max(np.diff(places)) <= 2 * min(np.diff(places))
        assert places[-1] > 0.8 * count


def test_empty_gallery() -> None:
    assert Gallery().shots() == ()

"""The page of a report where not everything is judged, or not everything fits."""

from __future__ import annotations

from pathlib import Path
import re

from depth_prune_ros.core.metrics import PLAIN
from depth_prune_ros.evaluation.evaluate import evaluate_frames
from depth_prune_ros.evaluation.evaluate import Watch
from depth_prune_ros.evaluation.gallery import Gallery
from depth_prune_ros.evaluation.gallery import Shot
from depth_prune_ros.evaluation.predictions import topic_predictor
from depth_prune_ros.evaluation.report import write_report
from depth_prune_ros.evaluation.results import Result
from depth_prune_ros.evaluation.tally import Part
from evaluation_scenes import frame
from evaluation_scenes import stamp_of
import numpy as np
import pytest


def _judged(counts: dict[str, float], gallery: Gallery | None = None) -> tuple[Result, ...]:
    """Judge a predictor a name: how far it is off on frames 2 to 4; 0: it saw 0 and 1 alone."""
    frames = [frame(i, depth_m=10.0 if i > 1 else None) for i in range(5)]
    predictors = []
    for name, factor in counts.items():
        seen = range(2, 5) if factor else range(2)
        depths = {stamp_of(i): np.full((4, 8), 10 * (factor or 1), np.float32) for i in seen}
        predictors.append(topic_predictor(depths.get, PLAIN, name))
    watch = Watch(on_frame=gallery)
    return evaluate_frames(frames, predictors, PLAIN, part=Part('morning'), watch=watch)


def test_figures_on_top_are_of_the_first_result_or_of_none(tmp_path: Path) -> None:
    results = _judged({'blind': 0, 'far': 1.5, 'near': 0.75})
    assert [result.frames for result in results] == [0, 3, 3]
    text = write_report(tmp_path, results, []).read_text(encoding='utf-8')
    assert 'class="figure"' not in text
    legend = re.findall(r'<span class="key (c\d)"></span>(\w+)', text)
    assert legend == [('c0', 'far'), ('c1', 'near')]
    text = write_report(tmp_path, results[1:], []).read_text(encoding='utf-8')
    assert '<b>0.5000</b><span>AbsRel</span>' in text


def test_frames_without_ground_truth_are_named_by_bag_and_number() -> None:
    frames = [frame(i, depth_m=None) for i in range(6)]
    depths = {stamp_of(i): np.full((4, 8), 10, np.float32) for i in range(6)}
    gallery = Gallery()
    for bag, first in (('morning', 0), ('evening', 3)):
        predictors = [topic_predictor(depths.get, PLAIN)]
        part = Part(bag, first)
        evaluate_frames(frames, predictors, PLAIN, part=part, watch=Watch(on_frame=gallery))
    places = [(shot.bag, shot.index) for shot in gallery.shots()]
    assert places == [('morning', i) for i in range(6)] + [('evening', i) for i in range(3, 6)]


@pytest.mark.parametrize(
    ('fit', 'kept'),
    [
        (9, ['best 0', 'best 1', 'best 2', 'median 3', 'median 4', 'median 5']),
        (7, ['best 0', 'best 1', 'median 3', 'median 4']),
        (2, ['best 0']),
    ],
)
def test_what_does_not_fit_is_left_out_of_each_kind(
    fit: int, kept: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    kinds = ('best', 'median', 'worst')
    shots = [Shot(0, picture, kind=kinds[i // 3], index=i) for i in range(9)]
    jpeg = 'x' * 100
    monkeypatch.setattr('depth_prune_ros.evaluation.report._jpeg', lambda *_: jpeg)
    monkeypatch.setattr('depth_prune_ros.evaluation.report._PICTURE_BYTES', 100 * fit)
    page = write_report(tmp_path, _judged({'near': 0.75}), shots)
    text = page.read_text(encoding='utf-8')
    shown = [int(n) for n in re.findall(r'frame (\d) ', text)]
    worst = {9: [6, 7, 8], 7: [6, 7, 8], 2: [6]}[fit]
    assert shown == [int(name.split()[1]) for name in kept] + worst
    left_out = 9 - fit
    assert (f'{left_out} more frames' in text) == bool(left_out)

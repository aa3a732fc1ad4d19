"""The page, the JSON and the rows say what the result says."""

from __future__ import annotations

import base64
from dataclasses import replace
import json
from pathlib import Path
import re
from typing import Any
from xml.etree import ElementTree

import cv2
from depth_prune_ros.core.engine import DepthEngine
from depth_prune_ros.core.errors import ConfigError
from depth_prune_ros.core.metrics import PLAIN
from depth_prune_ros.evaluation.evaluate import evaluate_depth_topic
from depth_prune_ros.evaluation.evaluate import evaluate_model
from depth_prune_ros.evaluation.evaluate import Result
from depth_prune_ros.evaluation.pictures import Gallery
from depth_prune_ros.evaluation.pictures import Shot
from depth_prune_ros.evaluation.report import plot
from depth_prune_ros.evaluation.report import table
from depth_prune_ros.evaluation.report import write_report
from evaluation_scenes import CARD
from evaluation_scenes import frame
from evaluation_scenes import START_NS
import numpy as np
from numpy.typing import NDArray
import pytest


@pytest.fixture
def judged(red_engine: DepthEngine) -> tuple[Result, tuple[Shot, ...]]:
    """Judge three frames: AbsRel 0.5, 0.25 and 0.5."""
    gallery = Gallery()
    frames = [frame(0, 51, 10), frame(1, 102, 10), frame(2, 51, 10), frame(3, 51, None)]
    result = evaluate_model(frames, red_engine, PLAIN, on_frame=gallery)
    return replace(result, latency_ms={'p50': 12.34, 'p99': 56.78}), gallery.shots()


def flat_shot(colour: int) -> Shot:
    """Make a strip of one colour."""
    return Shot(START_NS, np.full((20, 30, 3), colour, np.uint8))


def test_rows(judged: tuple[Result, tuple[Shot, ...]]) -> None:
    found = {row.name: row.value for row in table(judged[0])}
    assert found['AbsRel'] == '0.4167'
    assert found['a1'] == '0.0000'
    assert found['RMSE'] == '4.167 m'
    assert found['frames in / out'] == '4 / 4'
    assert found['frames judged'] == '3'
    assert found['latency p50 / p99'] == '12.3 ms / 56.8 ms'
    assert found['protocol'] == 'plain'
    assert found['model'] == 'red'
    assert found['parameters'] == '1.230 M'
    assert found['MACs'] == '0.450 G'
    assert 'D1-all' not in found


def test_rows_of_recorded_depth() -> None:
    depths = {START_NS: np.full((4, 8), 12, np.float32)}
    result = evaluate_depth_topic([frame(0, baseline_m=0.5), frame(1)], depths, PLAIN)
    found = {row.name: row.value for row in table(result)}
    assert found['frames in / out'] == '2 / 1'
    assert found['latency p50 / p99'] == 'not measured / not measured'
    assert found['model'] == 'unknown'
    assert found['D1-all'] == '0.00 %'


def test_report_folder(judged: tuple[Result, tuple[Shot, ...]], tmp_path: Path) -> None:
    result, shots = judged
    shots = (*shots[:2], flat_shot(77), shots[3])
    page = write_report(tmp_path / 'out', result, shots, title='Street & <kerb>')
    assert sorted(p.name for p in page.parent.iterdir()) == [
        'metrics.json',
        'report.html',
        'strip.png',
    ]
    assert json.loads((page.parent / 'metrics.json').read_text()) == result.to_json()
    strip = cv2.imread(str(page.parent / 'strip.png'))
    assert strip is not None
    assert (strip[..., ::-1] == shots[2].picture).all()
    text = page.read_text(encoding='utf-8')
    assert '<h1>Street &amp; &lt;kerb&gt;</h1>' in text
    for row in table(result):
        assert f'<td>{row.name}</td><td class="value">{row.value}</td>' in text
    assert 'prefers-color-scheme: dark' in text


def test_page_needs_no_network(judged: tuple[Result, tuple[Shot, ...]], tmp_path: Path) -> None:
    text = write_report(tmp_path, *judged).read_text(encoding='utf-8')
    assert not re.search(r'https?://|<script|<link|@import|url\(', text)
    images = re.findall(r'src="data:image/jpeg;base64,([^"]+)"', text)
    assert len(images) == text.count('<img') == 4
    data = np.frombuffer(base64.b64decode(images[1]), np.uint8)
    decoded = cv2.imdecode(data, cv2.IMREAD_COLOR)
    assert decoded is not None
    difference = decoded[..., ::-1].astype(int) - judged[1][1].picture
    assert np.abs(difference).mean() < 4
    assert f'0.10 s &middot; stamp {START_NS + 100_000_000} ns' in text


def test_plots_in_the_page_are_the_frames(
    judged: tuple[Result, tuple[Shot, ...]], tmp_path: Path
) -> None:
    text = write_report(tmp_path, *judged).read_text(encoding='utf-8')
    drawings = [ElementTree.fromstring(svg) for svg in re.findall(r'<svg.*?</svg>', text, re.S)]
    assert [d.get('aria-label') for d in drawings] == ['AbsRel over time', 'RMSE (m) over time']
    curve = drawings[0].find('polyline')
    assert curve is not None
    points = [tuple(map(float, p.split(','))) for p in (curve.get('points') or '').split()]
    expected = plot(judged[0], 'abs_rel', 'AbsRel').dots
    assert points == [(d.x, d.y) for d in expected]
    assert len(drawings[0].findall('circle')) == 3


def test_plot_places_values_between_its_ticks(judged: tuple[Result, Any]) -> None:
    found = plot(judged[0], 'abs_rel', 'AbsRel')
    assert [t.label for t in found.y_ticks] == ['0', '0.2', '0.4', '0.6']
    assert [t.label for t in found.x_ticks] == ['0 s', '0.05 s', '0.1 s', '0.15 s', '0.2 s']
    low, high = found.y_ticks[0].at, found.y_ticks[-1].at
    assert [d.y for d in found.dots] == pytest.approx(
        [low + v / 0.6 * (high - low) for v in (0.5, 0.25, 0.5)], abs=0.1
    )
    assert [d.x for d in found.dots] == [
        found.x_ticks[0].at,
        found.x_ticks[2].at,
        found.x_ticks[4].at,
    ]
    assert found.dots[1].text == '0.10 s: 0.25'
    assert found.mean.label == 'mean 0.4167'


def test_plot_of_one_perfect_frame(red_engine: DepthEngine) -> None:
    result = evaluate_model([frame(0, 51, 15)], red_engine, PLAIN)
    perfect = replace(result.per_frame[0], metrics=replace(result.metrics, abs_rel=0.0))
    found = plot(replace(result, per_frame=(perfect,)), 'abs_rel', 'AbsRel')
    assert [t.label for t in found.y_ticks] == ['0', '1']
    assert len(found.dots) == 1


def test_page_stays_below_five_megabytes(
    judged: tuple[Result, tuple[Shot, ...]], tmp_path: Path
) -> None:
    noise: NDArray[np.uint8] = np.random.default_rng(0).integers(
        0, 256, (1200, 1280, 3), dtype=np.uint8
    )
    page = write_report(tmp_path, judged[0], [Shot(START_NS, noise)] * 12)
    assert page.stat().st_size < 5_000_000
    assert 1 <= page.read_text(encoding='utf-8').count('<img') < 12


def test_lower_quality_comes_before_fewer_strips(
    judged: tuple[Result, tuple[Shot, ...]], tmp_path: Path
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (900, 640, 3), dtype=np.uint8)
    page = write_report(tmp_path, judged[0], [Shot(START_NS, noise)] * 10)
    assert page.stat().st_size < 5_000_000
    assert page.read_text(encoding='utf-8').count('<img') == 10


def test_report_without_pictures(judged: tuple[Result, Any], tmp_path: Path) -> None:
    page = write_report(tmp_path, judged[0], [])
    assert sorted(p.name for p in tmp_path.iterdir()) == ['metrics.json', 'report.html']
    assert '<img' not in page.read_text(encoding='utf-8')


def test_folder_in_the_way(judged: tuple[Result, Any], tmp_path: Path) -> None:
    (tmp_path / 'out').write_text('a file')
    with pytest.raises(ConfigError, match='expected a folder that can be written'):
        write_report(tmp_path / 'out', judged[0], [flat_shot(9)])
    assert (tmp_path / 'out').read_text() == 'a file'


def test_page_of_a_model_names_it(judged: tuple[Result, Any], tmp_path: Path) -> None:
    text = write_report(tmp_path, judged[0], []).read_text(encoding='utf-8')
    assert f'{CARD.name} &middot; protocol' in text
    recorded = replace(judged[0], model={})
    assert 'recorded depth' in write_report(tmp_path, recorded, []).read_text(encoding='utf-8')

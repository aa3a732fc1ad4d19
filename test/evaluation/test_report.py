"""The page, the JSON, the CSV and the rows say what the results say."""

from __future__ import annotations

import base64
import csv
from dataclasses import replace
import io
import json
from pathlib import Path
import re
from xml.etree import ElementTree

import cv2
from depth_prune_ros.core.engine import DepthEngine
from depth_prune_ros.core.errors import ConfigError
from depth_prune_ros.core.metrics import PLAIN
from depth_prune_ros.evaluation.breakdown import analyse
from depth_prune_ros.evaluation.evaluate import evaluate_frames
from depth_prune_ros.evaluation.evaluate import Watch
from depth_prune_ros.evaluation.gallery import Gallery
from depth_prune_ros.evaluation.gallery import Shot
from depth_prune_ros.evaluation.plots import over_time
from depth_prune_ros.evaluation.predictions import model_predictor
from depth_prune_ros.evaluation.predictions import topic_predictor
from depth_prune_ros.evaluation.report import results_to_json
from depth_prune_ros.evaluation.report import write_report
from depth_prune_ros.evaluation.results import Result
from depth_prune_ros.evaluation.tables import frames_csv
from depth_prune_ros.evaluation.tables import parts
from depth_prune_ros.evaluation.tables import summary
from depth_prune_ros.evaluation.tables import summary_csv
from evaluation_scenes import frame
from evaluation_scenes import HEIGHT
from evaluation_scenes import stamp_of
from evaluation_scenes import START_NS
from evaluation_scenes import WIDTH
import numpy as np
from numpy.typing import NDArray
import pytest

Judgement = tuple[tuple[Result, ...], tuple[Shot, ...]]
FILES = ['frames.csv', 'metrics.json', 'report.html', 'strip.png', 'summary.csv']


@pytest.fixture(scope='module')
def judged(red_engine: DepthEngine) -> Judgement:
    """Judge a model (AbsRel 0.5, 0.25, 0.5 and nothing) and exact depth beside it."""
    gallery = Gallery()
    frames = [frame(0, 51, 10), frame(1, 102, 10), frame(2, 51, 10), frame(3, 51, None)]
    exact = {f.stamp_ns: np.full((HEIGHT, WIDTH), 10, np.float32) for f in frames}
    predictors = [model_predictor(red_engine, PLAIN), topic_predictor(exact.get, PLAIN, 'exact')]
    results = evaluate_frames(frames, predictors, PLAIN, watch=Watch(on_frame=gallery))
    first = replace(results[0], latency_ms={'p50': 12.34, 'p99': 56.78})
    return (first, *results[1:]), gallery.shots()


def flat_shot(colour: int) -> Shot:
    """Make a strip of one colour."""
    return Shot(START_NS, np.full((20, 30, 3), colour, np.uint8))


def noise(height: int) -> NDArray[np.uint8]:
    """Make a picture that no encoder makes small."""
    return np.random.default_rng(0).integers(0, 256, (height, 640, 3), dtype=np.uint8)


def test_summary_of_one_result(judged: Judgement) -> None:
    found = summary(analyse(judged[0][:1]))
    assert found.head == ('metric', 'red', '')
    rows = {row[0]: row[1] for row in found.rows}
    assert rows['AbsRel'] == '0.4167 [0.2500, 0.5000]'
    assert rows['a1'] == '0.0000 [0.0000, 0.0000]'
    assert rows['RMSE (m)'] == '4.167 [2.500, 5.000]'
    assert rows['frames in / out'] == '4 / 4'
    assert rows['frames judged'] == '3'
    assert rows['latency p50 / p99'] == '12.3 ms / 56.8 ms'
    assert rows['protocol'] == 'plain'
    assert rows['parameters'] == '1.230 M'
    assert rows['MACs'] == '0.450 G'
    assert rows['scale'] == '1.2500 [0.7500, 1.5000]'
    # ln 2 * sqrt(2) / 3
    assert rows['scale drift'] == '32.7%'
    assert 'D1-all (%)' not in rows
    assert 'occluded points' not in rows


def test_the_latency_row_says_what_was_timed(judged: Judgement) -> None:
    own = judged[0][0]
    hints = {}
    for name, result in (('own', own), ('by topic', replace(own, latencies_ms=()))):
        (hints[name],) = (
            r[-1] for r in summary(analyse([result])).rows if r[0] == 'latency p50 / p99'
        )
    assert hints == {
        'own': 'a frame, other frames beside it',
        'by topic': 'from an image to its depth, by topic',
    }


def test_summary_of_two_results_compares_them(judged: Judgement) -> None:
    found = summary(analyse(judged[0]))
    assert found.head == ('metric', 'red', 'exact', 'exact - red', '')
    rows = {row[0]: row for row in found.rows}
    assert all(len(row) == 5 for row in found.rows)
    # three frames are too few for p < 0.05: 2 of the 2^3 choices of signs are as lopsided
    assert rows['AbsRel'][2].startswith('0.0000 [0.0000, ')
    assert rows['AbsRel'][3] == '-0.4167 [-0.5000, -0.2500] no difference (p 0.25)'
    assert rows['model'][2] == 'unknown'
    assert rows['latency p50 / p99'][2] == 'not measured'


def test_error_by_distance(judged: Judgement) -> None:
    found = parts(analyse(judged[0]), 'distance')
    assert found.head == ('distance', 'pixels', 'red', 'exact')
    assert found.rows[1][:2] == ('5-10 m', '0')
    assert found.rows[2] == (
        '10-15 m',
        str(3 * HEIGHT * WIDTH),
        '0.4167 [0.2500, 0.5000]',
        found.rows[2][3],
    )
    assert found.rows[2][3].startswith('0.0000 ')


def test_report_folder(judged: Judgement, tmp_path: Path) -> None:
    results, shots = judged
    shots = (shots[0], flat_shot(77), *shots[2:])
    page = write_report(tmp_path / 'out', results, shots, title='Street & <kerb>')
    assert sorted(p.name for p in page.parent.iterdir()) == FILES
    found = json.loads((page.parent / 'metrics.json').read_text())
    assert found == json.loads(json.dumps(results_to_json(analyse(results))))
    strip = cv2.imread(str(page.parent / 'strip.png'))
    assert strip is not None
    assert (strip[..., ::-1] == shots[len(shots) // 2].picture).all()
    text = page.read_text(encoding='utf-8')
    assert '<h1>Street &amp; &lt;kerb&gt;</h1>' in text
    for row in summary(analyse(results)).rows:
        for cell in row[1:-1]:
            value, bracket, rest = cell.partition(' [')
            small = f' <small>[{rest}</small>' if bracket else ''
            assert f'<td class="value">{value}{small}</td>' in text
    assert 'prefers-color-scheme: dark' in text
    assert 'red against exact &middot; protocol plain' in text
    assert '1 of 4 frames have no ground truth' in text


def test_json_has_the_contract_and_what_is_beyond(judged: Judgement) -> None:
    results = judged[0]
    found = json.loads(json.dumps(results_to_json(analyse(results)), allow_nan=False))
    assert found['metrics']['abs_rel'] == results[0].metrics.abs_rel
    assert found['intervals']['abs_rel']['low'] == pytest.approx(0.25, abs=1e-5)
    assert found['distance'][2]['name'] == '10-15 m'
    assert found['distance'][0]['abs_rel'] is None
    assert len(found['regions']) == 9
    assert found['worst'][0]['abs_rel'] == pytest.approx(0.5, abs=1e-5)
    (other,) = found['compared']
    assert other['name'] == 'exact'
    against = other['against_first']['abs_rel']
    assert (against['frames'], against['verdict']) == (3, 'no difference')
    assert against['difference']['value'] == pytest.approx(-0.41667, abs=1e-4)


def test_csv_has_the_json_s_figures(judged: Judgement) -> None:
    results = judged[0]
    rows = list(csv.DictReader(io.StringIO(summary_csv(analyse(results)))))
    found = {(r['model'], r['figure'], r['part']): r for r in rows}
    value = found['red', 'abs_rel', '']
    assert float(value['value']) == results[0].metrics.abs_rel
    assert float(value['low']) == pytest.approx(0.25, abs=1e-5)
    for part in (('distance', '10-15 m'), ('region', 'top left')):
        by_part = found['red', f'abs_rel by {part[0]}', part[1]]
        assert float(by_part['value']) == pytest.approx(5 / 12, abs=1e-6)
    assert found['red', 'abs_rel by distance', '0-5 m']['value'] == ''
    assert any(r['model'] == 'exact - red' and r['figure'] == 'rmse' for r in rows)
    frames = list(csv.DictReader(io.StringIO(frames_csv(results))))
    assert len(frames) == 6
    assert [float(f['abs_rel']) for f in frames[:3]] == [
        f.metrics.abs_rel for f in results[0].per_frame
    ]
    assert frames[1]['stamp_ns'] == str(stamp_of(1))


def test_d1_all_of_frames_that_have_one(judged: Judgement) -> None:
    """Of three frames two are stereo, and right: 0 % everywhere, and no cell for the third."""
    mono, *stereo = judged[0][0].per_frame
    frames = (mono, *(replace(f, d1_all=0.0) for f in stereo))
    result = replace(judged[0][0], per_frame=frames, d1_all=0.0)
    worse = replace(result, per_frame=(mono, *(replace(f, d1_all=50.0) for f in stereo)))
    rows = list(csv.DictReader(io.StringIO(frames_csv([result]))))
    assert [row['d1_all'] for row in rows] == ['', '0.0', '0.0']
    assert results_to_json(analyse([result]))['metrics']['d1_all'] == 0
    (row,) = [r for r in summary(analyse([result, worse])).rows if r[0] == 'D1-all (%)']
    assert row[1:3] == ('0.00 [0.00, 0.00]', '50.00 [50.00, 50.00]')
    assert row[3].startswith('+50.00 [+50.00, +50.00] no difference')
    found = csv.DictReader(io.StringIO(summary_csv(analyse([result]))))
    assert [r['value'] for r in found if r['figure'] == 'd1_all'] == ['0.0']


def test_page_needs_no_network(judged: Judgement, tmp_path: Path) -> None:
    text = write_report(tmp_path, *judged).read_text(encoding='utf-8')
    assert not re.search(r'https?://|<script|<link|@import|url\(', text)
    images = re.findall(r'src="data:image/jpeg;base64,([^"]+)"', text)
    assert len(images) == text.count('<img') == 2 * len(judged[1])
    data = np.frombuffer(base64.b64decode(images[1]), np.uint8)
    decoded = cv2.imdecode(data, cv2.IMREAD_COLOR)
    assert decoded is not None
    difference = decoded[..., ::-1].astype(int) - judged[1][0].others[0]
    assert np.abs(difference).mean() < 4


def test_plots_in_the_page_are_the_frames(judged: Judgement, tmp_path: Path) -> None:
    text = write_report(tmp_path, *judged).read_text(encoding='utf-8')
    drawings = [ElementTree.fromstring(svg) for svg in re.findall(r'<svg.*?</svg>', text, re.S)]
    assert [d.get('aria-label') for d in drawings] == [
        'AbsRel by true distance',
        'Ratio of prediction to truth',
        'AbsRel over time',
        'Scale over time: median of prediction / truth',
    ]
    curves = drawings[2].findall('g/polyline')
    assert len(curves) == 2
    points = [tuple(map(float, p.split(','))) for p in (curves[0].get('points') or '').split()]
    chart = over_time(judged[0], 'AbsRel over time', 'abs_rel')
    assert points == [(d.x, d.y) for d in chart.curves[0].dots]
    assert len(drawings[2].findall('g/circle')) == 6


def test_plot_places_values_between_its_ticks(judged: Judgement) -> None:
    found = over_time(judged[0][:1], 'AbsRel', 'abs_rel')
    assert [t.label for t in found.y_ticks] == ['0', '0.2', '0.4', '0.6']
    assert [t.label for t in found.x_ticks] == ['0', '0.05', '0.1', '0.15', '0.2']
    low, high = found.y_ticks[0].at, found.y_ticks[-1].at
    dots = found.curves[0].dots
    assert [d.y for d in dots] == pytest.approx(
        [low + v / 0.6 * (high - low) for v in (0.5, 0.25, 0.5)], abs=0.1
    )
    assert [d.x for d in dots] == [found.x_ticks[i].at for i in (0, 2, 4)]
    assert dots[1].text == 'red, 0.1 s: 0.25'


def test_page_stays_below_five_megabytes(judged: Judgement, tmp_path: Path) -> None:
    page = write_report(tmp_path, judged[0][:1], [Shot(START_NS, noise(3000))] * 12)
    assert page.stat().st_size < 5_000_000
    assert 1 <= page.read_text(encoding='utf-8').count('<img') < 12


def test_lower_quality_comes_before_fewer_strips(judged: Judgement, tmp_path: Path) -> None:
    page = write_report(tmp_path, judged[0][:1], [Shot(START_NS, noise(900))] * 10)
    assert page.stat().st_size < 5_000_000
    assert page.read_text(encoding='utf-8').count('<img') == 10


def test_report_without_pictures(judged: Judgement, tmp_path: Path) -> None:
    page = write_report(tmp_path, judged[0], [])
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(set(FILES) - {'strip.png'})
    assert '<img' not in page.read_text(encoding='utf-8')


def test_report_without_any_ground_truth(red_engine: DepthEngine, tmp_path: Path) -> None:
    gallery = Gallery()
    frames = [frame(i, 51, None) for i in range(3)]
    predictors = [model_predictor(red_engine, PLAIN)]
    results = evaluate_frames(frames, predictors, PLAIN, watch=Watch(on_frame=gallery))
    page = write_report(tmp_path, results, gallery.shots())
    text = page.read_text(encoding='utf-8')
    assert text.count('<img') == 3
    assert 'No frame has ground truth: there are pictures, but no figures.' in text
    assert '<svg' not in text
    found = json.loads((tmp_path / 'metrics.json').read_text())
    assert (found['frames'], found['metrics'], found['per_frame']) == (0, {}, [])
    assert 'nan' not in text.lower().replace('nanosecond', '')


def test_folder_in_the_way(judged: Judgement, tmp_path: Path) -> None:
    (tmp_path / 'out').write_text('a file')
    with pytest.raises(ConfigError, match='expected a folder that can be written'):
        write_report(tmp_path / 'out', judged[0], [flat_shot(9)])
    assert (tmp_path / 'out').read_text() == 'a file'

"""The main job, whole: a street, the real node in its own process, a report."""

from __future__ import annotations

from dataclasses import asdict
import json
from pathlib import Path

from depth_prune_ros import demo
from depth_prune_ros.bags.frames import read_frames
from depth_prune_ros.bags.street import Street
from depth_prune_ros.bags.street import street_to_bag
from depth_prune_ros.core.engine import DepthEngine
from depth_prune_ros.core.metrics import EIGEN
from depth_prune_ros.core.models import default_model
from depth_prune_ros.evaluation.evaluate import evaluate_model
from depth_prune_ros.evaluation.evaluate import read_depth_topic
import pytest

KEYS = {'abs_rel', 'sq_rel', 'rmse', 'rmse_log', 'a1', 'a2', 'a3'}


@pytest.fixture(scope='module')
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, demo.DemoResult, Path]:
    """Run the demo with the shipped model on a short street."""
    folder = tmp_path_factory.mktemp('demo')
    bag = folder / 'street'
    street_to_bag(bag, Street(seed=demo.STREET_SEED, frames=6, width=640, height=192))
    result = demo.run_demo(folder / 'out', bag=bag, progress=lambda *_: None)
    return bag, result, folder / 'out'


def test_the_recorded_depth_is_the_engines_and_right(
    made: tuple[Path, demo.DemoResult, Path],
) -> None:
    bag, done, _ = made
    engine = DepthEngine.load(default_model())
    frames = {frame.stamp_ns: frame for frame in read_frames(bag)}
    depths = read_depth_topic(done.recorded, '/depth_node/depth')
    assert depths
    for stamp_ns, depth in depths.items():
        frame = frames[stamp_ns]
        wanted = engine.infer(frame.left, frame.camera.fx_over_width)
        # within 1e-4 of max_depth, rounding decides what is published
        seen = wanted < 80.0 * (1 - 1e-4)
        assert depth[seen] == pytest.approx(wanted[seen], rel=1e-4)
    # one street of one seed: far from it would mean a wrong unit, a mirror or a shift
    assert done.result.metrics.abs_rel < 0.25
    assert done.result.metrics.a1 > 0.6


def test_live_figures_are_the_offline_ones(made: tuple[Path, demo.DemoResult, Path]) -> None:
    bag, done, _ = made
    offline = evaluate_model(read_frames(bag), DepthEngine.load(default_model()), EIGEN)
    wanted = {frame.stamp_ns: frame for frame in offline.per_frame}
    assert done.result.per_frame
    for frame in done.result.per_frame:
        assert asdict(frame.metrics) == pytest.approx(
            asdict(wanted[frame.stamp_ns].metrics), abs=1e-4
        )


def test_the_report_has_what_the_design_says(made: tuple[Path, demo.DemoResult, Path]) -> None:
    _, done, out = made
    found = json.loads((out / 'metrics.json').read_text())
    assert found['protocol'] == 'eigen'
    assert set(found['metrics']) >= KEYS
    assert found['frames'] == len(found['per_frame']) == done.result.frames_out
    assert done.result.frames_in == 6
    assert 0 < found['latency_ms']['p50'] <= found['latency_ms']['p99']
    assert found['model']['network'] == 'mobilenet'
    assert (out / 'strip.png').read_bytes().startswith(b'\x89PNG')
    assert '<img' in done.page.read_text()

"""The main job, whole: a street, the real node in its own process, a report."""

from __future__ import annotations

from dataclasses import asdict
import json
from pathlib import Path
from typing import Any
import weakref

from depth_prune_ros import demo
from depth_prune_ros.bags.frames import read_frames
from depth_prune_ros.bags.street import Street
from depth_prune_ros.bags.street import street_to_bag
from depth_prune_ros.core.compressed_depth import message_to_depth
from depth_prune_ros.core.engine import DepthEngine
from depth_prune_ros.core.metrics import EIGEN
from depth_prune_ros.core.models import shipped_model
from depth_prune_ros.evaluation.evaluate import evaluate_model
from depth_prune_ros.evaluation.results import Result
from depth_prune_ros.ros.play import ONCE
from depth_prune_ros.ros.replay import NOTE_KEY
from depth_prune_ros.ros.replay import ReplayReport
from evaluation_scenes import camera_topics
from evaluation_scenes import depth_stream
from evaluation_scenes import recorded_depth
from evaluation_scenes import stamp_of
from evaluation_scenes import write_bag
from evaluation_scenes import write_red_model
import numpy as np
import pytest
import yaml

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
    engine = DepthEngine.load(shipped_model())
    frames = {frame.stamp_ns: frame for frame in read_frames(bag)}
    depths = recorded_depth(done.recorded, '/depth_node/depth', frames.values())
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
    offline = evaluate_model(read_frames(bag), DepthEngine.load(shipped_model()), EIGEN)
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
    metadata = yaml.safe_load((done.recorded / 'metadata.yaml').read_text())
    note = json.loads(metadata['rosbag2_bagfile_information']['custom_data'][NOTE_KEY])
    assert found['latency_ms'] == note['latency_ms']
    assert found['model']['network'] == 'mobilenet_subpixel'
    assert (out / 'strip.png').read_bytes().startswith(b'\x89PNG')
    assert '<img' in done.page.read_text()


@pytest.fixture
def judged_recording(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Result, int]:
    """
    Judge what a node would have recorded: 12 m everywhere.

    :return: the result, and how many recorded images were in memory at the same time
    """
    stamps = [stamp_of(i) for i in range(60)]
    topics = {**camera_topics(stamps), '/left/depth': depth_stream(stamps, 10)}
    bag = write_bag(tmp_path / 'bag', topics)

    def play(bag: Path, model: Path, out_bag: Path, **_: Any) -> ReplayReport:
        write_bag(out_bag, {'/depth': depth_stream(stamps, 12)})
        return ReplayReport(60, 60, {'p50': 1.0, 'p99': 2.0}, '/depth', '/info', out_bag)

    alive: weakref.WeakSet[_Watched] = weakref.WeakSet()
    most = 0

    def watched(message: Any) -> Any:
        nonlocal most
        alive.add(image := message_to_depth(message).view(_Watched))
        most = max(most, len(alive))
        return image

    monkeypatch.setattr('depth_prune_ros.ros.replay.replay', play)
    monkeypatch.setattr('depth_prune_ros.evaluation.predictions.message_to_depth', watched)
    monkeypatch.chdir(bag)
    done = demo.replay_and_judge(
        Path(),
        tmp_path / 'out',
        ONCE,
        model=write_red_model(tmp_path / 'red.onnx'),
        progress=lambda *_: None,
    )
    return done.result, most


class _Watched(np.ndarray[Any, Any]):
    """An image that can be in a set."""

    __hash__ = object.__hash__


def test_the_recorded_depth_is_read_along_with_the_frames(
    judged_recording: tuple[Result, int],
) -> None:
    result, most = judged_recording
    assert (result.frames, result.frames_in, result.frames_out) == (60, 60, 60)
    assert 0 < most < 30
    assert result.metrics.abs_rel == pytest.approx(0.2, abs=1e-5)
    assert result.latency_ms == {'p50': 1.0, 'p99': 2.0}
    assert result.model['name'] == 'red'


def test_the_page_names_a_bag_that_the_command_is_given_in(
    judged_recording: tuple[Result, int], tmp_path: Path
) -> None:
    assert judged_recording[0].frames
    page = (tmp_path / 'out' / 'report.html').read_text()
    assert '<title>Depth of bag by red</title>' in page

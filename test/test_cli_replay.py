"""replay as a user meets it: processes, the figures of evaluate, and bags that lack something."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

from command_line import run
from depth_prune_ros.bags.street import render_street
from depth_prune_ros.bags.street import Street
from depth_prune_ros.bags.street import StreetFrame
from depth_prune_ros.bags.transforms import Transform
from depth_prune_ros.bags.write import BagWriter
from depth_prune_ros.cli import replay
from depth_prune_ros.cli_evaluate import evaluate
from depth_prune_ros.core.metrics import DepthMetrics
from depth_prune_ros.demo import Terms
import numpy as np
import pytest

# Not the size of the network: what the node publishes is resized before it is judged.
STREET = Street(seed=3, frames=4, width=320, height=96)
IMAGE, INFO, LIDAR = '/camera/image', '/camera/camera_info', '/lidar/points'
METRICS = tuple(DepthMetrics.__dataclass_fields__)


@pytest.fixture(scope='module')
def frames() -> list[StreetFrame]:
    """Render the street once."""
    return list(render_street(STREET))


def camera_bag(
    path: Path, frames: list[StreetFrame], *, lidar: bool = False, info: bool = True
) -> Path:
    """Write a bag of one camera."""
    with BagWriter(path) as writer:
        for frame in frames:
            if info:
                writer.camera_info(INFO, frame.stamp_ns, 'cam', frame.camera)
            writer.image(IMAGE, frame.stamp_ns, 'cam', frame.left)
            if lidar:
                velo_T_cam = np.linalg.inv(frame.camera_T_velo).astype(np.float64)
                writer.tf_static(frame.stamp_ns, [Transform('velo', 'cam', velo_T_cam)])
                writer.points(LIDAR, frame.stamp_ns, 'velo', frame.points)
    return path


@pytest.fixture(scope='module')
def lidar_bag(tmp_path_factory: pytest.TempPathFactory, frames: list[StreetFrame]) -> Path:
    """Return a bag whose only ground truth is lidar."""
    return camera_bag(tmp_path_factory.mktemp('bags') / 'lidar', frames, lidar=True)


def judged(command: str, bag: Path, out: Path, *options: str) -> dict[str, Any]:
    """Return metrics.json of a command."""
    done = run(command, bag, *options, '--out', out)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads((out / 'metrics.json').read_text())
    return found


@pytest.mark.parametrize(
    'options',
    [
        (),
        ('--protocol', 'plain', '--switch', 'keep-occluded', '--switch', 'median'),
    ],
    ids=['defaults', 'options'],
)
def test_live_figures_of_lidar_are_those_of_evaluate(
    lidar_bag: Path, tmp_path: Path, options: tuple[str, ...]
) -> None:
    live = judged('replay', lidar_bag, tmp_path / 'live', *options)
    offline = judged('evaluate', lidar_bag, tmp_path / 'offline', *options)
    assert (live['protocol'], live['rules']) == (offline['protocol'], offline['rules'])
    wanted = {row['stamp_ns']: row for row in offline['per_frame']}
    # where nothing is occluded, both rules give the same figures
    occluded = [row['detail']['occluded'] for row in wanted.values()]
    assert all(occluded) != bool(options)
    assert live['per_frame']
    for row in live['per_frame']:
        other = wanted[row['stamp_ns']]
        assert (row['pixels'], row['bag']) == (other['pixels'], other['bag'])
        assert [row[key] for key in METRICS] == pytest.approx(
            [other[key] for key in METRICS], abs=1e-4
        )


def test_no_ground_truth_gives_pictures_and_says_so(
    frames: list[StreetFrame], tmp_path: Path
) -> None:
    bag = camera_bag(tmp_path / 'bare', frames)
    done = run('replay', bag, '--out', tmp_path / 'out')
    assert done.returncode == 0, done.stderr
    text = 'No frame has ground truth: there are pictures, but no figures.'
    assert f'note: {text}' in done.stdout
    assert 'AbsRel' not in done.stdout
    found = json.loads((tmp_path / 'out' / 'metrics.json').read_text())
    assert (found['frames'], found['metrics'], found['per_frame']) == (0, {}, [])
    assert found['frames_out'] > 0
    page = (tmp_path / 'out' / 'report.html').read_text()
    assert text in page
    assert '<img' in page
    assert (tmp_path / 'out' / 'strip.png').is_file()
    assert (tmp_path / 'out' / 'recorded' / 'metadata.yaml').is_file()


def test_no_camera_info_is_refused_before_playing(
    frames: list[StreetFrame], tmp_path: Path
) -> None:
    bag = camera_bag(tmp_path / 'blind', frames, lidar=True, info=False)
    assert f'{bag}: expected a camera_info beside {IMAGE}' in refusal(bag, tmp_path / 'out')


@pytest.mark.parametrize(
    ('options', 'text'),
    [
        (('--protocol', 'best'), "found 'best'"),
        (('--switch', 'scale'), "found 'scale'"),
        (('--switch', 'flip'), "found 'flip', which is for a model file"),
        (('--switch', 'baseline'), "found 'baseline', which is for a model file"),
        (('--ground-truth', '/nowhere'), "found '/nowhere'"),
        (('--protocol', 'kitti2015'), 'expected a stereo pair'),
    ],
)
def test_what_cannot_be_judged_is_refused_before_playing(
    lidar_bag: Path, tmp_path: Path, options: tuple[str, ...], text: str
) -> None:
    assert text in refusal(lidar_bag, tmp_path / 'out', *options)


def refusal(bag: Path, out: Path, *options: str) -> str:
    """Return the one line that replay ends with, and nothing of it played."""
    done = run('replay', bag, '--out', out, *options)
    assert done.returncode == 1
    assert done.stderr.startswith('error: ')
    assert done.stderr.count('\n') == 1, done.stderr
    assert not out.exists()
    return done.stderr


def test_replay_and_evaluate_have_the_same_options_and_defaults() -> None:
    ours, theirs = (inspect.signature(command).parameters for command in (replay, evaluate))
    for name in ('protocol', 'ground_truth'):
        assert ours[name] == theirs[name]
    assert ours['switch'].default == theirs['switch'].default
    defaults = (theirs[name].default for name in ('protocol', 'switch', 'ground_truth'))
    protocol, switches, ground_truth = defaults
    assert Terms() == Terms(protocol, tuple(switches), ground_truth)

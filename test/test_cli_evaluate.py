"""evaluate and merge as a user meets them: processes, their output, their files."""

from __future__ import annotations

import json
import os
from pathlib import Path
import subprocess
import sys

from command_line import run
from depth_prune_ros.bags.street import render_street
from depth_prune_ros.bags.street import Street
from depth_prune_ros.bags.street import street_to_bag
from depth_prune_ros.bags.write import BagWriter
import pytest
from tiny_model import write_tiny_model

STREET = Street(seed=2, frames=5, width=128, height=64)
EXACT = '/kitti/camera_color_left/depth'


@pytest.fixture(scope='module')
def street(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a bag of a small street with exact depth."""
    bag = tmp_path_factory.mktemp('bags') / 'street'
    street_to_bag(bag, STREET)
    return bag


@pytest.fixture(scope='module')
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a small model file."""
    return write_tiny_model(tmp_path_factory.mktemp('model') / 'tiny.onnx')


def test_a_model_beside_exact_depth(street: Path, model: Path, tmp_path: Path) -> None:
    out = tmp_path / 'out'
    options = ('--depth-topic', EXACT, '--ground-truth', EXACT, '--out', out)
    done = run('evaluate', street, '--model', model, *options)
    assert done.returncode == 0, done.stderr
    found = json.loads((out / 'metrics.json').read_text())
    (exact,) = found['compared']
    assert (found['name'], exact['name']) == ('tiny', EXACT)
    assert exact['metrics']['abs_rel'] < 0.01 < found['metrics']['abs_rel']
    assert 'over 60 m' in done.stdout
    assert f'{found["metrics"]["abs_rel"]:.4f} [' in done.stdout
    assert sorted(p.name for p in out.iterdir()) == [
        'frames.csv',
        'metrics.json',
        'report.html',
        'strip.png',
        'summary.csv',
    ]


def test_shards_of_processes_merge_to_one_run(street: Path, model: Path, tmp_path: Path) -> None:
    options = (street, '--model', model, '--protocol', 'eigen50', '--switch', 'median')
    for number in (1, 2):
        shard = ('--shard', f'{number}/2', '--out', tmp_path / str(number))
        assert run('evaluate', *options, *shard).returncode == 0
    done = run('merge', tmp_path / '2', tmp_path / '1', '--out', tmp_path / 'merged')
    assert done.returncode == 0, done.stderr
    whole = run('evaluate', *options, '--out', tmp_path / 'whole')
    assert whole.returncode == 0, whole.stderr
    merged, single = (
        json.loads((tmp_path / name / 'metrics.json').read_text()) for name in ('merged', 'whole')
    )
    for clocked in ('latency_ms', 'latencies_ms'):
        assert merged.pop(clocked) is not None
        assert single.pop(clocked) is not None
    assert merged == single
    assert merged['protocol'] == 'eigen_50'
    assert merged['rules']['median_scaling'] is True


def test_the_report_is_there_though_nobody_reads_along(
    street: Path, model: Path, tmp_path: Path
) -> None:
    for options in (
        ('evaluate', street, '--model', model, '--out', tmp_path / 'report'),
        ('evaluate', street, '--model', model, '--shard', '1/1', '--out', tmp_path / 'shard'),
        ('merge', tmp_path / 'shard', '--out', tmp_path / 'merged'),
    ):
        command = [sys.executable, '-m', 'depth_prune_ros.cli', *map(str, options)]
        reading, writing = os.pipe()
        os.close(reading)
        subprocess.run(command, stdout=writing, stderr=subprocess.DEVNULL, check=False)
        os.close(writing)
    for name in ('report', 'merged'):
        assert (tmp_path / name / 'report.html').is_file()


def test_figures_are_printed_where_the_report_cannot_be_written(street: Path, model: Path) -> None:
    done = run('evaluate', street, '--model', model, '--out', '/proc/nowhere')
    assert done.returncode == 1
    assert 'AbsRel' in done.stdout
    assert done.stderr.splitlines()[-1].startswith('error: /proc/nowhere')


def test_wrong_options_are_one_line_each(street: Path, model: Path, tmp_path: Path) -> None:
    wrong = {
        ('--shard', '1/2'): 'expected --out FOLDER for shard 1/2',
        ('--depth-bag', 'other'): 'expected --depth-topic TOPIC of other, found none',
        ('--switch', 'scale'): "found 'scale'",
        ('--ground-truth', '/nowhere'): "found '/nowhere'",
        ('--out', str(model)): 'expected a folder for what is written, found a file',
    }
    for options, text in wrong.items():
        done = run('evaluate', street, '--model', model, *options)
        assert (done.returncode, done.stdout) == (1, '')
        assert done.stderr.count('\n') == 1
        assert text in done.stderr
    assert 'shard.json: expected what' in run('merge', tmp_path, '--out', tmp_path).stderr


def test_depth_is_not_judged_by_itself(tmp_path: Path) -> None:
    topic = '/depth_node/depth'
    with BagWriter(tmp_path / 'bag') as writer:
        for frame in render_street(STREET):
            writer.camera_info('/cam/camera_info', frame.stamp_ns, 'cam', frame.camera)
            writer.image('/cam/image', frame.stamp_ns, 'cam', frame.left)
            writer.image(topic, frame.stamp_ns, 'cam', frame.depth)
    done = run('evaluate', tmp_path / 'bag', '--depth-topic', topic)
    assert done.returncode == 0, done.stderr
    assert 'AbsRel' not in done.stdout
    assert 'note: No frame has ground truth' in done.stdout
    named = run('evaluate', tmp_path / 'bag', '--depth-topic', topic, '--ground-truth', topic)
    assert f'note: Ground truth: {topic} (5 of 5 frames).' in named.stdout


def test_a_damaged_image_of_the_judged_topic_is_a_loss(tmp_path: Path) -> None:
    with BagWriter(tmp_path / 'bag') as writer:
        for number, frame in enumerate(render_street(STREET)):
            writer.camera_info('/cam/camera_info', frame.stamp_ns, 'cam', frame.camera)
            writer.image('/cam/image', frame.stamp_ns, 'cam', frame.left)
            depth = frame.left if number == 2 else frame.depth
            writer.image('/judged/depth', frame.stamp_ns, 'cam', depth)
    done = run('evaluate', tmp_path / 'bag', '--depth-topic', '/judged/depth')
    assert done.returncode == 3, done.stderr
    assert '/judged/depth at' in done.stderr
    assert '5 / 4' in done.stdout


def test_ground_truth_is_what_is_asked_for(street: Path, model: Path, tmp_path: Path) -> None:
    empty = tmp_path / 'truth'
    empty.mkdir()
    refused = run('evaluate', street, '--model', model, '--ground-truth', empty)
    assert refused.returncode == 1
    assert 'one PNG for each of the 5 frames' in refused.stderr
    out = tmp_path / 'out'
    options = ('--protocol', 'plain', '--ground-truth', 'lidar', '--switch', 'keep-occluded')
    done = run('evaluate', street, '--model', model, *options, '--out', out)
    assert done.returncode == 0, done.stderr
    found = json.loads((out / 'metrics.json').read_text())
    assert found['frames'] == 5
    assert found['ground_truth'] == {'lidar /kitti/velo/pointcloud': 5}
    said = 'Ground truth: lidar /kitti/velo/pointcloud (5 of 5 frames).'
    assert f'note: {said}' in done.stdout
    assert said in found['notes']
    assert said in (out / 'report.html').read_text()

"""The commands on damaged and odd bags: their work is done, one line says what is lost."""

from __future__ import annotations

from pathlib import Path

from command_line import run
from depth_prune_ros.bags.street import Street
from depth_prune_ros.bags.street import street_to_bag
from depth_prune_ros.offline import checkpoint as checkpoints
from killed_runs import CONFIG
from noise_bags import FRAMES
from noise_bags import UNCOMPRESSED
import pytest
from small_model import write_small_model
from tiny_model import CARD
from tiny_model import write_tiny_model
from tiny_networks import checkpoint
from tiny_networks import narrow
import yaml

STREET = Street(seed=1, frames=4, width=128, height=64)


@pytest.fixture(scope='module')
def street(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a street of which the last part is cut off."""
    bag = tmp_path_factory.mktemp('bags') / 'street'
    street_to_bag(bag, STREET)
    file = bag / 'street.mcap'
    file.write_bytes(file.read_bytes()[: file.stat().st_size * 2 // 3])
    return bag


@pytest.fixture(scope='module')
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a small model."""
    return write_tiny_model(tmp_path_factory.mktemp('models') / 'tiny.onnx')


def test_evaluate_judges_what_is_left_and_exits_with_3(street: Path, model: Path) -> None:
    done = run('evaluate', street, '--model', model)
    assert done.returncode == 3, done.stderr
    assert 'AbsRel' in done.stdout
    (line,) = [line for line in done.stderr.splitlines() if line.startswith('warning: ')]
    assert line.startswith(f'warning: {street}: street.mcap: cut short or damaged')
    assert line.endswith(', frames read: 3')


def test_bag_info_shows_what_is_left_and_exits_with_3(street: Path) -> None:
    done = run('bag', 'info', street, '--check')
    assert done.returncode == 3, done.stderr
    assert 'checked: 3 frames, 3 with right image, 3 with ground truth' in done.stdout
    assert done.stderr.count('warning: ') == 1


def test_an_error_stays_1(street: Path) -> None:
    done = run('evaluate', street, '--protocol', 'unknown')
    assert done.returncode == 1


def test_what_is_no_size_is_refused(tmp_path: Path) -> None:
    done = run('bag', 'street', tmp_path / 'street', '--size', '²x288')
    assert done.returncode == 1
    assert done.stderr.endswith("expected a size such as 960x288, found '²x288'\n")


def test_a_whole_bag_exits_with_0_and_topics_can_be_named(tmp_path: Path) -> None:
    bag = UNCOMPRESSED['mcap'](tmp_path)
    done = run('bag', 'info', bag, '--check')
    assert done.returncode == 0, done.stderr
    assert f'checked: {FRAMES} frames' in done.stdout
    assert 'warning' not in done.stderr
    options = ('--left', '/nowhere', '--left-info', '/cam/camera_info')
    for command in (('evaluate', bag), ('demo', '--bag', bag, '--out', tmp_path / 'demo')):
        done = run(*options, *command)
        assert done.returncode == 1
        assert 'expected topic /nowhere, found /cam/camera_info' in done.stderr
        assert done.stderr.count('\n') == 1


def test_view_makes_a_film_of_what_is_left(street: Path, model: Path, tmp_path: Path) -> None:
    done = run('view', street, '--model', model, '--video', tmp_path / 'a.mp4')
    assert done.returncode == 3, done.stderr
    assert f'{street}: 3 frames shown; {tmp_path / "a.mp4"}' in done.stdout
    assert (tmp_path / 'a.mp4').stat().st_size > 10_000


def test_making_a_network_uses_what_is_left_and_exits_with_3(
    street: Path, model: Path, tmp_path: Path
) -> None:
    settings = tmp_path / 'few_steps.yaml'
    settings.write_text(yaml.safe_dump({**CONFIG, 'steps': 4}))
    dense = tmp_path / 'dense'
    start = tmp_path / 'start'
    checkpoints.save(start, checkpoint('mobilenet', narrow('mobilenet', 4), 5))
    small = write_small_model(tmp_path / 'small.onnx', CARD)
    judged = ('--bags', street, '--val', street)
    common = ('--bags', street, '--config', settings, '--out')
    for command in (
        ('train', '--start', start, *common, dense),
        ('prune', dense, '--budget', 'macs=0.5', *common, tmp_path / 'small'),
        ('quantize', small, tmp_path / 'int8.onnx', *judged, '--max-loss', '100'),
        ('demo', '--bag', street, '--model', model, '--out', tmp_path / 'demo'),
    ):
        done = run(*command)
        assert done.returncode == 3, done.stderr
        assert done.stderr.count(f'warning: {street}: street.mcap: cut short or damaged') == 1

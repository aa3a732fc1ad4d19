"""What is the user's stays: replay, demo and view replace only what they have made themselves."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from command_line import run
from depth_prune_ros import demo
from depth_prune_ros.bags.frames import read_frames
from depth_prune_ros.bags.street import render_street
from depth_prune_ros.bags.street import Street
from depth_prune_ros.bags.street import street_to_bag
from depth_prune_ros.bags.write import BagWriter
from depth_prune_ros.core.errors import BagError
from depth_prune_ros.core.errors import ReplayError
from depth_prune_ros.ros.replay import NOTE_KEY
from depth_prune_ros.ros.replay import ReplayReport
from evaluation_scenes import camera_topics
from evaluation_scenes import depth_stream
from evaluation_scenes import stamp_of
from evaluation_scenes import write_bag
from evaluation_scenes import write_red_model
import numpy as np
import pytest
from tiny_model import write_tiny_model
import yaml

STAMPS = [stamp_of(i) for i in range(2)]
FOREIGN = 'exists already and is not a recording of depth-prune; name another --out'
Replay = Callable[[Path, Path], demo.DemoResult]


def contents(bag: Path) -> dict[str, bytes]:
    """Return the files of a bag; none where it is gone."""
    return {path.name: path.read_bytes() for path in bag.glob('*')}


def a_bag(path: Path) -> Path:
    """Write a bag with a camera and measured depth."""
    return write_bag(path, {**camera_topics(STAMPS), '/left/depth': depth_stream(STAMPS, 10)})


def mark(bag: Path, key: str) -> None:
    """Leave a mark in a bag as demos of before did: in its metadata.yaml alone."""
    file = bag / 'metadata.yaml'
    metadata = yaml.safe_load(file.read_text())
    metadata['rosbag2_bagfile_information']['custom_data'] = {key: bag.name}
    file.write_text(yaml.safe_dump(metadata))


def recording(path: Path, metres: float) -> Path:
    """Write what an older replay leaves: a bag with the note."""
    write_bag(path, {'/depth': depth_stream(STAMPS, metres)})
    mark(path, NOTE_KEY)
    return path


@pytest.fixture
def replay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Replay:
    """Replay without a node: 12 m everywhere are recorded."""
    model = write_red_model(tmp_path / 'red.onnx')

    def play(bag: Path, model: Path, out_bag: Path, **_: Any) -> ReplayReport:
        recording(out_bag, 12)
        return ReplayReport(2, 2, {'p50': 1.0, 'p99': 2.0}, '/depth', '/info', out_bag)

    monkeypatch.setattr('depth_prune_ros.ros.replay.replay', play)
    return lambda bag, out: demo.run_demo(out, bag=bag, model=model, progress=lambda *_: None)


@pytest.mark.parametrize('command', ['replay', 'demo'])
@pytest.mark.parametrize('part', ['', 'recorded.mcap'])
def test_the_bag_that_is_played_is_not_written(tmp_path: Path, command: str, part: str) -> None:
    garden = tmp_path / 'garden'
    bag = recording(garden / 'recorded', 10)
    before = contents(bag)
    option = ('--bag',) if command == 'demo' else ()
    done = run(command, *option, bag / part, '--out', garden)
    wanted = f'{bag / part}: expected a bag outside {bag}, which is written; name another --out'
    assert (done.returncode, done.stderr) == (1, f'error: {wanted}\n')
    assert contents(bag) == before
    assert [path.name for path in garden.iterdir()] == ['recorded']


def test_another_bag_in_the_place_of_the_recording_stays(tmp_path: Path, replay: Replay) -> None:
    bag, other = a_bag(tmp_path / 'bag'), a_bag(tmp_path / 'out' / 'recorded')
    before = contents(other)
    with pytest.raises(BagError) as refused:
        replay(bag, tmp_path / 'out')
    assert str(refused.value) == f'{other}: {FOREIGN}'
    assert contents(other) == before


def test_a_link_to_a_recording_stays(tmp_path: Path, replay: Replay) -> None:
    bag, elsewhere = a_bag(tmp_path / 'bag'), recording(tmp_path / 'elsewhere', 10)
    before = contents(elsewhere)
    (tmp_path / 'out').mkdir()
    link = tmp_path / 'out' / 'recorded'
    link.symlink_to(elsewhere)
    with pytest.raises(BagError) as refused:
        replay(bag, tmp_path / 'out')
    assert str(refused.value) == f'{link}: {FOREIGN}'
    assert link.is_symlink()
    assert contents(elsewhere) == before


def test_an_earlier_recording_is_replaced(tmp_path: Path, replay: Replay) -> None:
    bag, out = a_bag(tmp_path / 'bag'), tmp_path / 'out'
    recording(out / 'recorded', 10)
    for _ in range(2):
        done = replay(bag, out)
        assert done.recorded == out / 'recorded'
        # 12 m recorded where 10 m were measured
        assert done.result.metrics.abs_rel == pytest.approx(0.2, abs=1e-5)
        assert sorted(contents(done.recorded)) == ['metadata.yaml', 'recorded.mcap']
        assert [path.name for path in out.glob('.*')] == []


def test_a_replay_that_fails_leaves_the_earlier_recording(
    tmp_path: Path, replay: Replay, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise ReplayError('no node')

    earlier = recording(tmp_path / 'out' / 'recorded', 10)
    before = contents(earlier)
    monkeypatch.setattr('depth_prune_ros.ros.replay.replay', fail)
    with pytest.raises(ReplayError, match='no node'):
        replay(a_bag(tmp_path / 'bag'), tmp_path / 'out')
    assert contents(earlier) == before
    assert list((tmp_path / 'out').iterdir()) == [earlier]


@pytest.fixture
def demo_of_street(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], list[int]]:
    """Run a demo of two frames that plays nothing; return how many frames it rendered."""
    rendered: list[int] = []

    def step(name: str, done: int, total: int) -> None:
        rendered.append(done)

    def demonstrate(out: Path) -> list[int]:
        rendered.clear()
        demo.run_demo(out, progress=step)
        return list(rendered)

    monkeypatch.setattr(demo, 'STREET_FRAMES', 2)
    monkeypatch.setattr(demo, 'replay_and_judge', lambda *_, **__: None)
    return demonstrate


def test_a_street_of_the_user_stays(
    tmp_path: Path, demo_of_street: Callable[[Path], list[int]]
) -> None:
    bag = tmp_path / 'bags' / 'street'
    street_to_bag(bag, Street(seed=demo.STREET_SEED + 1, frames=2))
    before = contents(bag)
    with pytest.raises(BagError) as refused:
        demo_of_street(tmp_path / 'bags')
    told = 'exists already and is not the street of a demo; name another --out'
    assert str(refused.value) == f'{bag}: {told}'
    assert contents(bag) == before


def test_the_street_of_an_earlier_demo_is_rendered_anew(
    tmp_path: Path, demo_of_street: Callable[[Path], list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert demo_of_street(tmp_path) == [1, 2]
    monkeypatch.setattr(demo, 'STREET_FRAMES', 1)
    assert demo_of_street(tmp_path) == [1]
    (frame,) = read_frames(tmp_path / 'street')
    (wanted,) = render_street(Street(seed=demo.STREET_SEED, frames=1))
    assert np.array_equal(frame.left, wanted.left)
    assert [path.name for path in tmp_path.iterdir()] == ['street']


def test_a_street_that_a_demo_of_before_has_marked_is_rendered_anew(
    tmp_path: Path, demo_of_street: Callable[[Path], list[int]]
) -> None:
    bag = tmp_path / 'street'
    street_to_bag(bag, Street(seed=demo.STREET_SEED + 1, frames=1, width=64, height=24))
    mark(bag, demo.STREET_KEY)
    assert demo_of_street(tmp_path) == [1, 2]


def test_the_same_street_without_a_mark_is_taken_as_it_is(
    tmp_path: Path, demo_of_street: Callable[[Path], list[int]]
) -> None:
    bag = tmp_path / 'street'
    street_to_bag(bag, Street(seed=demo.STREET_SEED, frames=2))
    before = contents(bag)
    assert demo_of_street(tmp_path) == []
    assert contents(bag) == before


def test_a_recordings_data_is_in_a_file_one_sees(tmp_path: Path) -> None:
    bag = tmp_path / 'recorded'
    with BagWriter(bag) as writer:
        text = b'\x00\x01\x00\x00\x02\x00\x00\x00a\x00\x00\x00'
        writer.raw('/a', 'std_msgs/msg/String', 5, text)
    assert sorted(contents(bag)) == ['metadata.yaml', 'recorded.mcap']
    information = yaml.safe_load((bag / 'metadata.yaml').read_text())
    information = information['rosbag2_bagfile_information']
    assert information['relative_file_paths'] == ['recorded.mcap']
    assert [file['path'] for file in information['files']] == ['recorded.mcap']
    assert list(tmp_path.iterdir()) == [bag]


def test_a_log_of_rerun_stays_where_there_is_no_bag(tmp_path: Path) -> None:
    log, model = tmp_path / 'p.rrd', write_tiny_model(tmp_path / 'tiny.onnx')
    log.write_bytes(b'earlier')
    done = run('view', tmp_path / 'nowhere', '--model', model, '--out', log)
    assert done.returncode == 1
    wanted = f'{tmp_path / "nowhere"}: expected a bag, found nothing there; check the path'
    assert done.stderr == f'error: {wanted}\n'
    assert log.read_bytes() == b'earlier'


def test_a_log_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    bag, model = a_bag(tmp_path / 'bag'), write_tiny_model(tmp_path / 'tiny.onnx')
    done = run('view', bag, '--model', model, '--out', tmp_path)
    assert done.returncode == 1
    error = done.stderr.splitlines()[-1]
    assert error.startswith(f'error: {tmp_path}: expected a file to write, found: ')
    assert 'Is a directory' in error
    assert 'Traceback' not in done.stderr

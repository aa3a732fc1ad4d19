"""What is found of a bag, wherever in it the depth begins."""

from __future__ import annotations

import errno
from pathlib import Path

from depth_prune_ros.bags.street import Street
from depth_prune_ros.bags.street import street_to_bag
from depth_prune_ros.bags.write import BagWriter
from depth_prune_ros.core.camera import Intrinsics
from depth_prune_ros.core.errors import TrainingError
from depth_prune_ros.offline import suit
from depth_prune_ros.offline.config import TrainConfig
import numpy as np
import pytest

CAMERA = Intrinsics(64, 32, 48.0, 48.0, 31.5, 15.5)


def _bag(path: Path, frames: int, depth_from: int) -> Path:
    """Write a bag of one camera whose depth images begin late."""
    depth = np.full((32, 64), 4.0, np.float32)
    with BagWriter(path) as bag:
        for number in range(frames):
            stamp = 10**9 + number * 10**8
            bag.camera_info('/camera/camera_info', stamp, 'camera', CAMERA)
            bag.image('/camera/image_raw', stamp, 'camera', np.zeros((32, 64, 3), np.uint8))
            if number >= depth_from:
                bag.image('/camera/depth/image_raw', stamp, 'camera', depth)
    return path


def test_depth_that_begins_late_is_found(tmp_path: Path) -> None:
    bag = _bag(tmp_path / 'late', 12, 9)
    found = suit.look_at(bag)
    assert (found.depth, found.nearest_m, found.baseline_m) == ('depth', 4.0, None)
    assert 'depth image from 4 m' in found.line()
    file, _ = suit.suited_config([bag], tmp_path / 'run')
    losses = TrainConfig.model_validate(suit.suited([found])).losses
    assert (losses.depth, losses.photometric) == (1.0, 0.0)
    assert 'depth: 1.0' in file.read_text()


def test_only_kittis_bags_are_judged_by_its_protocol(tmp_path: Path) -> None:
    street = tmp_path / 'street'
    street_to_bag(street, Street(seed=1, frames=1, width=96, height=48))
    kitti, own = suit.look_at(street), suit.look_at(_bag(tmp_path / 'own', 1, 0))
    found = [suit.suited(bags)['protocol'] for bags in ([kitti], [own], [kitti, own])]
    assert found == ['eigen', 'plain', 'plain']


def test_no_more_is_read_than_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    frames = suit.read_frames

    def counted(bag: Path) -> object:
        for number, frame in enumerate(frames(bag)):
            read.append(number)
            yield frame

    monkeypatch.setattr(suit, 'read_frames', counted)
    suit.look_at(_bag(tmp_path / 'early', 9, 0))
    assert len(read) == 5
    read.clear()
    suit.look_at(_bag(tmp_path / 'late', 9, 6))
    assert len(read) == 7


def test_nothing_to_learn_from_is_an_error(tmp_path: Path) -> None:
    bags = [_bag(tmp_path / name, 7, 7) for name in ('a', 'b')]
    with pytest.raises(
        TrainingError,
        match=r'none in the bags: a: 64x32, .* to learn from; b: .* bag info BAG$',
    ):
        suit.suited_config(bags, tmp_path / 'run')
    assert not (tmp_path / 'run').exists()


def test_a_configuration_left_by_other_bags_is_told(tmp_path: Path) -> None:
    bag, run = _bag(tmp_path / 'bag', 2, 0), tmp_path / 'run'
    file, _ = suit.suited_config([bag], run)
    assert suit.suited_config([bag], run) == (file, [f'configuration: {file}'])
    written = file.read_text()
    other = written.replace('baseline_m: ', 'baseline_m: 1').replace('depth: 1.0', 'depth: 0')
    file.write_text(other)
    _, lines = suit.suited_config([bag], run)
    wanted = suit.suited([suit.look_at(bag)])['baseline_m']
    assert lines[1].startswith('note: it is there already; delete it for one that suits these')
    assert lines[1].endswith(f'bags: baseline_m {wanted}, losses.depth 1.0')
    (run / 'step-0000001').mkdir()
    (run / 'step-0000001' / 'checkpoint.json').write_text('{}')
    assert suit.suited_config([bag], run)[1] == [f'configuration: {file}']


def test_a_configuration_that_the_disk_does_not_take_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, 'No space left on device')

    bag = _bag(tmp_path / 'bag', 2, 0)
    monkeypatch.setattr(Path, 'replace', fail)
    with pytest.raises(OSError, match='No space left'):
        suit.suited_config([bag], tmp_path / 'run')
    assert list((tmp_path / 'run').iterdir()) == []

"""What reading a bag had to say is said each time, whether its frames are cached or not."""

from __future__ import annotations

from pathlib import Path

from depth_prune_ros.bags.losses import collect_findings
from depth_prune_ros.bags.losses import Findings
from depth_prune_ros.offline.cache import cached_samples
import numpy as np
from robot_bags import RobotBag

SECOND = 10**9


def _bag(path: Path) -> Path:
    """Write a camera with depth, of which one image is of another size."""
    bag = RobotBag()
    for number in range(4):
        stamp_ns = (number + 1) * SECOND
        bag.info('/camera/camera_info', stamp_ns)
        bag.image('/camera/image_raw', stamp_ns)
        height = 3 if number == 2 else 6
        bag.depth('/camera/depth/image_raw', stamp_ns, np.full((height, 8), 2, np.float32))
    return bag.write(path)


def _found(bag: Path, folder: Path) -> Findings:
    with collect_findings() as findings:
        cached_samples(bag, (32, 64), 0.5, lambda _: None, folder)
    return findings


def test_oddities_are_told_from_the_cache_too(tmp_path: Path) -> None:
    bag = _bag(tmp_path / 'bag')
    first, second = (_found(bag, tmp_path / 'cache') for _ in range(2))
    assert first.warnings
    assert second.warnings == first.warnings


def test_losses_are_told_from_the_cache_too(tmp_path: Path) -> None:
    bag = _bag(tmp_path / 'bag')
    (file,) = bag.glob('*.mcap') if bag.is_dir() else [bag]
    data = bytearray(file.read_bytes())
    file.write_bytes(data[: int(0.7 * len(data))])
    first, second = (_found(bag, tmp_path / 'cache') for _ in range(2))
    assert first.losses
    assert second.losses == first.losses
    (tmp_path / 'moved').mkdir()
    moved = bag.rename(tmp_path / 'moved' / bag.name)
    third = _found(moved, tmp_path / 'cache')
    assert {name: str(loss) for name, loss in third.losses.items()} == {
        moved: str(first.losses[bag]).replace(str(bag), str(moved))
    }

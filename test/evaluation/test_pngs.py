"""Ground truth from PNGs goes to the image of its number, or to none."""

from __future__ import annotations

from pathlib import Path

import cv2
from depth_prune_ros.bags.losses import collect_findings
from depth_prune_ros.core.engine import DepthEngine
from depth_prune_ros.core.errors import BagError
from depth_prune_ros.core.errors import ConfigError
from depth_prune_ros.core.metrics import PLAIN
from depth_prune_ros.evaluation.notes import notes
from depth_prune_ros.evaluation.pngs import match_pngs
from depth_prune_ros.evaluation.run import evaluate_bags
from depth_prune_ros.evaluation.run import Job
from depth_prune_ros.evaluation.truth import bag_frames
from evaluation_scenes import camera_topics
from evaluation_scenes import stamp_of
from evaluation_scenes import write_bag
from noise_bags import flip
from noise_bags import FRAMES
from noise_bags import HEIGHT
from noise_bags import PIXELS
from noise_bags import UNCOMPRESSED
from noise_bags import WIDTH
import numpy as np
import pytest
from robot_bags import SECOND
from robot_bags import START_NS


def write_pngs(folder: Path, count: int, size: tuple[int, int], first: int = 0) -> Path:
    """Write a PNG an image; all of its pixels are its number + 1, in metres."""
    folder.mkdir()
    for number in range(count):
        pixels = np.full(size, (number + 1) * 256, np.uint16)
        cv2.imwrite(str(folder / f'{number + first:010d}.png'), pixels)
    return folder


def truths(bag: Path, folder: Path) -> dict[int, int | None]:
    """Return the number of the PNG that each frame got, by the true number of its image."""
    with collect_findings():
        return {
            (frame.stamp_ns - START_NS) // SECOND: None
            if frame.depth is None
            else round(float(frame.depth[0, 0])) - 1
            for frame in bag_frames(bag, str(folder)).read()
        }


def test_images_that_are_left_out_keep_their_png(tmp_path: Path) -> None:
    stamps = [stamp_of(i) for i in (0, 1, 1, 2, 3)]
    bag = write_bag(tmp_path / 'bag', camera_topics(stamps))
    folder = write_pngs(tmp_path / 'gt', 5, (20, 40))
    depths = [frame.depth for frame in bag_frames(bag, str(folder)).read()]
    assert [None if depth is None else depth[0, 0] for depth in depths] == [1, 2, 4, 5]


def test_behind_lost_images_no_png_is_taken_and_that_is_said(
    red_engine: DepthEngine, tmp_path: Path
) -> None:
    bag = UNCOMPRESSED['mcap'](tmp_path)
    flip(bag, bag.read_bytes().index(PIXELS[30].tobytes()) + 100)
    folder = write_pngs(tmp_path / 'gt', FRAMES, (HEIGHT, WIDTH))
    found = truths(bag, folder)
    assert all(number == (i if i < 30 else None) for i, number in found.items())
    behind = sum(i > 30 for i in found)
    assert behind > 20
    work = Job((bag,), PLAIN, (('red', red_engine),), ground_truth=str(folder))
    with collect_findings():
        (result,) = evaluate_bags(work)
    assert result.frames == len(found) - behind
    said = notes([result])
    assert f'Ground truth: PNGs of {folder} ({result.frames} of {len(found)} frames).' in said
    assert (
        'Ground truth: none, since PNGs go by the number of the image and images before it are '
        f'lost ({behind} of {len(found)} frames).'
    ) in said


def test_of_a_bag_that_is_cut_short_all_that_is_left_is_judged(tmp_path: Path) -> None:
    bag = UNCOMPRESSED['mcap'](tmp_path)
    folder = write_pngs(tmp_path / 'gt', FRAMES, (HEIGHT, WIDTH))
    bag.write_bytes(bag.read_bytes()[: bag.stat().st_size // 2])
    found = truths(bag, folder)
    assert 20 < len(found) < FRAMES
    assert found == {i: i for i in range(len(found))}


def test_of_a_bag_that_is_cut_short_only_numbers_that_are_sure_count(tmp_path: Path) -> None:
    # Ten images are left of perhaps more: PNGs from number 5 on may begin at the first or sixth.
    folder = write_pngs(tmp_path / 'gt', 10, (2, 2), first=5)
    assert list(match_pngs(folder, 10)) == list(range(10))
    for count in (8, 10):
        with pytest.raises(BagError, match='found 10 .*the bag is damaged: how many frames'):
            match_pngs(folder, count, whole=False)
    assert list(match_pngs(folder, 15, whole=False)) == list(range(5, 15))


def test_a_folder_is_for_one_bag(red_engine: DepthEngine, tmp_path: Path) -> None:
    stamps = [stamp_of(i) for i in range(3)]
    bags = tuple(write_bag(tmp_path / name, camera_topics(stamps)) for name in 'ab')
    folder = write_pngs(tmp_path / 'gt', 3, (20, 40))
    work = Job(bags, PLAIN, (('red', red_engine),), ground_truth=str(folder))
    with pytest.raises(ConfigError, match='gt: expected one bag for a folder of PNGs, found sev'):
        evaluate_bags(work)
    (result,) = evaluate_bags(Job(bags[:1], PLAIN, work.engines, ground_truth=str(folder)))
    assert result.frames == 3

"""What the colours mean, that nothing is mixed up, and that files are whole."""

from __future__ import annotations

from pathlib import Path

import cv2
from depth_prune_ros.core.camera import points_to_depth
from depth_prune_ros.core.errors import ConfigError
from depth_prune_ros.core.errors import DepthPruneError
from depth_prune_ros.evaluation.pictures import colour_depth
from depth_prune_ros.evaluation.pictures import error_map
from depth_prune_ros.evaluation.pictures import fit_sparse
from depth_prune_ros.evaluation.pictures import frame_strip
from depth_prune_ros.evaluation.pictures import spread
from depth_prune_ros.evaluation.pictures import strip
from depth_prune_ros.evaluation.pictures import write_png
from evaluation_scenes import frame
import numpy as np
from numpy.typing import NDArray
import pytest

BLUE, YELLOW, RED = (49, 54, 149), (255, 255, 191), (165, 0, 38)
GREY = (58, 60, 66)


def row(*values: float) -> NDArray[np.float32]:
    """Make an image of one row."""
    return np.array([values], np.float32)


def empty(height: int, width: int) -> NDArray[np.float32]:
    """Make depth without any value."""
    return np.full((height, width), np.nan, np.float32)


def test_near_is_bright_and_warm_far_is_dark() -> None:
    colours = colour_depth(row(1, 2, 5, 10, 20, 40, 80, 500)).astype(int)[0]
    brightness = colours.sum(axis=1)
    assert (np.diff(brightness[1:7]) < 0).all()
    assert colours[0].tolist() == colours[1].tolist()
    assert colours[6].tolist() == colours[7].tolist()
    near, far = colours[2], colours[6]
    assert near[0] > near[2]
    assert far[2] > far[0]
    assert colour_depth(row(np.nan, 80))[0, 0].tolist() == list(GREY)


def test_the_scale_is_logarithmic() -> None:
    # half-way between 2 and 80 m by ratio: sqrt(160) m; with a cap of 8 m: 4 m
    assert (colour_depth(row(160**0.5)) == colour_depth(row(4), max_depth_m=8)).all()


def test_spread_takes_the_nearest_value_within_the_radius() -> None:
    sparse = empty(5, 9)
    sparse[2, 1], sparse[2, 6] = 10, 20
    found = spread(sparse, 2.1)
    assert found[2].tolist() == pytest.approx([10, 10, 10, 10, 20, 20, 20, 20, 20])
    assert found[1, 1] == 10
    assert np.isnan(found[0, 0])
    assert np.isnan(spread(empty(2, 2), 3)).all()


def test_fitting_keeps_the_nearest_point() -> None:
    sparse = empty(4, 6)
    sparse[0, 0], sparse[1, 1], sparse[3, 5] = 30, 7, 50
    found = fit_sparse(sparse, 2, 3)
    assert found[0, 0] == 7
    assert found[1, 2] == 50
    assert np.isfinite(found).sum() == 2


def test_error_colours_mean_their_percentages() -> None:
    gt = row(10, 10, 10, 10, 10, np.nan)
    found = error_map(gt, row(10, 11.5, 8.5, 13, 30, 10), radius_px=0)[0].astype(int)
    for at, colour in ((0, BLUE), (1, YELLOW), (2, YELLOW), (3, RED), (4, RED), (5, GREY)):
        assert np.abs(found[at] - colour).max() <= 3, at


def test_no_prediction_is_the_worst_error() -> None:
    assert error_map(row(10), row(np.nan), 0)[0, 0].tolist() == list(RED)


def test_error_map_resizes_the_prediction() -> None:
    found = error_map(np.full((40, 80), 10, np.float32), np.full((4, 8), 10, np.float32))
    assert found.shape == (40, 80, 3)
    assert (found == BLUE).all()


def test_strip_stacks_four_captioned_panels() -> None:
    image = np.full((375, 1242, 3), (10, 200, 30), np.uint8)
    gt = np.full((375, 1242), 10, np.float32)
    depth = np.full((192, 640), 20, np.float32)
    found = strip(image, depth, gt, error_map(gt, depth))
    panel, bar = 193, 26
    assert found.shape == (4 * (panel + bar), 640, 3)
    middles = [found[i * (panel + bar) + bar + panel // 2, 320] for i in range(4)]
    assert middles[0].tolist() == [10, 200, 30]
    assert middles[1].tolist() == colour_depth(row(20))[0, 0].tolist()
    assert middles[2].tolist() == colour_depth(row(10))[0, 0].tolist()
    assert middles[3].tolist() == list(RED)
    for i in range(4):
        caption = found[i * (panel + bar) : i * (panel + bar) + bar]
        assert (caption > 150).any()


def test_strip_without_ground_truth() -> None:
    found = frame_strip(frame(0, depth_m=None), np.full((8, 16), 20, np.float32))
    assert found.shape == (2 * (320 + 26), 640, 3)


def test_png_is_read_back(tmp_path: Path) -> None:
    picture = np.zeros((4, 6, 3), np.uint8)
    picture[1, 2] = (250, 120, 10)
    write_png(tmp_path / 'new' / 'picture.png', picture)
    found = cv2.imread(str(tmp_path / 'new' / 'picture.png'))
    assert found is not None
    assert found[1, 2].tolist() == [10, 120, 250]
    assert [p.name for p in (tmp_path / 'new').iterdir()] == ['picture.png']


def test_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / 'file').write_text('in the way')
    with pytest.raises(ConfigError, match='expected a folder that can be written') as caught:
        write_png(tmp_path / 'file' / 'picture.png', np.zeros((2, 2, 3), np.uint8))
    assert isinstance(caught.value, DepthPruneError)
    assert '\n' not in str(caught.value)


def test_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / 'picture.png'
    write_png(path, np.zeros((2, 2, 3), np.uint8))
    before = path.read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr('os.fsync', full)
    with pytest.raises(ConfigError, match='No space left on device'):
        write_png(path, np.full((9, 9, 3), 255, np.uint8))
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ['picture.png']


def test_real_lidar_can_be_seen(kitti: Path) -> None:
    scan = next((kitti / 'raw').glob('*/*_0005_sync/velodyne_points/data/*.bin'))
    points = np.fromfile(scan, np.float32).reshape(-1, 4)[:, :3]
    # camera 2 of 2011_09_26, close enough: x forward, y left, z up -> z forward, x right, y down
    axes = np.array([[0, -1, 0, 0], [0, 0, -1, -0.08], [1, 0, 0, -0.27], [0, 0, 0, 1]], float)
    one = frame(0)
    camera = type(one.camera)(1242, 375, 721.5, 721.5, 609.6, 172.9)
    gt = points_to_depth(points, axes, camera)
    small = fit_sparse(gt, 193, 640)
    before, after = np.isfinite(small).mean(), np.isfinite(spread(small, 1.5)).mean()
    assert before < 0.2
    assert after > 2 * before

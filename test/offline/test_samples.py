"""Frames to samples: which measured points teach."""

from __future__ import annotations

from depth_prune_ros.bags.frames import Frame
from depth_prune_ros.core.camera import Intrinsics
from depth_prune_ros.offline.samples import to_sample
import numpy as np
from numpy.typing import NDArray
import pytest

HEIGHT, WIDTH = 32, 64


def _points(depth: NDArray[np.float32], source: str) -> NDArray[np.float32]:
    image = np.zeros((*depth.shape, 3), np.uint8)
    camera = Intrinsics(WIDTH, HEIGHT, 48.0, 48.0, 31.5, 15.5)
    sample = to_sample(
        Frame(0, image, camera, depth=depth, depth_source=source), (HEIGHT, WIDTH), 0.5, 0
    )
    assert sample is not None
    return sample.points


@pytest.mark.parametrize(('source', 'taught'), [('lidar', [21, 40]), ('depth', [20, 21, 40])])
def test_what_only_the_lidar_sees_does_not_teach(source: str, taught: list[int]) -> None:
    """A depth image is the camera's own; a lidar looks past the edge of what is at 5 m."""
    depth = np.full((HEIGHT, WIDTH), np.nan, np.float32)
    depth[10, [20, 21, 40]] = 20, 5, 20
    wanted = [[(column + 0.5) / WIDTH, 10.5 / HEIGHT, depth[10, column]] for column in taught]
    np.testing.assert_allclose(_points(depth, source), wanted, rtol=1e-6)


def test_of_a_dense_depth_image_some_points_are_kept_each_once() -> None:
    points = _points(np.full((300, 300), 5, np.float32), 'depth')
    assert points.shape == (40_000, 3)
    assert len(np.unique(points, axis=0)) == 40_000
    # from everywhere
    assert points[:, :2].mean(0) == pytest.approx([0.5, 0.5], abs=0.01)

"""Frames to samples: which measured points teach, and what becomes of views and hints."""

from __future__ import annotations

from unittest.mock import patch

from depth_prune_ros.bags.frames import Frame
from depth_prune_ros.core.camera import Intrinsics
from depth_prune_ros.offline.samples import load_samples
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


def test_of_a_dense_depth_image_some_points_are_kept_each_once() -> None:
    points = _points(np.full((300, 300), 5, np.float32), 'depth')
    assert points.shape == (40_000, 3)
    assert len(np.unique(points, axis=0)) == 40_000
    # from everywhere
    assert points[:, :2].mean(0) == pytest.approx([0.5, 0.5], abs=0.01)


def test_a_view_is_shrunk_by_areas_and_hints_are_not_mixed() -> None:
    """A chequered image is grey at half its size; sky (0), wall and nothing stay what they are."""
    sky, wall = 0.0, np.float16(0.02)
    chequered = np.indices((HEIGHT, WIDTH)).sum(0) % 2 * np.uint8(255)
    left = np.repeat(chequered[..., None], 3, 2).astype(np.uint8)
    hints = np.full((2, HEIGHT, WIDTH), np.nan, np.float32)
    hints[:, :9], hints[:, 9:21] = sky, wall
    with patch('depth_prune_ros.offline.samples.match', lambda *_: hints):
        camera = Intrinsics(WIDTH, HEIGHT, 48.0, 48.0, 31.5, 15.5)
        frame = Frame(0, left, camera, left, 0.5)
        sample = to_sample(frame, (HEIGHT // 2, WIDTH // 2), 0.5, 0, hints=True)
    assert sample is not None and sample.hints is not None
    for view in (sample.left, sample.right):
        assert (
            view is not None and np.ptp(view) <= 1 and view.mean() == pytest.approx(127.5, abs=1)
        )
    known = sample.hints[np.isfinite(sample.hints)]
    assert set(known.tolist()) == {sky, float(wall)}
    assert np.isnan(sample.hints[:, 11:]).all()


def test_samples_are_kept_a_little_larger() -> None:
    """So that a crop loses nothing; frames with nothing to learn from are counted, not kept."""
    seen: list[int] = []
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    camera = Intrinsics(WIDTH, HEIGHT, 48.0, 48.0, 31.5, 15.5)
    nothing, pair = Frame(0, image, camera), Frame(0, image, camera, image, 0.5)
    samples = list(load_samples([pair, nothing, pair], (20, 40), 0.5, seen.append))
    assert [s.left.shape for s in samples] == [(26, 52, 3)] * 2
    assert seen == [1, 2, 3]

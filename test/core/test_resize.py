"""The one way this package resizes: place, mean and texture."""

from __future__ import annotations

from depth_prune_ros.core.images import resize_image
import numpy as np
import pytest


def test_resize_averages_over_an_output_pixel_when_it_shrinks() -> None:
    """A factor of 2: taps 1/4, 1/2, 1/4, borders repeated, then half-way between two pixels."""
    image = np.array([[0, 0, 8, 0]], np.float32)
    # filtered: 0, 2, 4, 2
    assert resize_image(image, 2, 1).tolist() == [[1, 3]]
    assert resize_image(image.T, 1, 2).tolist() == [[1], [3]]
    # a factor of 3: three equal taps, then every third pixel
    image = np.array([[0, 3, 6, 9, 12, 0]], np.float32)
    np.testing.assert_allclose(resize_image(image, 2, 1), [[3, 7]], rtol=1e-6)


@pytest.mark.parametrize('factor', [1.1, 1.94, 2.0, 3.3, 5.6])
def test_resize_keeps_mean_and_place_and_removes_stripes(factor: float) -> None:
    width = 64
    columns = np.arange(round(width * factor), dtype=np.float32)
    ramp = np.repeat(columns[None] + 0.5, 8, 0)
    where = (np.arange(width) + 0.5) * len(columns) / width
    found = resize_image(ramp, width, 8)
    np.testing.assert_allclose(found[:, 6:-6], np.repeat(where[None, 6:-6], 8, 0), rtol=1e-4)
    stripes = np.repeat((255 * (columns % 2))[None], 8, 0)
    contrast = np.ptp(resize_image(stripes, width, 8)[:, 6:-6])
    assert contrast < 255 * (0.25 if factor > 1.9 else 0.95)


def test_resize_interpolates_when_it_grows() -> None:
    image = np.array([[0, 4]], np.float32)
    assert resize_image(image, 4, 1).tolist() == [[0, 1, 3, 4]]


def test_resize_to_the_same_size_returns_the_input() -> None:
    image = np.zeros((24, 32, 3), np.uint8)
    assert resize_image(image, 32, 24) is image

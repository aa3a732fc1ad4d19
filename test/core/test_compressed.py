"""Compressed images whose header is damaged."""

from __future__ import annotations

from types import SimpleNamespace

import cv2
from depth_prune_ros.core.errors import ImageError
from depth_prune_ros.core.images import compressed_to_rgb
import numpy as np
import pytest


def test_a_jpeg_that_says_it_is_huge_is_one_damaged_image() -> None:
    """Above 2^30 pixels OpenCV raises an error of its own."""
    pixels = np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)
    data = bytearray(cv2.imencode('.jpg', pixels)[1].tobytes())
    at = data.find(b'\xff\xc0')
    data[at + 5 : at + 9] = (60_000).to_bytes(2, 'big') * 2
    message = SimpleNamespace(format='jpeg', data=bytes(data))
    with pytest.raises(ImageError, match='do not decode whole; is the recording damaged'):
        compressed_to_rgb(message)

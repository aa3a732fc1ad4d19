"""Compressed depth: values at pixels, what is refused, and what is cut short."""

from __future__ import annotations

import struct
from types import SimpleNamespace
from typing import Any

import cv2
from depth_prune_ros.core.compressed_depth import message_to_depth
from depth_prune_ros.core.errors import EncodingError
from depth_prune_ros.core.errors import ImageError
import numpy as np
from numpy.typing import NDArray
import pytest

MM = np.array(
    [[0, 0, 1500, 1502, 1499], [0, 65535, 1, 0, 0], [0, 0, 0, 40000, 0]],
    np.uint16,
)
NAN = float('nan')
METRES = np.array(
    [[NAN, NAN, 1.5, 1.502, 1.499], [NAN, 65.535, 0.001, NAN, NAN], [NAN, NAN, NAN, 40.0, NAN]],
    np.float32,
)
# What image_transport_plugins' RvlCodec makes of MM.
RVL = bytes.fromhex('45e58f23f39a891251f3ffbf10b29cef')
SIZE = struct.pack('<II', 5, 3)
HEADER = struct.pack('<iff', 0, 0.0, 0.0)


def message(format_: str, data: bytes) -> Any:
    """Make what a CompressedImage has."""
    return SimpleNamespace(format=format_, data=data)


def png(pixels: NDArray[Any]) -> bytes:
    """Pack pixels."""
    return bytes(cv2.imencode('.png', pixels)[1].tobytes())


@pytest.mark.parametrize(
    ('format_', 'data'),
    [
        ('16UC1; compressedDepth png', HEADER + png(MM)),
        ('16UC1; compressedDepth', HEADER + png(MM)),
        ('16UC1', HEADER + png(MM)),
        ('16UC1; png compressed ', png(MM)),
        ('16UC1; compressedDepth rvl', HEADER + SIZE + RVL),
    ],
)
def test_millimetres_become_metres(format_: str, data: bytes) -> None:
    depth = message_to_depth(message(format_, data))
    assert depth.dtype == np.float32
    np.testing.assert_array_equal(depth, METRES)


def test_a_raw_depth_image_is_read_as_ever() -> None:
    raw = SimpleNamespace(
        encoding='16UC1', width=5, height=3, step=10, is_bigendian=0, data=MM.tobytes()
    )
    np.testing.assert_array_equal(message_to_depth(raw), METRES)


@pytest.mark.parametrize('way', ['png', 'rvl'])
def test_quantised_inverse_depth_is_taken_back(way: str) -> None:
    """By default inverse depth has 100 steps of 1 m, and 10 m are the most."""
    a = 100.0 * 101.0
    b = 1.0 - a / 10.0
    packed = png(MM) if way == 'png' else SIZE + RVL
    data = struct.pack('<iff', 0, a, b) + packed
    depth = message_to_depth(message(f'32FC1; compressedDepth {way}', data))
    assert depth[0, 2] == pytest.approx(10100 / (1500 + 1009), rel=1e-6)
    assert depth[1, 1] == pytest.approx(10100 / (65535 + 1009), rel=1e-6)
    assert depth[1, 2] == pytest.approx(10.0, rel=1e-6)
    np.testing.assert_array_equal(np.isnan(depth), MM == 0)


@pytest.mark.parametrize('a', [0.0, float('nan'), 3e38])
def test_parameters_that_are_damaged_are_no_depth(a: float) -> None:
    """Division by what the header says gives no number: then there is none."""
    data = struct.pack('<iff', 0, a, 65535 - 1e-3) + png(MM)
    depth = message_to_depth(message('32FC1; compressedDepth png', data))
    assert np.isnan(depth[1, 1])
    assert not np.isinf(depth).any()


def test_a_long_run_of_nothing_is_an_image_too() -> None:
    """A number of 7 nibbles: 307200 zeros, then no pixel that was measured."""
    data = HEADER + struct.pack('<II', 640, 480) + struct.pack('<I', 0x8888B910)
    depth = message_to_depth(message('16UC1; compressedDepth rvl', data))
    assert depth.shape == (480, 640)
    assert np.isnan(depth).all()


@pytest.mark.parametrize(
    ('format_', 'data'),
    [
        ('16UC1; jpeg compressed ', b'\xff\xd8 some jpeg \xff\xd9'),
        ('bgr8; png compressed bgr8', png(MM)),
        ('32FC1; png compressed ', png(MM)),
        ('png', png(MM)),
    ],
)
def test_what_holds_no_depth_is_refused(format_: str, data: bytes) -> None:
    with pytest.raises(EncodingError, match=r'expected compressed depth of .*, found .*; record'):
        message_to_depth(message(format_, data))


@pytest.mark.parametrize('kept', [0, 5, 12, 30, -13])
def test_a_png_that_is_cut_is_damaged(kept: int) -> None:
    data = (HEADER + png(MM))[:kept]
    for encoding in ('16UC1', '32FC1'):
        with pytest.raises(ImageError, match='expected a whole PNG of 16 bits a pixel') as caught:
            message_to_depth(message(f'{encoding}; compressedDepth png', data))
        assert not isinstance(caught.value, EncodingError)


@pytest.mark.parametrize('pixels', [MM.astype(np.uint8), np.dstack([MM] * 3)])
def test_a_png_of_other_pixels_is_damaged(pixels: NDArray[Any]) -> None:
    with pytest.raises(ImageError, match='expected a whole PNG of 16 bits a pixel, found uint'):
        message_to_depth(message('16UC1; compressedDepth png', HEADER + png(pixels)))


@pytest.mark.parametrize(
    ('data', 'found'),
    [
        (b'', 'RVL of an image, found 0 bytes of 0x0 pixels'),
        (SIZE, 'RVL of 5x3 pixels, found 0 of them'),
        (SIZE + RVL[:4], 'RVL of 5x3 pixels, found 5 of them'),
        (SIZE + RVL[:12], 'RVL of 5x3 pixels, found 8 of them'),
        (SIZE + RVL[:15], 'RVL of 5x3 pixels, found 8 of them'),
        (SIZE + b'\xff' * 16, 'RVL of 5x3 pixels, found 0 of them'),
        (struct.pack('<II', 5, 2) + RVL, 'RVL of 5x2 pixels, found 8 of them'),
        (struct.pack('<II', 2**31, 2**31) + RVL, 'RVL of an image, found 24 bytes of 2147483648x'),
        (struct.pack('<II', 0, 3) + RVL, 'RVL of an image, found 24 bytes of 0x3 pixels'),
    ],
)
def test_rvl_that_is_damaged_says_so(data: bytes, found: str) -> None:
    with pytest.raises(ImageError, match=found):
        message_to_depth(message('16UC1; compressedDepth rvl', HEADER + data))

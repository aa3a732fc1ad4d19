"""Every encoding against a plain definition, through padding, odd widths and byte order."""

from __future__ import annotations

import array
from collections.abc import Callable
import struct
from types import SimpleNamespace
from typing import Any

import cv2
from depth_prune_ros.core.errors import EncodingError
from depth_prune_ros.core.errors import ImageError
from depth_prune_ros.core.images import compressed_to_rgb
from depth_prune_ros.core.images import image_to_depth
from depth_prune_ros.core.images import image_to_rgb
from depth_prune_ros.core.images import resize_image
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
import numpy as np
from numpy.typing import NDArray
import pytest

BYTES_PER_PIXEL = {
    'rgb8': 3,
    'bgr8': 3,
    'rgba8': 4,
    'bgra8': 4,
    'mono8': 1,
    '8UC1': 1,
    '8UC3': 3,
    'mono16': 2,
    '16UC1': 2,
    'rgb16': 6,
    'bgr16': 6,
    'rgba16': 8,
    'bgra16': 8,
}
# Colour of the photosites at (row, column) even/odd: 0 red, 1 green, 2 blue.
BAYER = {
    'bayer_rggb8': [[0, 1], [1, 2]],
    'bayer_bggr8': [[2, 1], [1, 0]],
    'bayer_gbrg8': [[1, 2], [0, 1]],
    'bayer_grbg8': [[1, 0], [2, 1]],
}
# Where U, Y, V of a pixel pair lie: offsets of Y0, Y1, U, V.
YUV = {
    'yuv422': (1, 3, 0, 2),
    'uyvy': (1, 3, 0, 2),
    'yuv422_yuy2': (0, 2, 1, 3),
    'yuyv': (0, 2, 1, 3),
}

# EXIF of a camera held upright (orientation 6).
TURNED = b'\xff\xe1\0\x22Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0'


def message(
    encoding: str, width: int, height: int, step: int, data: Any, big: bool = False
) -> Any:
    return SimpleNamespace(
        encoding=encoding, width=width, height=height, step=step, data=data, is_bigendian=int(big)
    )


def random_message(
    encoding: str, size: tuple[int, int], used: int, padding: int, seed: int, big: bool = False
) -> Any:
    width, height = size
    step = used + padding
    data = np.random.default_rng(seed).integers(0, 256, step * height, np.uint8).tobytes()
    return message(encoding, width, height, step, data, big)


def plain_rgb(encoding: str, pixel: bytes, big: bool) -> tuple[int, ...]:
    """Return the RGB of one pixel's bytes, as the encoding's name says."""
    if encoding in ('mono16', '16UC1'):
        (value,) = struct.unpack('>H' if big else '<H', pixel)
        return (round(value * 255 / 65535),) * 3
    if encoding in ('mono8', '8UC1'):
        return (pixel[0],) * 3
    red_first = encoding.startswith('rgb')
    if encoding.endswith('16'):
        samples = struct.unpack(f'{">" if big else "<"}{len(pixel) // 2}H', pixel)
        pixel = bytes(round(sample / 257) for sample in samples)
    return tuple(pixel[:3]) if red_first else tuple(pixel[2::-1])


SIZES = st.tuples(st.integers(1, 9), st.integers(1, 5))


@pytest.mark.parametrize('encoding', sorted(BYTES_PER_PIXEL))
@settings(max_examples=12)
@given(SIZES, st.integers(0, 7), st.booleans(), st.integers(0, 1000))
def test_rgb_of_every_plain_encoding(
    encoding: str, size: tuple[int, int], padding: int, big: bool, seed: int
) -> None:
    count = BYTES_PER_PIXEL[encoding]
    msg = random_message(encoding, size, size[0] * count, padding, seed, big)
    image = image_to_rgb(msg)
    assert image.dtype == np.uint8
    assert image.shape == (size[1], size[0], 3)
    for row in range(size[1]):
        for column in range(size[0]):
            at = row * msg.step + column * count
            plain = plain_rgb(encoding, msg.data[at : at + count], big)
            assert tuple(image[row, column]) == plain


@settings(max_examples=60)
@given(st.sampled_from(sorted(YUV)), SIZES, st.integers(0, 7), st.integers(0, 1000))
def test_rgb_of_yuv422_also_of_odd_width(
    encoding: str, size: tuple[int, int], padding: int, seed: int
) -> None:
    width, height = size
    msg = random_message(encoding, size, (width + 1) // 2 * 4, padding, seed)
    image = image_to_rgb(msg)
    assert image.shape == (height, width, 3)
    y0, y1, u_at, v_at = YUV[encoding]
    for row in range(height):
        for column in range(width):
            at = row * msg.step + column // 2 * 4
            # Video range: below 16 is black.
            luma = 1.164 * max(msg.data[at + (y1 if column % 2 else y0)] - 16, 0)
            u, v = msg.data[at + u_at] - 128, msg.data[at + v_at] - 128
            plain = [luma + 1.596 * v, luma - 0.391 * u - 0.813 * v, luma + 2.018 * u]
            assert np.abs(image[row, column] - np.clip(plain, 0, 255)).max() <= 2.5


@settings(max_examples=40)
@given(
    st.sampled_from(sorted(BAYER)),
    st.tuples(st.integers(4, 9), st.integers(4, 7)),
    st.integers(0, 5),
    st.booleans(),
    st.integers(0, 1000),
)
def test_bayer_of_16_bits_keeps_what_each_photosite_saw(
    encoding: str, size: tuple[int, int], padding: int, big: bool, seed: int
) -> None:
    width, height = size
    msg = random_message(encoding[:-1] + '16', size, 2 * width, padding, seed, big)
    image = image_to_rgb(msg)
    assert image.shape == (height, width, 3)
    for row in range(1, height - 1):
        for column in range(1, width - 1):
            channel = BAYER[encoding][row % 2][column % 2]
            at = row * msg.step + 2 * column
            (sample,) = struct.unpack('>H' if big else '<H', msg.data[at : at + 2])
            assert image[row, column, channel] == round(sample / 257)


@settings(max_examples=40)
@given(
    st.sampled_from(sorted(BAYER)),
    st.tuples(st.integers(4, 9), st.integers(4, 7)),
    st.integers(0, 5),
    st.integers(0, 1000),
)
def test_bayer_keeps_what_each_photosite_saw(
    encoding: str, size: tuple[int, int], padding: int, seed: int
) -> None:
    width, height = size
    msg = random_message(encoding, size, width, padding, seed)
    image = image_to_rgb(msg)
    assert image.shape == (height, width, 3)
    for row in range(1, height - 1):
        for column in range(1, width - 1):
            channel = BAYER[encoding][row % 2][column % 2]
            assert image[row, column, channel] == msg.data[row * msg.step + column]


@pytest.mark.parametrize('encoding', sorted(BAYER))
def test_bayer_of_one_colour_is_that_colour_everywhere(encoding: str) -> None:
    colour = np.array([200, 120, 40], np.uint8)
    sites = np.tile(colour[np.array(BAYER[encoding])], (3, 4))
    image = image_to_rgb(message(encoding, 8, 6, 8, sites.tobytes()))
    assert (image == colour).all()


@settings(max_examples=60)
@given(SIZES, st.integers(0, 7), st.booleans(), st.integers(0, 1000))
def test_depth_in_metres_and_millimetres(
    size: tuple[int, int], padding: int, big: bool, seed: int
) -> None:
    width, height = size
    order = '>' if big else '<'
    values = np.random.default_rng(seed).choice(
        [np.nan, np.inf, -np.inf, -1.0, 0.0, 0.5, 12.25, 64.0], (height, width)
    )
    want = np.where(np.isfinite(values) & (values > 0), values, np.nan)
    for encoding, kind, stored in (
        ('32FC1', 'f4', values),
        ('16UC1', 'u2', np.nan_to_num(want) * 1000),
        ('mono16', 'u2', np.nan_to_num(want) * 1000),
    ):
        pixels = stored.astype(order + kind)
        rows = b''.join(row.tobytes() + b'\xa5' * padding for row in pixels)
        step = width * pixels.itemsize + padding
        depth = image_to_depth(message(encoding, width, height, step, rows, big))
        assert depth.dtype == np.float32
        np.testing.assert_array_equal(depth, want.astype(np.float32))


@pytest.mark.parametrize(
    'wrap',
    [bytes, lambda b: array.array('B', b), lambda b: np.frombuffer(b, np.uint8)],
    ids=['bytes', 'array', 'ndarray'],
)
def test_data_of_any_kind_is_read_and_rgb8_is_not_copied(wrap: Callable[[bytes], Any]) -> None:
    data = wrap(bytes(range(2 * 8)))
    image = image_to_rgb(message('rgb8', 2, 2, 8, data))
    assert image.tolist() == [[[0, 1, 2], [3, 4, 5]], [[8, 9, 10], [11, 12, 13]]]
    assert np.shares_memory(image, np.frombuffer(data, np.uint8))


def test_works_on_a_view_that_opencv_gets_in_pieces() -> None:
    msg = message('rgb8', 3, 2, 12, bytes(24))
    assert resize_image(image_to_rgb(msg), 6, 4).shape == (4, 6, 3)


@pytest.mark.parametrize('convert', [image_to_rgb, image_to_depth])
def test_unknown_encoding_is_named_with_those_that_work(convert: Callable[[Any], Any]) -> None:
    with pytest.raises(EncodingError, match=r"16UC1.*found 'nv21'"):
        convert(message('nv21', 1, 1, 6, bytes(6)))


def test_a_colour_image_is_no_depth_and_depth_is_no_colour_image() -> None:
    with pytest.raises(EncodingError, match=r"encoding 32FC1, 16UC1.*found 'rgb8'"):
        image_to_depth(message('rgb8', 1, 1, 3, bytes(3)))
    with pytest.raises(EncodingError, match=r"found '32FC1'"):
        image_to_rgb(message('32FC1', 1, 1, 4, bytes(4)))


def test_too_little_data_says_expected_and_found() -> None:
    with pytest.raises(ImageError, match=r'expected 24 bytes \(step 12 x height 2\), found 23'):
        image_to_rgb(message('rgb8', 3, 2, 12, bytes(23)))
    with pytest.raises(ImageError, match=r'at least 12 bytes \(3 px of 32FC1\), found step 9'):
        image_to_depth(message('32FC1', 3, 1, 9, bytes(12)))


def test_an_empty_image_is_refused() -> None:
    with pytest.raises(ImageError, match=r'found 0x3'):
        image_to_rgb(message('rgb8', 0, 3, 0, b''))


def gradient() -> NDArray[np.uint8]:
    ramp = np.tile(np.linspace(0, 255, 32, dtype=np.uint8), (24, 1))
    return np.stack([ramp, np.full_like(ramp, 90), ramp[:, ::-1]], axis=-1)


@pytest.mark.parametrize(
    ('kind', 'exif', 'tolerance'),
    [('png', b'', 0), ('jpeg', b'', 12), pytest.param('jpeg', TURNED, 12, id='turned')],
)
def test_compressed_images_come_back_as_rgb(kind: str, exif: bytes, tolerance: int) -> None:
    image = gradient()
    data = cv2.imencode(f'.{kind}', image[..., ::-1])[1].tobytes()
    message = SimpleNamespace(format=kind, data=data[:2] + exif + data[2:])
    decoded = compressed_to_rgb(message)
    assert np.abs(decoded.astype(int) - image).max() <= tolerance


@pytest.mark.parametrize(('said', 'error'), [('JPG', ImageError), ('h264', EncodingError)])
@pytest.mark.parametrize('data', [b'', b'not an image', bytes(100)])
def test_garbage_is_refused_by_its_size(data: Any, said: str, error: type[ImageError]) -> None:
    with pytest.raises(error, match=f"found {len(data)} bytes of format '{said}'") as caught:
        compressed_to_rgb(SimpleNamespace(format=said, data=data))
    assert caught.type is error


@pytest.mark.parametrize('kind', ['png', 'jpeg'])
@pytest.mark.parametrize('kept', [0.2, 0.6, 0.95])
def test_a_compressed_image_that_is_cut_short_is_refused(kind: str, kept: float) -> None:
    data = cv2.imencode(f'.{kind}', gradient())[1].tobytes()
    cut = data[: int(len(data) * kept)]
    with pytest.raises(ImageError, match=f"found {len(cut)} bytes of format '{kind}'"):
        compressed_to_rgb(SimpleNamespace(format=kind, data=cut))


@pytest.mark.parametrize('encoding', sorted(BAYER))
def test_a_compressed_mosaic_comes_back_as_the_raw_one(encoding: str) -> None:
    """image_transport compresses Bayer images as they are, and names the pattern first."""
    sites = np.random.default_rng(0).integers(0, 256, (6, 8), np.uint8)
    _, data = cv2.imencode('.png', sites)
    said = f'{encoding}; png compressed '
    found = compressed_to_rgb(SimpleNamespace(format=said, data=data.tobytes()))
    np.testing.assert_array_equal(found, image_to_rgb(message(encoding, 8, 6, 8, sites.tobytes())))


@pytest.mark.parametrize('filling', [bytes(1000), bytes(9000), b'\n', b'\xff\xff' + bytes(5000)])
def test_a_jpeg_may_be_filled_up(filling: bytes) -> None:
    data = cv2.imencode('.jpeg', gradient())[1].tobytes() + filling
    assert compressed_to_rgb(SimpleNamespace(format='jpeg', data=data)).shape == (24, 32, 3)

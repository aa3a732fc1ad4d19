"""
Image messages to arrays, and the one way this package resizes.

Works on anything shaped like sensor_msgs/Image or CompressedImage (rclpy or rosbags). Rows are
read through `step`, samples through `is_bigendian`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
import math
from typing import Any

import cv2
from depth_prune_ros.core.errors import EncodingError
from depth_prune_ros.core.errors import ImageError
import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Pixels = NDArray[Any]

_SAMPLES: dict[str, tuple[str, int]] = {
    'rgb8': ('u1', 3),
    'bgr8': ('u1', 3),
    'rgba8': ('u1', 4),
    'bgra8': ('u1', 4),
    'mono8': ('u1', 1),
    'mono16': ('u2', 1),
    '8UC1': ('u1', 1),
    '8UC3': ('u1', 3),
    '16UC1': ('u2', 1),
    'rgb16': ('u2', 3),
    'bgr16': ('u2', 3),
    'rgba16': ('u2', 4),
    'bgra16': ('u2', 4),
    '32FC1': ('f4', 1),
    'bayer_rggb8': ('u1', 1),
    'bayer_bggr8': ('u1', 1),
    'bayer_gbrg8': ('u1', 1),
    'bayer_grbg8': ('u1', 1),
    'bayer_rggb16': ('u2', 1),
    'bayer_bggr16': ('u2', 1),
    'bayer_gbrg16': ('u2', 1),
    'bayer_grbg16': ('u2', 1),
    'yuv422': ('u1', 2),
    'uyvy': ('u1', 2),
    'yuv422_yuy2': ('u1', 2),
    'yuyv': ('u1', 2),
}
# Bytes at the end of a compressed image among which its end is looked for.
_LONGEST_FILLING = 4096
_YUV = ('yuv422', 'uyvy', 'yuv422_yuy2', 'yuyv')


def _by_opencv(code: int) -> Callable[[Pixels], Pixels]:
    def convert(pixels: Pixels) -> Pixels:
        # OpenCV reads wrong samples, silently, where a row is no whole number of samples.
        samples = np.ascontiguousarray(pixels)
        if samples.dtype == np.uint16:
            samples = cv2.convertScaleAbs(samples, alpha=1 / 257).reshape(samples.shape)
        return cv2.cvtColor(samples, code)

    return convert


# OpenCV names a Bayer pattern by the second row's second and third pixel.
_BAYER = {
    'bayer_rggb': cv2.COLOR_BayerBG2RGB,
    'bayer_bggr': cv2.COLOR_BayerRG2RGB,
    'bayer_gbrg': cv2.COLOR_BayerGR2RGB,
    'bayer_grbg': cv2.COLOR_BayerGB2RGB,
}
_OPENCV_CODES = {
    'bgr8': cv2.COLOR_BGR2RGB,
    'rgba8': cv2.COLOR_RGBA2RGB,
    'bgra8': cv2.COLOR_BGRA2RGB,
    'mono8': cv2.COLOR_GRAY2RGB,
    'mono16': cv2.COLOR_GRAY2RGB,
    'bgr16': cv2.COLOR_BGR2RGB,
    'rgba16': cv2.COLOR_RGBA2RGB,
    'bgra16': cv2.COLOR_BGRA2RGB,
    '8UC1': cv2.COLOR_GRAY2RGB,
    # An encoding named by OpenCV's type carries OpenCV's channel order.
    '8UC3': cv2.COLOR_BGR2RGB,
    '16UC1': cv2.COLOR_GRAY2RGB,
    'yuv422': cv2.COLOR_YUV2RGB_UYVY,
    'uyvy': cv2.COLOR_YUV2RGB_UYVY,
    'yuv422_yuy2': cv2.COLOR_YUV2RGB_YUYV,
    'yuyv': cv2.COLOR_YUV2RGB_YUYV,
    **{f'{name}{bits}': code for name, code in _BAYER.items() for bits in (8, 16)},
}
_TO_RGB: dict[str, Callable[[Pixels], Pixels]] = {
    'rgb8': lambda pixels: pixels,
    'rgb16': lambda pixels: cv2.convertScaleAbs(np.ascontiguousarray(pixels), alpha=1 / 257),
    **{encoding: _by_opencv(code) for encoding, code in _OPENCV_CODES.items()},
}
RGB_ENCODINGS = frozenset(_TO_RGB)
_DEPTH = ('32FC1', '16UC1', 'mono16')


def resize_image(image: Pixels, width: int, height: int) -> Pixels:
    """
    Resize an image [H, W] or [H, W, C] to width x height.

    Where it shrinks, a box filter as wide as an output pixel keeps fine texture from flickering;
    then bilinear. OpenCV's area averaging does both at once, but takes three times as long.

    :return: the very input where the size fits already
    """
    rows, columns = image.shape[:2]
    if (columns, rows) == (width, height):
        return image
    across, down = _box(columns / width), _box(rows / height)
    if max(len(across), len(down)) > 1:
        image = cv2.sepFilter2D(image, -1, across, down, borderType=cv2.BORDER_REPLICATE)
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)


@lru_cache(maxsize=32)
def _box(width: float) -> NDArray[np.float32]:
    """Return the taps of a box filter of any width, in pixels; below 1 it does nothing."""
    side = math.ceil((width - 1) / 2)
    if side < 1:
        return np.ones(1, np.float32)
    taps = np.ones(2 * side + 1, np.float32)
    taps[0] = taps[-1] = (width - (2 * side - 1)) / 2
    return taps / np.float32(width)


def image_to_rgb(msg: Any) -> Bytes:
    """
    Turn a sensor_msgs/Image into RGB.

    :return: uint8 [H, W, 3]; for rgb8 a view of the message's data, else a copy; grey becomes
        three equal channels, 16 bits are scaled to 8
    :raises EncodingError: an encoding without colours or grey
    :raises ImageError: too little data
    """
    if msg.encoding not in _TO_RGB:
        raise EncodingError(_unsupported(msg.encoding, 'an image', sorted(_TO_RGB)))
    return _TO_RGB[msg.encoding](_pixels(msg))[:, : msg.width]


def image_to_depth(msg: Any) -> NDArray[np.float32]:
    """
    Turn a depth sensor_msgs/Image (REP 118) into metres.

    :return: float32 [H, W], NaN where 32FC1 is not finite and above 0, or 16UC1 (mm) is 0
    :raises EncodingError: an encoding that holds no depth
    :raises ImageError: too little data
    """
    if msg.encoding not in _DEPTH:
        raise EncodingError(_unsupported(msg.encoding, 'a depth image', list(_DEPTH)))
    pixels = _pixels(msg)
    depth = pixels.astype(np.float32)
    if msg.encoding != '32FC1':
        depth /= np.float32(1000)
    depth[~(np.isfinite(depth) & (depth > 0))] = np.nan
    return depth


def compressed_to_rgb(msg: Any) -> Bytes:
    """
    Decode a sensor_msgs/CompressedImage (jpeg or png).

    :return: uint8 [H, W, 3] RGB, as the sensor saw it (no rotation by EXIF)
    :raises EncodingError: a format that is neither, and that OpenCV does not decode
    :raises ImageError: a jpeg or png that OpenCV does not decode, or that is cut short
    """
    data = np.frombuffer(msg.data, np.uint8)
    # image_transport names the encoding of the raw image first: of Bayer's it sends the mosaic
    encoding = msg.format.partition(';')[0].strip()
    mosaic = encoding.startswith('bayer_') and encoding in _TO_RGB
    flags = cv2.IMREAD_UNCHANGED if mosaic else cv2.IMREAD_COLOR
    bgr = decode_pixels(data, flags | cv2.IMREAD_IGNORE_ORIENTATION) if is_whole(data) else None
    if bgr is not None and mosaic and bgr.ndim == 2:
        return np.asarray(_TO_RGB[encoding](bgr), np.uint8)
    if bgr is None:
        text = (
            f'expected a jpeg or png image, found {data.size} bytes of format '
            f'{msg.format!r} that do not decode whole; is the recording damaged?'
        )
        known = any(kind in msg.format.lower() for kind in ('jpeg', 'jpg', 'png'))
        raise (ImageError if known else EncodingError)(text)
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB, dst=bgr), np.uint8)


def decode_pixels(data: Bytes, flags: int) -> Any:
    """Return what OpenCV decodes; None also for a damaged header of a size beyond its limit."""
    try:
        return cv2.imdecode(data, flags)
    except cv2.error:
        return None


def is_whole(data: Bytes) -> bool:
    """Tell whether a jpeg or png has its end: OpenCV fills up what is missing without a word."""
    if data[:2].tobytes() == b'\xff\xd8':
        # Some cameras fill their buffer up, with zeros or with what was in it.
        return b'\xff\xd9' in data.tobytes().rstrip(b'\0')[-_LONGEST_FILLING:]
    if data[:4].tobytes() == b'\x89PNG':
        return b'IEND' in data[-_LONGEST_FILLING:].tobytes()
    return bool(data.size)


def _unsupported(encoding: str, wanted: str, known: list[str]) -> str:
    return (
        f'expected {wanted} of encoding {", ".join(known)}, found {encoding!r}; '
        'convert the topic (image_proc) or record another one'
    )


def _pixels(msg: Any) -> Pixels:
    """Return [H, W] or [H, W, C] in native byte order, a view of the message where possible."""
    kind, channels = _SAMPLES[msg.encoding]
    # A YUV 4:2:2 pair is never split: an odd width is stored one pixel wider.
    width = msg.width + msg.width % 2 if msg.encoding in _YUV else msg.width
    dtype = np.dtype(('>' if msg.is_bigendian else '<') + kind)
    used = width * channels * dtype.itemsize
    if msg.height < 1 or msg.width < 1:
        text = f'expected an image with pixels, found {msg.width}x{msg.height}'
        raise ImageError(text)
    if msg.step < used:
        text = (
            f'expected rows of at least {used} bytes ({msg.width} px of {msg.encoding}), '
            f'found step {msg.step}; the driver fills step wrongly'
        )
        raise ImageError(text)
    data = np.frombuffer(msg.data, np.uint8)
    if data.size < msg.step * msg.height:
        text = (
            f'expected {msg.step * msg.height} bytes (step {msg.step} x height {msg.height}), '
            f'found {data.size}; the image is cut short'
        )
        raise ImageError(text)
    rows = data[: msg.step * msg.height].reshape(msg.height, msg.step)[:, :used]
    pixels = rows.view(dtype).astype(dtype.newbyteorder('='), copy=False)
    return pixels if channels == 1 else pixels.reshape(msg.height, width, channels)

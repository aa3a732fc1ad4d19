"""
Depth messages to metres: raw, and as compressed_depth_image_transport packs them.

That is a sensor_msgs/CompressedImage of format "16UC1; compressedDepth png": a header of 12 bytes,
then 16 bits a pixel as PNG or RVL (Wilson, "Fast lossless depth image compression", 2017).
Those of 16UC1 are millimetres, those of 32FC1 the inverse of the depth, quantised by two
parameters in the header.
"""

from __future__ import annotations

from typing import Any

import cv2
from depth_prune_ros.core.errors import EncodingError
from depth_prune_ros.core.errors import ImageError
from depth_prune_ros.core.images import decode_pixels
from depth_prune_ros.core.images import image_to_depth
from depth_prune_ros.core.images import is_whole
import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]

_HEADER = np.dtype([('kind', '<i4'), ('a', '<f4'), ('b', '<f4')])
_PNG = b'\x89PNG'
_ENCODINGS = ('16UC1', 'mono16', '32FC1')
# More is a damaged header, not an image.
_MOST_PIXELS = 2**26
# Of RVL's numbers, a run of zeros is the longest.
_MOST_NIBBLES = 9


def message_to_depth(msg: Any) -> NDArray[np.float32]:
    """
    Turn a depth message (REP 118) into metres.

    :param msg: sensor_msgs/Image, see image_to_depth, or CompressedImage
    :return: float32 [H, W], NaN = invalid
    :raises EncodingError: an encoding or format that holds no depth
    :raises ImageError: too little data, or data that does not decode
    """
    return compressed_to_depth(msg) if hasattr(msg, 'format') else image_to_depth(msg)


def compressed_to_depth(msg: Any) -> NDArray[np.float32]:
    """
    Decode a sensor_msgs/CompressedImage of depth.

    :param msg: of format "E; compressedDepth png" or "... rvl" with E = 16UC1 or 32FC1, or
        16UC1 as a plain PNG
    :return: float32 [H, W] metres, NaN = invalid
    :raises EncodingError: another format
    :raises ImageError: data that does not decode whole
    """
    encoding = msg.format.partition(';')[0].strip()
    data = np.frombuffer(msg.data, np.uint8)
    plain = data[: len(_PNG)].tobytes() == _PNG
    packed = data if plain else data[_HEADER.itemsize :]
    is_png = packed[: len(_PNG)].tobytes() == _PNG
    known = encoding in _ENCODINGS and not (plain and encoding == '32FC1')
    if not known or not (is_png or 'compressedDepth' in msg.format):
        text = (
            'expected compressed depth of format "16UC1; compressedDepth png" (or 32FC1, or rvl), '
            f'found {msg.format!r}; record the topic that ends in /compressedDepth, or the raw one'
        )
        raise EncodingError(text)
    pixels = _rvl(packed) if 'rvl' in msg.format and not is_png else _png(packed)
    if encoding != '32FC1':
        depth = pixels / np.float32(1000)
    else:
        header = data[: _HEADER.itemsize].view(_HEADER)[0]
        with np.errstate(all='ignore'):
            depth = header['a'] / (pixels - header['b'])
    depth[~(np.isfinite(depth) & (depth > 0)) | (pixels == 0)] = np.nan
    return np.asarray(depth, np.float32)


def _png(packed: Bytes) -> NDArray[np.float32]:
    pixels = decode_pixels(packed, cv2.IMREAD_UNCHANGED) if is_whole(packed) else None
    if pixels is None or pixels.dtype != np.uint16 or pixels.ndim != 2:
        found = f'{packed.size} bytes' if pixels is None else f'{pixels.dtype} {pixels.shape}'
        text = f'expected a whole PNG of 16 bits a pixel, found {found}; is the recording damaged?'
        raise ImageError(text)
    return np.asarray(pixels, np.float32)


def _rvl(packed: Bytes) -> NDArray[np.float32]:
    """Decode RVL: runs of zeros and of differences between neighbours, in numbers of nibbles."""
    width, height = (int(n) for n in packed[:8].view('<u4')) if packed.size >= 8 else (0, 0)
    if not 0 < width * height <= _MOST_PIXELS:
        text = f'expected RVL of an image, found {packed.size} bytes of {width}x{height} pixels'
        raise ImageError(text)
    numbers = _numbers(packed[8 : packed.size - packed.size % 4].view('<u4'))
    differences = (numbers >> 1) ^ -(numbers & 1)
    pixels = np.zeros(width * height, np.int64)
    measured = np.zeros(width * height, bool)
    at = pixel = 0
    while pixel < pixels.size and at + 1 < numbers.size:
        zeros, count = numbers[at : at + 2]
        run = differences[at + 2 : at + 2 + count]
        end = pixel + zeros + count
        if run.size < count or end > pixels.size:
            break
        pixels[end - count : end] = run
        measured[end - count : end] = True
        at, pixel = at + 2 + count, end
    if pixel < pixels.size:
        text = f'expected RVL of {width}x{height} pixels, found {pixel} of them; is it damaged?'
        raise ImageError(text)
    pixels[measured] = np.cumsum(pixels[measured]) & 0xFFFF
    return pixels.reshape(height, width).astype(np.float32)


def _numbers(words: NDArray[np.uint32]) -> NDArray[np.int64]:
    """Read numbers of nibbles, lowest first: three bits, and one that says that more follow."""
    nibbles = (words[:, None] >> np.arange(28, -1, -4, dtype=np.uint32) & 15).ravel()
    ends = np.flatnonzero(nibbles < 8)
    starts = np.concatenate([[0], ends[:-1] + 1])[: ends.size]
    lengths = ends - starts + 1
    if lengths.max(initial=0) > _MOST_NIBBLES:
        kept = int(np.argmax(lengths > _MOST_NIBBLES))
        starts, lengths = starts[:kept], lengths[:kept]
    if not starts.size:
        return np.zeros(0, np.int64)
    used = nibbles[: lengths.sum()].astype(np.int64)
    places = np.arange(used.size) - np.repeat(starts, lengths)
    return np.add.reduceat((used & 7) << 3 * places, starts)

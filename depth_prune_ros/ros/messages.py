"""Messages the node publishes: depth, its colours and its points."""

from __future__ import annotations

from array import array
from functools import lru_cache
import sys
from typing import Any

import cv2
from depth_prune_ros.core.camera import Intrinsics
import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import Image
from sensor_msgs.msg import PointCloud2
from sensor_msgs.msg import PointField
from std_msgs.msg import Header

Float = NDArray[np.float32]
Bytes = NDArray[np.uint8]

LARGEST_MILLIMETRES = 65535
# Depth below this has one colour, whatever min_depth says: a logarithm needs a beginning.
NEAREST_COLOUR_M = 0.1


def depth_message(depth: Float, header: Header, encoding: str) -> Image:
    """
    Make a depth image (REP 118).

    :param depth: [H, W] metres, NaN = none
    :param header: goes out as it is
    :param encoding: 32FC1 keeps metres and NaN; 16UC1 is whole millimetres, 0 = none, and what
        16 bits cannot hold (beyond 65.535 m) is none as well
    """
    pixels = _millimetres(depth) if encoding == '16UC1' else np.ascontiguousarray(depth)
    return _image(pixels, header, encoding)


def preview_message(depth: Float, header: Header, min_depth_m: float, max_depth_m: float) -> Image:
    """
    Paint depth for people: red is near, blue far, on a logarithmic scale; black is none.

    :param depth: [H, W] metres, NaN = none
    :return: rgb8 [H, W]; the scale is fixed by the limits, so that colours do not flicker
    """
    near = max(min_depth_m, NEAREST_COLOUR_M)
    far = max(max_depth_m, 2 * near)
    farness = np.log(np.maximum(depth, near) / near) / np.log(far / near)
    shades = np.nan_to_num(255.0 - 254.0 * np.clip(farness, 0.0, 1.0), nan=0.0)
    return _image(_colours()[shades.astype(np.uint8)], header, 'rgb8')


def points_message(
    depth: Float,
    camera: Intrinsics,
    header: Header,
    *,
    colours: Bytes | None = None,
    stride: int = 1,
    max_range_m: float = np.inf,
) -> PointCloud2:
    """
    Lift a depth image to a cloud of its valid points alone, in the camera's optical frame.

    :param depth: [H, W] metres, NaN = none
    :param camera: of the depth image
    :param colours: uint8 [H, W, 3] RGB adds the field rgb
    :param stride: takes every so many-th pixel of every so many-th row
    :param max_range_m: metres from the camera; farther points are left out
    """
    x, y, length = _rays(camera, stride)
    z = depth[::stride, ::stride]
    keep = z * length <= max_range_m
    count = 3 if colours is None else 4
    points = np.empty((int(keep.sum()), count), np.float32)
    points[:, 2] = z[keep]
    points[:, 0] = x[keep] * points[:, 2]
    points[:, 1] = y[keep] * points[:, 2]
    if colours is not None:
        red, green, blue = colours[::stride, ::stride][keep].astype(np.uint32).T
        points[:, 3] = (red << 16 | green << 8 | blue).view(np.float32)
    names = ('x', 'y', 'z', 'rgb')[:count]
    fields = [
        PointField(name=name, offset=4 * at, datatype=PointField.FLOAT32, count=1)
        for at, name in enumerate(names)
    ]
    cloud = PointCloud2(header=header, height=1, width=len(points), fields=fields, is_dense=True)
    cloud.is_bigendian = sys.byteorder == 'big'
    cloud.point_step = 4 * count
    cloud.row_step = cloud.point_step * len(points)
    cloud.data = _data(points)
    return cloud


def limit_depth(depth: Float, min_depth_m: float, max_depth_m: float) -> Float:
    """Return the depth with NaN wherever it is outside [min_depth_m, max_depth_m]."""
    limited = depth.copy()
    limited[(depth < min_depth_m) | (depth > max_depth_m)] = np.nan
    return limited


def _image(pixels: NDArray[Any], header: Header, encoding: str) -> Image:
    message = Image(header=header, encoding=encoding)
    message.height, message.width = pixels.shape[:2]
    message.step = pixels.strides[0]
    message.is_bigendian = int(sys.byteorder == 'big')
    message.data = _data(pixels)
    return message


def _data(pixels: NDArray[Any]) -> array[int]:
    # An array('B') is taken as it is; any other buffer is checked byte by byte, 1000 times slower.
    data = array('B')
    data.frombytes(pixels.reshape(-1).view(np.uint8).data)
    return data


def _millimetres(depth: Float) -> NDArray[np.uint16]:
    scaled = np.rint(np.nan_to_num(depth, nan=0.0, posinf=0.0, neginf=0.0) * 1000.0)
    fits = (scaled >= 0) & (scaled <= LARGEST_MILLIMETRES)
    return np.where(fits, scaled, 0).astype(np.uint16)


@lru_cache(maxsize=1)
def _colours() -> Bytes:
    """Return the RGB [256, 3] of every shade; 0 is black."""
    bgr = cv2.applyColorMap(np.arange(256, dtype=np.uint8)[:, None], cv2.COLORMAP_TURBO)
    table = np.array(bgr[:, 0, ::-1], np.uint8)
    table[0] = 0
    return table


@lru_cache(maxsize=8)
def _rays(camera: Intrinsics, stride: int) -> tuple[Float, Float, Float]:
    """Return x, y and length [H / stride, W / stride] of every pixel's ray to depth 1."""
    u = np.arange(0, camera.width, stride, dtype=np.float32)[None]
    v = np.arange(0, camera.height, stride, dtype=np.float32)[:, None]
    x = (u - np.float32(camera.cx)) / np.float32(camera.fx)
    y = (v - np.float32(camera.cy)) / np.float32(camera.fy)
    x, y = np.broadcast_arrays(x, y)
    return x, y, np.sqrt(1.0 + x * x + y * y)

"""Messages the node publishes, and what it reads from a CameraInfo."""

from __future__ import annotations

from array import array
from copy import deepcopy
import sys

from depth_prune_ros.core.camera import Intrinsics
from depth_prune_ros.core.errors import CameraError
import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import CameraInfo
from sensor_msgs.msg import Image
from sensor_msgs.msg import RegionOfInterest
from std_msgs.msg import Header

Float = NDArray[np.float32]

LARGEST_MILLIMETRES = 65535


def depth_message(depth: Float, header: Header, encoding: str) -> Image:
    """
    Make a depth image (REP 118).

    :param depth: [H, W] metres, NaN = none
    :param header: goes out as it is
    :param encoding: 32FC1 keeps metres and NaN; 16UC1 is whole millimetres, 0 = none, and what
        16 bits cannot hold (beyond 65.535 m) is none as well
    """
    pixels = _millimetres(depth) if encoding == '16UC1' else np.ascontiguousarray(depth)
    message = Image(header=header, encoding=encoding)
    message.height, message.width = depth.shape
    message.step = pixels.strides[0]
    message.is_bigendian = int(sys.byteorder == 'big')
    # An array('B') is taken as it is; any other buffer is checked byte by byte, 1000 times slower.
    data = array('B')
    data.frombytes(pixels.data.cast('B'))
    message.data = data
    return message


def _millimetres(depth: Float) -> NDArray[np.uint16]:
    scaled = np.rint(np.nan_to_num(depth, nan=0.0, posinf=0.0, neginf=0.0) * 1000.0)
    fits = (scaled >= 0) & (scaled <= LARGEST_MILLIMETRES)
    return np.where(fits, scaled, 0).astype(np.uint16)


def limit_depth(depth: Float, min_depth_m: float, max_depth_m: float) -> Float:
    """Return the depth with NaN wherever it is outside [min_depth_m, max_depth_m]."""
    inside = (depth >= min_depth_m) & (depth <= max_depth_m)
    return np.where(inside, depth, np.float32(np.nan)).astype(np.float32, copy=False)


def intrinsics_of(info: CameraInfo) -> Intrinsics:
    """
    Read the intrinsics of the image a CameraInfo goes with.

    P counts, or K where P is zero; a region of interest is applied. Binning divides focal length
    and width alike, so the sizes stay those of the full resolution.

    :raises CameraError: the camera is not calibrated
    """
    p, k = info.p, info.k
    fx, fy, cx, cy = (p[0], p[5], p[2], p[6]) if p[0] > 0 else (k[0], k[4], k[2], k[5])
    x, y, width, height = _window(info)
    return Intrinsics(width, height, float(fx), float(fy), float(cx - x), float(cy - y))


def camera_info_message(info: CameraInfo, width: int, height: int) -> CameraInfo:
    """
    Rescale a CameraInfo to an image of another size; pixel (0, 0) has its centre at 0.

    K and P follow (with P's translation), D, R and the header stay. Region of interest and
    binning are worked into K and P, and reset.

    :raises CameraError: the camera has no size
    """
    x, y, old_width, old_height = _window(info)
    if not (old_width > 0 and old_height > 0):
        msg = (
            'expected a camera_info with width and height above 0, found '
            f'{old_width}x{old_height}; is the camera calibrated?'
        )
        raise CameraError(msg)
    to_new = _resize_matrix(width / old_width, height / old_height)
    to_new[:2, 2] -= to_new[[0, 1], [0, 1]] * (x, y)
    scaled = deepcopy(info)
    scaled.width, scaled.height = width, height
    scaled.binning_x, scaled.binning_y = 0, 0
    scaled.roi = RegionOfInterest()
    scaled.k = (to_new @ np.reshape(info.k, (3, 3))).ravel()
    scaled.p = (to_new @ np.reshape(info.p, (3, 4))).ravel()
    return scaled


def _resize_matrix(scale_x: float, scale_y: float) -> NDArray[np.float64]:
    """Take old pixel coordinates to new ones; the half keeps the image's corners in place."""
    shift_x, shift_y = 0.5 * scale_x - 0.5, 0.5 * scale_y - 0.5
    return np.array([[scale_x, 0.0, shift_x], [0.0, scale_y, shift_y], [0.0, 0.0, 1.0]])


def _window(info: CameraInfo) -> tuple[int, int, int, int]:
    """Return x, y, width, height of the image on the sensor, in unbinned pixels."""
    roi = info.roi
    if roi.width > 0 and roi.height > 0:
        return roi.x_offset, roi.y_offset, roi.width, roi.height
    return 0, 0, info.width, info.height

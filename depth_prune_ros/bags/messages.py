"""CameraInfo and PointCloud2 messages, of ROS 1 or 2, to the values a Frame is made of."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from depth_prune_ros.bags.topics import Topics
from depth_prune_ros.core.camera import Intrinsics
from depth_prune_ros.core.errors import BagError
from depth_prune_ros.core.errors import CameraError
from depth_prune_ros.core.errors import EncodingError
from depth_prune_ros.core.errors import ImageError
import numpy as np
from numpy.typing import NDArray

_DTYPES = {1: 'i1', 2: 'u1', 3: 'i2', 4: 'u2', 5: 'i4', 6: 'u4', 7: 'f4', 8: 'f8'}


def projection(info: Any) -> NDArray[np.float64]:
    """Return P [3, 4] of a CameraInfo's region of interest; [K | 0] where P is not filled in."""
    p = np.array(info.p if hasattr(info, 'p') else info.P, np.float64).reshape(3, 4)
    if p[0, 0] <= 0:
        k = np.asarray(info.k if hasattr(info, 'k') else info.K, np.float64).reshape(3, 3)
        p = np.hstack([k, np.zeros((3, 1))])
    if _has_region(info):
        p[:2] -= np.outer((info.roi.x_offset, info.roi.y_offset), p[2])
    return p


def _has_region(info: Any) -> bool:
    return bool(info.roi.width > 0 and info.roi.height > 0)


def intrinsics(info: Any, width: int, height: int) -> Intrinsics:
    """
    Return the intrinsics of an image of this size.

    :param info: CameraInfo; one for another size (a resized image) is scaled
    :raises CameraError: an uncalibrated camera
    """
    p = projection(info)
    part = info.roi if _has_region(info) else info
    camera = Intrinsics(
        width=part.width or width,
        height=part.height or height,
        fx=float(p[0, 0]),
        fy=float(p[1, 1]),
        cx=float(p[0, 2]),
        cy=float(p[1, 2]),
    )
    same = (camera.width, camera.height) == (width, height)
    return camera if same else camera.scaled(width, height)


def is_calibrated(info: Any) -> bool:
    """Tell whether a CameraInfo has intrinsics."""
    try:
        intrinsics(info, 1, 1)
    except CameraError:
        return False
    return True


def stereo_baseline_m(bag: Path, topics: Topics, left: Any, right: Any) -> float | None:
    """
    Return how far the right camera is from the left one; None where P has no distance.

    :param bag: for error messages
    :param left: CameraInfo of topics.left
    :param right: CameraInfo of topics.right
    :raises BagError: the right camera is to the left
    """
    ours, theirs = projection(left), projection(right)
    baseline_m = float((ours[0, 3] - theirs[0, 3]) / ours[0, 0]) if ours[0, 0] else 0.0
    if baseline_m < 0:
        msg = (
            f'{bag}: expected {topics.right} to the right of {topics.left}, found a baseline of '
            f'{baseline_m:.4f} m; swap the two'
        )
        raise BagError(msg)
    return baseline_m if baseline_m and math.isfinite(baseline_m) else None


def disparity_baseline_m(message: Any) -> float:
    """Return the baseline in a DisparityImage (ROS 1 calls it T)."""
    return float(message.t if hasattr(message, 't') else message.T)


def cloud_points(cloud: Any) -> NDArray[np.float32]:
    """
    Return the points of a PointCloud2 [N, 3], without those that have a NaN.

    :raises EncodingError: a cloud without x, y, z, or whose fields are of no known type or do not
        lie inside its points
    :raises ImageError: less data than it says
    """
    if not cloud.width or not cloud.height:
        return np.empty((0, 3), np.float32)
    dtype = _point_dtype(cloud)
    data = np.frombuffer(cloud.data, np.uint8)
    used = cloud.width * cloud.point_step
    if cloud.row_step < used or data.size < cloud.height * cloud.row_step:
        msg = (
            f'expected {cloud.height} rows of {cloud.width} points of '
            f'{cloud.point_step} bytes, found {data.size} bytes (row_step {cloud.row_step})'
        )
        raise ImageError(msg)
    rows = data[: cloud.height * cloud.row_step].reshape(cloud.height, cloud.row_step)
    points = np.ascontiguousarray(rows[:, :used]).reshape(-1).view(dtype)
    xyz = np.empty((points.size, 3), np.float32)
    for at, name in enumerate('xyz'):
        xyz[:, at] = points[name]
    finite = np.isfinite(xyz[:, 0]) & np.isfinite(xyz[:, 1]) & np.isfinite(xyz[:, 2])
    return xyz if finite.all() else xyz[finite]


def _point_dtype(cloud: Any) -> np.dtype[np.void]:
    """Return where x, y and z lie in a point, as a structured type."""
    fields = {f.name: f for f in cloud.fields if f.name in ('x', 'y', 'z')}
    if len(fields) != 3:
        names = ', '.join(f.name for f in cloud.fields)
        msg = f'expected a cloud with fields x, y, z, found {names or "none"}'
        raise EncodingError(msg)
    order = '>' if cloud.is_bigendian else '<'
    formats = []
    for name, field in fields.items():
        kind = _DTYPES.get(field.datatype)
        if kind is None:
            msg = f'expected x, y, z of datatype 1 to 8, found {field.datatype} for {name}'
            raise EncodingError(msg)
        if field.offset + int(kind[1]) > cloud.point_step:
            msg = (
                f'expected fields x, y, z inside points of {cloud.point_step} bytes, '
                f'found {name} at byte {field.offset}'
            )
            raise EncodingError(msg)
        formats.append(order + kind)
    return np.dtype(
        {
            'names': list(fields),
            'formats': formats,
            'offsets': [f.offset for f in fields.values()],
            'itemsize': cloud.point_step,
        }
    )

"""
Pinhole geometry: intrinsics, disparity, lidar projection, points.

Camera frames are optical frames (REP 103): x right, y down, z forward, metres.
A missing depth is NaN (REP 118). Disparities are fractions of the image width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from depth_prune_ros.core.errors import CameraError
import numpy as np
from numpy.typing import NDArray

# Points nearer than this are the car itself, or noise.
NEAREST_M = 0.1

Float = NDArray[np.float32]


@dataclass(frozen=True)
class Window:
    """A part of an image: the pixel of its upper left corner, and its size."""

    x: int
    y: int
    width: int
    height: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """Rows and columns, to index an image [H, W] with."""
        return slice(self.y, self.y + self.height), slice(self.x, self.x + self.width)


def centre_window(width: int, height: int, aspect: float) -> Window:
    """
    Find the largest part of an image that has an aspect ratio and the image's centre.

    :param width: of the image, pixels
    :param height: of the image, pixels
    :param aspect: width over height of the part
    :return: at least one pixel wide and high
    """
    wide = min(width, max(1, round(height * aspect)))
    high = min(height, max(1, round(width / aspect)))
    return Window((width - wide) // 2, (height - high) // 2, wide, high)


@dataclass(frozen=True)
class Intrinsics:
    """A rectified pinhole camera: size and projection in pixels, centre of pixel (0, 0) at 0."""

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float

    def __post_init__(self) -> None:
        """Refuse sizes and focal lengths that no camera has."""
        sizes = (self.width, self.height, self.fx, self.fy)
        if not all(np.isfinite(v) and v > 0 for v in sizes):
            msg = (
                'expected width, height, fx and fy above 0, found '
                f'{self.width}x{self.height}, fx {self.fx}, fy {self.fy}; calibrate the camera'
            )
            raise CameraError(msg)
        if not (np.isfinite(self.cx) and np.isfinite(self.cy)):
            msg = (
                f'expected a finite principal point, found cx {self.cx}, cy {self.cy}; '
                'calibrate the camera'
            )
            raise CameraError(msg)

    @property
    def fx_over_width(self) -> float:
        """Focal length as a fraction of the image width: what scales disparity to depth."""
        return self.fx / self.width

    @property
    def fy_over_height(self) -> float:
        """Focal length as a fraction of the image height."""
        return self.fy / self.height

    def scaled(self, width: int, height: int) -> Intrinsics:
        """Return the intrinsics of the same image resized to width x height pixels."""
        sx, sy = width / self.width, height / self.height
        return Intrinsics(
            width=width,
            height=height,
            fx=self.fx * sx,
            fy=self.fy * sy,
            cx=(self.cx + 0.5) * sx - 0.5,
            cy=(self.cy + 0.5) * sy - 0.5,
        )


def depth_from_disparity(disparity: Float, baseline_m: float, fx_over_width: float) -> Float:
    """
    Turn disparity into depth: baseline * (fx / width) / disparity.

    :param disparity: fractions of the image width, any shape
    :return: metres, float32, same shape; NaN where the disparity is not above 0
    """
    with np.errstate(divide='ignore', invalid='ignore'):
        depth = np.asarray(np.float32(baseline_m * fx_over_width) / disparity, np.float32)
    depth[~(disparity > 0)] = np.nan
    return depth


def disparity_from_depth(depth: Float, baseline_m: float, fx_over_width: float) -> Float:
    """Turn metres into fractions of the width; NaN where depth is not finite and above 0."""
    return depth_from_disparity(depth, baseline_m, fx_over_width)


def points_to_depth(points: Float, cam_T_points: NDArray[np.float64], camera: Intrinsics) -> Float:
    """
    Project points (lidar, say) into a camera as a sparse depth image.

    :param points: [N, 3] metres, in the points' own frame
    :param cam_T_points: [4, 4] takes the points' frame to the camera's optical frame
    :param camera: the camera they are seen by
    :return: [height, width] float32 metres, NaN where no point lands; the nearest point wins
    """
    depth = np.full(camera.height * camera.width, np.inf, np.float32)
    seen = _seen(points, cam_T_points, camera)
    xyz = _moved(points[seen].astype(np.float64), cam_T_points)
    u, v = (np.rint(at).astype(np.int64) for at in _pixels(xyz, camera))
    inside = (u >= 0) & (u < camera.width) & (v >= 0) & (v < camera.height)
    index = v[inside] * camera.width + u[inside]
    np.minimum.at(depth, index, xyz[2, inside].astype(np.float32))
    depth[np.isinf(depth)] = np.nan
    return depth.reshape(camera.height, camera.width)


def _moved(points: NDArray[Any], cam_T_points: NDArray[Any]) -> NDArray[Any]:
    """Return points [N, 3] in the camera's frame, as [3, N]."""
    # Not by @: the threads of BLAS wait for its next call busily, and take processors from others.
    x, y, z = points[:, :3].T
    rotation, translation = np.split(cam_T_points[:3].astype(points.dtype), [3], axis=1)
    moved: NDArray[Any] = rotation[:, :1] * x + rotation[:, 1:2] * y + rotation[:, 2:] * z
    moved += translation
    return moved


def _pixels(xyz: NDArray[Any], camera: Intrinsics) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the columns and rows where points [3, N] in the optical frame are seen."""
    x, y, z = xyz
    with np.errstate(divide='ignore', invalid='ignore', over='ignore'):
        return x / z * camera.fx + camera.cx, y / z * camera.fy + camera.cy


def _seen(
    points: Float, cam_T_points: NDArray[np.float64], camera: Intrinsics
) -> NDArray[np.bool_]:
    """Tell in single precision, a pixel wide of the image, what is worth a second look."""
    xyz = _moved(points, cam_T_points)
    u, v = _pixels(xyz, camera)
    seen: NDArray[np.bool_] = (u > -1.5) & (u < camera.width + 0.5) & (xyz[2] > NEAREST_M)
    seen &= (v > -1.5) & (v < camera.height + 0.5)
    return seen


def depth_to_points(depth: Float, camera: Intrinsics) -> Float:
    """Lift a depth image [H, W] (metres) to points [H, W, 3] in the optical frame."""
    v, u = np.indices(depth.shape, dtype=np.float32)
    x = (u - np.float32(camera.cx)) / np.float32(camera.fx) * depth
    y = (v - np.float32(camera.cy)) / np.float32(camera.fy) * depth
    return np.stack([x, y, depth], axis=-1)

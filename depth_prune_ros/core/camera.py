"""
Pinhole geometry: intrinsics, disparity, lidar projection, points.

Camera frames are optical frames (REP 103): x right, y down, z forward, metres.
A missing depth is NaN (REP 118). Disparities are fractions of the image width.
"""

from __future__ import annotations

from dataclasses import dataclass

from depth_prune_ros.core.errors import CameraError
import numpy as np
from numpy.typing import NDArray

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
    xyz = points.astype(np.float64) @ cam_T_points[:3, :3].T + cam_T_points[:3, 3]
    xyz = xyz[np.isfinite(xyz[:, 0] + xyz[:, 1] + xyz[:, 2]) & (xyz[:, 2] > 0.1)]
    u = np.rint(xyz[:, 0] / xyz[:, 2] * camera.fx + camera.cx)
    v = np.rint(xyz[:, 1] / xyz[:, 2] * camera.fy + camera.cy)
    inside = (u >= 0) & (u < camera.width) & (v >= 0) & (v < camera.height)
    index = (v[inside] * camera.width + u[inside]).astype(np.int64)
    np.minimum.at(depth, index, xyz[inside, 2].astype(np.float32))
    depth[np.isinf(depth)] = np.nan
    return depth.reshape(camera.height, camera.width)


def depth_to_points(depth: Float, camera: Intrinsics) -> Float:
    """Lift a depth image [H, W] (metres) to points [H, W, 3] in the optical frame."""
    v, u = np.indices(depth.shape, dtype=np.float32)
    x = (u - np.float32(camera.cx)) / np.float32(camera.fx) * depth
    y = (v - np.float32(camera.cy)) / np.float32(camera.fy) * depth
    return np.stack([x, y, depth], axis=-1)

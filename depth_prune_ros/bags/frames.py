"""Frames out of rosbags: what one moment of a camera has, whatever bag it came from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from depth_prune_ros.core.camera import Intrinsics


@dataclass(frozen=True)
class Frame:
    """
    One moment of a camera.

    :param stamp_ns: header stamp of the left image, nanoseconds
    :param left: uint8 [H, W, 3] RGB (grey cameras: three equal channels)
    :param camera: intrinsics of the left image
    :param right: uint8 [H, W, 3] RGB of the right camera at the same stamp, or None
    :param baseline_m: distance from the left to the right camera, or None
    :param depth: float32 [H, W] metres in the left camera, NaN = none; sparse from lidar, or a
        depth image; None where the bag has neither
    :param depth_source: 'lidar', 'depth' (a depth image topic) or None
    """

    stamp_ns: int
    left: NDArray[np.uint8]
    camera: Intrinsics
    right: NDArray[np.uint8] | None = None
    baseline_m: float | None = None
    depth: NDArray[np.float32] | None = None
    depth_source: str | None = None

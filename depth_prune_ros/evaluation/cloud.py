"""A picture of a point cloud, seen from behind the camera and above it."""

from __future__ import annotations

import cv2
from depth_prune_ros.core.camera import depth_to_points
from depth_prune_ros.core.camera import Intrinsics
from depth_prune_ros.core.images import resize_image
import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]
Bytes = NDArray[np.uint8]

# Of the eye, in the camera's optical frame: metres, and how far it looks down.
EYE_M = np.array([0.0, -5.0, -7.0], np.float32)
DOWN_RAD = 0.28
FARTHEST_M = 60.0
# Focal length over the picture's width: wide enough for what stands beside the camera.
FOCAL = 0.75
_BACKGROUND = np.array([28, 30, 34], np.float32)


def cloud_picture(
    image: Bytes, depth: Float, camera: Intrinsics, width: int = 640, height: int = 320
) -> Bytes:
    """
    Draw the points of a depth image in the image's colours.

    :param image: uint8 [H, W, 3] RGB, any size
    :param depth: [h, w] metres, NaN = none; what is farther than 60 m is left out
    :param camera: intrinsics of the image or of the depth
    :return: uint8 [height, width, 3] RGB
    """
    rows, columns = depth.shape
    colours = resize_image(image, columns, rows).reshape(-1, 3)
    points = depth_to_points(depth, camera.scaled(columns, rows)).reshape(-1, 3)
    known = np.isfinite(points).all(axis=1) & (points[:, 2] < FARTHEST_M)
    x, y, z = (points[known] - EYE_M).T
    sine, cosine = np.float32(np.sin(DOWN_RAD)), np.float32(np.cos(DOWN_RAD))
    y, z = y * cosine - z * sine, y * sine + z * cosine
    u = np.rint((x / z * FOCAL + 0.5) * width).astype(np.int64)
    v = np.rint(y / z * FOCAL * width + height / 2).astype(np.int64)
    seen = (u >= 0) & (u < width) & (v >= 0) & (v < height) & (z > 1)
    # From far to near, so that what is near covers what is behind.
    order = np.argsort(-z[seen], kind='stable')
    picture = np.zeros((height, width, 3), np.uint8)
    drawn = np.zeros((height, width), np.uint8)
    place = v[seen][order], u[seen][order]
    picture[place], drawn[place] = colours[known][seen][order], 1
    return _closed(picture, drawn)


def _closed(picture: Bytes, drawn: Bytes) -> Bytes:
    """Fill single gaps between points with their neighbours' mean colour."""
    box = (3, 3)
    together = cv2.boxFilter(picture.astype(np.float32), -1, box, normalize=False)
    count = cv2.boxFilter(drawn.astype(np.float32), -1, box, normalize=False)[..., None]
    filled = np.where(count >= 2, together / np.maximum(count, 1), _BACKGROUND)
    return np.where(drawn[..., None] > 0, picture, np.rint(filled).astype(np.uint8))

"""The camera at hand: what a CameraInfo says, moved to the image that is published."""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import replace
from functools import cached_property
from functools import lru_cache
from typing import Any

import cv2
from depth_prune_ros.core.camera import Intrinsics
from depth_prune_ros.core.camera import Window
from depth_prune_ros.core.errors import CameraError
import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import Header

Floats = tuple[float, ...]
Bytes = NDArray[np.uint8]

NO_ROTATION = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
FISHEYE = 'equidistant'
# Without a name it is OpenCV's model, which is plumb_bob and, with more numbers, the rational one.
_MODELS = ('', 'plumb_bob', 'rational_polynomial', FISHEYE)
_LENGTHS = (4, 5, 8, 12, 14)  # of a distortion that OpenCV takes
# Of K to P and of R to none: what rounding leaves, a hundredth of a pixel in a thousand.
_SAME = 1e-5


@dataclass(frozen=True)
class Calibration:
    """
    A CameraInfo as plain values, of an image whose pixel (0, 0) has its centre at 0.

    :param width: of the image, pixels
    :param height: of the image, pixels
    :param k: [3, 3] row by row: the raw image's camera matrix
    :param p: [3, 4] row by row: the rectified image's projection; K's where the camera gives none
    :param r: [3, 3] row by row: rotation from the raw to the rectified camera
    :param d: distortion of the raw image, as the model's name says
    :param distortion_model: plumb_bob, rational_polynomial or equidistant
    """

    width: int
    height: int
    k: Floats
    p: Floats
    r: Floats = NO_ROTATION
    d: Floats = ()
    distortion_model: str = ''

    @property
    def intrinsics(self) -> Intrinsics:
        """
        Read the rectified camera.

        :raises CameraError: the camera is not calibrated
        """
        p = self.p
        return Intrinsics(self.width, self.height, fx=p[0], fy=p[5], cx=p[2], cy=p[6])

    @cached_property
    def unrectified(self) -> bool:
        """Whether the raw image is another one than the rectified, by D, R, or K beside P."""
        if self.k[0] <= 0:
            return False
        mine, wanted = (*self.k, *self.r), (*self._flat, *NO_ROTATION)
        return any(self.d) or not np.allclose(mine, wanted, rtol=_SAME, atol=_SAME)

    def resized(self, width: int, height: int) -> Calibration:
        """Return the camera of the same image in another size; the corners stay in place."""
        scale_x, scale_y = width / self.width, height / self.height
        shift_x, shift_y = 0.5 * scale_x - 0.5, 0.5 * scale_y - 0.5
        moved = np.array([[scale_x, 0.0, shift_x], [0.0, scale_y, shift_y], [0.0, 0.0, 1.0]])
        return self._moved(moved, width, height)

    def cropped(self, part: Window) -> Calibration:
        """Return the camera of a part of the image."""
        moved = np.array([[1.0, 0.0, -part.x], [0.0, 1.0, -part.y], [0.0, 0.0, 1.0]])
        return self._moved(moved, part.width, part.height)

    def rectified(self) -> Calibration:
        """Return the camera of the rectified image, which has no distortion."""
        return replace(self, k=self._flat, r=NO_ROTATION, d=(0.0,) * len(self.d))

    def message(self, header: Header) -> CameraInfo:
        """Make a CameraInfo, with neither binning nor region of interest."""
        info = CameraInfo(header=header, width=self.width, height=self.height)
        info.distortion_model = self.distortion_model
        info.d, info.k, info.r, info.p = list(self.d), self.k, self.r, self.p
        return info

    @property
    def _flat(self) -> Floats:
        """Return the rectified image's camera matrix [3, 3], row by row."""
        p = self.p
        return (*p[0:3], *p[4:7], *p[8:11])

    def _moved(self, moved: NDArray[np.float64], width: int, height: int) -> Calibration:
        k = tuple((moved @ np.reshape(self.k, (3, 3))).ravel().tolist())
        p = tuple((moved @ np.reshape(self.p, (3, 4))).ravel().tolist())
        return replace(self, width=width, height=height, k=k, p=p)


def calibration_of(info: CameraInfo) -> Calibration:
    """
    Read a CameraInfo.

    :return: the camera of the images that go with it: its region of interest, binned
    :raises CameraError: the camera is not calibrated
    """
    roi = info.roi
    part = Window(0, 0, info.width, info.height)
    if roi.width > 0 and roi.height > 0:
        part = Window(roi.x_offset, roi.y_offset, roi.width, roi.height)
    k, p, r = (tuple(matrix.tolist()) for matrix in (info.k, info.p, info.r))
    whole = Calibration(
        width=info.width,
        height=info.height,
        k=k,
        # who takes the published camera_info reads P
        p=_projection(k) if p[0] <= 0 else p,
        r=r if any(r) else NO_ROTATION,
        d=tuple(info.d),
        distortion_model=info.distortion_model,
    )
    _check(whole)
    width, height = part.width // max(1, info.binning_x), part.height // max(1, info.binning_y)
    camera = whole.cropped(part).resized(width, height)
    _check(camera)
    return camera


def assumed_calibration(width: int, height: int, fx_over_width: float) -> Calibration:
    """Make up the camera of an image: square pixels, the principal point in its centre."""
    fx = fx_over_width * width
    k = (fx, 0.0, 0.5 * width - 0.5, 0.0, fx, 0.5 * height - 0.5, 0.0, 0.0, 1.0)
    return Calibration(width, height, k, _projection(k))


def rectify(image: Bytes, camera: Calibration) -> Bytes:
    """
    Bring an image from the raw to the rectified camera.

    :param image: uint8 [H, W] or [H, W, 3], raw
    :param camera: of that very size
    :return: uint8, of its shape; black where the raw image has nothing
    :raises CameraError: a distortion of an unknown model, or of other numbers than its model has
    """
    length, fisheye = len(camera.d), camera.distortion_model == FISHEYE
    if any(camera.d) and camera.distortion_model not in _MODELS:
        msg = (
            f'expected distortion_model {", ".join(_MODELS[1:-1])} or {FISHEYE}, '
            f'found {camera.distortion_model!r}; call it {FISHEYE} if its four numbers are '
            "OpenCV's fisheye model, else subscribe to image_rect and unset rectify"
        )
        raise CameraError(msg)
    if length and (length < _LENGTHS[0] if fisheye else length not in _LENGTHS):
        msg = f'expected a distortion of {_LENGTHS[0]} numbers or more, found {length}'
        raise CameraError(msg)
    columns, rows = _rectifying_maps(camera)
    return np.asarray(cv2.remap(image, columns, rows, cv2.INTER_LINEAR), np.uint8)


@lru_cache(maxsize=2)
def rectified_mask(camera: Calibration) -> Bytes:
    """
    Say how much of each rectified pixel the raw image holds.

    :param camera: the raw image's
    :return: uint8 [H, W]: 255 = all of it, 0 = nothing
    """
    return rectify(np.full((camera.height, camera.width), 255, np.uint8), camera)


@lru_cache(maxsize=8)
def _rectifying_maps(camera: Calibration) -> tuple[NDArray[Any], NDArray[Any]]:
    """Say for every rectified pixel where it lies in the raw image, as cv2.remap wants it."""
    fisheye = camera.distortion_model == FISHEYE
    make = cv2.fisheye.initUndistortRectifyMap if fisheye else cv2.initUndistortRectifyMap
    columns, rows = make(
        np.reshape(camera.k, (3, 3)),
        np.array(camera.d[:4] if fisheye else camera.d),
        np.reshape(camera.r, (3, 3)),
        np.reshape(camera.rectified().k, (3, 3)),
        (camera.width, camera.height),
        cv2.CV_16SC2,
    )
    return np.asarray(columns), np.asarray(rows)


def _projection(k: Floats) -> Floats:
    return (*k[0:3], 0.0, *k[3:6], 0.0, *k[6:9], 0.0)


def _check(camera: Calibration) -> None:
    if not np.isfinite([*camera.k, *camera.p, *camera.r, *camera.d]).all():
        msg = 'expected a camera_info of finite numbers, found others; is the camera calibrated?'
        raise CameraError(msg)
    # Makes Intrinsics, which refuses sizes and focal lengths that no camera has.
    _ = camera.intrinsics

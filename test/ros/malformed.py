"""Messages no driver should send, from a seeded random generator."""

from __future__ import annotations

from typing import Any

import cv2
from graph import camera_info
from graph import image_message
from graph import noise
import numpy as np
from sensor_msgs.msg import CameraInfo
from sensor_msgs.msg import CompressedImage
from sensor_msgs.msg import Image

ENCODINGS = (
    *('rgb8', 'bgr8', 'rgba8', 'mono8', 'mono16', 'rgb16', '8UC3', '16UC1', '32FC1'),
    *('bayer_rggb8', 'bayer_gbrg16', 'uyvy', 'yuv422_yuy2', 'nv21', '', 'ultraviolet7', 'rgb8 '),
)
SIZES = (0, 1, 2, 3, 7, 64, 1000, 65536, 2**31, 2**32 - 1)
NUMBERS = (float('nan'), float('inf'), 0.0, -1.0, 1e-300, 1e300, 50.0)


def malformed_image(random: np.random.Generator) -> Image:
    """Make an image of any encoding, size, step and amount of data."""
    if random.random() < 0.3:
        message = image_message(noise(64, 32))
        message.data = message.data[: int(random.integers(0, 64 * 32 * 3))]
        return message
    return Image(
        encoding=str(random.choice(ENCODINGS)),
        width=int(random.choice(SIZES)),
        height=int(random.choice(SIZES)),
        step=int(random.choice(SIZES)),
        is_bigendian=int(random.integers(0, 256)),
        data=random.bytes(int(random.integers(0, 3000))),
    )


def malformed_compressed(random: np.random.Generator) -> CompressedImage:
    """Make a jpeg or png that is cut short or damaged, or no image at all."""
    kind = str(random.choice(['jpeg', 'png']))
    data = bytearray(cv2.imencode(f'.{kind}', noise(64, 32))[1].tobytes())
    if random.random() < 0.5:
        del data[int(random.integers(0, len(data))) :]
    else:
        for at in random.integers(0, len(data), 20):
            data[at] = int(random.integers(0, 256))
    if random.random() < 0.2:
        data = bytearray(random.bytes(500))
    return CompressedImage(format=kind, data=bytes(data))


def malformed_camera(random: np.random.Generator) -> CameraInfo:
    """Make a calibration with numbers and sizes of no camera."""
    info: Any = camera_info(64, 32, 50.0)
    for name, length in (('k', 9), ('p', 12), ('r', 9), ('d', int(random.integers(0, 20)))):
        if random.random() < 0.5:
            setattr(info, name, random.choice(NUMBERS, length))
    info.width, info.height = (int(value) for value in random.choice(SIZES, 2))
    info.binning_x = int(random.choice(SIZES))
    info.roi.x_offset, info.roi.width = (int(value) for value in random.choice(SIZES, 2))
    info.roi.height = int(random.choice(SIZES))
    info.distortion_model = str(random.choice(['plumb_bob', 'equidistant', 'banana', '']))
    return info

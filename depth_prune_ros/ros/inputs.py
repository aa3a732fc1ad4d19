"""Camera messages to RGB images."""

from __future__ import annotations

from functools import lru_cache
from typing import Any
from typing import TypeAlias

from depth_prune_ros.core.errors import ImageError
from depth_prune_ros.core.images import compressed_to_rgb
from depth_prune_ros.core.images import image_to_rgb
from depth_prune_ros.core.images import RGB_ENCODINGS
import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import CompressedImage
from sensor_msgs.msg import Image

CameraImage: TypeAlias = 'Image | CompressedImage'
Bytes = NDArray[np.uint8]

IMAGE_TYPES: dict[str, type] = {'raw': Image, 'compressed': CompressedImage}


def read_image(message: CameraImage) -> Bytes:
    """
    Turn what the camera sent into RGB.

    Encodings that core.images does not know go through cv_bridge, where it imports.

    :return: uint8 [H, W, 3]; for rgb8 a view of the message's data
    :raises ImageError: an encoding nobody knows, or data that does not fit
    """
    if isinstance(message, CompressedImage):
        return compressed_to_rgb(message)
    if message.encoding in RGB_ENCODINGS:
        return image_to_rgb(message)
    return _by_cv_bridge(message)


@lru_cache(maxsize=1)
def find_cv_bridge() -> Any:
    """Return a CvBridge, None where it does not import; Python would search for it each time."""
    # Only now: beside a numpy it was not built for cv_bridge fails in ways of its own.
    try:
        from cv_bridge import CvBridge

        return CvBridge()
    except Exception:
        return None


def _by_cv_bridge(message: Image) -> Bytes:
    bridge = find_cv_bridge()
    if bridge is None:
        return image_to_rgb(message)  # raises, and names the encodings that work
    try:
        return np.asarray(bridge.imgmsg_to_cv2(message, 'rgb8'), np.uint8)
    except Exception as error:  # CvBridgeError, cv2.error, TypeError
        text = f'expected an image that cv_bridge reads, found {message.encoding!r}: {error}'
        raise ImageError(text) from error

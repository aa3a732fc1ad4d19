"""What the name of a topic says of its messages."""

from __future__ import annotations

import re

# What compressed_depth_image_transport adds to the name of a depth image.
PACKED_DEPTH = '/compressedDepth'
# Parts of a name that say camera also below one that says depth; colorized depth stays depth.
_CAMERA = re.compile(r'colou?r(?!ed|i)|rgb|left|right|infra|(^|_)ir\d?(_|$)')
# What this package's node publishes lies below its name.
_OURS = 'depth_node'


def is_kitti(topic: str) -> bool:
    """Tell whether a topic has a name that kitti2bag and bag kitti give."""
    return topic.startswith('/kitti/')


def predicts(topic: str, info: str | None) -> bool:
    """
    Tell whether a depth topic is what this package's node published, which measures nothing.

    :param info: its camera_info
    """
    return any(_OURS in name.split('/') for name in (topic, info or ''))


def names_depth(topic: str) -> bool:
    """
    Tell whether the name of an image topic says depth.

    The last part that says depth or camera decides: /depth_cam/color/image is a camera,
    /color/depth/image and /aligned_depth_to_color/image are depth.
    """
    for part in reversed(topic.removesuffix(PACKED_DEPTH).lower().split('/')):
        what = part.partition('_to_')[0]
        if 'depth' in what:
            return True
        if _CAMERA.search(what):
            return False
    return False

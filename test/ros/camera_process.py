"""A camera as a process: publishes a flat image and its calibration until it is killed."""

from __future__ import annotations

import sys
import time

from depth_prune_ros.ros.context import ros_context
from graph import camera_info
from graph import image_message
import numpy as np
import rclpy
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CameraInfo
from sensor_msgs.msg import Image


def main(width: int, height: int, level: int) -> None:
    """Publish images whose pixels all have one level, at 20 Hz, stamp = width."""
    with ros_context() as context:
        node = rclpy.create_node('camera', context=context)
        images = node.create_publisher(Image, 'image', QoSProfile(depth=1))
        infos = node.create_publisher(CameraInfo, 'camera_info', QoSProfile(depth=1))
        image = image_message(np.full((height, width, 3), level, np.uint8))
        info = camera_info(width, height, 50.0)
        image.header.stamp.sec = info.header.stamp.sec = width
        while True:
            infos.publish(info)
            images.publish(image)
            time.sleep(0.05)


if __name__ == '__main__':
    main(*(int(text) for text in sys.argv[1:]))

"""What the node publishes, each topic only for those who listen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from depth_prune_ros.ros.frame import DepthFrame
from depth_prune_ros.ros.messages import depth_message
from depth_prune_ros.ros.messages import points_message
from depth_prune_ros.ros.messages import preview_message
from depth_prune_ros.ros.parameters import DepthParameters
from depth_prune_ros.ros.quality import output_options
from rclpy.lifecycle import LifecycleNode
from rclpy.lifecycle import LifecyclePublisher
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CameraInfo
from sensor_msgs.msg import Image
from sensor_msgs.msg import PointCloud2
from std_msgs.msg import Header

Make = Callable[[DepthFrame, Header, DepthParameters], Any]


def _depth(frame: DepthFrame, header: Header, settings: DepthParameters) -> Image:
    return depth_message(frame.depth, header, settings.depth_encoding)


def _camera_info(frame: DepthFrame, header: Header, settings: DepthParameters) -> CameraInfo:
    return frame.placement.published.message(header)


def _points(frame: DepthFrame, header: Header, settings: DepthParameters) -> PointCloud2:
    return points_message(
        frame.depth,
        frame.placement.published.intrinsics,
        header,
        colours=frame.colours if settings.points_fields == 'xyzrgb' else None,
        stride=settings.points_stride,
        max_range_m=settings.points_max_range,
    )


def _preview(frame: DepthFrame, header: Header, settings: DepthParameters) -> Image:
    return preview_message(frame.depth, header, settings.min_depth, settings.max_depth)


# In the order they are published: depth before what takes longer to make.
TOPICS: dict[str, tuple[type, Make]] = {
    'depth': (Image, _depth),
    'camera_info': (CameraInfo, _camera_info),
    'points': (PointCloud2, _points),
    'preview': (Image, _preview),
}


class Outputs:
    """The node's publishers."""

    def __init__(self, node: LifecycleNode, mismatch: Callable[[str, str], None]) -> None:
        """
        Make the publishers, all of them or none.

        :param mismatch: called with topic and policy where a subscriber's QoS does not fit
        """
        self._node = node
        self._publishers: dict[str, LifecyclePublisher] = {}
        try:
            for name, (kind, _) in TOPICS.items():
                topic = f'~/{name}'
                options = output_options(topic, mismatch)
                self._publishers[name] = node.create_lifecycle_publisher(
                    kind, topic, QoSProfile(depth=1), **options
                )
        except Exception:
            self.destroy()
            raise

    @property
    def wanted(self) -> list[str]:
        """Return the topics somebody listens to."""
        return [name for name, pub in self._publishers.items() if pub.get_subscription_count()]

    def publish(
        self, frame: DepthFrame, header: Header, settings: DepthParameters, known: bool
    ) -> None:
        """
        Publish what is wanted.

        :param header: the image's, as it came
        :param known: whether the camera is; without one there is no camera_info
        """
        for name in self.wanted:
            if name != 'camera_info' or known:
                _, make = TOPICS[name]
                self._publishers[name].publish(make(frame, header, settings))

    def destroy(self) -> None:
        """Take the publishers away."""
        for publisher in self._publishers.values():
            self._node.destroy_lifecycle_publisher(publisher)
        self._publishers = {}

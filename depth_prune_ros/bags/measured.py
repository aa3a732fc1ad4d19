"""The depth that a bag measured for its left images: by a depth camera, or by lidar."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from depth_prune_ros.bags.messages import cloud_points
from depth_prune_ros.bags.oddities import Oddities
from depth_prune_ros.bags.reading import BagReader
from depth_prune_ros.bags.reading import decode
from depth_prune_ros.bags.reading import read_messages
from depth_prune_ros.bags.reading import Stamped
from depth_prune_ros.bags.topics import Topics
from depth_prune_ros.bags.transforms import StaticTransforms
from depth_prune_ros.bags.transforms import TOPIC as TF_STATIC
from depth_prune_ros.core.camera import Intrinsics
from depth_prune_ros.core.camera import points_to_depth
from depth_prune_ros.core.compressed_depth import message_to_depth
from depth_prune_ros.core.errors import BagError
import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Measured:
    """
    What was measured for one image: see the fields of Frame.

    :param depth: float32 [H, W] metres, or None
    :param source: 'depth', 'lidar' or None
    :param origin: which topic, in words
    """

    depth: NDArray[np.float32] | None = None
    source: str | None = None
    origin: str = ''


class MeasuredDepth:
    """Makes depth of the messages that belong to a left image."""

    def __init__(
        self, reader: BagReader, topics: Topics, oddities: Oddities, *, any_frame: bool
    ) -> None:
        """
        Read how lidar and camera are connected.

        :param any_frame: depth images count in whatever frame they are, not the left one's alone
        """
        self._reader = reader
        self._topics = topics
        self._oddities = oddities
        self._any_frame = any_frame
        self._had_points = False
        wanted = [TF_STATIC] if topics.lidar else []
        self._transforms = StaticTransforms(read_messages(reader.bag, reader, wanted))

    def of(self, left: Stamped, others: Mapping[str, Stamped], camera: Intrinsics) -> Measured:
        """
        Return the depth of an image: a depth image's, else the lidar's.

        :param others: topic -> message that belongs to the left image
        :raises BagError: nothing connects the lidar with the camera
        :raises EncodingError: its first cloud is of a layout that nothing here reads
        """
        image = others.get(self._topics.depth or '')
        depth = None if image is None else self._of_image(left, image, camera)
        if image is not None and depth is not None:
            return Measured(depth, 'depth', image.topic)
        cloud = others.get(self._topics.lidar or '')
        return Measured() if cloud is None else self._of_cloud(left, cloud, camera)

    def _of_cloud(self, left: Stamped, cloud: Stamped, camera: Intrinsics) -> Measured:
        frames = left.message.header.frame_id, cloud.message.header.frame_id
        cam_T_lidar = self._transforms.lookup(*frames, left.bag_ns)
        if cam_T_lidar is None:
            msg = (
                f'{self._reader.bag}: expected {TF_STATIC} to connect {frames[1]!r} '
                f'({cloud.topic}) with {frames[0]!r} ({left.topic}), found no chain; record '
                f'{TF_STATIC}, or leave the lidar out'
            )
            raise BagError(msg)
        points = self._points(cloud)
        if points is None:
            return Measured()
        depth = points_to_depth(points, cam_T_lidar, camera)
        return Measured(depth, 'lidar', f'lidar {cloud.topic}')

    def _points(self, cloud: Stamped) -> NDArray[np.float32] | None:
        points = decode(self._reader, cloud, cloud_points, first=not self._had_points)
        self._had_points = self._had_points or (points is not None and points.size > 0)
        return points

    def _of_image(
        self, left: Stamped, image: Stamped, camera: Intrinsics
    ) -> NDArray[np.float32] | None:
        """Return the depth [H, W] of an image that is whole and registered to the left one."""
        theirs, ours = (found.message.header.frame_id for found in (image, left))
        if not self._any_frame and theirs != ours:
            self._leave_out(f'in {theirs!r} are not registered to those in {ours!r}')
            return None
        depth = decode(self._reader, image, message_to_depth)
        if depth is None or depth.shape == (camera.height, camera.width):
            return depth
        size, wanted = f'{depth.shape[1]}x{depth.shape[0]}', f'{camera.width}x{camera.height}'
        self._leave_out(
            f'of {size} in {theirs!r} are not registered to those of {wanted} in {ours!r}'
        )
        return None

    def _leave_out(self, which: str) -> None:
        text = f'depth images {which} and are left out'
        self._oddities.unfit(self._topics.depth or '', text)

"""
Render the bags of docs/own_robot.md: what a RealSense records, and what a stereo camera records.

    python docs/own_robot_bags.py bags

bags/yard and bags/hall: a colour camera with depth aligned to it, as realsense2_camera names them
(a wide lens and a narrow one). bags/street and bags/drive: a stereo pair, street with a lidar.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from depth_prune_ros.bags.street import render_street
from depth_prune_ros.bags.street import Street
from depth_prune_ros.bags.street import StreetFrame
from depth_prune_ros.bags.transforms import Transform
from depth_prune_ros.bags.write import BagWriter
from depth_prune_ros.core.camera import Intrinsics
import numpy as np

RGBD_RANGE_M = 10.0


@dataclass(frozen=True)
class RobotStreet(Street):
    """
    A street seen by a camera of the robot's own.

    :param fx_over_width: focal length as a fraction of the image width
    """

    fx_over_width: float = 0.58

    @property
    def camera(self) -> Intrinsics:
        """Intrinsics of both eyes: square pixels, the axis in the middle."""
        focal = self.fx_over_width * self.width
        middle = (self.width - 1) / 2, (self.height - 1) / 2
        return Intrinsics(self.width, self.height, focal, focal, *middle)


def write_rgbd(bag: Path, street: Street) -> None:
    """Write what an RGB-D camera records: colour, depth aligned to it, intrinsics."""
    frame_id, colour = 'camera_color_optical_frame', '/camera/camera/color'
    with BagWriter(bag) as writer:
        for frame in render_street(street):
            writer.camera_info(f'{colour}/camera_info', frame.stamp_ns, frame_id, frame.camera)
            writer.image(f'{colour}/image_raw', frame.stamp_ns, frame_id, frame.left)
            near = np.where(frame.depth < RGBD_RANGE_M, frame.depth, np.float32(np.nan))
            topic = '/camera/camera/aligned_depth_to_color/image_raw'
            writer.image(topic, frame.stamp_ns, frame_id, near)


def write_stereo(bag: Path, street: Street, *, lidar: bool) -> None:
    """Write what a rectified stereo camera records, and a lidar with where it sits."""
    with BagWriter(bag) as writer:
        for number, frame in enumerate(render_street(street)):
            if lidar and not number:
                writer.tf_static(frame.stamp_ns, [_mount(frame)])
            tx = -frame.camera.fx * frame.baseline_m
            for side, image, offset in (('left', frame.left, 0.0), ('right', frame.right, tx)):
                name = f'/stereo/{side}'
                info = (frame.stamp_ns, 'stereo_left', frame.camera, offset)
                writer.camera_info(f'{name}/camera_info', *info)
                writer.image(f'{name}/image_rect', frame.stamp_ns, 'stereo_left', image)
            if lidar:
                writer.points('/lidar/points', frame.stamp_ns, 'lidar', frame.points)


def _mount(frame: StreetFrame) -> Transform:
    lidar_T_camera = np.linalg.inv(frame.camera_T_velo).astype(np.float64)
    return Transform('lidar', 'stereo_left', lidar_T_camera)


def main() -> None:
    """Render the four bags."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument('folder', type=Path)
    parser.add_argument('--frames', type=int, default=30)
    parser.add_argument('--width', type=int, default=640)
    asked = parser.parse_args()
    rgbd = {'frames': asked.frames, 'width': asked.width, 'height': asked.width * 3 // 4}
    pair = {'frames': asked.frames, 'width': asked.width, 'height': asked.width // 2}
    slow = {'speed_m_s': 2.0, 'height_m': 0.6}
    write_rgbd(asked.folder / 'yard', RobotStreet(seed=1, fx_over_width=0.72, **slow, **rgbd))
    write_rgbd(asked.folder / 'hall', RobotStreet(seed=2, fx_over_width=0.95, **slow, **rgbd))
    drive = RobotStreet(seed=3, fx_over_width=0.58, baseline_m=0.12, **pair)
    write_stereo(asked.folder / 'drive', drive, lidar=False)
    street = RobotStreet(seed=4, fx_over_width=0.5, baseline_m=0.3, **pair)
    write_stereo(asked.folder / 'street', street, lidar=True)


if __name__ == '__main__':
    main()

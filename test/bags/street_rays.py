"""Single rays into a rendered street, and the way from its cameras into its world."""

from __future__ import annotations

from depth_prune_ros.bags.street import Renderer
from depth_prune_ros.bags.street_render import Bounds
from depth_prune_ros.bags.street_render import cast
from depth_prune_ros.bags.street_render import GridRays
from depth_prune_ros.bags.street_render import Hits
from depth_prune_ros.bags.street_render import Pose
from depth_prune_ros.bags.street_render import Select
from depth_prune_ros.core.camera import Intrinsics
import numpy as np


class PixelRays(GridRays):
    """Rays through any pixels, in a row, that keep no order: nothing is ever ruled out."""

    def __init__(self, camera: Intrinsics, uv: np.ndarray) -> None:
        """Take pixel coordinates [2, N], fractions welcome."""
        u, v = (uv[0] - camera.cx) / camera.fx, (uv[1] - camera.cy) / camera.fy
        super().__init__(u.astype(np.float32)[None], v.astype(np.float32)[None])

    def select(self, bounds: Bounds) -> Select:
        """Return the whole row."""
        return slice(0, 1), slice(0, self.u.shape[1])


def cast_pixels(renderer: Renderer, pose: Pose, time_s: float, uv: np.ndarray) -> Hits:
    """Return what rays through pixels [2, N] meet."""
    rays = PixelRays(renderer.street.camera, uv)
    return cast(renderer.world.scene, pose, time_s, rays, renderer.holes)


def to_world(pose: Pose, points: np.ndarray) -> np.ndarray:
    """Take points [N, 3] of a pose's optical frame to the street's: x right, y up, z along."""
    moved: np.ndarray = points @ pose.rotation.T + pose.origin
    return moved

"""The lidar of the rendered street: 64 beams cast from their own place, as on KITTI's car."""

from __future__ import annotations

from depth_prune_ros.bags.street_render import cast
from depth_prune_ros.bags.street_render import GridRays
from depth_prune_ros.bags.street_render import Pose
from depth_prune_ros.bags.street_shapes import Float
from depth_prune_ros.bags.street_shapes import Scene
from depth_prune_ros.bags.street_textures import Array
import numpy as np

RANGE_M = 80.0
NOISE_M = 0.02
LOST = 0.02  # share of beams that come back without an echo
OPTICAL_R_BODY = np.array([[0.0, -1, 0], [0, 0, -1], [1, 0, 0]])  # REP 103


def lidar_mount() -> Float:
    """Return camera_T_velo [4, 4]: 8 cm above and 27 cm behind the left eye, a little askew."""
    yaw, pitch = 0.0075, 0.0148
    c, s = np.cos(yaw), np.sin(yaw)
    about_z = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
    c, s = np.cos(pitch), np.sin(pitch)
    about_y = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
    out = np.eye(4)
    out[:3, :3] = OPTICAL_R_BODY @ about_z @ about_y
    out[:3, 3] = (0.0, -0.08, -0.27)
    return out


def scan(
    scene: Scene, camera: Pose, time_s: float, holes: Array, rng: np.random.Generator
) -> Array:
    """
    Return the points that the lidar measures ahead.

    :param camera: where the left eye is
    :param holes: noise that frays leaves
    :param rng: range noise, lost echoes, intensities
    :return: [N, 4] float32 x forward, y left, z up (metres), intensity 0 to 1
    """
    mount = lidar_mount()
    origin = camera.origin + camera.rotation @ mount[:3, 3]
    rotation = camera.rotation @ mount[:3, :3] @ OPTICAL_R_BODY.T
    azimuth = np.radians(np.arange(-45.0, 45.0, 0.18))
    elevation = np.radians(np.linspace(2.0, -24.8, 64))
    u = np.tan(azimuth).astype(np.float32)[None]
    v = (-np.tan(elevation)[:, None] / np.cos(azimuth)).astype(np.float32)
    hits = cast(scene, Pose(origin, rotation), time_s, GridRays(u, v), holes)
    rays = np.stack([np.broadcast_to(u, v.shape), v, np.ones_like(v)], axis=-1).astype(np.float64)
    stretch = np.linalg.norm(rays, axis=-1)
    distance = hits.depth() * stretch
    measured = distance + rng.normal(0, NOISE_M, distance.shape)
    keep = (distance < RANGE_M) & (rng.random(distance.shape) > LOST)
    xyz = (rays * (measured / stretch)[..., None])[keep] @ OPTICAL_R_BODY
    tints = np.array([np.mean(k.tint) for k in scene.looks])
    bright = 0.5 * tints[hits.face[keep]] + rng.normal(0, 0.05, len(xyz))
    points = np.concatenate([xyz, np.clip(bright, 0, 0.99)[:, None]], axis=1)
    return points.astype(np.float32)

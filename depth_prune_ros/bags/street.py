"""
A rendered street with exact stereo, lidar and depth: frames and a bag without any data at hand.

    street_to_bag(Path('street'), Street(seed=1))

The camera is KITTI's: 721.5377 px at 1242x375, 1.65 m above the road, the right eye 0.54 m beside
the left one. The same `Street` always gives the same frames.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from depth_prune_ros.bags.street_lidar import lidar_mount
from depth_prune_ros.bags.street_lidar import scan
from depth_prune_ros.bags.street_light import make_light
from depth_prune_ros.bags.street_light import shadow_layer
from depth_prune_ros.bags.street_light import shadow_length
from depth_prune_ros.bags.street_render import cast
from depth_prune_ros.bags.street_render import edges
from depth_prune_ros.bags.street_render import GridRays
from depth_prune_ros.bags.street_render import ListRays
from depth_prune_ros.bags.street_render import Pose
from depth_prune_ros.bags.street_scene import lay_out
from depth_prune_ros.bags.street_shade import Shader
from depth_prune_ros.bags.street_shade import World
from depth_prune_ros.bags.street_textures import Array
from depth_prune_ros.bags.street_textures import fractal
from depth_prune_ros.bags.transforms import Transform
from depth_prune_ros.bags.write import BagWriter
from depth_prune_ros.core.camera import Intrinsics
from depth_prune_ros.core.errors import ConfigError
import numpy as np
from numpy.typing import NDArray

KITTI_CAMERA = Intrinsics(
    width=1242, height=375, fx=721.5377, fy=721.5377, cx=609.5593, cy=172.854
)
START_NS = 1_317_000_000_000_000_000
SUBSAMPLES = ((-0.125, -0.375), (0.375, -0.125), (0.125, 0.375), (-0.375, 0.125))


@dataclass(frozen=True)
class Street:
    """
    What to render.

    :param seed: which street: layout, colours, weather, traffic
    :param frames: how many moments
    :param width: pixels; KITTI's camera is scaled to this size
    :param height: pixels
    :param speed_m_s: how fast the camera drives
    :param rate_hz: moments per second
    :param baseline_m: from the left to the right eye
    :param pitch_rad: how far the camera looks down; None draws it, with a little rocking
    :param height_m: camera above the road; None draws it around 1.65
    """

    seed: int = 0
    frames: int = 60
    width: int = 960
    height: int = 288
    speed_m_s: float = 8.0
    rate_hz: float = 10.0
    baseline_m: float = 0.54
    pitch_rad: float | None = None
    height_m: float | None = None

    def __post_init__(self) -> None:
        """Refuse streets that cannot be rendered."""
        if min(self.frames, self.width - 15, self.height - 15) < 1 or self.seed < 0:
            msg = (
                'expected at least 1 frame of at least 16x16 pixels and a seed from 0, found '
                f'{self.frames} frames of {self.width}x{self.height}, seed {self.seed}'
            )
            raise ConfigError(msg)
        if not (self.rate_hz > 0 and self.baseline_m > 0):
            msg = (
                'expected rate_hz and baseline_m above 0, found '
                f'{self.rate_hz} and {self.baseline_m}'
            )
            raise ConfigError(msg)
        if not np.isfinite(self.speed_m_s):
            msg = f'expected a speed in metres per second, found {self.speed_m_s}'
            raise ConfigError(msg)

    @property
    def camera(self) -> Intrinsics:
        """Intrinsics of both eyes."""
        return KITTI_CAMERA.scaled(self.width, self.height)


@dataclass(frozen=True)
class StreetFrame:
    """
    One rendered moment.

    :param stamp_ns: nanoseconds
    :param left: uint8 [H, W, 3] RGB
    :param right: uint8 [H, W, 3] RGB
    :param depth: float32 [H, W] exact metres along the left optical axis, NaN = sky
    :param points: float32 [N, 4] lidar: x forward, y left, z up (metres), intensity 0 to 1
    :param camera: intrinsics of both eyes
    :param baseline_m: from the left to the right eye
    :param camera_T_velo: [4, 4] takes lidar points to the left optical frame
    """

    stamp_ns: int
    left: NDArray[np.uint8]
    right: NDArray[np.uint8]
    depth: NDArray[np.float32]
    points: NDArray[np.float32]
    camera: Intrinsics
    baseline_m: float
    camera_T_velo: NDArray[np.float64]  # noqa: N815 - both frames are in the name


class Renderer:
    """A street that is laid out, painted and ready to be looked at from anywhere."""

    def __init__(self, street: Street) -> None:
        """Build the street."""
        rng = np.random.default_rng([street.seed, 7])
        self.street = street
        length = 190.0 + street.frames * abs(street.speed_m_s) / street.rate_hz
        scene, road, movers, atlas = lay_out(rng, length, street.speed_m_s)
        light = make_light(rng)
        dapple = fractal(rng, 256, 256, 1.0, 6.0)
        shadow_m = shadow_length(length)
        atlas.add('shadow', shadow_layer(scene, light, dapple, shadow_m))
        self.holes = fractal(rng, 128, 128, 0.75, 3.0)
        self.world = World(
            scene, road, tuple(movers), light, atlas.build(), atlas.numbers(), shadow_m
        )
        self._drift = rng.uniform(0, 2 * np.pi, 3)
        self._height = rng.normal(1.65, 0.03) if street.height_m is None else street.height_m
        self._pitch = rng.normal(0.0, 0.012)

    def pose(self, time_s: float) -> Pose:
        """Return the left eye at a time: it drives along its lane, swaying a little."""
        a, b, c = self._drift
        yaw = 0.006 * np.sin(0.7 * time_s + a)
        if self.street.pitch_rad is None:
            pitch = self._pitch + 0.0025 * np.sin(5.1 * time_s + b)
        else:
            pitch = self.street.pitch_rad
        x = self.world.road.lane_m / 2 + 0.12 * np.sin(0.5 * time_s + c)
        right = np.array([np.cos(yaw), 0.0, -np.sin(yaw)])
        up = np.array([np.sin(yaw) * np.sin(pitch), np.cos(pitch), np.cos(yaw) * np.sin(pitch)])
        level = np.cos(pitch)
        ahead = np.array([np.sin(yaw) * level, -np.sin(pitch), np.cos(yaw) * level])
        origin = np.array([x, self._height, self.street.speed_m_s * time_s])
        return Pose(origin, np.stack([right, -up, ahead], axis=1))

    def beside(self, pose: Pose) -> Pose:
        """Return the right eye of a left one."""
        return Pose(pose.origin + self.street.baseline_m * pose.rotation[:, 0], pose.rotation)

    def look(self, pose: Pose, time_s: float) -> tuple[NDArray[np.uint8], Array]:
        """Render one eye: uint8 [H, W, 3] RGB and exact depth [H, W] in metres, NaN = sky."""
        camera = self.street.camera
        u = ((np.arange(camera.width) - camera.cx) / camera.fx).astype(np.float32)[None]
        v = ((np.arange(camera.height) - camera.cy) / camera.fy).astype(np.float32)[:, None]
        grid = GridRays(u, v)
        hits = cast(self.world.scene, pose, time_s, grid, self.holes)
        shader = Shader(self.world, pose, time_s, 1 / camera.fx)
        edge = edges(hits.face, len(self.world.scene.normals))
        full_u, full_v = np.broadcast_to(u, edge.shape), np.broadcast_to(v, edge.shape)
        image = np.empty((*edge.shape, 3), np.float32)
        flat = ~edge
        image[flat] = shader.colours(
            full_u[flat], full_v[flat], hits.inverse[flat], hits.face[flat]
        )
        taps = np.array(SUBSAMPLES, np.float32)[:, :, None] / np.float32(camera.fx)
        rays = ListRays(full_u[edge] + taps[:, 0], full_v[edge] + taps[:, 1], grid, edge)
        fine = cast(self.world.scene, pose, time_s, rays, self.holes)
        colours = shader.colours(
            rays.u.ravel(), rays.v.ravel(), fine.inverse.ravel(), fine.face.ravel()
        )
        image[edge] = colours.reshape(*rays.shape, 3).mean(axis=0)
        return np.rint(image).astype(np.uint8), hits.depth()

    def scan(self, pose: Pose, time_s: float) -> Array:
        """Return the lidar's points [N, 4] ahead of a left eye."""
        rng = np.random.default_rng([self.street.seed, 11, round(time_s * 1e6)])
        return scan(self.world.scene, pose, time_s, self.holes, rng)


def street_to_bag(
    bag: Path,
    street: Street,
    *,
    storage: str = 'mcap',
    images: str = 'raw',
    notes: Mapping[str, str] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """
    Render a street into a bag with the topics and frames of kitti2bag, and exact depth.

    :param bag: folder to make; nothing is left of it when rendering fails
    :param street: what to render
    :param storage: 'mcap' or 'sqlite3'
    :param images: 'raw', 'jpeg' or 'png'
    :param notes: what else to leave in the bag's metadata
    :param progress: called with (frames done, frames in total)
    :raises BagError: a bag that exists already, an unknown storage or kind of images
    """
    with BagWriter(bag, storage=storage, images=images) as writer:
        for key, text in (notes or {}).items():
            writer.note(key, text)
        for done, frame in enumerate(render_street(street), start=1):
            if done == 1:
                writer.tf_static(frame.stamp_ns, _transforms(frame))
            _write_frame(writer, frame)
            if progress:
                progress(done, street.frames)


def _transforms(frame: StreetFrame) -> list[Transform]:
    """Return imu_link -> velo_link -> both optical frames."""
    imu_T_velo, left_T_right = np.eye(4), np.eye(4)
    imu_T_velo[:3, 3] = (0.81, -0.32, 0.80)
    left_T_right[0, 3] = frame.baseline_m
    velo_T_left = np.linalg.inv(frame.camera_T_velo).astype(np.float64)
    return [
        Transform('imu_link', 'velo_link', imu_T_velo),
        Transform('velo_link', 'camera_color_left', velo_T_left),
        Transform('velo_link', 'camera_color_right', velo_T_left @ left_T_right),
    ]


def _write_frame(writer: BagWriter, frame: StreetFrame) -> None:
    """Write one moment, all with the same stamp."""
    stamp = frame.stamp_ns
    tx = -frame.camera.fx * frame.baseline_m
    for side, image, offset in (('left', frame.left, 0.0), ('right', frame.right, tx)):
        name = f'camera_color_{side}'
        writer.camera_info(f'/kitti/{name}/camera_info', stamp, name, frame.camera, offset)
        writer.image(f'/kitti/{name}/image_raw', stamp, name, image)
    writer.image('/kitti/camera_color_left/depth', stamp, 'camera_color_left', frame.depth)
    writer.points('/kitti/velo/pointcloud', stamp, 'velo_link', frame.points)


def render_street(street: Street) -> Iterator[StreetFrame]:
    """Render a street moment by moment."""
    renderer = Renderer(street)
    for i in range(street.frames):
        time_s = i / street.rate_hz
        pose = renderer.pose(time_s)
        left, depth = renderer.look(pose, time_s)
        right, _ = renderer.look(renderer.beside(pose), time_s)
        yield StreetFrame(
            stamp_ns=START_NS + round(i * 1_000_000_000 / street.rate_hz),
            left=left,
            right=right,
            depth=depth,
            points=renderer.scan(pose, time_s),
            camera=street.camera,
            baseline_m=street.baseline_m,
            camera_T_velo=lidar_mount(),
        )

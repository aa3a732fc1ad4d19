"""Daylight of a rendered street: sun, sky, haze, and the shadows on the ground."""

from __future__ import annotations

from dataclasses import dataclass

from depth_prune_ros.bags.street_paint import smooth_step
from depth_prune_ros.bags.street_shapes import Float
from depth_prune_ros.bags.street_shapes import Place
from depth_prune_ros.bags.street_shapes import Scene
from depth_prune_ros.bags.street_textures import Array
from depth_prune_ros.bags.street_textures import Rng
import numpy as np
from numpy.typing import NDArray

SHADOW_START_M = (-16.0, -8.0)  # x and z where the shadow layer begins
SHADOW_WIDE_M = 32.0
TEXELS_PER_M = 8
KERB_M = 0.3  # what is lower than this casts no shadow


@dataclass(frozen=True)
class Light:
    """
    The weather of one street.

    :param direction: [3] unit vector towards the sun
    :param strength: brightness of direct sun; strength_sky: of the sky
    :param haze: [3] colour of the horizon; zenith: [3] colour of the sky above
    :param haze_m: distance at which 63 % of a colour is haze
    :param clear: share of clear sky; cloud: brightness of clouds; cloud_shift: which clouds
    :param asphalt: brightness of the asphalt
    """

    direction: Float
    strength: float
    strength_sky: float
    sun_tint: Array
    sky_tint: Array
    haze: Array
    zenith: Array
    haze_m: float
    clear: float
    cloud: float
    cloud_shift: float
    asphalt: float

    def on(self, normals: Float) -> tuple[Array, Array]:
        """Return what sky and sun add to faces of given normals: two [F, 3]."""
        n = normals.astype(np.float32)
        sky = (0.78 + 0.22 * n[:, 1:2]) * self.strength_sky * self.sky_tint
        sun = np.maximum(n @ self.direction.astype(np.float32), 0)[:, None]
        return sky.astype(np.float32), (sun * self.sun_tint * self.strength).astype(np.float32)


def make_light(rng: Rng) -> Light:
    """Draw the weather: from overcast to a low sun."""
    overcast = float(np.clip(rng.normal(0.3, 0.3), 0, 0.85))
    high, around = np.radians(rng.uniform(28, 60)), rng.uniform(0, 2 * np.pi)
    direction = np.array(
        [np.cos(high) * np.sin(around), np.sin(high), np.cos(high) * np.cos(around)]
    )
    warm, grey = rng.uniform(0, 0.1), np.array([222.0, 226, 228])
    blue = np.array([88.0, 146, 205]) + rng.normal(0, 8, 3)
    return Light(
        direction=direction,
        strength=1.0 * (1 - overcast) ** 0.7,
        strength_sky=0.50 + 0.34 * overcast,
        sun_tint=np.array([1.05 + warm, 1.0, 0.92 - warm], np.float32),
        sky_tint=np.array([0.95, 1.0, 1.08], np.float32),
        haze=(np.array([216.0, 225, 230]) + rng.normal(0, 5, 3)).astype(np.float32),
        zenith=(blue * (1 - overcast) + grey * overcast).astype(np.float32),
        haze_m=float(rng.uniform(250, 700)),
        clear=float(0.75 - 0.7 * overcast - rng.uniform(0, 0.25)),
        cloud=float(rng.uniform(0.93, 1.03)),
        cloud_shift=float(rng.uniform(0, 1)),
        asphalt=float(rng.uniform(0.72, 1.05)),
    )


def mover_shadow(
    light: Light, mover: Place, time_s: float, x: Array, z: Array
) -> tuple[Array, Array]:
    """Return how much sun and how much sky a moving car leaves to points of the ground."""
    dx, dz = x - np.float32(mover.x), z - np.float32(mover.z + mover.speed * time_s)
    lean = (light.direction / light.direction[1] * 0.45).astype(np.float32)
    sun = _soft_box(
        dx + lean[0], dz + lean[2], (0.85 + abs(float(lean[0])), 2.0 + abs(float(lean[2])), 0.22)
    )
    return 1 - sun, 1 - np.float32(0.82) * _soft_box(dx, dz, (0.85, 2.1, 0.4))


def _soft_box(x: Array, z: Array, half: tuple[float, float, float]) -> Array:
    """Return 1 inside a rectangle, 0 outside, with an edge of half[2] metres."""
    soft = np.float32(half[2])
    across = smooth_step((np.float32(half[0]) - np.abs(x)) / soft + np.float32(0.5))
    along = smooth_step((np.float32(half[1]) - np.abs(z)) / soft + np.float32(0.5))
    return across * along


def shadow_length(length_m: float) -> float:
    """Return how much of a street the shadow layer covers along z: a power of two of texels."""
    return float(256 * 2 ** np.ceil(np.log2(max(length_m / 240, 1))))


def _grid(long_m: float) -> tuple[Float, Float]:
    """Return x [1, W] and z [H, 1] of the shadow texels."""
    x, z = (
        (np.arange(int(size * TEXELS_PER_M)) + 0.5) / TEXELS_PER_M + start
        for size, start in zip((SHADOW_WIDE_M, long_m), SHADOW_START_M, strict=True)
    )
    return x[None, :], z[:, None]


def _window(low: Float, high: Float, shape: tuple[int, ...]) -> tuple[slice, slice] | None:
    """Return the texels of [H, W] between two corners (x, z) of the ground, or None."""
    limit = np.array(shape[::-1])
    start = np.array(SHADOW_START_M)
    first = np.clip(np.floor((low - start) * TEXELS_PER_M), 0, limit).astype(int)
    last = np.clip(np.ceil((high - start) * TEXELS_PER_M) + 1, 0, limit).astype(int)
    if (first >= last).any():
        return None
    return slice(first[1], last[1]), slice(first[0], last[0])


def _solid_shadows(scene: Scene, direction: Float, long_m: float) -> NDArray[np.bool_]:
    """Return the texels whose ray towards a direction meets a solid that stands still."""
    x, z = _grid(long_m)
    shadow = np.zeros((z.size, x.size), bool)
    slope = direction[[0, 2]] / direction[1]
    for solid in range(1, len(scene.speed)):
        corners = scene.corners[scene.corner_first[solid] : scene.corner_first[solid + 1]]
        if scene.speed[solid] or corners[:, 1].max() < KERB_M:
            continue
        feet = corners[:, [0, 2]] - corners[:, 1:2] * slope
        where = _window(feet.min(axis=0), feet.max(axis=0), shadow.shape)
        if where is None:
            continue
        faces = slice(scene.first[solid], scene.first[solid + 1])
        n, along = scene.normals[faces], scene.normals[faces] @ direction
        enter, leave = np.float64(0), np.float64(np.inf)
        for i in np.flatnonzero(np.abs(along) > 1e-9):
            t = scene.offsets[faces][i] - n[i, 0] * x[:, where[1]] - n[i, 2] * z[where[0]]
            t = t / along[i]
            if along[i] < 0:
                enter = np.maximum(enter, t)
            else:
                leave = np.minimum(leave, t)
        shadow[where] |= enter < leave
    return shadow


def _blob_shadows(scene: Scene, direction: Float, long_m: float) -> Array:
    """Return how much of the sun each texel loses to leaves."""
    x, z = _grid(long_m)
    shadow = np.zeros((z.size, x.size), np.float32)
    slope = direction[[0, 2]] / direction[1]
    for centre, radii in zip(scene.centres, scene.radii, strict=True):
        foot, r = centre[[0, 2]] - centre[1] * slope, radii.max()
        stretch = np.array([r * np.hypot(1, slope[0]), r * np.hypot(1, slope[1])])
        where = _window(foot - stretch, foot + stretch, shadow.shape)
        if where is None:
            continue
        d = direction / radii
        px = (x[:, where[1]] - centre[0]) / radii[0]
        py, pz = -centre[1] / radii[1], (z[where[0]] - centre[2]) / radii[2]
        half_b = px * d[0] + (py * d[1] + pz * d[2])
        root = half_b * half_b - (d @ d) * (px * px + (py * py + pz * pz) - 1)
        part = np.clip(root / (d @ d) * 1.6, 0, 0.9).astype(np.float32)
        shadow[where] = 1 - (1 - shadow[where]) * (1 - part)
    return shadow


def _blur(image: Array, reach: int) -> Array:
    """Blur by two passes of a box of 2 * reach + 1 texels in both directions."""
    for axis in (0, 1, 0, 1):
        pad = [(reach + 1, reach) if i == axis else (0, 0) for i in range(2)]
        total = np.cumsum(np.pad(image, pad, mode='edge'), axis=axis, dtype=np.float64)
        size, step = image.shape[axis], 2 * reach + 1
        high = np.take(total, np.arange(step, step + size), axis=axis)
        low = np.take(total, np.arange(size), axis=axis)
        image = ((high - low) / step).astype(np.float32)
    return image


def shadow_layer(scene: Scene, light: Light, dapple: Array, long_m: float) -> NDArray[np.uint8]:
    """
    Return the ground's shadows as a texture: red is the sun left, green the open sky left.

    :param dapple: noise of mean 0 and deviation 1, [N, N], that breaks up the shade of trees
    :param long_m: what `shadow_length` says
    """
    solids = _blur(_solid_shadows(scene, light.direction, long_m).astype(np.float32), 1)
    repeat = (solids.shape[0] // len(dapple), solids.shape[1] // len(dapple))
    gaps = np.tile(np.clip(0.75 + 0.35 * dapple, 0, 1), repeat)
    leaves = _blur(_blob_shadows(scene, light.direction, long_m) * gaps, 1)
    above = _solid_shadows(scene, np.array([1e-6, 1.0, 1e-6]), long_m).astype(np.float32)
    near = 1 - 0.72 * _blur(above, 3)
    out = np.zeros((*solids.shape, 4), np.uint8)
    out[..., 0] = np.clip((1 - solids) * (1 - leaves) * 255, 0, 255)
    out[..., 1] = np.clip(near * 255, 0, 255)
    return out

"""
Casts rays of a rendered street: which face each ray meets first, and how far away.

For a pinhole, the inverse depth of a plane is an affine function of the normalised image
coordinates, so a convex solid costs one addition and one minimum or maximum per plane. Depth is
exact at any coordinates: both eyes, the lidar and single samples go through the same functions.
"""

from __future__ import annotations

from dataclasses import dataclass

from depth_prune_ros.bags.street_shapes import Float
from depth_prune_ros.bags.street_shapes import Scene
from depth_prune_ros.bags.street_textures import Array
import numpy as np
from numpy.typing import NDArray

SKY = -1
NEAR_M = 1.5  # nothing nearer than this is in sight
FAR_M = 4000.0

Select = tuple[slice | NDArray[np.int64], ...]
Bounds = NDArray[np.float64]


@dataclass(frozen=True)
class Pose:
    """Where rays start: origin [3] and world_R_optical [3, 3] (x right, y down, z forward)."""

    origin: Float
    rotation: Float


class GridRays:
    """Rays over a grid: normalised coordinates u [1 or H, W] and v [H, 1 or W], both rising."""

    def __init__(self, u: Array, v: Array) -> None:
        """Keep the rays and the range of coordinates of every row and column."""
        self.u, self.v = u, v
        self.shape = np.broadcast_shapes(u.shape, v.shape)
        self._left, self._top = u.min(axis=0), v.min(axis=1)
        self._right, self._bottom = u.max(axis=0), v.max(axis=1)

    def select(self, bounds: Bounds) -> Select | None:
        """Return the part of the grid that bounds (u0, v0, u1, v1) cover, or None."""
        c0, c1 = np.searchsorted(self._right, bounds[0]), np.searchsorted(self._left, bounds[2])
        r0, r1 = np.searchsorted(self._bottom, bounds[1]), np.searchsorted(self._top, bounds[3])
        if c0 >= c1 or r0 >= r1:
            return None
        return slice(int(r0), int(r1)), slice(int(c0), int(c1))

    def rays(self, where: Select) -> tuple[Array, Array]:
        """Return u and v of a part; they broadcast to its shape."""
        rows, columns = where
        u = self.u[:, columns] if len(self.u) == 1 else self.u[rows, columns]
        v = self.v[rows, :] if self.v.shape[1] == 1 else self.v[rows, columns]
        return u, v


class ListRays:
    """Any rays: u and v [K, N], grouped around the N marked pixels of a grid of rays."""

    def __init__(self, u: Array, v: Array, grid: GridRays, marked: NDArray[np.bool_]) -> None:
        """Keep the rays and which of them are around which pixel of the grid."""
        self.u, self.v, self.shape = u, v, u.shape
        self._grid = grid
        self._index = np.where(marked, np.cumsum(marked).reshape(marked.shape) - 1, -1)

    def select(self, bounds: Bounds) -> Select | None:
        """Return the rays that bounds may cover, or None."""
        du = float(self._grid.u[0, 1] - self._grid.u[0, 0])
        where = self._grid.select(bounds + np.array([-du, -du, du, du]))
        if where is None:
            return None
        index = self._index[where]
        index = index[index >= 0]
        return (slice(None), index) if len(index) else None

    def rays(self, where: Select) -> tuple[Array, Array]:
        """Return u and v of a part."""
        return self.u[where], self.v[where]


Rays = GridRays | ListRays


@dataclass(frozen=True)
class Hits:
    """Inverse depth (1 / FAR_M for sky) and face (SKY = none) of every ray; blobs follow faces."""

    inverse: Array
    face: NDArray[np.int32]

    def hide(self, where: Select, nearest_m: float) -> bool:
        """Say whether something no nearer than this would be hidden on a whole part."""
        return nearest_m > NEAR_M and bool(self.inverse[where].min() > 1 / nearest_m)

    def depth(self) -> Array:
        """Return depth along the optical axis, metres, NaN where there is only sky."""
        return np.where(self.face >= 0, 1 / self.inverse, np.float32(np.nan))


def _solid_bounds(scene: Scene, pose: Pose, time_s: float) -> tuple[Bounds, Float]:
    """Return (u0, v0, u1, v1) and the nearest depth of every solid; NaN bounds: not in front."""
    corners = scene.corners.copy()
    corners[:, 2] += np.repeat(scene.speed, np.diff(scene.corner_first)) * time_s
    local = (corners - pose.origin) @ pose.rotation
    z = local[:, 2]
    start = scene.corner_first[:-1]
    nearest, farthest = np.minimum.reduceat(z, start), np.maximum.reduceat(z, start)
    uv = local[:, :2] / np.maximum(z, NEAR_M)[:, None]
    bounds = np.concatenate(
        [np.minimum.reduceat(uv, start), np.maximum.reduceat(uv, start)], axis=1
    )
    for solid in np.flatnonzero((nearest < NEAR_M) & (farthest > NEAR_M)):
        bounds[solid] = _clipped(local[start[solid] : scene.corner_first[solid + 1]])
    bounds[farthest < NEAR_M] = np.nan
    return bounds, nearest


def _clipped(corners: Float) -> Bounds:
    """Return (u0, v0, u1, v1) of the part of a convex solid beyond NEAR_M."""
    front, behind = corners[corners[:, 2] > NEAR_M], corners[corners[:, 2] <= NEAR_M]
    part = ((front[:, 2] - NEAR_M)[:, None] / (front[:, None, 2] - behind[None, :, 2]))[..., None]
    cut = front[:, None] + part * (behind[None] - front[:, None])
    seen = np.concatenate([front, cut.reshape(-1, 3)])
    uv = seen[:, :2] / seen[:, 2:]
    return np.concatenate([uv.min(axis=0), uv.max(axis=0)])


def _cast_solids(scene: Scene, pose: Pose, time_s: float, rays: Rays, hits: Hits) -> None:
    """Put all solids into the hits, nearest first."""
    offsets = scene.offsets + scene.normals[:, 2] * scene.face_speed * time_s
    distance = offsets - scene.normals @ pose.origin
    distance = np.where(np.abs(distance) < 1e-6, 1e-6, distance)
    plane = ((scene.normals @ pose.rotation) / distance[:, None]).astype(np.float32)
    bounds, nearest = _solid_bounds(scene, pose, time_s)
    for solid in np.argsort(nearest, kind='stable'):
        if np.isnan(bounds[solid, 0]):
            continue
        where = rays.select(bounds[solid])
        if where is None or hits.hide(where, nearest[solid]):
            continue
        faces = np.arange(scene.first[solid], scene.first[solid + 1])
        outside = distance[faces] < 0
        if outside.any():
            _cast_solid(plane, faces[outside], faces[~outside], rays.rays(where), (hits, where))


def _cast_solid(
    plane: Array,
    entering: NDArray[np.int64],
    leaving: NDArray[np.int64],
    uv: tuple[Array, Array],
    target: tuple[Hits, Select],
) -> None:
    """Cast one convex solid: a ray is inside from its last way in to its first way out."""
    (u, v), (hits, where) = uv, target
    a, b, c = plane[entering[0]]
    enter = a * u + (b * v + c)
    face = np.full(enter.shape, entering[0], np.int32)
    for i in entering[1:]:
        a, b, c = plane[i]
        other = a * u + (b * v + c)
        np.copyto(face, np.int32(i), where=other < enter)
        np.minimum(enter, other, out=enter)
    hit = enter > hits.inverse[where]
    if not hit.any():
        return
    for i in leaving:
        a, b, c = plane[i]
        hit &= enter > a * u + (b * v + c)
    _put(hits, where, hit, (enter, face))


def _put(
    hits: Hits,
    where: Select,
    hit: NDArray[np.bool_],
    values: tuple[Array, NDArray[np.int32]],
) -> None:
    """Write the rays that hit; index arrays are copies, so write back through the index."""
    inverse, face = hits.inverse[where], hits.face[where]
    np.copyto(inverse, values[0], where=hit)
    np.copyto(face, values[1], where=hit)
    if not isinstance(where[1], slice):
        hits.inverse[where] = inverse
        hits.face[where] = face


def _cast_blobs(scene: Scene, pose: Pose, rays: Rays, hits: Hits, holes: Array) -> None:
    """Put the leafy ellipsoids into the hits; holes [N, N] is the noise that frays them."""
    centre = (scene.centres - pose.origin) @ pose.rotation
    size = scene.radii.max(axis=1, keepdims=True)
    bounds = np.concatenate([centre[:, :2] - size, centre[:, :2] + size], axis=1)
    near, far = np.broadcast_arrays(*(centre[:, 2:] + np.stack([-size, size])), bounds)[:2]
    low = np.array([True, True, False, False])
    bounds = bounds / np.maximum(np.where((bounds > 0) == low, far, near), NEAR_M)
    for blob in np.argsort(centre[:, 2], kind='stable'):
        x, y, z = centre[blob]
        where = rays.select(bounds[blob]) if near[blob, 0] > NEAR_M else None
        if where is not None and not hits.hide(where, near[blob, 0]):
            frame = pose.rotation / scene.radii[blob][:, None]
            start = (pose.origin - scene.centres[blob]) / scene.radii[blob]
            number = np.int32(len(scene.normals) + blob)
            seen = (hits, where, rays.rays(where))
            _cast_blob(frame, start, seen, (holes, number, np.array([x / z, y / z, 1])))


def _cast_blob(
    frame: Float,
    start: Float,
    target: tuple[Hits, Select, tuple[Array, Array]],
    leaf: tuple[Array, np.int32, Float],
) -> None:
    """
    Cast one ellipsoid, frayed towards its outline and with gaps between the leaves.

    In the frame where it is the unit sphere, inverse depth solves a quadratic equation whose
    discriminant is a quadratic form of (u, v, 1), expanded here around the ellipsoid's middle.
    """
    hits, where, (u, v) = target
    holes, number, middle = leaf
    c, g = start @ start - 1, start @ frame
    form = np.outer(g, g) - c * (frame.T @ frame)
    slope, best = (2 * form @ middle).astype(np.float32), np.float32(middle @ form @ middle)
    q = form.astype(np.float32)
    du, dv = u - np.float32(middle[0]), v - np.float32(middle[1])
    root = (q[0, 0] * du + slope[0]) * du + ((q[1, 1] * dv + slope[1]) * dv + best)
    root += (2 * q[0, 1] * du) * dv
    n = (-g / c).astype(np.float32)
    inverse = np.sqrt(np.maximum(root, 0)) * np.float32(1 / c) + n[0] * u + (n[1] * v + n[2])
    hit = (root > 0) & (inverse > hits.inverse[where])
    if not hit.any():
        return
    f = frame.astype(np.float32)
    at_u, at_v = np.broadcast_to(u, hit.shape)[hit], np.broadcast_to(v, hit.shape)[hit]
    d = [row[0] * at_u + row[1] * at_v + row[2] for row in f]
    m = [np.float32(o) + e / inverse[hit] for o, e in zip(start, d, strict=True)]
    facing = np.sqrt(root[hit] / (d[0] * d[0] + d[1] * d[1] + d[2] * d[2]))
    i, j = leaf_coordinates(m, number, np.float32(len(holes)))
    mask = len(holes) - 1
    noise = holes[j.astype(np.int32) & mask, i.astype(np.int32) & mask]
    hit[hit] = noise < facing * np.float32(2.6) - np.float32(0.35)
    _put(hits, where, hit, (inverse, np.full(inverse.shape, number, np.int32)))


def leaf_coordinates(
    m: list[Array], number: np.int32 | NDArray[np.int32], scale: np.float32
) -> tuple[Array, Array]:
    """Return texture coordinates on the unit sphere m, other ones for every blob."""
    shift = number * np.float32(0.371)
    s = m[0] * np.float32(0.42) + m[2] * np.float32(0.29) + shift
    t = m[1] * np.float32(0.44) - m[2] * np.float32(0.17) + shift * np.float32(1.7)
    return s * scale, t * scale


def cast(scene: Scene, pose: Pose, time_s: float, rays: Rays, holes: Array) -> Hits:
    """Return what every ray meets first."""
    sky = np.full(rays.shape, 1 / FAR_M, np.float32)
    hits = Hits(sky, np.full(rays.shape, SKY, np.int32))
    _cast_solids(scene, pose, time_s, rays, hits)
    _cast_blobs(scene, pose, rays, hits, holes)
    return hits


def edges(face: NDArray[np.int32], faces: int) -> NDArray[np.bool_]:
    """Return the pixels with a neighbour on another face; leaves before leaves do not count."""
    kind = np.minimum(face, np.int32(faces))
    marked = np.zeros(face.shape, bool)
    across, down = kind[:, 1:] != kind[:, :-1], kind[1:] != kind[:-1]
    marked[:, 1:] |= across
    marked[:, :-1] |= across
    marked[1:] |= down
    marked[:-1] |= down
    return marked

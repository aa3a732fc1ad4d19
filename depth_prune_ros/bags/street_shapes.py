"""
What a rendered street is made of: convex solids with textured faces, and leafy blobs.

World frame: x to the right of the road, y up from the road surface, z along the road, metres.
"""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import field

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]

PLAIN, ROAD, FLOOR = 0, 1, 2  # how a face is shaded; floors and roads receive shadows


@dataclass(frozen=True)
class Look:
    """
    What a face looks like.

    :param layer: atlas layer
    :param tint: the object's own colour, mixed in where the layer says so
    :param tile_m: width and height of one texture tile; None stretches one over the face
    :param gloss: 0 dull to 1 mirror-like at grazing angles
    :param kind: PLAIN, ROAD or FLOOR
    """

    layer: int
    tint: tuple[float, float, float] = (1.0, 1.0, 1.0)
    tile_m: tuple[float, float] | None = None
    gloss: float = 0.0
    kind: int = PLAIN


@dataclass(frozen=True)
class Place:
    """Where an object stands: position, heading about the vertical, velocity along z."""

    x: float
    y: float
    z: float
    yaw: float = 0.0
    speed: float = 0.0

    def turn(self, local: Float) -> Float:
        """Rotate directions [N, 3] of the object into the world."""
        c, s = np.cos(self.yaw), np.sin(self.yaw)
        out: Float = local @ np.array([[c, 0, -s], [0, 1, 0], [s, 0, c]])
        return out

    def move(self, local: Float) -> Float:
        """Take points [N, 3] of the object into the world."""
        out: Float = self.turn(local) + np.array([self.x, self.y, self.z])
        return out


@dataclass(frozen=True)
class Scene:
    """
    Everything that stands in a street, as arrays; faces first, one per plane, then blobs.

    :param normals: [F, 3] outward
    :param offsets: [F] normal . point on the plane, at time 0
    :param mapping: [F, 2, 4] s and t as affine functions of the world point, at time 0
    :param looks: F + B looks
    :param first: [S + 1] where each solid's faces start
    :param corners: [C, 3] corners of all solids; corner_first: [S + 1] where each one's start
    :param speed: [S] velocity of each solid along z, m/s
    :param centres: [B, 3] blobs; radii: [B, 3]
    """

    normals: Float
    offsets: Float
    mapping: Float
    looks: tuple[Look, ...]
    first: NDArray[np.int64]
    corners: Float
    corner_first: NDArray[np.int64]
    speed: Float
    centres: Float
    radii: Float

    @property
    def face_speed(self) -> Float:
        """Velocity of each face along z."""
        return np.repeat(self.speed, np.diff(self.first))


@dataclass
class SceneBuilder:
    """Collects solids and blobs."""

    normals: list[Float] = field(default_factory=list)
    offsets: list[Float] = field(default_factory=list)
    mapping: list[Float] = field(default_factory=list)
    looks: list[Look] = field(default_factory=list)
    corners: list[Float] = field(default_factory=list)
    speed: list[float] = field(default_factory=list)
    blobs: list[tuple[Float, Float, Look]] = field(default_factory=list)

    def ground(self, look: Look) -> None:
        """Add the endless plane y = 0; the first solid of every street."""
        far = 5e3 * np.array([[-1.0, 0, -1], [1, 0, -1], [-1, 0, 1], [1, 0, 1]])
        self._add(np.array([[0.0, 1, 0]]), np.zeros(1), [look], far)
        tile = look.tile_m or (1.0, 1.0)
        self.mapping.append(np.array([[[1 / tile[0], 0, 0, 0], [0, 0, 1 / tile[1], 0]]]))
        self.speed.append(0.0)

    def prism(
        self,
        profile: Float,
        half_m: float,
        place: Place,
        sides: Look,
        around: Look | list[Look],
        lean: float = 0.0,
    ) -> None:
        """
        Add a convex profile drawn out sideways.

        :param profile: [K, 2] corners (z, y), counter-clockwise with z to the right and y up
        :param half_m: half the width at the profile's bottom
        :param sides: look of the two flat ends
        :param around: look of the faces over the profile's edges; one look without tile_m is
            wrapped once around the profile from its first corner
        :param lean: radians by which the two ends lean inwards
        """
        low, high = profile.min(axis=0), profile.max(axis=0)
        edge = np.roll(profile, -1, axis=0) - profile
        length = np.maximum(np.hypot(edge[:, 0], edge[:, 1]), 1e-9)
        out = np.stack([0 * length, -edge[:, 0] / length, edge[:, 1] / length], axis=1)
        tilt = np.array([[-np.cos(lean), np.sin(lean), 0], [np.cos(lean), np.sin(lean), 0]])
        reach = half_m * np.cos(lean) + low[1] * np.sin(lean)
        on_edge = np.stack([0 * length, profile[:, 1], profile[:, 0]], axis=1)
        local_offsets = np.concatenate([(out * on_edge).sum(axis=1), [reach, reach]])
        normals = place.turn(np.concatenate([out, tilt]))
        at = np.array([place.x, place.y, place.z])
        ends = np.repeat([-half_m, half_m], len(profile))
        corners = np.stack([ends, np.tile(profile[:, 1], 2), np.tile(profile[:, 0], 2)], axis=1)
        listed = around if isinstance(around, list) else [around] * len(profile)
        self._add(
            normals, local_offsets + normals @ at, [*listed, sides, sides], place.move(corners)
        )
        rows = _edge_mapping(profile, edge, length, half_m, listed)
        wide, tall = sides.tile_m or tuple(high - low)
        end = [[0, 0, 1 / wide, -low[0] / wide], [0, 1 / tall, 0, -low[1] / tall]]
        self.mapping.append(_to_world(np.array([*rows, end, end]), place, at))
        self.speed.append(place.speed)

    def box(
        self, size_m: tuple[float, float, float], place: Place, look: Look, top: Look | None = None
    ) -> None:
        """Add a box of width x, height y and length z that stands on its place."""
        w, h, z = size_m[0] / 2, size_m[1], size_m[2] / 2
        profile = np.array([[-z, 0.0], [z, 0.0], [z, h], [-z, h]])
        self.prism(profile, w, place, look, [look, look, top or look, look])

    def pole(self, radius_m: float, height_m: float, place: Place, look: Look) -> None:
        """Add an upright pole with eight sides."""
        a = (np.arange(8) + 0.5) * (np.pi / 4)
        ring = np.stack([np.cos(a), np.zeros(8), np.sin(a)], axis=1)
        side = np.cos(np.pi / 8) * radius_m
        flat = np.stack([np.cos(a - np.pi / 8), np.zeros(8), np.sin(a - np.pi / 8)], axis=1)
        normals = np.concatenate([flat, [[0.0, 1, 0], [0, -1, 0]]])
        at = np.array([place.x, place.y, place.z])
        offsets = np.array([side] * 8 + [height_m, 0.0]) + normals @ at
        corners = np.concatenate([ring * radius_m, ring * radius_m + [0, height_m, 0]]) + at
        self._add(normals, offsets, [look] * 10, corners)
        wide, tall = look.tile_m or (1.0, 1.0)
        rows = [
            [[-n[2] / wide, 0, n[0] / wide, i / 8], [0, 1 / tall, 0, 0]]
            for i, n in enumerate(normals)
        ]
        self.mapping.append(_to_world(np.array(rows), Place(*at), at))
        self.speed.append(place.speed)

    def blob(self, centre: Float, radii: Float, look: Look) -> None:
        """Add an ellipsoid of leaves."""
        self.blobs.append((centre, radii, look))

    def _add(self, normals: Float, offsets: Float, looks: list[Look], corners: Float) -> None:
        self.normals.append(normals)
        self.offsets.append(offsets)
        self.looks.extend(looks)
        self.corners.append(corners)

    def build(self) -> Scene:
        """Return the street's arrays."""
        return Scene(
            normals=np.concatenate(self.normals),
            offsets=np.concatenate(self.offsets),
            mapping=np.concatenate(self.mapping),
            looks=(*self.looks, *(b[2] for b in self.blobs)),
            first=np.cumsum([0, *(len(n) for n in self.normals)]),
            corners=np.concatenate(self.corners),
            corner_first=np.cumsum([0, *(len(c) for c in self.corners)]),
            speed=np.array(self.speed),
            centres=np.array([b[0] for b in self.blobs]).reshape(-1, 3),
            radii=np.array([b[1] for b in self.blobs]).reshape(-1, 3),
        )


def _edge_mapping(
    profile: Float, edge: Float, length: Float, half_m: float, looks: list[Look]
) -> list[list[list[float]]]:
    """Return s and t on the faces over a profile's edges, affine in the object's own frame."""
    arc = np.concatenate([[0.0], np.cumsum(length)[:-1]])
    rows = []
    for i, look in enumerate(looks):
        along = edge[i] / length[i]
        start = profile[i]
        if look.tile_m:
            wide, tall, begin = look.tile_m[0], look.tile_m[1], 0.0
            if along[1] < -1e-9:
                along, start = -along, profile[(i + 1) % len(profile)]
        else:
            wide, tall, begin = 2 * half_m, length.sum(), arc[i]
        t = [0.0, along[1] / tall, along[0] / tall, (begin - along @ start[[0, 1]]) / tall]
        rows.append([[1 / wide, 0.0, 0.0, half_m / wide], t])
    return rows


def _to_world(local: Float, place: Place, at: Float) -> Float:
    """Turn affine functions [F, 2, 4] of the object's frame into functions of the world's."""
    axes = np.stack([place.turn(local[:, i, :3]) for i in range(2)], axis=1)
    return np.concatenate([axes, (local[..., 3] - axes @ at)[..., None]], axis=-1)


def rounded(profile: Float) -> Float:
    """Cut the corners of a convex profile; it stays convex."""
    after = np.roll(profile, -1, axis=0)
    both = np.stack([0.82 * profile + 0.18 * after, 0.18 * profile + 0.82 * after], axis=1)
    return both.reshape(-1, 2)

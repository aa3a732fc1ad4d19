"""Colours the rays of a rendered street: texture, daylight, shadow, gloss, haze, sky."""

from __future__ import annotations

from dataclasses import dataclass

from depth_prune_ros.bags.street_light import Light
from depth_prune_ros.bags.street_light import mover_shadow
from depth_prune_ros.bags.street_light import SHADOW_START_M
from depth_prune_ros.bags.street_light import SHADOW_WIDE_M
from depth_prune_ros.bags.street_paint import smooth_step
from depth_prune_ros.bags.street_render import leaf_coordinates
from depth_prune_ros.bags.street_render import Pose
from depth_prune_ros.bags.street_scene import Road
from depth_prune_ros.bags.street_shapes import Place
from depth_prune_ros.bags.street_shapes import ROAD
from depth_prune_ros.bags.street_shapes import Scene
from depth_prune_ros.bags.street_textures import Array
from depth_prune_ros.bags.street_textures import Atlas
import numpy as np
from numpy.typing import NDArray

CHUNK = 1 << 15  # rays shaded at a time: the working set stays in the cache


@dataclass(frozen=True)
class World:
    """All that shading needs to know about a street."""

    scene: Scene
    road: Road
    movers: tuple[Place, ...]
    light: Light
    atlas: Atlas
    layers: dict[str, int]
    shadow_m: float


@dataclass(frozen=True)
class Chunk:
    """Some rays that hit the same kind of thing: u, v, depth, face number, all [N]."""

    u: Array
    v: Array
    depth: Array
    face: NDArray[np.int32]

    def part(self, where: NDArray[np.bool_]) -> Chunk:
        """Return the marked rays."""
        return Chunk(self.u[where], self.v[where], self.depth[where], self.face[where])


class Shader:
    """Colours for rays of one pose at one moment."""

    def __init__(self, world: World, pose: Pose, time_s: float, pixel: float) -> None:
        """
        Prepare what is constant over a face.

        :param pixel: width of a pixel in normalised coordinates
        """
        self.world, self.pose, self.time_s, self.pixel = world, pose, time_s, np.float32(pixel)
        scene = world.scene
        mapping = scene.mapping.copy()
        mapping[:, :, 3] -= mapping[:, :, 2] * (scene.face_speed * time_s)[:, None]
        start = mapping[..., :3] @ pose.origin + mapping[..., 3]
        axes = mapping[..., :3] @ pose.rotation
        offsets = scene.offsets + scene.normals[:, 2] * scene.face_speed * time_s
        distance = offsets - scene.normals @ pose.origin
        slope = (scene.normals @ pose.rotation) / np.where(distance == 0, 1, distance)[:, None]
        self.table = np.concatenate([start, axes[:, 0], axes[:, 1], slope[:, :2]], axis=1).astype(
            np.float32
        )
        looks = scene.looks
        self.layer = np.array([k.layer for k in looks], np.int32)
        self.tint = np.array([k.tint for k in looks], np.float32)
        self.gloss = np.array([k.gloss for k in looks], np.float32)
        self.kind = np.array([k.kind for k in looks], np.int32)
        self.normals = scene.normals.astype(np.float32)
        self.ambient, self.sun = world.light.on(scene.normals)

    def colours(self, u: Array, v: Array, inverse: Array, face: NDArray[np.int32]) -> Array:
        """Return the colours [N, 3], 0 to 255, of rays given by their hits, all [N]."""
        out = np.empty((len(face), 3), np.float32)
        for begin in range(0, len(face), CHUNK):
            part = slice(begin, begin + CHUNK)
            out[part] = self._chunk(u[part], v[part], inverse[part], face[part])
        return np.clip(out, 0, 255, out=out)

    def _chunk(self, u: Array, v: Array, inverse: Array, face: NDArray[np.int32]) -> Array:
        depth = 1 / inverse
        rays = Chunk(u, v, depth, face)
        out = np.empty((len(face), 3), np.float32)
        faces = len(self.normals)
        for where, shade in (
            (face < 0, self._sky),
            ((face >= 0) & (face < faces), self._solid),
            (face >= faces, self._blob),
        ):
            if where.any():
                out[where] = shade(rays if where.all() else rays.part(where))
        solid = face >= 0
        if solid.any():
            haze = (1 - np.exp(-depth * np.float32(1 / self.world.light.haze_m)))[:, None]
            haze *= solid[:, None]
            out += haze * (self.world.light.haze - out)
        return out

    def _directions(self, rays: Chunk) -> Array:
        """Return unit directions [N, 3] in the world."""
        r = self.pose.rotation.astype(np.float32)
        d = rays.u[:, None] * r[:, 0] + rays.v[:, None] * r[:, 1] + r[:, 2]
        d /= np.sqrt((d * d).sum(axis=1, keepdims=True))
        return d

    def _sky(self, rays: Chunk) -> Array:
        light, d = self.world.light, self._directions(rays)
        up = np.maximum(d[:, 1], np.float32(0.0))[:, None]
        sky = light.haze + (light.zenith - light.haze) * (1 - np.exp(-up * np.float32(3.2)))
        above = np.float32(0.16) / (up[:, 0] + np.float32(0.06))
        st = np.stack([d[:, 0] * above + light.cloud_shift, d[:, 2] * above])
        size = self.pixel * above * np.float32(1.2)
        layer = np.full(len(d), self.world.layers['clouds'], np.int32)
        cloud = self.world.atlas.sample(layer, st, np.stack([size, size / (up[:, 0] + 0.1)]))
        cover = smooth_step((cloud[:, 3:] / 255 - light.clear) * np.float32(2.2))
        cover *= np.clip(up * np.float32(9), 0, 1)
        sky += cover * (cloud[:, :3] * light.cloud - sky)
        glow = np.maximum(d @ light.direction.astype(np.float32), 0)[:, None] ** 12
        out: Array = sky + glow * np.float32(55)
        return out

    def _solid(self, rays: Chunk) -> Array:
        row = self.table[rays.face]
        u, v, depth = rays.u, rays.v, rays.depth
        st, footprint = [], []
        for axis in range(2):
            a = row[:, 2 + 3 * axis : 5 + 3 * axis]
            way = depth * (a[:, 0] * u + a[:, 1] * v + a[:, 2])
            across = depth * np.abs(a[:, 0] - way * row[:, 8])
            down = depth * np.abs(a[:, 1] - way * row[:, 9])
            st.append(row[:, axis] + way)
            footprint.append(np.maximum(across, down) * self.pixel)
        coordinates, size = np.stack(st), np.stack(footprint)
        texture = self.world.atlas.sample(self.layer[rays.face], coordinates, size)
        colour = texture[:, :3]
        mask = texture[:, 3:] * np.float32(1 / 255)
        colour *= 1 + mask * (self.tint[rays.face] - 1)
        ambient, sun = self.ambient[rays.face], self.sun[rays.face]
        kind = self.kind[rays.face]
        floor = kind > 0
        if floor.any():
            self._floor(rays, kind, (colour, ambient, sun), size)
        colour *= ambient + sun
        glossy = self.gloss[rays.face] > 0
        if glossy.any():
            colour[glossy] += self._mirror(rays.part(glossy), colour[glossy])
        return colour

    def _position(self, rays: Chunk) -> tuple[Array, Array]:
        """Return world x and z of hits."""
        r, o = self.pose.rotation.astype(np.float32), self.pose.origin.astype(np.float32)
        x = o[0] + rays.depth * (r[0, 0] * rays.u + r[0, 1] * rays.v + r[0, 2])
        z = o[2] + rays.depth * (r[2, 0] * rays.u + r[2, 1] * rays.v + r[2, 2])
        return x, z

    def _floor(
        self, rays: Chunk, kind: NDArray[np.int32], lit: tuple[Array, Array, Array], size: Array
    ) -> None:
        """Lay shadows on floors, and markings and wear on the road."""
        colour, ambient, sun = lit
        which = kind > 0
        x, z = self._position(rays.part(which))
        cover = np.stack([size[0][which], size[1][which]]) * np.float32(3.0)
        tile = np.array([SHADOW_WIDE_M, self.world.shadow_m], np.float32)[:, None]
        layer = np.full(len(x), self.world.layers['shadow'], np.int32)
        st = (np.stack([x, z]) - np.array(SHADOW_START_M, np.float32)[:, None]) / tile
        baked = self.world.atlas.sample(layer, st, cover / tile)
        sunny, open_sky = baked[:, 0] / 255, baked[:, 1] / 255
        for mover in self.world.movers:
            shade, dark = mover_shadow(self.world.light, mover, self.time_s, x, z)
            sunny, open_sky = sunny * shade, open_sky * dark
        ambient[which] *= open_sky[:, None]
        sun[which] *= (sunny * open_sky)[:, None]
        road = kind[which] == ROAD
        if road.any():
            at = np.flatnonzero(which)[road]
            colour[at] = self._road(colour[at], (x[road], z[road]), cover[:, road])

    def _road(self, asphalt: Array, xz: tuple[Array, Array], cover: Array) -> Array:
        """Turn bare asphalt into road with markings, and ground off the road into grass."""
        (x, z), road, atlas = xz, self.world.road, self.world.atlas
        layers = self.world.layers
        wear = np.full(len(x), layers['patches'], np.int32)
        st = np.stack([x / 24 + 0.37, z / 24])
        tone = atlas.sample(wear, st, cover / 24)[:, :1] * np.float32(1 / 128)
        colour = asphalt * tone * self.world.light.asphalt
        lane = np.abs(np.abs(x) - road.lane_m / 2)
        colour *= (1 - 0.10 * np.exp(-(((lane - 0.75) / 0.28) ** 2)))[:, None]
        paint = self._markings(x, z, cover) * np.clip(tone[:, 0] * 2.6 - 1.5, 0.15, 0.93)
        colour += paint[:, None] * (asphalt * np.float32(0.3) + 165 - colour)
        on_road = (x > -road.left_m - 0.2) & (x < road.right_m + 0.2)
        for low, high in road.junctions:
            on_road |= (z > low) & (z < high)
        if not on_road.all():
            off = ~on_road
            name = np.full(int(off.sum()), layers['grass'], np.int32)
            where = np.stack([x[off], z[off]]) / 4
            colour[off] = atlas.sample(name, where, cover[:, off] / 4)[:, :3]
        return colour

    def _markings(self, x: Array, z: Array, cover: Array) -> Array:
        """Return how much of a pixel is paint, each line filtered by the pixel's footprint."""
        road = self.world.road
        free = np.ones_like(x)
        stripes = np.zeros_like(x)
        for low, high in road.junctions:
            free *= 1 - _band(z, cover[1], low - 4.2, high + 0.5)
            bars = _comb(x, cover[0], 1.0, 0.5)
            crossing = _band(z, cover[1], low - 3.4, low - 0.6)
            stripes += bars * crossing * _band(x, cover[0], -road.lane_m, road.lane_m)
            stop = _band(z, cover[1], low - 4.2, low - 3.8)
            stripes += stop * _band(x, cover[0], 0, road.lane_m)
        centre = _band(x, cover[0], -0.06, 0.06)
        if road.centre_dashed:
            centre = centre * _comb(z, cover[1], 9.0, 3.0)
        lines = centre
        if road.edge_lines:
            for edge in (-road.lane_m + 0.12, road.lane_m - 0.12):
                lines = lines + _band(x, cover[0], edge - 0.06, edge + 0.06)
        out: Array = np.clip(lines * free + stripes, 0, 1)
        return out

    def _mirror(self, rays: Chunk, colour: Array) -> Array:
        """Return what glossy faces add: sky or street mirrored by Fresnel's law, and the sun."""
        n, d = self.normals[rays.face], self._directions(rays)
        towards = (n * d).sum(axis=1, keepdims=True)
        mirrored = d - 2 * towards * n
        up = mirrored[:, 1:2]
        light = self.world.light
        sky = smooth_step(up * np.float32(2.5) + np.float32(0.15))
        scenery = np.float32(58) + sky * (light.haze * np.float32(0.9) - 58)
        fresnel = (1 + np.maximum(towards, -1)) ** 4 * np.float32(0.75) + np.float32(0.09)
        fresnel *= self.gloss[rays.face][:, None]
        spark = np.maximum(mirrored @ light.direction.astype(np.float32), 0)[:, None] ** 60
        out: Array = fresnel * (scenery - colour) + spark * np.float32(170) * light.strength
        return out

    def _blob(self, rays: Chunk) -> Array:
        scene, pose = self.world.scene, self.pose
        blob = rays.face - np.int32(len(self.normals))
        r, o = pose.rotation.astype(np.float32), pose.origin
        start = ((o - scene.centres) / scene.radii).astype(np.float32)[blob]
        inverse_radii = (1 / scene.radii).astype(np.float32)[blob]
        d = rays.u[:, None] * r[:, 0] + rays.v[:, None] * r[:, 1] + r[:, 2]
        m = start + rays.depth[:, None] * d * inverse_radii
        s, t = leaf_coordinates([m[:, 0], m[:, 1], m[:, 2]], rays.face, np.float32(1))
        size = self.pixel * rays.depth * inverse_radii[:, 0] * np.float32(0.45)
        texture = self.world.atlas.sample(
            self.layer[rays.face], np.stack([s, t]), np.stack([size, size])
        )
        normal = m * inverse_radii
        normal /= np.sqrt((normal * normal).sum(axis=1, keepdims=True))
        light = self.world.light
        sunny = np.clip(normal @ light.direction.astype(np.float32) * 0.6 + 0.4, 0.06, 1)
        ambient = (np.float32(0.5) + np.float32(0.3) * normal[:, 1]) * light.strength_sky
        shade = ambient[:, None] * light.sky_tint
        shade += sunny[:, None] * light.sun_tint * light.strength
        colour: Array = texture[:, :3] * self.tint[rays.face] * shade
        return colour


def _band(x: Array, width: Array, low: float, high: float) -> Array:
    """Return the part of [x - width / 2, x + width / 2] between low and high."""
    width = np.maximum(width, np.float32(1e-4))
    half = width * np.float32(0.5)
    out: Array = np.maximum(np.minimum(x + half, high) - np.maximum(x - half, low), 0) / width
    return out


def _comb(x: Array, width: Array, period: float, on: float) -> Array:
    """Return the part of the footprint in [0, on) of every period."""
    width = np.maximum(width, np.float32(1e-4))

    def area(at: Array) -> Array:
        turns = np.floor(at / period)
        out: Array = turns * on + np.minimum(at - turns * period, on)
        return out

    part: Array = (area(x + width / 2) - area(x - width / 2)) / width
    return part

"""Cars for the rendered street: rounded bodies with painted doors, lights, glass and wheels."""

from __future__ import annotations

from dataclasses import dataclass

from depth_prune_ros.bags.street_shapes import Float
from depth_prune_ros.bags.street_shapes import Look
from depth_prune_ros.bags.street_shapes import Place
from depth_prune_ros.bags.street_shapes import rounded
from depth_prune_ros.bags.street_shapes import SceneBuilder
from depth_prune_ros.bags.street_textures import Array
from depth_prune_ros.bags.street_textures import AtlasBuilder
from depth_prune_ros.bags.street_textures import Canvas
from depth_prune_ros.bags.street_textures import fractal
from depth_prune_ros.bags.street_textures import Rng
import numpy as np
from numpy.typing import NDArray

WHEEL_M = 0.315
COLOURS = (
    (0.93, 0.93, 0.92),
    (0.62, 0.64, 0.66),
    (0.40, 0.42, 0.45),
    (0.09, 0.09, 0.10),
    (0.12, 0.16, 0.32),
    (0.52, 0.07, 0.07),
    (0.20, 0.28, 0.22),
    (0.72, 0.70, 0.62),
    (0.17, 0.33, 0.55),
    (0.30, 0.30, 0.31),
)


@dataclass(frozen=True)
class CarModel:
    """Profiles (z, y) of body and cabin, half widths, wheel positions, painted layers."""

    body: Float
    cabin: Float
    half_m: float
    axles: tuple[float, float]
    layers: tuple[int, ...]


def _profiles(kind: int) -> tuple[Float, Float]:
    """Return body and cabin of a hatchback, a saloon, an estate or a van; z forward."""
    nose = [(1.92, 0.2), (2.1, 0.3), (2.13, 0.52), (2.0, 0.7), (1.05, 0.93)]
    if kind == 0:
        body = [(-1.75, 0.22), *[(z - 0.2, y) for z, y in nose], (-1.78, 0.96), (-1.86, 0.6)]
        cabin = [(-1.74, 0.9), (1.0, 0.9), (0.2, 1.38), (-0.1, 1.46), (-1.25, 1.47), (-1.5, 1.36)]
    elif kind == 1:
        body = [(-2.1, 0.22), *nose, (-1.5, 0.98), (-2.12, 0.93), (-2.2, 0.6)]
        cabin = [(-1.7, 0.93), (1.1, 0.9), (0.3, 1.34), (0.0, 1.42), (-0.8, 1.42), (-1.1, 1.32)]
    elif kind == 2:
        body = [(-2.1, 0.22), *nose, (-2.14, 0.98), (-2.2, 0.6)]
        cabin = [(-2.1, 0.9), (1.1, 0.9), (0.3, 1.38), (0.0, 1.46), (-1.7, 1.47), (-1.85, 1.4)]
    else:
        body = [
            (-2.3, 0.25),
            (2.1, 0.22),
            (2.25, 0.35),
            (2.25, 0.7),
            (2.0, 0.95),
            (1.6, 1.12),
            (-2.33, 1.1),
            (-2.35, 0.6),
        ]
        cabin = [
            (-2.33, 1.05),
            (1.6, 1.05),
            (0.95, 1.75),
            (0.7, 1.93),
            (-2.1, 1.95),
            (-2.28, 1.85),
        ]
    return rounded(np.array(body, float)), rounded(np.array(cabin, float))


def _inside(profile: Float, z: NDArray[np.float32], y: NDArray[np.float32]) -> Float:
    """Return the distance of points to the nearest edge of a profile, positive inside."""
    edge = np.roll(profile, -1, axis=0) - profile
    length = np.hypot(edge[:, 0], edge[:, 1])
    nz, ny = edge[:, 1] / length, -edge[:, 0] / length
    reach = nz * profile[:, 0] + ny * profile[:, 1]
    distance: Float = (reach - z[..., None] * nz - y[..., None] * ny).min(axis=-1)
    return distance


def _body_side(rng: Rng, body: Float, axles: tuple[float, float], kind: int) -> Canvas:
    """Paint doors, seams, handles, sill and wheel arches."""
    low, size = body.min(axis=0), np.ptp(body, axis=0)
    canvas = Canvas((size[0], size[1]), (512, 128), 225.0)
    z, y = canvas.x[None, :] + low[0], canvas.y[:, None] + low[1]
    canvas.rgb *= (0.62 + 0.4 * np.clip((y - 0.2) / 0.6, 0, 1))[..., None]
    canvas.rgb *= (1 - 0.10 * np.exp(-(((y - 0.62) / 0.03) ** 2)))[..., None]
    seams = (-0.95, 0.05, 0.95) if kind != 3 else (0.0, 1.2)
    for seam in seams:
        canvas.fill((np.abs(z - seam) < 0.012) & (y > 0.3), (38, 38, 40), 0.15)
    for seam in seams[1:]:
        canvas.fill((np.abs(z - seam + 0.16) < 0.09) & (np.abs(y - 0.8) < 0.014), (60, 60, 62), 0)
    canvas.fill(y < 0.33, (40, 40, 42), 0)
    canvas.fill((np.abs(y - 0.5) < 0.025) & (np.abs(z) < 1.2), (70, 70, 72), 0.5)
    canvas.fill((z > low[0] + size[0] - 0.2) & (np.abs(y - 0.66) < 0.07), (225, 226, 220), 0)
    canvas.fill((z < low[0] + 0.14) & (np.abs(y - 0.78) < 0.1), (150, 20, 18), 0)
    for axle in axles:
        r = np.hypot(z - axle, y - WHEEL_M)
        canvas.fill(r < WHEEL_M + 0.09, (16, 16, 17), 0)
    canvas.noise(fractal(rng, 128, 512, 1.0), 0.02)
    return canvas


def _cabin_side(rng: Rng, cabin: Float) -> Canvas:
    """Paint side windows between painted pillars."""
    low, size = cabin.min(axis=0), np.ptp(cabin, axis=0)
    canvas = Canvas((size[0], size[1]), (256, 64), 225.0)
    z, y = canvas.x[None, :] + low[0], canvas.y[:, None] + low[1]
    distance = _inside(cabin, *np.broadcast_arrays(z, y))
    glass = (distance > 0.075) & (y > low[1] + 0.07)
    for pillar in (-0.95, 0.02):
        glass &= np.abs(z - pillar) > 0.045
    up = np.clip((y - low[1]) / size[1], 0, 1)
    canvas.fill(distance < 0.03, (120, 120, 120), 1)
    canvas.fill(glass, (30, 34, 38), 0)
    seats = glass & (np.abs(np.mod(z, 0.95) - 0.5) < 0.13) & (up < 0.6)
    canvas.fill(seats, (17, 18, 20), 0)
    canvas.rgb += (glass * up**2 * 60)[..., None]
    canvas.noise(fractal(rng, 64, 256, 1.0), 0.04)
    return canvas


def _around(rng: Rng, profile: Float, half_m: float) -> tuple[Canvas, Array, Array, Array]:
    """Return a canvas wrapped once around a profile, with x [1, W] and z, y [H, 1] on it."""
    edge = np.roll(profile, -1, axis=0) - profile
    arc = np.concatenate([[0.0], np.cumsum(np.hypot(edge[:, 0], edge[:, 1]))])
    closed = np.concatenate([profile, profile[:1]])
    canvas = Canvas((2 * half_m, float(arc[-1])), (128, 512), 225.0)
    canvas.noise(fractal(rng, 512, 128, 1.0), 0.02)
    z = np.interp(canvas.y, arc, closed[:, 0])[:, None]
    y = np.interp(canvas.y, arc, closed[:, 1])[:, None]
    return canvas, canvas.x[None, :] - half_m, z, y


def _body_around(rng: Rng, body: Float, half_m: float) -> Canvas:
    """Paint bumpers, plates, grille and lights."""
    canvas, x, z, y = _around(rng, body, half_m)
    front, back = z > body[:, 0].max() - 0.45, z < body[:, 0].min() + 0.3
    side = np.abs(x)
    canvas.rgb *= (0.7 + 0.3 * np.clip((y - 0.2) / 0.5, 0, 1))[..., None]
    canvas.fill(y < 0.36, (36, 36, 38), 0)
    canvas.fill(front & (np.abs(y - 0.56) < 0.07) & (side < 0.42), (24, 24, 26), 0)
    canvas.fill(
        front & (np.abs(y - 0.63) < 0.075) & (side > 0.47) & (side < 0.8), (228, 230, 226), 0
    )
    canvas.fill(
        front & (np.abs(y - 0.64) < 0.04) & (side > 0.55) & (side < 0.66), (120, 124, 126), 0
    )
    canvas.fill(back & (np.abs(y - 0.76) < 0.10) & (side > 0.6), (158, 18, 16), 0)
    canvas.fill(back & (np.abs(y - 0.76) < 0.03) & (side > 0.64), (226, 170, 160), 0)
    canvas.fill(back & (np.abs(y - 0.5) < 0.012), (60, 60, 60), 0.4)
    plate = (front & (np.abs(y - 0.42) < 0.055)) | (back & (np.abs(y - 0.66) < 0.055))
    canvas.fill(plate & (side < 0.26), (232, 232, 226), 0)
    letters = plate & (np.abs(y - np.where(front, 0.42, 0.66)) < 0.035)
    canvas.fill(letters & (side < 0.22) & (np.mod(x, 0.06) < 0.035), (30, 30, 34), 0)
    seam = np.abs(y - 0.89) < 0.01
    canvas.fill(back & seam & (side < 0.62), (40, 40, 42), 0.3)
    return canvas


def _cabin_around(rng: Rng, cabin: Float, half_m: float) -> Canvas:
    """Paint windscreen and rear window; the roof stays in the car's colour."""
    canvas, x, z, y = _around(rng, cabin, half_m)
    low, high = cabin[:, 1].min(), cabin[:, 1].max()
    up = (y - low) / (high - low)
    glass = (np.abs(x) < half_m * (0.93 - 0.17 * up)) & (up > 0.1) & (up < 0.86)
    tone = np.clip(30 + 70 * up**2, 0, 255)
    canvas.fill(glass, (34, 38, 42), 0)
    canvas.rgb += np.where(glass, tone * 0.5, 0)[..., None]
    seats = glass & (np.hypot((np.abs(x) - 0.36) / 0.13, (up - 0.28) / 0.26) < 1)
    canvas.rgb[seats] *= 0.8
    mirror = glass & (z > 0) & (np.abs(x) < 0.1) & (np.abs(up - 0.74) < 0.05)
    canvas.fill(mirror, (12, 12, 13), 0)
    return canvas


def _wheel() -> Canvas:
    """Paint a tyre and a rim with spokes."""
    canvas = Canvas((2.0, 2.0), (64, 64), 30.0)
    canvas.mask[:] = 0
    x, y = canvas.x[None, :] - 1, canvas.y[:, None] - 1
    r, angle = np.hypot(x, y), np.arctan2(y, x)
    canvas.fill(r < 0.66, (150, 152, 155), 0)
    holes = (r > 0.22) & (r < 0.58) & (np.cos(5 * angle) < 0.1)
    canvas.fill(holes, (38, 38, 40), 0)
    canvas.fill(np.abs(r - 0.68) < 0.03, (12, 12, 12), 0)
    return canvas


def car_models(rng: Rng, atlas: AtlasBuilder) -> list[CarModel]:
    """Paint the car models of one street."""
    wheel = atlas.add('wheel', _wheel().rgba())
    models = []
    for kind in range(4):
        body, cabin = _profiles(kind)
        half_m = 0.95 if kind == 3 else float(rng.uniform(0.83, 0.89))
        axles = (float(body[:, 0].min() + 0.72), float(body[:, 0].max() - 0.8))
        painted = (
            _body_side(rng, body, axles, kind),
            _body_around(rng, body, half_m),
            _cabin_side(rng, cabin),
            _cabin_around(rng, cabin, half_m - 0.05),
        )
        layers = [atlas.add(f'car{kind}{i}', p.rgba()) for i, p in enumerate(painted)]
        models.append(CarModel(body, cabin, half_m, axles, (*layers, wheel)))
    return models


def add_car(scene: SceneBuilder, rng: Rng, model: CarModel, place: Place) -> None:
    """Put a car of a random colour on the road."""
    colour = np.clip(np.array(COLOURS[rng.integers(len(COLOURS))]) + rng.normal(0, 0.02, 3), 0, 1)
    tint = (float(colour[0]), float(colour[1]), float(colour[2]))
    side, around, cabin_side, cabin_around, wheel = (
        Look(layer, tint, gloss=gloss)
        for layer, gloss in zip(model.layers, (0.6, 0.6, 0.9, 0.9, 0.0), strict=True)
    )
    scene.prism(model.body, model.half_m, place, side, around, lean=0.06)
    scene.prism(model.cabin, model.half_m - 0.05, place, cabin_side, cabin_around, lean=0.3)
    angle = np.arange(12) * (np.pi / 6)
    tread = Look(model.layers[4], tile_m=(50.0, 50.0))
    for axle in model.axles:
        ring = WHEEL_M * np.stack([np.cos(angle), np.sin(angle)], axis=1) + [axle, WHEEL_M]
        for sign in (-1, 1):
            at = place.move(np.array([[sign * (model.half_m - 0.09), 0.0, 0.0]]))[0]
            hub = Place(at[0], at[1], at[2], place.yaw, place.speed)
            scene.prism(ring, 0.1, hub, wheel, tread)

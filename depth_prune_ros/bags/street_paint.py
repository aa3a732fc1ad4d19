"""Paints the textures of the rendered street: road, walls, roofs, leaves, signs, sky."""

from __future__ import annotations

from depth_prune_ros.bags.street_textures import Array
from depth_prune_ros.bags.street_textures import AtlasBuilder
from depth_prune_ros.bags.street_textures import Canvas
from depth_prune_ros.bags.street_textures import fractal
from depth_prune_ros.bags.street_textures import Rng
import numpy as np
from numpy.typing import NDArray

Rgb = tuple[float, float, float]
STOREY_M = 3.0
WALLS = (
    (0.95, 0.92, 0.84),
    (0.90, 0.84, 0.70),
    (0.86, 0.74, 0.62),
    (0.75, 0.52, 0.42),
    (0.82, 0.83, 0.84),
    (0.95, 0.95, 0.93),
    (0.72, 0.74, 0.66),
    (0.62, 0.44, 0.36),
)
ROOFS = ((0.62, 0.33, 0.24), (0.50, 0.27, 0.20), (0.33, 0.32, 0.34), (0.45, 0.38, 0.33))


def _grain(rng: Rng, size: int, grey: float, fine: float, coarse: float) -> Canvas:
    """Return a plain grained material: grains of one texel to soft patches."""
    canvas = Canvas((1.0, 1.0), (size, size), grey)
    canvas.noise(fractal(rng, size, size, 0.4), fine)
    canvas.noise(fractal(rng, size, size, 1.7), coarse)
    return canvas


def asphalt(rng: Rng) -> NDArray[np.uint8]:
    """Return 3 m of asphalt: stones, patches, a few cracks filled with tar."""
    canvas = _grain(rng, 512, 118.0, 0.11, 0.05)
    crack = np.abs(fractal(rng, 512, 512, 1.9)) < 0.012
    canvas.rgb[crack & (fractal(rng, 512, 512, 1.8, 1.0) > 0.6)] *= 0.55
    return canvas.rgba()


def patches(rng: Rng) -> NDArray[np.uint8]:
    """Return 24 m of wear: stains, repaired rectangles, tyre tracks come from the shader."""
    canvas = _grain(rng, 512, 128.0, 0.015, 0.07)
    for _ in range(5):
        x, y = rng.uniform(0, 0.85, 2)
        w, h = rng.uniform(0.03, 0.12), rng.uniform(0.05, 0.2)
        canvas.shade((x, x + w), (y, y + h), rng.uniform(0.72, 0.95))
    return canvas.rgba()


def pavers(rng: Rng) -> NDArray[np.uint8]:
    """Return 2.4 m of pavement slabs with joints, each slab of its own grey."""
    canvas = _grain(rng, 256, 168.0, 0.06, 0.05)
    count = int(rng.choice([4, 6, 8]))
    tone = rng.normal(1.0, 0.05, (count, count)).astype(np.float32)
    step = 256 / count
    cell = np.minimum((np.arange(256) / step).astype(int), count - 1)
    canvas.rgb *= tone[cell][:, cell][..., None]
    joint = (np.arange(256) % step) < 2
    canvas.rgb[joint, :] *= 0.66
    canvas.rgb[:, joint] *= 0.66
    return canvas.rgba()


def grass(rng: Rng) -> NDArray[np.uint8]:
    """Return 4 m of lawn."""
    canvas = _grain(rng, 256, 1.0, 0.22, 0.16)
    dry = np.clip(fractal(rng, 256, 256, 1.5) * 0.25 + 0.35, 0, 1)[..., None]
    canvas.rgb *= (1 - dry) * np.array([66, 84, 42]) + dry * np.array([118, 114, 72])
    canvas.mask[:] = 0
    return canvas.rgba()


def leaves(rng: Rng) -> NDArray[np.uint8]:
    """Return foliage: bright leaves over dark gaps."""
    clumps = fractal(rng, 256, 256, 0.9, 4.0) + 0.6 * fractal(rng, 256, 256, 0.2, 16.0)
    canvas = Canvas((1.0, 1.0), (256, 256), 1.0)
    canvas.rgb *= np.clip(150 + 62 * clumps, 22, 255)[..., None]
    canvas.rgb *= np.clip(1 + 0.12 * fractal(rng, 256, 256, 1.6), 0.5, 1.5)[..., None]
    return canvas.rgba()


def bark(rng: Rng) -> NDArray[np.uint8]:
    """Return bark: noise drawn out upwards."""
    canvas = _grain(rng, 128, 150.0, 0.1, 0.1)
    canvas.noise(fractal(rng, 32, 128, 0.8).repeat(4, axis=0), 0.22)
    return canvas.rgba()


def roof(rng: Rng) -> NDArray[np.uint8]:
    """Return 3 m of roof tiles."""
    canvas = _grain(rng, 256, 165.0, 0.05, 0.08)
    row = (np.arange(256) % 25.6) / 25.6
    column = (np.arange(256) % 21.33) / 21.33
    canvas.rgb *= (0.72 + 0.4 * row)[:, None, None]
    canvas.rgb *= (0.82 + 0.25 * np.sin(np.pi * column))[None, :, None]
    return canvas.rgba()


def planks(rng: Rng) -> NDArray[np.uint8]:
    """Return 2 m of wooden fence or garage door."""
    canvas = _grain(rng, 128, 160.0, 0.05, 0.05)
    canvas.rgb *= rng.normal(1.0, 0.09, 16).repeat(8)[None, :, None]
    canvas.rgb[:, np.arange(128) % 8 == 0] *= 0.45
    return canvas.rgba()


def _window(canvas: Canvas, rng: Rng, x: tuple[float, float], y: tuple[float, float]) -> None:
    """Paint one window: reveal, frame, panes that mirror the street, curtains, sill."""
    canvas.shade((x[0] - 0.05, x[1] + 0.05), (y[0], y[1] + 0.06), 0.7)
    frame = float(rng.choice([225, 215, 90]))
    canvas.rect(x, y, (frame, frame, frame * 0.97))
    panes = 2 if x[1] - x[0] > 0.9 else 1
    step = (x[1] - x[0] - 0.08) / panes
    curtain = rng.random() < 0.5
    for pane in range(panes):
        px = (x[0] + 0.08 + pane * step, x[0] + pane * step + step)
        where = canvas.box(px, (y[0] + 0.08, y[1] - 0.08))
        rows, columns = canvas.rgb[where].shape[:2]
        up = np.linspace(0, 1, rows)[:, None, None]
        sky = rng.uniform(0.2, 0.9) * up**2
        glass = (1 - sky) * np.array([34, 40, 46]) + sky * np.array([150, 172, 190])
        canvas.rgb[where] = glass + rng.normal(0, 5, (rows, columns, 1))
        if curtain:
            folds = 1 + 0.12 * np.sin(np.arange(columns) * 0.9)
            part = slice(int(rows * rng.uniform(0, 0.6)), rows)
            canvas.rgb[where][part] = 0.45 * canvas.rgb[where][part] + 88 * folds[None, :, None]
    canvas.rect((x[0] - 0.1, x[1] + 0.1), (y[0] - 0.09, y[0]), (190, 188, 182))
    canvas.shade((x[0] - 0.08, x[1] + 0.12), (y[0] - 0.22, y[0] - 0.09), 0.78)


def _wall(rng: Rng, canvas: Canvas) -> None:
    """Paint plaster or brick over the whole wall, with streaks of dirt."""
    height, width = canvas.mask.shape
    if rng.random() < 0.25:
        course = (canvas.y / 0.085).astype(int)
        shift = (course % 2) * 0.125
        brick = ((canvas.x[None, :] + shift[:, None]) / 0.25).astype(int)
        tone = rng.normal(1, 0.06, (997,)).astype(np.float32)
        canvas.rgb *= tone[(brick * 31 + course[:, None] * 57) % 997][..., None]
        canvas.rgb[(canvas.y % 0.085) < 0.014] *= 1.08
    canvas.noise(fractal(rng, height, width, 0.5), 0.045)
    canvas.noise(fractal(rng, height, width, 1.7), 0.05)
    streaks = fractal(rng, 8, width, 0.9).repeat(height // 8, axis=0)
    canvas.noise(streaks * np.linspace(0.3, 1, height, dtype=np.float32)[:, None], 0.03)


def facade(rng: Rng, storeys: int) -> tuple[NDArray[np.uint8], float]:
    """
    Paint a house front of a few bays that repeat sideways.

    :return: the texture and its width in metres; its height is storeys * STOREY_M
    """
    bays, bay_m = int(rng.integers(2, 4)), float(rng.uniform(2.5, 3.5))
    high = storeys * STOREY_M
    canvas = Canvas((bays * bay_m, high), (512, 1024 if storeys > 2 else 512), 215.0)
    _wall(rng, canvas)
    shop, shutters = storeys > 2 and rng.random() < 0.5, rng.random() < 0.4
    shutter: Rgb = tuple(rng.uniform(40, 150, 3))
    half, sill, tall = rng.uniform(0.45, 0.8), rng.uniform(0.75, 1.0), rng.uniform(1.3, 1.6)
    everywhere = (0.0, bays * bay_m)
    for storey in range(storeys):
        floor = storey * STOREY_M
        for bay in range(bays):
            middle = (bay + 0.5) * bay_m
            if storey == 0 and (bay == 0 or shop):
                _entrance(canvas, rng, middle, bay_m if shop and bay else 0.0)
                continue
            x = (middle - half, middle + half)
            if shutters:
                for sx in (x[0] - 0.5, x[1] + 0.08):
                    canvas.rect((sx, sx + 0.42), (floor + sill, floor + sill + tall), shutter)
                    canvas.shade((sx + 0.04, sx + 0.38), (floor + sill, floor + sill + tall), 0.85)
            _window(canvas, rng, x, (floor + sill, floor + sill + tall))
        if storey and storeys > 2:
            canvas.shade(everywhere, (floor - 0.06, floor + 0.06), 1.12)
            canvas.shade(everywhere, (floor - 0.16, floor - 0.06), 0.85)
    canvas.shade(everywhere, (0, 0.5), 0.62)
    canvas.rgb *= np.clip(0.75 + 0.25 * canvas.y / 1.2, 0, 1)[:, None, None]
    canvas.shade(everywhere, (high - 0.45, high), 0.7)
    return canvas.rgba(), bays * bay_m


def _entrance(canvas: Canvas, rng: Rng, middle: float, shop_m: float) -> None:
    """Paint a door, or a shop window with its sign."""
    if shop_m:
        x = (middle - 0.42 * shop_m, middle + 0.42 * shop_m)
        _window(canvas, rng, x, (0.5, 2.2))
        canvas.rect(x, (2.3, 2.75), tuple(rng.uniform(40, 220, 3)))
        for letter in np.arange(x[0] + 0.3, x[1] - 0.3, 0.22):
            if rng.random() < 0.8:
                canvas.shade((letter, letter + 0.13), (2.4, 2.64), 1.7)
        return
    canvas.rect((middle - 0.62, middle + 0.62), (0, 2.35), (205, 203, 198))
    canvas.rect((middle - 0.5, middle + 0.5), (0, 2.2), tuple(rng.uniform(35, 120, 3)))
    canvas.rect((middle - 0.28, middle + 0.28), (1.2, 2.0), (46, 54, 60))
    canvas.shade((middle - 0.36, middle + 0.36), (0.25, 0.95), 0.8)


def sign(kind: int) -> NDArray[np.uint8]:
    """Return a traffic sign that fills its square: limit, priority, parking, no stopping."""
    canvas = Canvas((2.0, 2.0), (64, 64), 235.0)
    canvas.mask[:] = 0
    x, y = canvas.x[None, :] - 1, canvas.y[:, None] - 1
    r = np.hypot(x, y)
    if kind == 0:
        canvas.fill(r > 0.72, (190, 24, 28), 0)
        canvas.fill((np.abs(np.abs(x) - 0.25) < 0.16) & (np.abs(y) < 0.34), (25, 25, 25), 0)
    elif kind == 1:
        canvas.fill(np.maximum(np.abs(x), np.abs(y)) < 0.62, (238, 184, 20), 0)
    elif kind == 2:
        canvas.rgb[:] = (24, 76, 160)
        letter = (np.abs(x + 0.2) < 0.12) | (np.abs(np.hypot(x - 0.05, y - 0.25) - 0.28) < 0.11)
        canvas.fill(letter & (np.abs(y) < 0.62), (235, 235, 235), 0)
    else:
        canvas.rgb[:] = (28, 70, 150)
        canvas.fill((r > 0.76) | (np.abs(x + y) < 0.17), (190, 24, 28), 0)
    return canvas.rgba()


def clouds(rng: Rng) -> NDArray[np.uint8]:
    """Return cloud cover in the fourth channel and its brightness in the first three."""
    cover = fractal(rng, 512, 512, 1.7, 2.0) + 0.25 * fractal(rng, 512, 512, 1.0, 12.0)
    canvas = Canvas((1.0, 1.0), (512, 512), 250.0)
    canvas.mask = np.clip(0.4 + 0.55 * cover, 0, 1).astype(np.float32)
    canvas.noise(np.roll(-cover, 9, axis=0), 0.05)
    return canvas.rgba()


def paint_all(rng: Rng, atlas: AtlasBuilder) -> dict[str, float]:
    """Add every layer that is not a car's; return the widths of the house fronts in metres."""
    plain = (asphalt, patches, pavers, grass, leaves, bark, roof, planks, clouds)
    for painter in plain:
        atlas.add(painter.__name__, painter(rng))
    atlas.add('plain', _grain(rng, 64, 235.0, 0.02, 0.03).rgba())
    for kind in range(4):
        atlas.add(f'sign{kind}', sign(kind))
    widths = {}
    for number, storeys in enumerate((2, 2, 2, 3, 3, 4, 4, 5)):
        texture, width = facade(rng, storeys)
        atlas.add(f'facade{number}', texture)
        widths[f'facade{number}'] = width
    return widths


def smooth_step(x: Array) -> Array:
    """Return 0 below 0, 1 above 1, a smooth way between."""
    x = np.clip(x, 0, 1)
    return x * x * (3 - 2 * x)

"""
Lines, rails and shadows, drawn on the ground of an image that a network is shown.

A network that is taught where depth jumps takes a bright, narrow thing on the ground for one that
stands, where it has not seen the like. So it is shown such things where its labels say ground:
they lie in the plane of the ground, in metres, and run together as a road does.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import cos
from math import pi
from math import sin

import cv2
from depth_prune_ros.offline.samples import Array
import numpy as np

_FLOAT = np.float32
# the ground is looked for below this row, among so many pixels, with so many trials of a plane
_BELOW, _PIXELS, _TRIALS = 0.45, 600, 60
# of the plane's disparity: what lies in it. Of the pixels: how many do, at least
_WITHIN, _SHARE = 0.12, 0.25
_ROLL = 0.2  # change of disparity over a whole row, of that over a whole column
_SPECK = np.ones((5, 5), np.uint8)
# metres: width of a line and of a shadow, and from one line to the next
_WIDE, _DEEP, _APART = (0.05, 0.3), (0.5, 8.0), (0.5, 3.5)
_ALONG = 0.4  # radians between most of them and the optical axis
# over the image width; that of a crop is not known here: it turns lines, and widens those across
_FOCAL = 0.6


@dataclass(frozen=True)
class _Ground:
    """
    The plane of the ground.

    :param lies: [H, W] 1 where the ground is seen, 0 elsewhere
    :param aside: [H, W] metres to the right, of the pixel's ray in the plane
    :param ahead: [H, W] metres along the optical axis
    """

    lies: Array
    aside: Array
    ahead: Array


def paint(view: Array, disparity: Array, baseline_m: float, seed: int) -> Array:
    """
    Draw lines and shadows on the ground of a view.

    :param view: uint8 [H, W, 3] RGB
    :param disparity: float32 [H, W] fractions of the image width for the baseline, NaN = none
    :return: uint8 [H, W, 3]; the view itself where no ground is found
    """
    rng = np.random.default_rng(seed)
    ground = _ground(disparity, baseline_m, rng)
    if ground is None:
        return view
    shown = view.astype(_FLOAT)
    for _ in range(rng.integers(2, 6)):
        _draw(shown, ground, rng)
    return np.clip(shown, 0, 255).astype(np.uint8)


def _draw(shown: Array, ground: _Ground, rng: np.random.Generator) -> None:
    """Draw a shadow, or lines side by side, through a pixel of the ground."""
    angle = rng.uniform(-_ALONG, _ALONG) if rng.random() < 0.7 else rng.uniform(-pi, pi)
    across = cos(angle) * ground.aside + sin(angle) * ground.ahead
    across -= across.flat[rng.choice(np.flatnonzero(ground.lies))]
    pixel = np.abs(np.gradient(across)).sum(0) + _FLOAT(1e-6)
    shadow = rng.random() < 0.25
    for _ in range(1 if shadow else rng.integers(2, 6)):
        half = rng.uniform(*(_DEEP if shadow else _WIDE)) / 2
        level = rng.uniform(120, 255) if rng.random() < 0.7 else rng.uniform(10, 80)
        colour = 0.0 if shadow else (level * rng.uniform(0.9, 1.1, 3)).astype(_FLOAT)
        opaque = rng.uniform(0.2, 0.6) if shadow else rng.uniform(0.3, 0.9)
        ends = [np.clip((half + side * across) / pixel + 0.5, 0, 1) for side in (-1, 1)]
        covered = np.clip(ends[0] + ends[1] - 1, 0, 1) * ground.lies  # share of each pixel
        there = covered > 0  # a small part of the image
        shown[there] += opaque * covered[there][:, None] * (colour - shown[there])
        across -= rng.uniform(*_APART)


def _ground(disparity: Array, baseline_m: float, rng: np.random.Generator) -> _Ground | None:
    height, width = disparity.shape
    v, u = np.mgrid[:height, :width].astype(_FLOAT) + _FLOAT(0.5)
    places = np.stack([u / width, v / height, np.ones_like(u)], -1)
    plane = _plane(places[round(_BELOW * height) :], disparity[round(_BELOW * height) :], rng)
    if plane is None:
        return None
    flat = places @ plane
    flat = np.where(flat > 0, flat, 1)  # above the horizon: nearer than anything
    off = np.abs(disparity - flat) / flat
    lies = (off < _WITHIN).astype(np.uint8)
    # no holes where nothing was matched, and no specks; what stands and is thin stays
    for way in (cv2.MORPH_CLOSE, cv2.MORPH_OPEN):
        lies = cv2.morphologyEx(lies, way, _SPECK)
    lies[off >= _WITHIN] = 0
    if not lies.any():
        return None
    metres = _FLOAT(baseline_m) / flat  # that the image is wide there
    return _Ground(lies, (places[..., 0] - 0.5) * metres, _FOCAL * metres)


def _plane(places: Array, disparity: Array, rng: np.random.Generator) -> Array | None:
    """Return (a, b, c) of d = a u + b v + c, which most pixels agree with (RANSAC), or None."""
    known = disparity > 0
    if known.sum() < _PIXELS:
        return None
    chosen = rng.choice(int(known.sum()), _PIXELS, replace=False)
    places, found = places[known][chosen], disparity[known][chosen]
    three = rng.integers(_PIXELS, size=(_TRIALS, 3))
    three = three[np.abs(np.linalg.det(places[three])) > 1e-4]
    planes = np.linalg.solve(places[three], found[three][..., None])[..., 0]
    # the ground nears downwards, from upper to lower border by half at least, and hardly aside
    a, b, c = planes.T
    planes = planes[(np.abs(a) < _ROLL * b) & (c < b)]
    if not len(planes):
        return None
    agree = np.abs(planes @ places.T - found) < 0.5 * _WITHIN * found
    best = int(agree.sum(1).argmax())
    plane: Array = planes[best].astype(_FLOAT)
    return plane if agree[best].mean() > _SHARE else None

"""
What is changed at random about a sample before a network is shown it.

What changes the geometry (flip, crop) changes views, points and focal length together, so that a
scene point keeps its metric depth. What changes the picture (gamma, brightness, tint, grey, blur,
noise, lines on the ground of offline.ground_paint) changes only the image that the network is
shown: the losses compare the untouched views, as Monodepth2 does (Godard et al., ICCV 2019).
MonoDepth compared the changed views; but clipped highlights hide what the reconstruction is to
match, and the smoothness term would see other edges.
"""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import replace

import cv2
from depth_prune_ros.offline.config import AugmentConfig
from depth_prune_ros.offline.samples import Array
from depth_prune_ros.offline.samples import Sample
import numpy as np

Box = tuple[float, float, float, float]
_FLOAT = np.float32
_LEVELS = np.arange(256, dtype=_FLOAT) / _FLOAT(255)
# what a camera of 1242 pixels across shows at sigma 2 px and 10 of 255 levels, with some room
_BLUR = (0.5, 1.5)
_NOISE = 0.05
_GREY = np.array([0.299, 0.587, 0.114], _FLOAT)


@dataclass(frozen=True)
class Change:
    """
    What is done to a sample.

    :param box: crop (x, y, width, height) as fractions of the image
    :param light: gamma and a factor for each of red, green, blue; None = as it is
    :param blur: standard deviation of a Gaussian, pixels
    :param noise: standard deviation of a Gaussian, of the image's range; and its seed
    :param paint: seed of what is drawn on the ground, None = nothing
    """

    flip: bool
    box: Box
    light: tuple[float, Array] | None
    grey: bool
    blur: float
    noise: tuple[float, int]
    paint: int | None


@dataclass(frozen=True)
class Seen:
    """
    A sample as a batch has it, but for the light.

    :param left: uint8 [H, W, 3] RGB
    :param right: the same of the right camera, or None
    :param disparity: float32 [H, W] measured left disparity for the training baseline, NaN = none
    :param hints: float32 [2, H, W] left and right disparity found by matching, for the same
        baseline; NaN = none
    :param baseline_ratio: the frame's baseline over the training baseline
    """

    left: Array
    right: Array | None
    disparity: Array
    hints: Array
    baseline_ratio: float


def seen(sample: Sample, change: Change, size: tuple[int, int], baseline_m: float) -> Seen:
    """
    Flip and crop a sample.

    :param size: (height, width) to bring it to
    :param baseline_m: the training baseline
    """
    if change.flip:
        sample = _flip(sample)
    left, right = (
        None if view is None else _crop(view, change.box, size)
        for view in (sample.left, sample.right)
    )
    assert left is not None
    scale = baseline_m * sample.fx_over_width / change.box[2]
    ratio = sample.baseline_m / baseline_m
    hints = np.full((2, *size), np.nan, _FLOAT)
    if sample.hints is not None:
        views = sample.hints.astype(_FLOAT)
        cut = np.stack([_crop(view, change.box, size, nearest=True) for view in views])
        hints = cut * _FLOAT(1 / (ratio * change.box[2]))
    disparity = _FLOAT(scale) / _rasterise(sample.points, change.box, size)
    return Seen(left, right, disparity, hints, ratio)


def _flip(sample: Sample) -> Sample:
    """Mirror the frame; with two views the mirrored right one becomes the left."""
    points = sample.points.copy()
    left, right, hints = sample.left[:, ::-1], None, sample.hints
    if sample.right is not None:
        points[:, 0] -= sample.baseline_m * sample.fx_over_width / points[:, 2]
        left, right = sample.right[:, ::-1], left
    points[:, 0] = 1 - points[:, 0]
    if hints is not None:
        hints = hints[::-1, :, ::-1]
    return replace(sample, left=left, right=right, points=points, hints=hints)


def _crop(view: Array, box: Box, size: tuple[int, int], *, nearest: bool = False) -> Array:
    """Cut the box and bring it to (height, width)."""
    x, y, across, down = box
    height, width = view.shape[:2]
    sx, sy = across * width / size[1], down * height / size[0]
    # pixel centres: u + 0.5 of the crop lies at (u + 0.5) * sx + x * width of the image
    matrix = np.array([[sx, 0, x * width + 0.5 * sx - 0.5], [0, sy, y * height + 0.5 * sy - 0.5]])
    flags = (cv2.INTER_NEAREST if nearest else cv2.INTER_LINEAR) | cv2.WARP_INVERSE_MAP
    cut: Array = cv2.warpAffine(
        np.ascontiguousarray(view),
        matrix,
        size[::-1],
        flags=flags,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return cut


def draw_change(augment: AugmentConfig, rng: np.random.Generator) -> Change:
    """Draw what is done to a sample."""
    flip = rng.random() < augment.flip
    width = height = rng.uniform(augment.crop, 1.0)
    if augment.whole and rng.random() < augment.whole:
        width = height = 1.0
    if augment.narrow < 1 and rng.random() < 0.5:
        width *= rng.uniform(augment.narrow, 1.0)
    box = *rng.uniform(0, [1 - width, 1 - height]), width, height
    light = None
    if rng.random() < augment.colour:
        # MonoDepth's ranges, of brightness (0.5 to 2) a part
        gamma, brightness = rng.uniform(0.8, 1.2), rng.uniform(0.6, 1.7)
        light = gamma, (brightness * rng.uniform(0.8, 1.2, 3)).astype(_FLOAT)
    grey = rng.random() < augment.grey
    blur, noise = 0.0, (0.0, 0)
    if augment.blur and rng.random() < augment.blur:
        blur = rng.uniform(*_BLUR)
    if augment.noise and rng.random() < augment.noise:
        noise = rng.uniform(0, _NOISE), int(rng.integers(1 << 31))
    painted = augment.paint and rng.random() < augment.paint
    paint = int(rng.integers(1 << 31)) if painted else None
    return Change(bool(flip), box, light, bool(grey), blur, noise, paint)


def relight(view: Array, change: Change) -> Array:
    """Return a view in [0, 1] under another light: a table of 256 levels, applied at once."""
    table = np.repeat(_LEVELS[:, None], 3, 1)
    if change.light is not None:
        gamma, factors = change.light
        table = np.clip(table ** _FLOAT(gamma) * factors, 0, 1)
    shown: Array = cv2.LUT(view, np.ascontiguousarray(table).reshape(1, 256, 3))
    if change.grey:
        shown = np.repeat((shown * _GREY).sum(2, keepdims=True), 3, 2)
    if change.blur:
        shown = cv2.GaussianBlur(shown, (0, 0), change.blur)
    deviation, seed = change.noise
    if deviation:
        grain = np.random.default_rng(seed).standard_normal(shown.shape, _FLOAT)
        shown = np.clip(shown + grain * _FLOAT(deviation), 0, 1)
    return shown


def _rasterise(points: Array, box: Box, size: tuple[int, int]) -> Array:
    """Draw points into the cropped image: float32 [height, width] metres, nearest wins."""
    height, width = size
    left, top, across, down = box
    u = np.floor((points[:, 0] - left) / across * width).astype(np.int64)
    v = np.floor((points[:, 1] - top) / down * height).astype(np.int64)
    inside = (u >= 0) & (u < width) & (v >= 0) & (v < height)
    depth = np.full(height * width, np.inf, _FLOAT)
    np.minimum.at(depth, v[inside] * width + u[inside], points[inside, 2])
    depth[np.isinf(depth)] = np.nan
    return depth.reshape(height, width)

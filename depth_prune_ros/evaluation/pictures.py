"""Pictures of depth: colours, error maps and captioned strips, drawn with OpenCV alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
from depth_prune_ros.bags.frames import Frame
from depth_prune_ros.core.camera import disparity_from_depth
from depth_prune_ros.core.errors import ConfigError
from depth_prune_ros.core.files import write_whole
from depth_prune_ros.core.metrics import resize_disparity
import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]
Bytes = NDArray[np.uint8]

PANEL_WIDTH = 640
NEAREST_M = 2.0
WORST_ERROR = 0.3
TICKS_M = (2, 5, 10, 20, 40, 80)
_NO_DEPTH = (58, 60, 66)
_BAR = (28, 30, 34)
_INK = (226, 228, 232)
_BAR_HEIGHT = 26
# ColorBrewer's RdYlBu, good first: also told apart by colour-blind readers.
_ERROR_COLOURS = ((49, 54, 149), (116, 173, 209), (255, 255, 191), (244, 109, 67), (165, 0, 38))


def write_file(path: Path, data: bytes) -> None:
    """
    Write a file whole or not at all.

    :raises ConfigError: the folder cannot be made or written
    """
    try:
        write_whole(path, data)
    except OSError as error:
        msg = (
            f'{path}: expected a folder that can be written, found: {error.strerror}; '
            'choose another'
        )
        raise ConfigError(msg) from error


def write_png(path: Path, picture: Bytes) -> None:
    """
    Write an RGB picture as PNG, whole or not at all.

    :raises ConfigError: the folder cannot be made or written
    """
    _, data = cv2.imencode('.png', cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    write_file(path, data.tobytes())


def colour_depth(depth: Float, max_depth_m: float = 80.0) -> Bytes:
    """
    Colour depth on a logarithmic scale (magma): near bright and warm, far dark, NaN grey.

    :param depth: [H, W] metres
    :param max_depth_m: darkest; everything nearer than 2 m is brightest
    :return: uint8 [H, W, 3] RGB
    """
    known = np.isfinite(depth)
    metres = np.clip(np.where(known, depth, max_depth_m), NEAREST_M, max_depth_m)
    nearness = np.log(max_depth_m / metres) / np.log(max_depth_m / NEAREST_M)
    return _paint(np.rint(nearness * 255).astype(np.uint8), known, _magma())


def spread(sparse: Float, radius_px: float) -> Float:
    """
    Let each value fill a disc around it, so that single lidar points can be seen.

    :param sparse: [H, W], NaN = none
    :return: [H, W]; a pixel takes the value of the nearest known one within the radius
    """
    empty = ~np.isfinite(sparse)
    if empty.all() or not empty.any():
        return sparse
    distance, labels = cv2.distanceTransformWithLabels(
        empty.astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    values = np.zeros(int(labels.max()) + 1, np.float32)
    values[labels[~empty]] = sparse[~empty]
    filled: Float = values[labels]
    filled[np.asarray(distance) > radius_px] = np.nan
    return filled


def fit_sparse(sparse: Float, height: int, width: int) -> Float:
    """
    Resize sparse depth without mixing values: the nearest point of each new pixel wins.

    :param sparse: [H, W] metres, NaN = none
    :return: float32 [height, width]
    """
    if sparse.shape == (height, width):
        return sparse
    rows, columns = np.nonzero(np.isfinite(sparse))
    values = sparse[rows, columns]
    order = np.argsort(-values, kind='stable')
    fitted = np.full((height, width), np.nan, np.float32)
    v = rows[order] * height // sparse.shape[0]
    u = columns[order] * width // sparse.shape[1]
    fitted[v, u] = values[order]
    return fitted


def error_map(gt: Float, prediction: Float, radius_px: float = 1.5) -> Bytes:
    """
    Colour the relative error |gt - prediction| / gt: blue 0, yellow 15 %, red from 30 % on.

    :param gt: [H, W] metres, NaN = none
    :param prediction: [h, w] metres, NaN = infinitely far; its disparity is resized to gt's size
    :param radius_px: how far each pixel is spread
    :return: uint8 [H, W, 3] RGB, grey where there is no ground truth
    """
    nearness = resize_disparity(disparity_from_depth(prediction, 1.0, 1.0), *gt.shape)
    relative = np.abs(1 - 1 / (gt * np.maximum(nearness, np.float32(1e-9))))
    error = spread(relative.astype(np.float32), radius_px)
    known = np.isfinite(error)
    level = np.clip(np.where(known, error, 0) / WORST_ERROR, 0, 1)
    return _paint(np.rint(level * 255).astype(np.uint8), known, _error_colours())


def strip(image: Bytes, depth: Float, gt: Float | None, error: Bytes | None) -> Bytes:
    """
    Stack captioned panels: the image, its depth, the ground truth and the relative error.

    :param image: uint8 [H, W, 3] RGB; its shape is that of every panel, 640 px wide
    :param depth: [h, w] metres, any size
    :param gt: metres, NaN = none; None leaves the panel out
    :param error: from :func:`error_map`; None leaves the panel out
    :return: uint8 RGB
    """
    height, width = panel_shape(image)
    small = np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA))
    nearness = resize_disparity(disparity_from_depth(depth, 1.0, 1.0), height, width)
    panels = [
        _bar('image', width),
        small,
        _bar('predicted depth', width, _depth_legend()),
        colour_depth(disparity_from_depth(nearness, 1.0, 1.0)),
    ]
    if gt is not None:
        sparse = spread(fit_sparse(gt, height, width), 1.5)
        panels += [_bar('ground truth', width, _depth_legend()), colour_depth(sparse)]
    if error is not None:
        fitted = cv2.resize(error, (width, height), interpolation=cv2.INTER_NEAREST)
        panels += [_bar('relative error', width, _error_legend()), np.asarray(fitted)]
    return np.concatenate(panels)


def panel_shape(image: Bytes) -> tuple[int, int]:
    """Return height and width of a panel that shows this image."""
    return max(1, round(image.shape[0] * PANEL_WIDTH / image.shape[1])), PANEL_WIDTH


def frame_strip(frame: Frame, depth: Float) -> Bytes:
    """Draw the strip of a frame and its predicted depth [h, w] in metres."""
    if frame.depth is None:
        return strip(frame.left, depth, None, None)
    gt = fit_sparse(frame.depth, *panel_shape(frame.left))
    return strip(frame.left, depth, gt, error_map(gt, depth))


def _paint(level: Bytes, known: NDArray[np.bool_], colours: Bytes) -> Bytes:
    """Look colours up, grey where nothing is known."""
    table = np.ascontiguousarray(colours[:, None])
    picture = np.asarray(cv2.applyColorMap(level, table), np.uint8)
    picture[~known] = _NO_DEPTH
    return picture


def _magma() -> Bytes:
    """Return magma's 256 colours, the lowest eighth left out: far must differ from black."""
    ramp = np.rint(np.linspace(24, 255, 256)).astype(np.uint8)[None]
    bgr = cv2.applyColorMap(ramp, cv2.COLORMAP_MAGMA)
    return np.asarray(bgr, np.uint8)[0, :, ::-1]


def _error_colours() -> Bytes:
    anchors = np.array(_ERROR_COLOURS, np.float64)
    at = np.linspace(0, 255, len(anchors))
    channels = [np.interp(np.arange(256), at, anchors[:, c]) for c in range(3)]
    return np.rint(np.stack(channels, axis=-1)).astype(np.uint8)


@dataclass(frozen=True)
class _Legend:
    """A colour bar, its ticks as (place from 0 to 1, label)."""

    colours: Bytes
    ticks: tuple[tuple[float, str], ...]


def _depth_legend() -> _Legend:
    span = np.log(TICKS_M[-1] / NEAREST_M)
    ticks = [(float(np.log(m / NEAREST_M) / span), str(m)) for m in TICKS_M]
    ticks[-1] = (1.0, f'{TICKS_M[-1]} m')
    return _Legend(_magma()[::-1], tuple(ticks))


def _error_legend() -> _Legend:
    return _Legend(_error_colours(), ((0.0, '0'), (0.5, '15'), (1.0, '30 %')))


def _bar(caption: str, width: int, legend: _Legend | None = None) -> Bytes:
    """Draw the dark line above a panel."""
    bar = np.full((_BAR_HEIGHT, width, 3), _BAR, np.uint8)
    _text(bar, caption, 8, 18, 0.45)
    if legend is None:
        return bar
    length = 220
    left = width - length - 42
    ramp = cv2.resize(legend.colours[None], (length, 7), interpolation=cv2.INTER_LINEAR)
    bar[3:10, left : left + length] = ramp
    for place, label in legend.ticks:
        x = left + round(place * (length - 1))
        bar[10:13, x] = _INK
        _text(bar, label, x - 4 * min(len(label), 2), 22, 0.34)
    return bar


def _text(picture: Bytes, text: str, x: int, y: int, scale: float) -> None:
    font = cv2.FONT_HERSHEY_SIMPLEX
    cv2.putText(picture, text, (x, y), font, scale, _INK, 1, cv2.LINE_AA)

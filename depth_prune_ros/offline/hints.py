"""
Depth hints: the disparity of both views, by semi-global matching.

Matching finds what the photometric loss descends to only from nearby: thin poles and the edges of
cars. The hints are labels beside the lidar's (Watson et al., "Self-Supervised Monocular Depth
Hints", ICCV 2019); the matching is Hirschmüller's (PAMI 2008), of OpenCV. It guesses where there
is nothing to match, in an overexposed sky above all, and no lidar says otherwise: what may be sky
has no hint, or that of open sky.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
_NEAREST = 1 / 8  # largest disparity, of the image width
_BLOCK = 5
_AGREEMENT = 1.0  # pixels between the disparities of the two views
# what may be sky: levels, their range within _BLOCK, and share of the image
_BRIGHT, _PLAIN, _SMALLEST = 200, 12, 0.002
_FAR = 0.005  # disparity, of the image width: 60 m for KITTI's cameras
_SEEN_NEAR = 0.15  # largest share of a sky's pixels that match nearer than that


def match(left: Array, right: Array) -> Array:
    """
    Match two rectified views.

    :param left: uint8 [H, W, 3] RGB
    :param right: the same
    :return: float32 [2, H, W] disparity of the left and of the right view, fractions of the image
        width; NaN where the two disagree or a point is outside of the other view, 0 in open sky
    """
    count = 16 * max(1, round(left.shape[1] * _NEAREST / 16))
    grey = [cv2.cvtColor(view, cv2.COLOR_RGB2GRAY) for view in (left, right)]
    mirrored = [np.ascontiguousarray(view[:, ::-1]) for view in reversed(grey)]
    found = np.stack([_matched(grey, count), _matched(mirrored, count)[:, ::-1]])
    width = left.shape[1]
    x = np.arange(width, dtype=np.float32)
    partner = np.stack([x - found[0], x + found[1]])
    inside = (partner >= 0) & (partner <= width - 1)
    column = np.where(inside, partner, 0).round().astype(np.intp)
    there = np.take_along_axis(found[::-1], column, 2)
    agreed = inside & (np.abs(there - found) <= _AGREEMENT)
    fractions = np.where(agreed, found / width, np.nan).astype(np.float32)
    for view, disparity in zip((left, right), fractions, strict=True):
        _mark_sky(view, disparity)
    return fractions


def _mark_sky(view: Array, disparity: Array) -> None:
    """Replace the disparity of bright, plain areas at the upper border: 0 where they are far."""
    level = cv2.cvtColor(view, cv2.COLOR_RGB2GRAY)
    block = np.ones((_BLOCK, _BLOCK), np.uint8)
    plain = cv2.morphologyEx(level, cv2.MORPH_GRADIENT, block) < _PLAIN
    candidates = ((view.min(2) >= _BRIGHT) & plain).astype(np.uint8)
    count, areas, figures, _ = cv2.connectedComponentsWithStats(candidates, connectivity=4)
    for number in range(1, count):
        if figures[number, cv2.CC_STAT_TOP] > 0:
            continue
        if figures[number, cv2.CC_STAT_AREA] < _SMALLEST * level.size:
            continue
        area = areas == number
        near = (disparity[area] > _FAR).mean()
        disparity[area] = 0 if near <= _SEEN_NEAR else np.nan


def _matched(views: list[Array], count: int) -> Array:
    """Return the disparity of the first view, pixels; NaN where there is none."""
    matcher = cv2.StereoSGBM.create(
        numDisparities=count,
        blockSize=_BLOCK,
        P1=8 * _BLOCK**2,
        P2=32 * _BLOCK**2,
        preFilterCap=63,
        uniquenessRatio=5,
        speckleWindowSize=100,
        speckleRange=2,
        mode=cv2.StereoSGBM_MODE_SGBM_3WAY,
    )
    # OpenCV finds nothing in the first columns: give it others
    wide = [cv2.copyMakeBorder(v, 0, 0, count, 0, cv2.BORDER_REPLICATE) for v in views]
    disparity = matcher.compute(*wide)[:, count:].astype(np.float32) / 16
    found: Array = np.where(disparity > 0, disparity, np.nan)
    return found

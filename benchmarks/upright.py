"""
What is narrow and upright before something farther: poles, trunks, people.

It is a hundredth of an image, so that a mean over pixels hardly tells of it. Matched views show
it, and grey-scale morphology (Serra, 1982) finds it there: an opening by a horizontal line takes
away what is narrower than the line, and of that an opening by a vertical line leaves what is as
tall as that one, which a wrong match hardly ever is.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

# fractions of the image width: 25, 19, 5 and 3 px of 640
_WIDEST = 0.04
_TALLEST_GAP = 0.008
_SHORTEST = 0.03
_BESIDE = 0.005
_NEARER = 1.15  # disparity over that of what is on both sides


def upright(disparity: NDArray[np.float32]) -> NDArray[np.bool_]:
    """
    Mark what is narrow, upright and nearer than what is on both sides, and the pixels beside it.

    :param disparity: [H, W], NaN = none, 0 = open sky
    :return: bool [H, W], only where there is a disparity above 0
    """
    line = _line(disparity, _WIDEST)
    behind = cv2.morphologyEx(_filled(disparity), cv2.MORPH_OPEN, line)
    known = disparity > 0
    narrow = (known & (disparity > _NEARER * behind)).astype(np.uint8)
    closed = cv2.morphologyEx(narrow, cv2.MORPH_CLOSE, _line(disparity, _TALLEST_GAP).T)
    tall = cv2.morphologyEx(closed, cv2.MORPH_OPEN, _line(disparity, _SHORTEST).T)
    with_sides = cv2.dilate(tall, _line(disparity, 2 * _BESIDE))
    return np.asarray(known & (with_sides > 0))


def _filled(disparity: NDArray[np.float32]) -> NDArray[np.float32]:
    """Fill each gap of a row with the farther one of its ends: what is hidden lies behind."""
    there = np.isfinite(disparity)
    column = np.arange(disparity.shape[1])
    before = np.maximum.accumulate(np.where(there, column, 0), 1)
    after = np.minimum.accumulate(np.where(there, column, column[-1])[:, ::-1], 1)[:, ::-1]
    ends = [np.take_along_axis(disparity, index, 1) for index in (before, after)]
    return np.nan_to_num(np.fmin(*ends))


def _line(disparity: NDArray[np.float32], fraction: float) -> NDArray[np.uint8]:
    """Return a horizontal line of that share of the image's width, an odd number of pixels."""
    return np.ones((1, 2 * round(fraction * disparity.shape[1] / 2) + 1), np.uint8)

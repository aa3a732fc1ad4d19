"""A level ground, a box on it and nothing above: disparity and image, shared by tests."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

HEIGHT, WIDTH, BASELINE_M = 64, 128, 0.5
HORIZON, SLOPE = 0.4, 0.2  # of the height; disparity a height further down
ROW = (np.arange(HEIGHT) + 0.5) / HEIGHT
BOX = (slice(24, 56), slice(80, 100))
Array = NDArray[Any]


def level_disparity() -> Array:
    """Return float32 [HEIGHT, WIDTH] fractions of the width, NaN above the horizon."""
    rows = np.where(ROW > HORIZON + 0.02, SLOPE * (ROW - HORIZON), np.nan)
    found = np.repeat(rows[:, None], WIDTH, 1).astype(np.float32)
    found[BOX] = rows[BOX[0].stop]
    return found


def grey(level: int = 100) -> Array:
    """Return uint8 [HEIGHT, WIDTH, 3] of one level."""
    return np.full((HEIGHT, WIDTH, 3), level, np.uint8)

"""Frames to samples: what a training keeps of a frame, a little above the network's size."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from typing import Protocol

import cv2
from depth_prune_ros.bags.frames import Frame
from depth_prune_ros.offline.hints import match
import numpy as np
from numpy.typing import NDArray

_KEPT_POINTS = 40_000
_MARGIN = 1.3
_FLOAT = np.float32
Array = NDArray[Any]


@dataclass(frozen=True)
class Sample:
    """
    A frame as the training keeps it.

    :param left: uint8 [h, w, 3] RGB
    :param right: the same of the right camera, or None
    :param points: float32 [N, 3] measured depth: u and v as fractions of the image, z in metres
    :param fx_over_width: focal length over image width
    :param fy_over_height: focal length over image height, before it was brought to [h, w]
    :param baseline_m: distance of the cameras; the training baseline where there is no right one
    :param stamp_ns: header stamp of the frame
    :param hints: float16 [2, h, w] disparity of the left and the right view found by matching, in
        fractions of the image width; NaN = none, 0 = open sky
    """

    left: Array
    right: Array | None
    points: Array
    fx_over_width: float
    fy_over_height: float
    baseline_m: float
    stamp_ns: int = 0
    hints: Array | None = None


class Samples(Protocol):
    """The samples of a bag: in memory, or read as they are asked for."""

    def __len__(self) -> int:
        """Return the number of samples."""

    def __iter__(self) -> Iterator[Sample]:
        """Yield the samples one by one."""

    def __getitem__(self, index: int, /) -> Sample:
        """Return one sample."""


def to_sample(
    frame: Frame, size: tuple[int, int], baseline_m: float, seed: int, *, hints: bool = False
) -> Sample | None:
    """
    Shrink a frame to (height, width) and turn its depth image into points.

    :param hints: whether the views are matched, too
    :return: None where the frame has nothing to learn from
    """
    height, width = size
    points = np.zeros((0, 3), _FLOAT)
    if frame.depth is not None:
        rows, columns = np.nonzero(np.isfinite(frame.depth) & (frame.depth > 0))
        if len(rows) > _KEPT_POINTS:
            rng = np.random.default_rng(seed)
            kept = np.sort(rng.choice(len(rows), _KEPT_POINTS, replace=False))
            rows, columns = rows[kept], columns[kept]
        shape = frame.depth.shape
        u, v = (columns + 0.5) / shape[1], (rows + 0.5) / shape[0]
        points = np.stack([u, v, frame.depth[rows, columns]], 1).astype(_FLOAT)
    right = frame.right if frame.baseline_m else None
    if right is None and not len(points):
        return None
    return Sample(
        left=_shrink(frame.left, size),
        right=None if right is None else _shrink(right, size),
        points=points,
        fx_over_width=frame.camera.fx_over_width,
        fy_over_height=frame.camera.fy_over_height,
        baseline_m=frame.baseline_m or baseline_m,
        stamp_ns=frame.stamp_ns,
        hints=_hints(frame.left, right, size) if hints and right is not None else None,
    )


def _hints(left: Array, right: Array, size: tuple[int, int]) -> Array:
    """Match the views as they came, where what is thin is widest."""
    found = [
        cv2.resize(disparity, size[::-1], interpolation=cv2.INTER_NEAREST)
        for disparity in match(left, right)
    ]
    return np.stack(found).astype(np.float16)


def _shrink(view: Array, size: tuple[int, int]) -> Array:
    """Bring a view to (height, width), sharp: the crop to come blurs as resize_image does."""
    return cv2.resize(view, size[::-1], interpolation=cv2.INTER_AREA)


def load_samples(
    frames: Iterable[Frame],
    size: tuple[int, int],
    baseline_m: float,
    progress: Callable[[int], None] | None = None,
    *,
    hints: bool = False,
) -> Iterator[Sample]:
    """
    Turn the frames of a bag into samples of :func:`kept_size`, one by one.

    :param size: (height, width) of the network
    :param progress: called with the frames read so far
    :param hints: whether the views are matched, too
    """
    for number, frame in enumerate(frames):
        sample = to_sample(frame, kept_size(size), baseline_m, number, hints=hints)
        if sample is not None:
            yield sample
        if progress is not None:
            progress(number + 1)


def kept_size(size: tuple[int, int]) -> tuple[int, int]:
    """Return a sample's (height, width): enough for a crop to lose nothing."""
    return round(size[0] * _MARGIN), round(size[1] * _MARGIN)

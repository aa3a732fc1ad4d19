"""Frames to training batches: kept in memory at a little above the network's size."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatch
from typing import Any

import cv2
from depth_prune_ros.bags.frames import Frame
from depth_prune_ros.core.errors import TrainingError
from depth_prune_ros.core.images import resize_image
from depth_prune_ros.offline.config import AugmentConfig
from depth_prune_ros.offline.losses import Batch
import numpy as np
from numpy.typing import NDArray
import torch

_KEPT_POINTS = 40_000
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
    :param baseline_m: distance of the cameras; the training baseline where there is no right one
    """

    left: Array
    right: Array | None
    points: Array
    fx_over_width: float
    baseline_m: float


def to_sample(frame: Frame, size: tuple[int, int], baseline_m: float, seed: int) -> Sample | None:
    """
    Shrink a frame to (height, width) and turn its depth image into points.

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
        left=resize_image(frame.left, width, height),
        right=None if right is None else resize_image(right, width, height),
        points=points,
        fx_over_width=frame.camera.fx_over_width,
        baseline_m=frame.baseline_m or baseline_m,
    )


class Dataset:
    """Samples by bag, drawn at random; batch n of a seed is always the same batch."""

    def __init__(
        self,
        bags: dict[str, list[Sample]],
        shares: dict[str, float],
        size: tuple[int, int],
        baseline_m: float,
        augment: AugmentConfig,
    ) -> None:
        """
        Keep the samples of each bag.

        :param shares: pattern of bag names (street*) -> share of the samples of all such bags;
            the others share the rest by their frames
        :param size: (height, width) of the network
        :raises TrainingError: no samples, or a share for a bag that is not there
        """
        self.samples = [sample for samples in bags.values() for sample in samples]
        if not self.samples:
            msg = 'expected frames with a right image or measured depth, found none in the bags'
            raise TrainingError(msg)
        self.bags = {name: len(samples) for name, samples in bags.items()}
        self._weights = _weights(self.bags, shares)
        self._size = size
        self._baseline_m = baseline_m
        self._augment = augment

    @property
    def fx_over_width(self) -> float:
        """Return the median over the samples."""
        return float(np.median([s.fx_over_width for s in self.samples]))

    def batch(self, number: int, count: int, seed: int) -> Batch:
        """Return batch ``number`` of ``count`` samples."""
        rng = np.random.default_rng((seed, number))
        count = min(count, int((self._weights > 0).sum()))
        chosen = rng.choice(len(self.samples), count, replace=False, p=self._weights)
        items = [self._item(self.samples[i], rng) for i in chosen]
        left, right, measured, stereo, ratio = zip(*items, strict=True)
        return Batch(
            left=_images(left),
            right=_images(right),
            has_right=torch.tensor(stereo),
            baseline_ratio=torch.tensor(ratio, dtype=torch.float32),
            disparity=torch.from_numpy(np.stack(measured)[:, None]),
        )

    def _item(self, sample: Sample, rng: np.random.Generator) -> tuple[Any, ...]:
        left, right, points = sample.left, sample.right, sample.points
        if rng.random() < self._augment.flip:
            left, right, points = _flip(sample)
        side = rng.uniform(self._augment.crop, 1.0)
        x, y = rng.uniform(0, 1 - side, 2)
        box = (float(x), float(y), float(side))
        views = [_crop(view, box, self._size) for view in (left, right) if view is not None]
        views = _colour(views, self._augment, rng)
        measured = _rasterise(points, box, self._size)
        scale = self._baseline_m * sample.fx_over_width / side
        ratio = sample.baseline_m / self._baseline_m
        return views[0], views[-1], _FLOAT(scale) / measured, right is not None, ratio


def load_samples(
    frames: Iterable[Frame],
    size: tuple[int, int],
    baseline_m: float,
    progress: Callable[[int], None] | None = None,
) -> list[Sample]:
    """Turn the frames of a bag into samples 1.3 times the network's size (height, width)."""
    kept = (round(size[0] * 1.3), round(size[1] * 1.3))
    samples = []
    for number, frame in enumerate(frames):
        sample = to_sample(frame, kept, baseline_m, number)
        if sample is not None:
            samples.append(sample)
        if progress is not None:
            progress(number + 1)
    return samples


def _weights(frames: dict[str, int], shares: dict[str, float]) -> Array:
    """Return each sample's probability, bag by bag."""
    pattern = {bag: next((p for p in shares if fnmatch(bag, p)), '') for bag in frames}
    missing = sorted(set(shares) - set(pattern.values()))
    if missing:
        msg = f'shares: expected a bag named like {missing[0]!r}, found {", ".join(frames)}'
        raise TrainingError(msg)
    given = {**shares, '': max(0.0, 1.0 - sum(shares.values()))}
    together = {p: sum(n for bag, n in frames.items() if pattern[bag] == p) for p in given}
    each = [
        np.full(n, given[pattern[bag]] / max(1, together[pattern[bag]]))
        for bag, n in frames.items()
    ]
    weights = np.concatenate(each)
    total: Array = weights / weights.sum()
    return total


def _flip(sample: Sample) -> tuple[Array, Array | None, Array]:
    """Mirror the frame; with two views the mirrored right one becomes the left."""
    points = sample.points.copy()
    if sample.right is None:
        points[:, 0] = 1 - points[:, 0]
        return sample.left[:, ::-1], None, points
    points[:, 0] -= sample.baseline_m * sample.fx_over_width / points[:, 2]
    points[:, 0] = 1 - points[:, 0]
    return sample.right[:, ::-1], sample.left[:, ::-1], points


def _crop(view: Array, box: tuple[float, float, float], size: tuple[int, int]) -> Array:
    """Cut the box (x, y, side as fractions) and bring it to (height, width)."""
    x, y, side = box
    height, width = view.shape[:2]
    sx, sy = side * width / size[1], side * height / size[0]
    # pixel centres: u + 0.5 of the crop lies at (u + 0.5) * sx + x * width of the image
    matrix = np.array([[sx, 0, x * width + 0.5 * sx - 0.5], [0, sy, y * height + 0.5 * sy - 0.5]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    cut: Array = cv2.warpAffine(
        np.ascontiguousarray(view),
        matrix,
        size[::-1],
        flags=flags,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return cut


def _colour(views: list[Array], augment: AugmentConfig, rng: np.random.Generator) -> list[Array]:
    """Apply MonoDepth's gamma, brightness and tint, and drop the colour now and then."""
    floats = [view.astype(_FLOAT) / _FLOAT(255) for view in views]
    if rng.random() < augment.colour:
        gamma, brightness = rng.uniform(0.8, 1.2), rng.uniform(0.6, 1.7)
        tint = (brightness * rng.uniform(0.8, 1.2, 3)).astype(_FLOAT)
        floats = [np.clip(view ** _FLOAT(gamma) * tint, 0, 1) for view in floats]
    if rng.random() < augment.grey:
        weights = np.array([0.299, 0.587, 0.114], _FLOAT)
        floats = [np.repeat((view @ weights)[..., None], 3, 2) for view in floats]
    return floats


def _rasterise(points: Array, box: tuple[float, float, float], size: tuple[int, int]) -> Array:
    """Draw points into the cropped image: float32 [height, width] metres, nearest wins."""
    height, width = size
    x, y, side = box
    u = np.floor((points[:, 0] - x) / side * width).astype(np.int64)
    v = np.floor((points[:, 1] - y) / side * height).astype(np.int64)
    inside = (u >= 0) & (u < width) & (v >= 0) & (v < height)
    z = points[inside, 2]
    order = np.argsort(-z, kind='stable')
    depth = np.full(height * width, np.nan, _FLOAT)
    depth[(v[inside] * width + u[inside])[order]] = z[order]
    return depth.reshape(height, width)


def _images(views: tuple[Array, ...]) -> torch.Tensor:
    stacked = torch.from_numpy(np.stack(views)).permute(0, 3, 1, 2)
    return stacked.contiguous(memory_format=torch.channels_last)

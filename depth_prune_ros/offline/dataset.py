"""
Samples to training batches, drawn at random and changed at random.

What changes the geometry (flip, crop) changes views, points and focal length together, so that a
scene point keeps its metric depth. What changes the picture (gamma, brightness, tint, grey, blur,
noise) changes only the image that the network is shown: the losses compare the untouched views,
as Monodepth2 does (Godard et al., ICCV 2019). MonoDepth compared the changed views; but clipped
highlights hide what the reconstruction is to match, and the smoothness term would see other edges.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import replace
from fnmatch import fnmatch
from itertools import accumulate
from statistics import median_low

import cv2
from depth_prune_ros.core.errors import TrainingError
from depth_prune_ros.offline.config import AugmentConfig
from depth_prune_ros.offline.losses import Batch
from depth_prune_ros.offline.samples import Array
from depth_prune_ros.offline.samples import Sample
from depth_prune_ros.offline.samples import Samples
import numpy as np
import torch

Box = tuple[float, float, float, float]
_FLOAT = np.float32
_LEVELS = np.arange(256, dtype=_FLOAT) / _FLOAT(255)
# what a camera of 1242 pixels across shows at sigma 2 px and 10 of 255 levels, with some room
_BLUR = (0.5, 1.5)
_NOISE = 0.05
_GREY = np.array([0.299, 0.587, 0.114], _FLOAT)


@dataclass(frozen=True)
class TrainingBatch(Batch):
    """
    A batch and what the network is shown of it.

    :param image: [N, 3, H, W] RGB in [0, 1]: left with the changes of light
    """

    image: torch.Tensor


@dataclass(frozen=True)
class _Change:
    """
    What is done to a sample.

    :param box: crop (x, y, width, height) as fractions of the image
    :param light: gamma and a factor for each of red, green, blue; None = as it is
    :param blur: standard deviation of a Gaussian, pixels
    :param noise: standard deviation of a Gaussian, of the image's range; and its seed
    """

    flip: bool
    box: Box
    light: tuple[float, Array] | None
    grey: bool
    blur: float
    noise: tuple[float, int]


class Dataset:
    """Samples by bag, drawn at random; batch n of a seed is always the same batch."""

    def __init__(
        self,
        bags: Mapping[str, Samples],
        shares: dict[str, float],
        size: tuple[int, int],
        baseline_m: float,
        augment: AugmentConfig,
        fingerprint: str = '',
    ) -> None:
        """
        Draw from the samples of each bag.

        :param shares: pattern of bag names (street*) -> share of the samples of all such bags;
            the others share the rest by their frames
        :param size: (height, width) of the network
        :param fingerprint: of the bags and of how they were decoded
        :raises TrainingError: no samples, or a share for a bag that is not there
        """
        self.bags = {name: len(samples) for name, samples in bags.items()}
        if not sum(self.bags.values()):
            msg = 'expected frames with a right image or measured depth, found none in the bags'
            raise TrainingError(msg)
        self.fingerprint = fingerprint
        self._samples = dict(bags)
        self._ends = list(accumulate(self.bags.values()))
        self._weights = _weights(self.bags, shares)
        self._size = size
        self._baseline_m = baseline_m
        self._augment = augment

    @property
    def fx_over_width(self) -> float:
        """Return the middle one of all samples': never one between those of two cameras."""
        every = (sample for samples in self._samples.values() for sample in samples)
        return median_low([sample.fx_over_width for sample in every])

    @property
    def cameras(self) -> dict[str, dict[str, float]]:
        """Return the first camera of each bag: focal length over width, and baseline."""
        first = {bag: samples[0] for bag, samples in self._samples.items() if len(samples)}
        return {
            bag: {'fx_over_width': sample.fx_over_width, 'baseline_m': sample.baseline_m}
            for bag, sample in first.items()
        }

    def batch(
        self, number: int, count: int, seed: int, part: tuple[int, int] = (0, 1)
    ) -> TrainingBatch:
        """
        Return batch ``number`` of ``count`` samples.

        :param part: (i, n): the i-th of n equal parts of it
        :raises TrainingError: the batch has no n equal parts
        """
        drawn = self._draw(number, count, seed)
        if len(drawn) % part[1]:
            msg = f'expected a batch in {part[1]} equal parts, found {len(drawn)} samples'
            raise TrainingError(msg)
        items = [self._item(self._find(i)[1], change) for i, change in drawn[part[0] :: part[1]]]
        image, left, right, measured, hints, stereo, ratio = zip(*items, strict=True)
        return TrainingBatch(
            # divided by numpy: torch's threads would take processors from the network
            image=_channels_first(np.stack(image)),
            left=_channels_first(np.stack(left) / _FLOAT(255)),
            right=_channels_first(np.stack(right) / _FLOAT(255)),
            has_right=torch.tensor(stereo),
            baseline_ratio=torch.tensor(ratio, dtype=torch.float32),
            disparity=torch.from_numpy(np.stack(measured)[:, None]),
            hints=torch.from_numpy(np.stack(hints)),
        )

    def frames(self, number: int, count: int, seed: int) -> list[str]:
        """Return the bag and the stamp of each frame of a batch."""
        found = (self._find(i) for i, _ in self._draw(number, count, seed))
        return [f'{bag} at {sample.stamp_ns} ns' for bag, sample in found]

    def _find(self, index: int) -> tuple[str, Sample]:
        place = bisect_right(self._ends, index)
        bag = list(self.bags)[place]
        return bag, self._samples[bag][index - self._ends[place] + self.bags[bag]]

    def _draw(self, number: int, count: int, seed: int) -> list[tuple[int, _Change]]:
        rng = np.random.default_rng((seed, number))
        count = min(count, int((self._weights > 0).sum()))
        chosen = rng.choice(len(self._weights), count, replace=False, p=self._weights)
        return [(int(i), _draw_change(self._augment, rng)) for i in chosen]

    def _item(
        self, sample: Sample, change: _Change
    ) -> tuple[Array, Array, Array, Array, Array, bool, float]:
        if change.flip:
            sample = _flip(sample)
        given = (sample.left, sample.right)
        views = [_crop(view, change.box, self._size) for view in given if view is not None]
        measured = _rasterise(sample.points, change.box, self._size)
        scale = self._baseline_m * sample.fx_over_width / change.box[2]
        ratio = sample.baseline_m / self._baseline_m
        shown, disparity = _relight(views[0], change), _FLOAT(scale) / measured
        hints = self._hints(sample, change.box, 1 / (ratio * change.box[2]))
        return shown, views[0], views[-1], disparity, hints, sample.right is not None, ratio

    def _hints(self, sample: Sample, box: Box, scale: float) -> Array:
        if sample.hints is None:
            return np.full((2, *self._size), np.nan, _FLOAT)
        cut = [_crop(view.astype(_FLOAT), box, self._size, nearest=True) for view in sample.hints]
        return np.stack(cut) * _FLOAT(scale)


def share_patterns(bags: Iterable[str], shares: Mapping[str, float]) -> dict[str, str]:
    """
    Return the first pattern of the shares that fits each bag, '' where none does.

    :raises TrainingError: a pattern that no bag is left for
    """
    found = {bag: next((p for p in shares if fnmatch(bag, p)), '') for bag in bags}
    missing = sorted(set(shares) - set(found.values()))
    if missing:
        names = ', '.join(found)
        msg = f'expected a bag named like {missing[0]!r} (in shares), found {names}'
        raise TrainingError(msg)
    return found


def _weights(frames: dict[str, int], shares: dict[str, float]) -> Array:
    """Return each sample's probability, bag by bag."""
    pattern = share_patterns(frames, shares)
    given = {**shares, '': max(0.0, 1.0 - sum(shares.values()))}
    together = {p: sum(n for bag, n in frames.items() if pattern[bag] == p) for p in given}
    each = [
        np.full(n, given[pattern[bag]] / max(1, together[pattern[bag]]))
        for bag, n in frames.items()
    ]
    weights = np.concatenate(each)
    total: Array = weights / weights.sum()
    return total


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


def _draw_change(augment: AugmentConfig, rng: np.random.Generator) -> _Change:
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
    return _Change(bool(flip), box, light, bool(grey), blur, noise)


def _relight(view: Array, change: _Change) -> Array:
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


def _channels_first(images: Array) -> torch.Tensor:
    """Return [N, 3, H, W] of [N, H, W, 3]; in memory the channels stay last."""
    return torch.from_numpy(images).permute(0, 3, 1, 2)

"""Samples to training batches, drawn at random and changed at random."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from itertools import accumulate
from statistics import median_low

from depth_prune_ros.core.errors import TrainingError
from depth_prune_ros.offline.changes import Change
from depth_prune_ros.offline.changes import draw_change
from depth_prune_ros.offline.changes import relight
from depth_prune_ros.offline.changes import Seen
from depth_prune_ros.offline.changes import seen
from depth_prune_ros.offline.config import AugmentConfig
from depth_prune_ros.offline.ground_paint import paint
from depth_prune_ros.offline.losses import Batch
from depth_prune_ros.offline.samples import Array
from depth_prune_ros.offline.samples import Sample
from depth_prune_ros.offline.samples import Samples
import numpy as np
import torch

_FLOAT = np.float32


@dataclass(frozen=True)
class TrainingBatch(Batch):
    """
    A batch and what the network and its teachers are shown of it.

    :param image: [N, 3, H, W] RGB in [0, 1]: left with the changes of light and drawn lines
    :param plain: the same without the lines, for the teachers
    """

    image: torch.Tensor
    plain: torch.Tensor


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
        :raises TrainingError: no samples, or a share for a bag that is not there or has none
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
    def focal_lengths(self) -> tuple[float, float]:
        """Return those over width and height of the middle sample: never between two cameras'."""
        every = (sample for samples in self._samples.values() for sample in samples)
        return median_low([(sample.fx_over_width, sample.fy_over_height) for sample in every])

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
        items = [self._item(*each) for each in drawn[part[0] :: part[1]]]
        shown, plain, scenes = zip(*items, strict=True)
        rights = [scene.left if scene.right is None else scene.right for scene in scenes]
        return TrainingBatch(
            # divided by numpy: torch's threads would take processors from the network
            image=_channels_first(np.stack(shown)),
            plain=_channels_first(np.stack(plain)),
            left=_channels_first(np.stack([scene.left for scene in scenes]) / _FLOAT(255)),
            right=_channels_first(np.stack(rights) / _FLOAT(255)),
            has_right=torch.tensor([scene.right is not None for scene in scenes]),
            baseline_ratio=torch.tensor([scene.baseline_ratio for scene in scenes]),
            disparity=torch.from_numpy(np.stack([scene.disparity for scene in scenes])[:, None]),
            hints=torch.from_numpy(np.stack([scene.hints for scene in scenes])),
        )

    def frames(self, number: int, count: int, seed: int) -> list[str]:
        """Return the bag and the stamp of each frame of a batch."""
        found = (self._find(i) for i, _ in self._draw(number, count, seed))
        return [f'{bag} at {sample.stamp_ns} ns' for bag, sample in found]

    def _find(self, index: int) -> tuple[str, Sample]:
        place = bisect_right(self._ends, index)
        bag = list(self.bags)[place]
        return bag, self._samples[bag][index - self._ends[place] + self.bags[bag]]

    def _draw(self, number: int, count: int, seed: int) -> list[tuple[int, Change]]:
        rng = np.random.default_rng((seed, number))
        count = min(count, int((self._weights > 0).sum()))
        chosen = rng.choice(len(self._weights), count, replace=False, p=self._weights)
        return [(int(i), draw_change(self._augment, rng)) for i in chosen]

    def _item(self, index: int, change: Change) -> tuple[Array, Array, Seen]:
        """Return what network and teachers are shown of a sample, and what is compared."""
        scene = seen(self._find(index)[1], change, self._size, self._baseline_m)
        plain = relight(scene.left, change)
        if change.paint is None:
            return plain, plain, scene
        painted = paint(scene.left, scene.hints[0], self._baseline_m, change.paint)
        return relight(painted, change), plain, scene


def share_patterns(bags: Iterable[str], shares: Mapping[str, float]) -> dict[str, str]:
    """
    Return the first pattern of the shares that fits each bag, '' where none does.

    :raises TrainingError: a pattern that no bag is left for
    """
    found = {bag: next((p for p in shares if fnmatch(bag, p)), '') for bag in bags}
    missing = sorted(set(shares) - set(found.values()))
    if missing:
        names = ', '.join(found)
        msg = (
            f'expected a bag named like {missing[0]!r} (in shares), found {names}; add one, or '
            'take it out of shares'
        )
        raise TrainingError(msg)
    return found


def _weights(frames: dict[str, int], shares: dict[str, float]) -> Array:
    """Return each sample's probability, bag by bag."""
    pattern = share_patterns(frames, shares)
    given = {**shares, '': max(0.0, 1.0 - sum(shares.values()))}
    together = {p: sum(n for bag, n in frames.items() if pattern[bag] == p) for p in given}
    for name in shares:
        if not together[name]:
            msg = f'expected samples in the bags of the share {name!r}, found none; leave it out'
            raise TrainingError(msg)
    each = [
        np.full(n, given[pattern[bag]] / max(1, together[pattern[bag]]))
        for bag, n in frames.items()
    ]
    weights = np.concatenate(each)
    total: Array = weights / weights.sum()
    return total


def _channels_first(images: Array) -> torch.Tensor:
    """Return [N, 3, H, W] of [N, H, W, 3]; in memory the channels stay last."""
    return torch.from_numpy(images).permute(0, 3, 1, 2)

"""
The losses of what is known of the views: measured depth, depth hints, a teacher.

All disparities are fractions of the image width for the training baseline.
"""

from __future__ import annotations

from collections.abc import Iterator

from depth_prune_ros.offline import ranks
import torch
from torch import Tensor
from torch.nn import functional

# disparity in open sky at most, of the image width: 100 m for KITTI's cameras
_SKY = 0.003
# distances in pixels, and a jump of log disparity: 22 %
_EDGES, _JUMPS, _JUMP = (1, 2, 4, 8), (4, 8, 12), 0.2
# a teacher and a hint: log disparity, and the teacher's pixels
_APART, _REACH = 0.14, 3


def measured_loss(predictions: list[Tensor], measured: Tensor) -> Tensor:
    """
    Mean |log d - log d*| and a scale-invariant log error, half each, mean over the scales.

    The second term is Eigen et al.'s (NIPS 2014, equation 4), as its root with lambda 0.85.

    :param predictions: [N, V, h, w] disparities of V views, the left one first; finest first
    :param measured: [N, 1, H, W] left disparities, NaN = none
    """
    valid = measured.isfinite()
    target = measured[valid].log()
    total = target.new_zeros(())
    for disparities in predictions:
        found = disparities[:, :1]
        if found.shape[-2:] != measured.shape[-2:]:
            found = functional.interpolate(found, measured.shape[-2:], mode='bilinear')
        error = found[valid].log() - target
        absolute, mean, square = ranks.global_means(error.abs(), error, error.square())
        invariant = (square - 0.85 * mean.square() + 1e-8).sqrt()
        total = total + 0.5 * absolute + 0.5 * invariant
    return total / len(predictions)


def hint_loss(predictions: list[Tensor], hints: Tensor) -> Tensor:
    """
    Mean |log d - log d_hint|, the mean over the scales; a coarse pixel has the hint at its middle.

    :param predictions: [N, V, h, w] disparities of V views, finest first
    :param hints: [N, V, H, W], NaN = none
    """
    total = hints.new_zeros(())
    for disparities in predictions:
        step = hints.shape[-1] // disparities.shape[-1]
        error, valid = _errors(disparities, hints[..., step // 2 :: step, step // 2 :: step])
        total = total + _mean([error.abs()], [valid])
    return total / len(predictions)


def edge_loss(disparity: Tensor, hints: Tensor) -> Tensor:
    """
    Mean difference of the changes of log disparity, over pairs of pixels 1, 2, 4 and 8 apart.

    As MegaDepth's gradient matching term (Li and Snavely, CVPR 2018, equation 4).

    :param disparity: [N, V, H, W] of V views
    :param hints: [N, V, H, W], NaN = none
    """
    error, valid = _errors(disparity, hints)
    changes, weights = [], []
    for (there, here), (both, one) in _pairs(_EDGES, error, valid):
        weights.append(both * one)
        changes.append((there - here).abs() * weights[-1])
    return _mean(changes, weights)


def jump_loss(disparity: Tensor, hints: Tensor) -> Tensor:
    """
    As edge_loss, but only over pairs 4, 8 and 12 px apart where the hints jump.

    They jump where their log disparity differs by more than 0.2. Such pairs are few, and where a
    network is not sure where a jump is, no change at all is the least error in the mean over all
    pairs: edges melt. Counted by themselves they weigh against that, as pairs drawn at edges do
    in a ranking loss (Xian et al., CVPR 2020).

    :param disparity: [N, V, H, W] of V views
    :param hints: [N, V, H, W], NaN = none
    """
    error, valid = _errors(disparity, hints)
    known = torch.where(valid > 0, hints, 1.0).log()
    changes, weights = [], []
    for (there, here), (both, one), (beyond, before) in _pairs(_JUMPS, error, valid, known):
        weights.append(both * one * ((beyond - before).abs() > _JUMP))
        changes.append((there - here).abs() * weights[-1])
    return _mean(changes, weights)


def _pairs(distances: tuple[int, ...], *values: Tensor) -> Iterator[list[tuple[Tensor, Tensor]]]:
    """Yield (there, here) of each of the values, for each distance along columns and rows."""
    for distance in distances:
        for axis in (2, 3):
            length = values[0].shape[axis] - distance
            yield [(v.narrow(axis, distance, length), v.narrow(axis, 0, length)) for v in values]


def sky_loss(disparity: Tensor, hints: Tensor) -> Tensor:
    """
    Mean excess of log disparity over that of _SKY in open sky, nothing where it is farther.

    :param disparity: [N, V, H, W] of V views
    :param hints: [N, V, H, W], 0 = open sky
    """
    sky = (hints == 0).float()
    return _mean([(disparity / _SKY).log().clamp_min(0) * sky], [sky])


def _errors(disparity: Tensor, hints: Tensor) -> tuple[Tensor, Tensor]:
    """Return log d - log d_hint, 0 where there is no hint, and 1 where there is one."""
    valid = hints > 0
    known = torch.where(valid, hints, 1.0).log()
    return torch.where(valid, disparity.log() - known, 0.0), valid.float()


def _mean(values: list[Tensor], weights: list[Tensor]) -> Tensor:
    """Return the weighted mean of all values (they are weighted already); 0 without weight."""
    sums = [torch.stack([part.sum() for part in parts]).sum() for parts in (values, weights)]
    value, weight = ranks.global_means(*(one.view(1) for one in sums))
    return value / weight.clamp_min(1e-9)


def distillation(
    predictions: list[Tensor], wanted: list[Tensor], hints: Tensor | None = None
) -> Tensor:
    """
    Mean |log d - log d_teacher| over the two finest scales.

    Compared at the size of the smaller of the two: what is too fine for the teacher it does not
    blur, but leaves to the labels.

    :param predictions: [N, 2, h, w] left and right disparities, finest first
    :param wanted: [N, V, h', w'] the teacher's, of both views or the left one
    :param hints: [N, 2, H, W] left and right disparities found by matching, NaN = none: for edges
        the teacher teaches the left view alone, and nothing that a hint close by contradicts
    """
    errors = []
    for predicted, taught in zip(predictions[:2], wanted, strict=True):
        sides = zip(predicted.shape[-2:], taught.shape[-2:], strict=True)
        size, views = torch.Size(map(min, sides)), 1 if hints is not None else taught.shape[1]
        known = _shrunk(taught[:, :views], size)
        error = (_shrunk(predicted[:, :views], size).log() - known.log()).abs()
        if hints is not None:
            error = error * _unopposed(known, hints[:, :1])
        errors.append(error.mean())
    return torch.stack(errors).mean()


def _unopposed(taught: Tensor, hints: Tensor) -> Tensor:
    """Return 0 within _REACH pixels of a hint that differs by more than _APART, 1 elsewhere."""
    there = functional.interpolate(hints, taught.shape[-2:], mode='nearest-exact')
    error, _ = _errors(taught, there)
    opposed = (error.abs() > _APART).float()
    return 1 - functional.max_pool2d(opposed, 2 * _REACH + 1, 1, _REACH)


def _shrunk(disparity: Tensor, size: torch.Size) -> Tensor:
    if disparity.shape[-2:] == size:
        return disparity
    return functional.interpolate(disparity, size, mode='bilinear', antialias=True)

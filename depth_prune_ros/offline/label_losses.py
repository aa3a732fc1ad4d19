"""
The losses of what is known of the left view: measured depth, depth hints, a teacher.

All disparities are fractions of the image width for the training baseline.
"""

from __future__ import annotations

from depth_prune_ros.offline import ranks
import torch
from torch import Tensor
from torch.nn import functional

# disparity in open sky at most, of the image width: 100 m for KITTI's cameras
_SKY = 0.003
# a teacher and a hint: log disparity, and the teacher's pixels
_APART, _REACH = 0.14, 3


def measured_loss(predictions: list[Tensor], measured: Tensor) -> Tensor:
    """
    Mean |log d - log d*| and a scale-invariant log error, half each, mean over the scales.

    The second term is Eigen et al.'s (NIPS 2014, equation 4), as its root with lambda 0.85.

    :param predictions: [N, 1, h, w] disparities, finest first
    :param measured: [N, 1, H, W], NaN = none
    """
    valid = measured.isfinite()
    target = measured[valid].log()
    total = target.new_zeros(())
    for disparities in predictions:
        found = disparities
        if found.shape[-2:] != measured.shape[-2:]:
            found = functional.interpolate(found, measured.shape[-2:], mode='bilinear')
        error = found[valid].log() - target
        absolute, mean, square = ranks.means(error.abs(), error, error.square())
        invariant = (square - 0.85 * mean.square() + 1e-8).sqrt()
        total = total + 0.5 * absolute + 0.5 * invariant
    return total / len(predictions)


def hint_loss(predictions: list[Tensor], hints: Tensor) -> Tensor:
    """
    Mean |log d - log d_hint|, the mean over the scales; a coarse pixel has the hint at its middle.

    :param predictions: [N, 1, h, w] disparities, finest first
    :param hints: [N, 1, H, W], NaN = none
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

    :param disparity: [N, 1, H, W]
    :param hints: [N, 1, H, W], NaN = none
    """
    error, valid = _errors(disparity, hints)
    changes, pairs = [], []
    for distance in (1, 2, 4, 8):
        for axis in (2, 3):
            length = error.shape[axis] - distance
            (there, here), (both, one) = (
                (values.narrow(axis, distance, length), values.narrow(axis, 0, length))
                for values in (error, valid)
            )
            pairs.append(both * one)
            changes.append((there - here).abs() * pairs[-1])
    return _mean(changes, pairs)


def upright_loss(disparity: Tensor, hints: Tensor, upright: Tensor) -> Tensor:
    """
    Mean |log d - log d_hint| over what is narrow and upright, however little it is.

    :param disparity: [N, 1, H, W]
    :param hints: [N, 1, H, W], NaN = none
    :param upright: bool [N, 1, H, W] where it is, only where there is a hint
    """
    error, _ = _errors(disparity, hints)
    narrow = upright.float()
    return _mean([error.abs() * narrow], [narrow])


def sky_loss(disparity: Tensor, hints: Tensor) -> Tensor:
    """
    Mean excess of log disparity over that of _SKY in open sky, nothing where it is farther.

    :param disparity: [N, 1, H, W]
    :param hints: [N, 1, H, W], 0 = open sky
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
    value, weight = ranks.means(*(one.view(1) for one in sums))
    return value / weight.clamp_min(1e-9)


def distillation(predictions: list[Tensor], wanted: list[Tensor], hints: Tensor) -> Tensor:
    """
    Mean |log d - log d_teacher| of the left view over the two finest scales.

    Compared at the size of the smaller of the two: what is too fine for the teacher it does not
    blur, but leaves to the labels. So does it what a hint close by contradicts.

    :param predictions: [N, 2, h, w] disparities, finest first
    :param wanted: [N, 1, h', w'] left disparities
    :param hints: [N, 1, H, W] left disparities, NaN = none
    """
    errors = []
    for predicted, taught in zip(predictions[:2], wanted, strict=True):
        sides = zip(predicted.shape[-2:], taught.shape[-2:], strict=True)
        size = torch.Size(map(min, sides))
        known = _shrunk(taught, size)
        error = (_shrunk(predicted[:, :1], size).log() - known.log()).abs()
        errors.append((error * _unopposed(known, hints)).mean())
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

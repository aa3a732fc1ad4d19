"""
The depth losses: MonoDepth's from stereo, a log-depth error from lidar or a depth image, labels.

A network has the disparities of both views, as the stereo losses need them, and the labels teach
both: on streets that it has not seen it errs less. But where objects end in the right view lies
elsewhere in the left image, the only one that a network sees, and what draws it there is lost for
the left view's edges: a training for these has ``sharpen``, and teaches the left view alone.

All disparities are fractions of the image width for the training baseline B_t; a frame of
baseline B moves by disparity * B / B_t between its views.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import fields
from typing import Any

from depth_prune_ros.offline import ranks
from depth_prune_ros.offline.label_losses import edge_loss
from depth_prune_ros.offline.label_losses import hint_loss
from depth_prune_ros.offline.label_losses import jump_loss
from depth_prune_ros.offline.label_losses import measured_loss
from depth_prune_ros.offline.label_losses import sky_loss
import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class Batch:
    """
    What the losses compare with.

    :param left: [N, 3, H, W] RGB in [0, 1]
    :param right: [N, 3, H, W]; only rows where has_right are looked at
    :param has_right: [N] bool
    :param baseline_ratio: [N] frame's baseline over the training baseline
    :param disparity: [N, 1, H, W] measured left disparity for the training baseline, NaN = none
    :param hints: [N, 2, H, W] left and right disparity found by matching, for the same baseline;
        NaN = none, 0 = open sky
    """

    left: Tensor
    right: Tensor
    has_right: Tensor
    baseline_ratio: Tensor
    disparity: Tensor
    hints: Tensor


@dataclass(frozen=True)
class Weights:
    """
    Weights of the terms; the stereo ones are MonoDepth's (alpha_ap, alpha_ds, alpha_lr).

    :param sharpen: hints teach the left view alone
    """

    photometric: float = 1.0
    smoothness: float = 0.1
    consistency: float = 1.0
    depth: float = 1.0
    hints: float = 0.0
    edges: float = 0.0
    jumps: float = 0.0
    sky: float = 0.0
    sharpen: bool = False

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Weights:
        """Take what it knows of a configuration's values."""
        return cls(**{known.name: values[known.name] for known in fields(cls)})


def depth_loss(predictions: list[Tensor], batch: Batch, weights: Weights) -> dict[str, Tensor]:
    """
    Compute L_task of a batch, each frame supervised by what it has.

    :param predictions: [N, 2, H / 2^s, W / 2^s] left and right disparities, finest first
    :return: the terms by name, each weighted, their sum under 'task'
    """
    # a batch that teaches nothing has gradients too, of zero
    terms: dict[str, Tensor] = {'depth': predictions[0].sum() * 0}
    taught, hints = predictions, batch.hints
    if weights.sharpen:
        taught, hints = [prediction[:, :1] for prediction in predictions], hints[:, :1]
    stereo = batch.has_right.nonzero().flatten()
    if len(stereo) and (weights.photometric or weights.smoothness or weights.consistency):
        share = len(stereo) / len(batch.left)
        views = (batch.left[stereo].contiguous(), batch.right[stereo].contiguous())
        ratio = batch.baseline_ratio[stereo]
        found = stereo_loss([p[stereo] for p in predictions], views, ratio)
        for name, value in found.items():
            terms[name] = value * share * getattr(weights, name)
    if ranks.any_rank(bool(batch.disparity.isfinite().any())):
        terms['depth'] = measured_loss(predictions, batch.disparity) * weights.depth
    wanted = (weights.hints, weights.edges, weights.jumps, weights.sky)
    if ranks.any_rank(any(wanted) and bool(hints.isfinite().any())):
        terms['hints'] = hint_loss(taught, hints) * weights.hints
        terms['edges'] = edge_loss(taught[0], hints) * weights.edges
        terms['jumps'] = jump_loss(taught[0], hints) * weights.jumps
        terms['sky'] = sky_loss(taught[0], hints) * weights.sky
    terms['task'] = torch.stack(list(terms.values())).sum()
    return terms


def stereo_loss(
    predictions: list[Tensor], views: tuple[Tensor, Tensor], ratio: Tensor
) -> dict[str, Tensor]:
    """
    Compare the views as MonoDepth does (Godard et al., CVPR 2017, equations 1 to 5).

    Each term is summed over the scales.

    :param predictions: left and right disparities [N, 2, h, w], finest first
    :param views: left and right images [N, 3, H, W]
    :param ratio: [N] the frame's baseline over the training baseline
    """
    zero = predictions[0].new_zeros(())
    totals = {'photometric': zero, 'smoothness': zero, 'consistency': zero}
    for scale, disparities in enumerate(predictions):
        height, width = disparities.shape[-2:]
        left, right = (functional.adaptive_avg_pool2d(view, (height, width)) for view in views)
        shift = disparities * ratio.view(-1, 1, 1, 1)
        d_left, d_right = shift[:, :1], shift[:, 1:]
        # one sampling for both views and what travels with them: image and disparity
        from_right = warp(torch.cat([right, d_right], 1), -d_left)
        from_left = warp(torch.cat([left, d_left], 1), d_right)
        totals['photometric'] = totals['photometric'] + (
            photometric(left, from_right[:, :3]) + photometric(right, from_left[:, :3])
        )
        totals['smoothness'] = (
            totals['smoothness']
            + (smoothness(disparities[:, :1], left) + smoothness(disparities[:, 1:], right))
            / 2**scale
        )
        totals['consistency'] = totals['consistency'] + (
            (from_right[:, 3:] - d_left).abs().mean() + (from_left[:, 3:] - d_right).abs().mean()
        )
    return totals


def warp(image: Tensor, shift: Tensor) -> Tensor:
    """
    Sample an image at x + shift, bilinearly, the border repeated.

    :param image: [N, C, H, W]
    :param shift: [N, 1, H, W] fractions of the width
    :return: [N, C, H, W]
    """
    count, _, height, width = image.shape
    x = torch.arange(width, dtype=shift.dtype, device=shift.device)
    y = torch.arange(height, dtype=shift.dtype, device=shift.device)
    # align_corners=False: pixel centre i lies at (2 i + 1) / n - 1
    grid_x = (2 * x + 1) / width - 1 + 2 * shift[:, 0]
    grid_y = ((2 * y + 1) / height - 1).view(1, -1, 1).expand(count, height, width)
    grid = torch.stack([grid_x, grid_y], -1)
    return functional.grid_sample(image, grid, padding_mode='border', align_corners=False)


def photometric(image: Tensor, estimate: Tensor) -> Tensor:
    """Return 0.85 * (1 - SSIM) / 2 + 0.15 * L1 (equation 2), the mean over pixels."""
    dissimilarity = ((1 - ssim(image, estimate)) / 2).clamp(0, 1)
    return 0.85 * dissimilarity.mean() + 0.15 * (image - estimate).abs().mean()


def ssim(x: Tensor, y: Tensor) -> Tensor:
    """Structural similarity over 3x3 blocks (Wang et al., 2004), [N, C, H - 2, W - 2]."""
    c1, c2 = 0.01**2, 0.03**2
    mu_x, mu_y = _blocks(x), _blocks(y)
    product, squares = mu_x * mu_y, mu_x**2 + mu_y**2
    covariance = _blocks(x * y) - product
    # the formula needs the two variances only as their sum
    variances = _blocks(x * x + y * y) - squares
    return (2 * product + c1) * (2 * covariance + c2) / ((squares + c1) * (variances + c2))


def _blocks(x: Tensor) -> Tensor:
    """Mean over 3x3 blocks; sums of slices are several times faster on a CPU than a pooling."""
    rows = x[..., :-2, :] + x[..., 1:-1, :] + x[..., 2:, :]
    return (rows[..., :-2] + rows[..., 1:-1] + rows[..., 2:]) / 9


def smoothness(disparity: Tensor, image: Tensor) -> Tensor:
    """Return the edge-aware first-order gradient (equation 3), the mean over pixels."""
    total = disparity.new_zeros(())
    for axis in (2, 3):
        edges = image.diff(dim=axis).abs().mean(1, keepdim=True)
        total = total + (disparity.diff(dim=axis).abs() * torch.exp(-edges)).mean()
    return total

"""Losses of what is known of the views: measured depth and depth hints, each by hand."""

from __future__ import annotations

import math

from depth_prune_ros.offline.label_losses import edge_loss
from depth_prune_ros.offline.label_losses import hint_loss
from depth_prune_ros.offline.label_losses import jump_loss
from depth_prune_ros.offline.label_losses import measured_loss
import numpy as np
import pytest
import torch
from torch import Tensor


def _random(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def _constant(value: float, *shape: int) -> Tensor:
    return torch.full(shape, value)


def test_measured_loss_by_hand() -> None:
    """Errors ln 2 and -ln 4 at the two measured pixels, whatever is predicted elsewhere."""
    measured = _constant(math.nan, 1, 1, 4, 4)
    measured[0, 0, 1, 2], measured[0, 0, 3, 0] = 0.05, 0.2
    predicted = _random(1, 2, 4, 4)
    predicted[0, 0, 1, 2], predicted[0, 0, 3, 0] = 0.1, 0.05
    errors = np.array([math.log(2), -math.log(4)])
    invariant = math.sqrt((errors**2).mean() - 0.85 * errors.mean() ** 2)
    wanted = 0.5 * np.abs(errors).mean() + 0.5 * invariant
    assert float(measured_loss([predicted], measured)) == pytest.approx(wanted, rel=1e-5)
    coarse = _constant(0.1, 1, 2, 2, 2)
    errors = np.log(0.1 / np.array([0.05, 0.2]))
    second = 0.5 * np.abs(errors).mean() + 0.5 * math.sqrt((errors**2).mean())
    found = measured_loss([predicted, coarse], measured)
    assert float(found) == pytest.approx((wanted + second) / 2, rel=1e-5)


def test_hint_loss_by_hand() -> None:
    """Errors ln 2 of the left and ln 4 of the right view, at both scales."""
    hints = _constant(math.nan, 1, 2, 4, 4)
    hints[0, 0, 1, 3], hints[0, 1, 3, 1] = 0.05, 0.2
    predicted = [_constant(0.1, 1, 2, 4, 4), _constant(0.1, 1, 2, 2, 2)]
    predicted[0][0, 1] = predicted[1][0, 1] = 0.05
    wanted = (math.log(2) + math.log(4)) / 2
    assert float(hint_loss(predicted, hints)) == pytest.approx(wanted, rel=1e-5)


def test_edge_loss_by_hand() -> None:
    """A step of ln 2 that is not there is missed by each pair of pixels across it."""
    hints = _constant(0.1, 1, 1, 16, 16)
    hints[..., 8:] = 0.2
    flat = _constant(0.3, 1, 1, 16, 16)
    # of each row's 16 - n pairs at distance n, n lie across; of the columns' none
    assert float(edge_loss(flat, hints)) == pytest.approx(math.log(2) * 15 / 98, rel=1e-3)
    assert float(edge_loss(3 * hints, hints)) == pytest.approx(0, abs=1e-6)
    hints[..., 4:9] = math.nan
    # left are three of each row's 22 pairs, at distance 8, and of 11 columns 49 each
    wanted = math.log(2) * 3 * 16 / (22 * 16 + 11 * 49)
    assert float(edge_loss(flat, hints)) == pytest.approx(wanted, rel=2e-3)
    assert float(edge_loss(flat, hints * math.nan)) == 0


@pytest.mark.parametrize('transposed', [False, True])
def test_jump_loss_by_hand(transposed: bool) -> None:
    """
    A step of ln 2 in 16x24 pixels that a flat guess has nothing of: all pairs across it, no other.

    A ramp as steep as 20 % in 12 pixels is no jump, and has no part in it.
    """
    hints = _constant(0.1, 1, 1, 24, 16)
    hints[..., 8:] = 0.2
    half = hints.sqrt()
    ramp = 0.1 * torch.exp(0.19 / 12 * torch.arange(16.0)).expand(1, 1, 24, 16).contiguous()
    unknown = hints.clone()
    unknown[..., 8:] = math.nan
    sky = hints.clone()
    sky[..., 8:] = 0
    unseen = hints.clone()
    unseen[..., :8] = math.nan
    falling = hints.flip(-1)
    for wanted, guess, loss in (
        (falling, _constant(0.3, 1, 1, 24, 16), math.log(2)),
        (unseen, half, 0.0),
        (hints, _constant(0.3, 1, 1, 24, 16), math.log(2)),
        (hints, half, math.log(2) / 2),
        (hints, 3 * hints, 0.0),
        (hints, 1 / hints, 2 * math.log(2)),
        (ramp, _constant(0.3, 1, 1, 24, 16), 0.0),
        (unknown, half, 0.0),
        (sky, half, 0.0),
    ):
        views = [one.mT for one in (guess, wanted)] if transposed else [guess, wanted]
        assert float(jump_loss(*views)) == pytest.approx(loss, rel=1e-4, abs=1e-6)


def test_jump_loss_looks_4_8_and_12_pixels_far() -> None:
    """Two steps 6 pixels apart: pairs across one of them, and across both with their sum."""
    row = torch.tensor([0.1] * 5 + [0.2] * 6 + [0.4] * 5)
    hints, flat = row.expand(1, 1, 12, 16), _constant(0.3, 1, 1, 12, 16)
    found = [abs(math.log(row[x + k] / row[x])) for k in (4, 8, 12) for x in range(16 - k)]
    jumps = [jump for jump in found if jump > 0.2]
    assert float(jump_loss(flat, hints)) == pytest.approx(sum(jumps) / len(jumps), rel=1e-4)

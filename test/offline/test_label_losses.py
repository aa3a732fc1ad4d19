"""The losses of what is known of the left view, each by hand."""

from __future__ import annotations

import math

from depth_prune_ros.offline.label_losses import edge_loss
from depth_prune_ros.offline.label_losses import hint_loss
from depth_prune_ros.offline.label_losses import measured_loss
from depth_prune_ros.offline.label_losses import upright_loss
import numpy as np
import pytest
import torch
from torch import Tensor


def _random(*shape: int) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0))


def _constant(value: float, *shape: int) -> Tensor:
    return torch.full(shape, value)


def test_measured_loss_by_hand() -> None:
    """Errors ln 2 and -ln 4 at the two measured pixels, whatever is predicted elsewhere."""
    measured = _constant(math.nan, 1, 1, 4, 4)
    measured[0, 0, 1, 2], measured[0, 0, 3, 0] = 0.05, 0.2
    predicted = _random(1, 1, 4, 4)
    predicted[0, 0, 1, 2], predicted[0, 0, 3, 0] = 0.1, 0.05
    errors = np.array([math.log(2), -math.log(4)])
    invariant = math.sqrt((errors**2).mean() - 0.85 * errors.mean() ** 2)
    wanted = 0.5 * np.abs(errors).mean() + 0.5 * invariant
    assert float(measured_loss([predicted], measured)) == pytest.approx(wanted, rel=1e-5)
    coarse = _constant(0.1, 1, 1, 2, 2)
    errors = np.log(0.1 / np.array([0.05, 0.2]))
    second = 0.5 * np.abs(errors).mean() + 0.5 * math.sqrt((errors**2).mean())
    found = measured_loss([predicted, coarse], measured)
    assert float(found) == pytest.approx((wanted + second) / 2, rel=1e-5)


def test_hint_loss_by_hand() -> None:
    """Errors ln 2 at one pixel and ln 4 at another, at both scales."""
    hints = _constant(math.nan, 1, 1, 4, 4)
    hints[0, 0, 1, 3], hints[0, 0, 3, 1] = 0.05, 0.2
    predicted = [_constant(0.1, 1, 1, 4, 4), _constant(0.1, 1, 1, 2, 2)]
    predicted[0][0, 0, 3], predicted[1][0, 0, 1, 0] = 0.05, 0.05
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


def test_upright_loss_by_hand() -> None:
    """One pixel in sixteen, wrong by ln 2: the mean over it alone."""
    hints = _constant(0.1, 1, 1, 4, 4)
    upright = torch.zeros_like(hints, dtype=torch.bool)
    upright[0, 0, 2, 1] = True
    predicted = _constant(0.4, 1, 1, 4, 4)
    predicted[0, 0, 2, 1] = 0.05
    assert float(upright_loss(predicted, hints, upright)) == pytest.approx(math.log(2), rel=1e-5)
    assert float(upright_loss(predicted, hints, upright & False)) == 0

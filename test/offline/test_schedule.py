"""The learning rate from step to step."""

from __future__ import annotations

from depth_prune_ros.offline.schedule import learning_rate
import numpy as np
import pytest


def test_learning_rate_by_hand() -> None:
    """100 steps to 1: two rise (0.5, 1), then a cosine over 98, half-way at step 51."""
    rates = [learning_rate(step, 100, 1.0) for step in range(100)]
    assert rates[:3] == pytest.approx([0.5, 1.0, 1.0])
    assert rates[51] == pytest.approx(0.5)
    assert rates[2 + 98 // 4] == pytest.approx(0.5 * (1 + np.cos(np.pi * 24 / 98)))
    assert 0 < rates[99] < 0.001
    assert all(b <= a for a, b in zip(rates[1:], rates[2:], strict=False))
    assert learning_rate(0, 1, 0.3) == pytest.approx(0.3)
    # down to a share instead of 0: half-way between, and flat
    assert learning_rate(51, 100, 1.0, 0.2) == pytest.approx(0.6)
    assert [learning_rate(step, 100, 2.0, 1.0) for step in (1, 51, 99)] == [2.0, 2.0, 2.0]

"""What the node does with an image before it is worked on."""

from __future__ import annotations

from depth_prune_ros.ros.processor import RateLimit
import pytest


def _passed(limit: RateLimit, begin_s: float, rate_hz: float) -> int:
    """Count what passes of 300 images in 10 s."""
    return sum(limit.passes(begin_s + frame / 30.0, rate_hz) for frame in range(300))


def test_a_rate_limit_lets_through_so_many() -> None:
    assert _passed(RateLimit(), 1000.0, 10.0) == pytest.approx(100, abs=1)
    assert _passed(RateLimit(), 1000.0, 0.0) == 300


@pytest.mark.parametrize(('rate_hz', 'images'), [(10.0, 100), (30.0, 300), (0.0, 300)])
def test_a_higher_rate_counts_at_once(rate_hz: float, images: int) -> None:
    limit = RateLimit()
    assert _passed(limit, 1000.0, 0.01) == 1
    assert _passed(limit, 1010.0, rate_hz) == pytest.approx(images, abs=1)
    assert _passed(limit, 1020.0, 0.01) == 1

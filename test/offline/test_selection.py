"""Widths out of scores: which filters a budget buys."""

from __future__ import annotations

from depth_prune_ros.offline.selection import blocks
from depth_prune_ros.offline.selection import fill
from depth_prune_ros.offline.selection import Group
from depth_prune_ros.offline.selection import Widths
import numpy as np


def test_what_stays_of_a_group_is_worth_more_the_narrower_it_gets() -> None:
    scores = np.array([4.0, 3.0, 2.0, -1.0])
    groups = {'a': Group(scores, cost=2.0, floor=1, width=3)}
    ranked = [(b.width, b.worth) for b in blocks(groups, 1, saturation=2.0)]
    assert ranked == [(2, 1.5 * 1.5**2), (3, 1.0), (4, -0.5)]
    # equally good groups of 8 and 80 lose the same share, not the same number
    even = {
        'narrow': Group(np.full(8, 10.0), 1.0, 0, 8),
        'wide': Group(np.full(80, 1.0), 0.1, 0, 80),
    }
    widths, _ = fill({'narrow': 0, 'wide': 0}, blocks(even, 1, 1.0), _weight, 8.0)
    assert widths == {'narrow': 4, 'wide': 40}
    widths, _ = fill({'narrow': 0, 'wide': 0}, blocks(even, 1, 0.0), _weight, 8.0)
    assert widths == {'narrow': 8, 'wide': 0}


def _weight(widths: Widths) -> float:
    return widths['narrow'] + 0.1 * widths['wide']

"""Widths out of scores: which filters a budget buys."""

from __future__ import annotations

from depth_prune_ros.offline.cost import Budget
from depth_prune_ros.offline.cost import measures
from depth_prune_ros.offline.masks import Masks
from depth_prune_ros.offline.masks import Pressure
from depth_prune_ros.offline.selection import blocks
from depth_prune_ros.offline.selection import fill
from depth_prune_ros.offline.selection import Group
from depth_prune_ros.offline.selection import Widths
import numpy as np
import pytest
from tiny_networks import narrow
from tiny_networks import shapes_only
import torch


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
    widths = fill({'narrow': 0, 'wide': 0}, blocks(even, 1, 1.0), _weight, 8.0)
    assert widths == {'narrow': 4, 'wide': 40}
    widths = fill({'narrow': 0, 'wide': 0}, blocks(even, 1, 0.0), _weight, 8.0)
    assert widths == {'narrow': 8, 'wide': 0}


def _weight(widths: Widths) -> float:
    return widths['narrow'] + 0.1 * widths['wide']


def _masks_of_a_stem(kept: int) -> Masks:
    """Return masks that leave so many filters of eight, those that score 8, 7, 6 and so on."""
    network = shapes_only('mobilenet', narrow('mobilenet', 8))
    params = measures(network.layers, 32 * 64)['params']
    masks = Masks(
        network,
        Budget(params, params.price({**network.widths, 'stem': kept}) + 1),
        Pressure(every=1, warmup=0, margin=0.2, saturation=1.0, floor_filters=1),
        whole=set(network.widths) - {'stem'},
    )
    masks.scores['stem'].copy_(torch.arange(8.0, 0, -1))
    return masks


def test_a_filter_comes_in_where_it_is_better_by_the_margin() -> None:
    masks = _masks_of_a_stem(6)
    for score, wanted in ((2.0, (1, 1, 0)), (3.3, (1, 1, 0)), (3.9, (1, 0, 1))):
        masks.scores['stem'][6] = score  # the worst one that is in scores 3
        masks.choose(0, 1)
        assert masks.masks['stem'].tolist() == [1, 1, 1, 1, *wanted, 0]


@pytest.mark.parametrize(('first', 'widths'), [(5.0, (6, 8)), (12.0, (7, 7))])
def test_a_group_narrows_from_its_present_width(first: float, widths: tuple[int, int]) -> None:
    """
    The stem's seventh filter against the last one of another group, which is in: 10 * 1.2 = 12.

    At a score of 12 it is worth less where it has gone before (6/7 of 12), and more where the
    stem is whole (8/7 of 12, with its margin).
    """
    network = shapes_only('mobilenet', narrow('mobilenet', 8))
    filters = measures(network.layers, 32 * 64)['filters']
    masks = Masks(
        network,
        Budget(filters, filters.price(network.widths) - 2),
        Pressure(every=1, warmup=0, margin=0.2, saturation=1.0, floor_filters=1),
        whole=set(network.widths) - {'stem', 'stage1'},
    )
    masks.scores['stem'].copy_(torch.tensor([40.0, 39, 38, 37, 36, 35, first, 1]))
    masks.scores['stage1'].copy_(torch.tensor([50.0, 49, 48, 47, 46, 45, 44, 10]))
    masks.choose(0, 1)
    masks.scores['stem'][6] = 12
    masks.choose(0, 1)
    assert (masks.widths['stem'], masks.widths['stage1']) == widths

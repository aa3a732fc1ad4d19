"""Which widths a budget buys: filters in the order of their worth, in blocks if wanted."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
import math

import numpy as np
from numpy.typing import NDArray

Widths = dict[str, int]
Price = Callable[[Widths], float]


@dataclass(frozen=True)
class Block:
    """
    Filters of a group that come in together.

    :param width: of the group once they are in
    :param worth: their mean score per cost
    """

    group: str
    width: int
    worth: float


def smallest_width(width: int, share: float, filters: int, step: int) -> int:
    """Return a group's floor: a share of it, at least some filters, in whole steps."""
    wanted = max(filters, math.ceil(width * share))
    return min(width, step * math.ceil(wanted / step))


@dataclass(frozen=True)
class Group:
    """
    What is known of a group's filters when widths are chosen.

    :param scores: of its filters, highest first
    :param cost: of one of its filters
    :param floor: how many stay in any case
    :param width: how many are in at present, when the scores are those of the whole network
    """

    scores: NDArray[np.float64]
    cost: float
    floor: int
    width: int


def blocks(groups: Mapping[str, Group], step: int, saturation: float = 0.0) -> list[Block]:
    """
    Cut every group's filters above its floor into blocks, the worthiest block first.

    A score is what the loss rises by when one filter goes and the others stay. When many go,
    those that stay are worth more, as each does what several did: at width w instead of the
    present width a positive score counts (width / w)^saturation times.

    :param step: filters of a block; the last one of a group may have fewer
    """
    found = []
    for name, group in groups.items():
        for start in range(group.floor, len(group.scores), step):
            part = group.scores[start : start + step]
            width, worth = start + len(part), float(part.mean()) / group.cost
            if worth > 0:
                worth *= (group.width / width) ** saturation
            found.append(Block(name, width, worth))
    return sorted(found, key=lambda block: -block.worth)


def fill(
    floors: Mapping[str, int], ranked: Sequence[Block], price: Price, target: float
) -> Widths:
    """
    Take ranked blocks while the cost fits, then whichever later ones still fit.

    :param ranked: worthiest first, a group's own blocks in the order of their widths
    :param price: cost of a network of these widths
    """

    def after(count: int) -> Widths:
        return {**floors, **{block.group: block.width for block in ranked[:count]}}

    low, high = 0, len(ranked)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if price(after(middle)) <= target else (low, middle - 1)
    widths = after(low)
    too_big: set[str] = set()
    for block in ranked[low:]:
        wider = {**widths, block.group: block.width}
        if block.group in too_big or price(wider) > target:
            too_big.add(block.group)
        else:
            widths = wider
    return widths

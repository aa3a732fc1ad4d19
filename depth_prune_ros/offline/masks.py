"""
One binary mask per filter, learned jointly over the whole network (the paper, section 3).

The objective is L_total = L_task + lambda * C(masks), C being the cost the budget is in
(parameters or MACs; the paper counts filters; without pressure lambda is 0). A mask m_i in
{0, 1} multiplies its filter's output, and its gradient passes straight through the threshold to
a score s_i:

    s_i   <- running mean of  L(m_i = 0) - L(m_i = 1),
             estimated to second order from the straight-through gradient g_i = dL/dm_i:
             -g_i + (2 m_i - 1) k h_i / 2,  h_i = g_i^2 / (2 L)  (Gauss-Newton)
    m_i    = [s_i * (n / r_i)^p > lambda * c_i],  c_i = what the filter costs at present widths,
             n = filters of its group that are in, r_i = its rank in the group

so a filter stays exactly while removing it would raise L_total. Scores decay towards zero, keep
their relative size (no per-score normalisation), and go on being learned while a filter is out,
so it can come back. h_i is seen only as a mean over images, which hides most of it, and it is
all that grows with the number of filters that go together: k makes up for both (docs/results.md
has what was measured). A score says what one filter is worth beside all the others; when many of
its group go, the rest has to do their work: p makes up for that. lambda is solved for at every
choice such that the cost follows a slow schedule to the budget.
"""

from __future__ import annotations

from collections.abc import Collection
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import fields
import math
from typing import Any

from depth_prune_ros.core.errors import MaskError
from depth_prune_ros.offline import ranks
from depth_prune_ros.offline.cost import Budget
from depth_prune_ros.offline.cost import Measure
from depth_prune_ros.offline.networks.prunable import Prunable
from depth_prune_ros.offline.selection import blocks
from depth_prune_ros.offline.selection import fill
from depth_prune_ros.offline.selection import Group
from depth_prune_ros.offline.selection import smallest_width
import numpy as np
from numpy.typing import NDArray
import torch
from torch import Tensor

Kept = dict[str, NDArray[np.bool_]]

_AIMS = 5


@dataclass(frozen=True)
class Pressure:
    """
    How the masks are pressed to the budget.

    :param ramp: share of the steps to reach the budget
    :param every: steps between two choices of filters
    :param warmup: steps that only observe
    :param memory: steps a score remembers
    :param curvature: k, the weight of the second-order term
    :param margin: advantage of a filter that is in over one that is out
    :param saturation: how fast filters are worth more as their group narrows
    :param floor: smallest share of a group that stays
    :param floor_filters: smallest number of filters of a group that stays
    :param multiple: widths come in multiples of it (or stay whole)
    """

    ramp: float = 0.75
    every: int = 5
    warmup: int = 40
    memory: int = 60
    curvature: float = 1000.0
    margin: float = 0.2
    saturation: float = 1.0
    floor: float = 0.1
    floor_filters: int = 4
    multiple: int = 1

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Pressure:
        """Take what it knows of a configuration's values."""
        return cls(**{known.name: values[known.name] for known in fields(cls)})


class Masks:
    """The masks of a network and the scores behind them."""

    def __init__(
        self,
        network: Prunable,
        budget: Budget,
        pressure: Pressure,
        *,
        weigh: Measure | None = None,
        whole: Collection[str] = (),
    ) -> None:
        """
        Open every mask of the network.

        :param weigh: what c_i counts, the budget's measure by default
        :param whole: groups that stay whole
        :raises MaskError: the budget is below what the floors leave
        """
        self.budget = budget
        self._cost = budget.measure.price
        self._weigh = weigh or budget.measure
        self._pressure = pressure
        self.masks = {g: torch.ones(w, requires_grad=True) for g, w in network.widths.items()}
        self.scores = {g: torch.zeros(w) for g, w in network.widths.items()}
        network.gates = dict(self.masks)
        self._floors = {
            group: width if group in whole else self._floor(width)
            for group, width in network.widths.items()
        }
        smallest = self._cost(self._floors)
        if smallest > budget.amount:
            found = budget.measure.show(budget.amount)
            msg = (
                f'expected a budget above {budget.measure.show(smallest)} {budget.measure.name} '
                f'(every group at its floor), found {found}; lower prune.floor, '
                'prune.floor_filters or prune.multiple (--round), or raise the budget'
            )
            raise MaskError(msg)

    @property
    def widths(self) -> dict[str, int]:
        """Return how many filters of each group are in."""
        return {group: int(mask.sum()) for group, mask in self.masks.items()}

    def kept(self) -> dict[str, Tensor]:
        """Return for each group which filters are in: bool [width]."""
        return {group: mask.detach() > 0 for group, mask in self.masks.items()}

    def share(self) -> float:
        """Return the present cost as a share of the budget's measure of the dense network."""
        dense = {group: len(mask) for group, mask in self.masks.items()}
        return self._cost(self.widths) / self._cost(dense)

    def learn(self, loss: float, batch: int) -> None:
        """
        Take the straight-through gradients of a backward pass into the scores.

        :param loss: value the gradients belong to: L_task, and L_distillation where there is one
        :param batch: images it was averaged over
        """
        keep = 1 - 1 / self._pressure.memory
        # a mean over the batch: its square is the images' mean square over their number
        strength = self._pressure.curvature * batch / (4 * max(loss, 1e-6))
        for group, mask in self.masks.items():
            if mask.grad is None:
                continue
            gradient = mask.grad.detach()
            half_curvature = strength * gradient.square()
            rise = -gradient + (2 * mask.detach() - 1) * half_curvature
            self.scores[group].mul_(keep).add_(rise, alpha=1 - keep)
            mask.grad = None

    def choose(self, step: int, steps: int) -> None:
        """
        Follow the schedule: at the steps that are due, choose the filters that stay.

        After the ramp the masks stay as they are: the statistics of batch norm behind a filter
        that comes back begin at zero and need some steps. Rank 0 chooses for all: a latency is
        measured, and not by several at once.
        """
        start, end = self._ramp(steps)
        if not start <= step <= end or (step % self._pressure.every and step != end):
            return
        if ranks.rank() == 0:
            select = self._select_checked if step == end else self._select
            kept = select(self._target(step, steps))
            for group, mask in self.masks.items():
                mask.data.copy_(torch.from_numpy(kept[group]))
        ranks.broadcast(self.masks.values())

    def state(self) -> dict[str, Tensor]:
        """Return masks and scores as tensors, for a checkpoint."""
        state = {f'mask.{g}': m.detach().clone() for g, m in self.masks.items()}
        return state | {f'score.{g}': s.clone() for g, s in self.scores.items()}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Take back what :meth:`state` gave."""
        for group, mask in self.masks.items():
            mask.data.copy_(state[f'mask.{group}'])
            self.scores[group].copy_(state[f'score.{group}'])

    def _target(self, step: int, steps: int) -> float:
        """Return the cost due at a step: from dense to the budget, geometrically."""
        if self.budget.free:
            return self.budget.amount
        dense = self._cost({group: len(mask) for group, mask in self.masks.items()})
        start, end = self._ramp(steps)
        done = (step - start) / (end - start) if end > start else 1.0
        return dense * math.exp(done * math.log(self.budget.amount / dense))

    def _ramp(self, steps: int) -> tuple[int, int]:
        """Return the first and the last step at which filters are chosen."""
        end = min(steps - 1, round(steps * self._pressure.ramp))
        return min(self._pressure.warmup, end), end

    def _select(self, target: float) -> Kept:
        """Return the filters worth more than a lambda that is such that the cost fits."""
        orders, groups, costs = {}, {}, self._filter_costs()
        for group, mask in self.masks.items():
            score = self.scores[group].numpy().astype(np.float64)
            is_in = mask.detach().numpy() > 0
            score = np.where(is_in & (score > 0), score * (1 + self._pressure.margin), score)
            order = orders[group] = np.argsort(-score, kind='stable')
            width = int(is_in.sum())
            groups[group] = Group(score[order], costs[group], self._floors[group], width)
        ranked = blocks(groups, self._pressure.multiple, self._pressure.saturation)
        if self.budget.free:
            ranked = [block for block in ranked if block.worth > 0]
        widths = fill(self._floors, ranked, self._cost, target)
        kept = {}
        for group, order in orders.items():
            kept[group] = np.zeros(len(order), bool)
            kept[group][order[: widths[group]]] = True
        return kept

    def _select_checked(self, target: float) -> Kept:
        """Aim lower until the network as it is fits, where the cost is a prediction."""
        kept = self._select(target)
        check = self.budget.check or (lambda _: 0.0)
        for _ in range(_AIMS):
            found = check({group: int(mask.sum()) for group, mask in kept.items()})
            if found <= self.budget.amount:
                break
            target *= self.budget.amount / found
            kept = self._select(target)
        return kept

    def _filter_costs(self) -> dict[str, float]:
        """Return c_i by group; without pressure all filters count alike."""
        if self.budget.free:
            return dict.fromkeys(self.masks, 1.0)
        return self._weigh.per_filter(self.widths)

    def _floor(self, width: int) -> int:
        pressure = self._pressure
        return smallest_width(width, pressure.floor, pressure.floor_filters, pressure.multiple)

"""What changes from step to step: the learning rate, and the average of the weights."""

from __future__ import annotations

from collections.abc import Mapping
import math
from typing import cast

from depth_prune_ros.offline.networks.base import DepthNetwork
from torch import Tensor
from torch.optim.swa_utils import AveragedModel
from torch.optim.swa_utils import get_ema_multi_avg_fn


def learning_rate(step: int, steps: int, top: float, final: float = 0.0) -> float:
    """
    Return a cosine from ``top`` down, after a linear rise over the first 2 % of the steps.

    :param final: share of ``top`` that it ends at; a stage that is gone on with keeps it at 1
    """
    rise = max(1, round(0.02 * steps))
    if step < rise:
        return top * (step + 1) / rise
    down = 0.5 * (1 - math.cos(math.pi * (step - rise) / max(1, steps - rise)))
    return top * (1 - (1 - final) * down)


class WeightAverage:
    """An exponential moving average of weights and batch statistics, from the first step on."""

    def __init__(self, network: DepthNetwork, decay: float) -> None:
        """Start from the network; ``decay`` is the share of the average that a step keeps."""
        average = get_ema_multi_avg_fn(decay)
        self._average = AveragedModel(network, multi_avg_fn=average, use_buffers=True)

    @property
    def network(self) -> DepthNetwork:
        """Return the network with the averaged weights."""
        return cast(DepthNetwork, self._average.module)

    def update(self, network: DepthNetwork) -> None:
        """Take a step of the network into account."""
        self._average.update_parameters(network)

    def load(self, weights: Mapping[str, Tensor]) -> None:
        """Go on from averaged weights."""
        self.network.load_state_dict(weights)
        self._average.n_averaged.fill_(1)

"""The stereo baseline that a network's disparities refer to."""

from __future__ import annotations

from collections.abc import Mapping
import math
from typing import Any

from depth_prune_ros.core.errors import ConfigError
from depth_prune_ros.offline.networks.base import DepthNetwork
import torch


def check_baseline(card: Mapping[str, Any], baseline_m: float, what: str) -> None:
    """
    Refuse a network whose disparities refer to another baseline than a training's.

    :param what: what the network is, for the error
    :raises ConfigError: they do
    """
    if card['baseline_m'] != baseline_m:
        msg = (
            f'expected a {what} whose disparities refer to a baseline of {baseline_m} m '
            f'(baseline_m), found {card["baseline_m"]} m; configure that'
        )
        raise ConfigError(msg)


@torch.no_grad()
def refer_to(network: DepthNetwork, before_m: float, now_m: float) -> None:
    """
    Have a network's disparities refer to another baseline, as near as its heads can.

    Disparity is in proportion to the baseline, and far below the sigmoid's end it is
    exp(logit): the logarithm of the ratio goes into the heads' bias.
    """
    if before_m == now_m:
        return
    for name, value in network.named_parameters():
        if name.startswith('decoder.disp') and name.endswith('.bias'):
            value.add_(math.log(now_m / before_m))

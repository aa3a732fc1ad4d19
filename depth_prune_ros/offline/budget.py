"""The masks that a budget asks for, and whether it can be reached at all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from depth_prune_ros.offline.config import TrainConfig
from depth_prune_ros.offline.cost import counts_latency
from depth_prune_ros.offline.cost import measures
from depth_prune_ros.offline.cost import parse_budget
from depth_prune_ros.offline.latency_stage import latency_bench
from depth_prune_ros.offline.latency_stage import LatencyBench
from depth_prune_ros.offline.latency_table import Progress
from depth_prune_ros.offline.masks import Masks
from depth_prune_ros.offline.masks import Pressure
from depth_prune_ros.offline.networks.base import DepthNetwork
from depth_prune_ros.offline.networks.catalogue import build
import torch


def takes_table(config: TrainConfig, budget: str) -> bool:
    """
    Return whether pruning to a budget takes a latency table.

    :raises ConfigError: a latency without an amount
    """
    return counts_latency(budget) or config.prune.form == 'latency'


def make_masks(
    network: DepthNetwork, config: TrainConfig, budget: str, bench: LatencyBench | None
) -> Masks:
    """
    Open every mask of a network, to be pressed to a budget.

    The form `paper` counts filters, leaves whole what the paper does, and has no saturation.

    :param budget: such as macs=0.2
    :param bench: where the budget takes a latency table
    :raises ConfigError: no budget, or one above the dense network
    :raises MaskError: a budget below the smallest network, with what that costs
    """
    known = measures(network.layers, config.height * config.width)
    if bench is not None:
        known['latency'] = bench.measure
    wanted = parse_budget(budget, known, network.widths)
    if bench is not None and counts_latency(budget):
        wanted = replace(wanted, check=bench.check)
    pressure = Pressure.of(config.prune.model_dump())
    if config.prune.form != 'paper':
        return Masks(network, wanted, pressure, weigh=known.get(config.prune.form))
    return Masks(
        network,
        wanted,
        replace(pressure, saturation=0.0),
        weigh=known['filters'],
        whole=network.unmasked_in_paper,
    )


def check_budget(
    config: TrainConfig,
    budget: str,
    widths: Mapping[str, int] | None,
    progress: Progress = lambda _done, _total: None,
) -> None:
    """
    Price the dense network and the one with every group at its floor.

    :param widths: of the network that is pruned; None: the dense ones
    :param progress: of the latency table, where the budget takes one and it has to be made
    :raises ConfigError: as make_masks, or a table of something else
    :raises MaskError: as make_masks
    """
    with torch.device('meta'):
        network = build(config.network, widths)
    table = takes_table(config, budget)
    make_masks(
        network, config, budget, latency_bench(config, network.name, progress) if table else None
    )

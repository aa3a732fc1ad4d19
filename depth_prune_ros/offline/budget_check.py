"""Whether a budget can be reached at all: asked of the smallest network, before any training."""

from __future__ import annotations

from collections.abc import Mapping

from depth_prune_ros.offline.config import TrainConfig
from depth_prune_ros.offline.cost import counts_latency
from depth_prune_ros.offline.cost import measures
from depth_prune_ros.offline.cost import parse_budget
from depth_prune_ros.offline.latency_stage import latency_bench
from depth_prune_ros.offline.latency_table import Progress
from depth_prune_ros.offline.masks import Masks
from depth_prune_ros.offline.masks import Pressure
from depth_prune_ros.offline.networks.catalogue import build
import torch


def takes_table(config: TrainConfig, budget: str) -> bool:
    """
    Return whether pruning to a budget takes a latency table.

    :raises ConfigError: a latency without an amount
    """
    return counts_latency(budget) or config.prune.form == 'latency'


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
    :raises ConfigError: no budget, one above the dense network, or a table of something else
    :raises MaskError: a budget below the smallest network, with what that costs
    """
    with torch.device('meta'):
        network = build(config.network, widths)
    known = measures(network.layers, config.height * config.width)
    if takes_table(config, budget):
        known['latency'] = latency_bench(config, network.name, progress).measure
    section = config.prune
    Masks(
        network,
        parse_budget(budget, known, network.widths),
        Pressure(**section.model_dump(exclude={'form', 'threads', 'latency_table'})),
        whole=network.unmasked_in_paper if section.form == 'paper' else (),
    )

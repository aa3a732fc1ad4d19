"""
The methods that are compared: each turns a dense checkpoint into a smaller one.

Learned masks train while they choose; their steps count. The others choose at once and have
the same steps in all. Torch-Pruning (MIT) is used as its documentation shows, heads ignored,
its ratio bisected to the multiply-accumulates of the budget.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

from depth_prune_ros.offline import checkpoint as checkpoints
from depth_prune_ros.offline import stages
from depth_prune_ros.offline.checkpoint import Checkpoint
from depth_prune_ros.offline.compact import remove
from depth_prune_ros.offline.config import TrainConfig
from depth_prune_ros.offline.cost import measures
from depth_prune_ros.offline.losses import depth_loss
from depth_prune_ros.offline.losses import Weights
from depth_prune_ros.offline.networks.base import DepthNetwork
from depth_prune_ros.offline.networks.catalogue import build
from depth_prune_ros.offline.training_data import TrainingData
import numpy as np
import torch

FORMS = {
    'ours-macs': 'macs',
    'ours-params': 'params',
    'ours-latency': 'latency',
    'paper-form': 'paper',
    'masks-without-pressure': 'budget',
}
TAYLOR_BATCHES = 10
# the share of a group that stays, as for the masks (prune.floor)
MOST_PRUNED = 0.9
Report = Callable[[Any], None]


def learned_masks(
    method: str, dense: Path, budget: str, config: TrainConfig, data: TrainingData, folder: Path
) -> Checkpoint:
    """Learn masks from the dense checkpoint and return the compact network."""
    prune = {**config.prune.model_dump(), 'form': FORMS[method]}
    config = TrainConfig.model_validate({**config.model_dump(), 'prune': prune})
    stages.prune(config, data, folder / 'masked', _quiet, start=dense, budget=budget)
    if not checkpoints.exists(folder / 'compact'):
        stages.remove_masked(folder / 'masked', folder / 'compact')
    return checkpoints.load(folder / 'compact')


def at_once(
    method: str,
    dense: Checkpoint,
    ratio: float,
    config: TrainConfig,
    data: TrainingData,
    given: Mapping[str, int] | None = None,
) -> Checkpoint:
    """
    Choose filters in one go.

    :param ratio: of the dense network's multiply-accumulates
    :param given: widths of a new network with random weights
    """
    torch.manual_seed(config.seed)
    if given is not None:
        return _as_checkpoint(dense, build(dense.network, given))
    if method == 'dense-longer':
        return dense
    if method.startswith('tp-'):
        return _as_checkpoint(dense, _torch_pruning(method, dense, ratio, config, data))
    widths = _uniform_widths(dense.build(), ratio, config)
    if method == 'uniform-scratch':
        return _as_checkpoint(dense, build(dense.network, widths))
    rng = np.random.default_rng(config.seed)
    kept = {
        group: torch.from_numpy(
            np.isin(np.arange(dense.widths[group]), rng.permutation(dense.widths[group])[:width])
        )
        for group, width in widths.items()
    }
    return _as_checkpoint(dense, remove(dense.build(), kept))


def _torch_pruning(
    method: str, dense: Checkpoint, ratio: float, config: TrainConfig, data: TrainingData
) -> DepthNetwork:
    """Prune by Torch-Pruning to just below the ratio."""
    import torch_pruning as tp

    importance = {
        'tp-taylor': tp.importance.GroupTaylorImportance,
        'tp-l1': lambda: tp.importance.MagnitudeImportance(p=1),
        'tp-group-norm': lambda: tp.importance.GroupMagnitudeImportance(p=2),
    }[method]
    scored = dense.build()
    if method == 'tp-taylor':
        _accumulate_gradients(scored, config, data)
    price = _macs(scored, config)
    target = ratio * price(scored.widths)

    def pruned(share: float) -> DepthNetwork:
        network = copy.deepcopy(scored)
        for ours, theirs in zip(network.parameters(), scored.parameters(), strict=True):
            ours.grad = None if theirs.grad is None else theirs.grad.clone()
        heads = [
            network.get_submodule(x.conv) for x in network.layers if isinstance(x.output, int)
        ]
        pruner = tp.pruner.BasePruner(
            network,
            torch.rand(1, 3, config.height, config.width),
            importance=importance(),
            global_pruning=method == 'tp-taylor',
            pruning_ratio=share,
            max_pruning_ratio=MOST_PRUNED,
            ignored_layers=heads,
        )
        pruner.step()
        widths = {
            layer.output: network.get_submodule(layer.conv).out_channels
            for layer in network.layers
            if isinstance(layer.output, str)
        }
        small = build(dense.network, widths)
        small.load_state_dict(network.state_dict())
        return small

    low, high = 0.0, MOST_PRUNED
    best = None
    for _ in range(14):
        middle = (low + high) / 2
        network = pruned(middle)
        if price(network.widths) <= target:
            best, high = network, middle
        else:
            low = middle
    if best is None:
        msg = f'{method} does not reach {ratio} of the MACs'
        raise ValueError(msg)
    return best


def _accumulate_gradients(network: DepthNetwork, config: TrainConfig, data: TrainingData) -> None:
    weights = Weights.of(config.losses.model_dump())
    for number in range(TAYLOR_BATCHES):
        batch = data.dataset.batch(number, config.batch, config.seed)
        depth_loss(network(batch.image), batch, weights)['task'].backward()


def _uniform_widths(network: DepthNetwork, ratio: float, config: TrainConfig) -> dict[str, int]:
    """Return the same share of every group, as large as the multiply-accumulates allow."""
    price = _macs(network, config)
    target = ratio * price(network.widths)
    shares = np.linspace(0.02, 1, 981)
    candidates = [{g: max(1, round(w * s)) for g, w in network.widths.items()} for s in shares]
    return [widths for widths in candidates if price(widths) <= target][-1]


def _macs(network: DepthNetwork, config: TrainConfig) -> Callable[[Mapping[str, int]], float]:
    return measures(network.layers, config.height * config.width)['macs'].price


def _as_checkpoint(dense: Checkpoint, network: DepthNetwork) -> Checkpoint:
    return replace(dense, widths=network.widths, weights=network.state_dict(), masks={}, step=0)


def _quiet(_: Any) -> None:
    pass

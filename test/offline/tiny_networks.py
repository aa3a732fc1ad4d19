"""Networks of a few filters, and what the tests compare them by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from depth_prune_ros.offline.checkpoint import Checkpoint
from depth_prune_ros.offline.networks.base import DepthNetwork
from depth_prune_ros.offline.networks.catalogue import build
from depth_prune_ros.offline.networks.catalogue import NETWORKS
import numpy as np
import torch
from torch import nn
from torch import Tensor

SIZES = {
    'mobilenet': (32, 64),
    'mobilenet_subpixel': (32, 64),
    'mobilenet_norm': (32, 64),
    'monodepth_vgg': (128, 128),
    'monodepth_resnet50': (64, 128),
}


def narrow(name: str, width: int = 4) -> dict[str, int]:
    """Return the same width for every group of a network."""
    return dict.fromkeys(NETWORKS[name].dense_widths, width)


def random_widths(name: str, seed: int, highest: int = 7) -> dict[str, int]:
    """Return a width of 1 to highest for every group."""
    rng = np.random.default_rng(seed)
    return {group: int(rng.integers(1, highest + 1)) for group in NETWORKS[name].dense_widths}


def shapes_only(name: str, widths: Mapping[str, int] | None = None) -> DepthNetwork:
    """Build a network whose tensors have shapes but no values: dense ones cost nothing."""
    with torch.device('meta'):
        return build(name, widths)


def randomise(network: DepthNetwork, seed: int) -> None:
    """Give weights, biases and batch norms values as training leaves them."""
    random = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.weight.data.uniform_(0.5, 1.5, generator=random)
            module.bias.data.uniform_(-0.5, 0.5, generator=random)
            module.get_buffer('running_mean').uniform_(-0.5, 0.5, generator=random)
            module.get_buffer('running_var').uniform_(0.5, 2.0, generator=random)
        elif isinstance(module, nn.Conv2d):
            fan_in = module.weight[0].numel()
            module.weight.data.normal_(0, fan_in**-0.5, generator=random)
            if module.bias is not None:
                module.bias.data.uniform_(-0.3, 0.3, generator=random)


def constant_network(disparity: float) -> DepthNetwork:
    """Return a network that says this disparity everywhere, whatever the image."""
    network = build('mobilenet', narrow('mobilenet', 3))
    for level in range(1, 5):
        head = network.get_submodule(f'decoder.disp{level}')
        head.weight.data.zero_()
        head.bias.data.fill_(float(np.log(disparity / (0.3 - disparity))))
    return network.eval()


def random_masks(widths: Mapping[str, int], seed: int) -> dict[str, Tensor]:
    """Return masks as a checkpoint holds them, at least one filter of each group in."""
    rng = np.random.default_rng(seed)
    masks = {}
    for group, width in widths.items():
        kept = rng.random(width) < 0.6
        kept[rng.integers(width)] = True
        masks[f'mask.{group}'] = torch.from_numpy(kept.astype(np.float32))
        masks[f'score.{group}'] = torch.from_numpy(rng.normal(size=width).astype(np.float32))
    return masks


def card(name: str) -> dict[str, Any]:
    """Return what a training says for the model card."""
    height, width = SIZES[name]
    return {
        'input_height': height,
        'input_width': width,
        'baseline_m': 0.5,
        'fx_over_width': 0.6,
        'provenance': {'trained_on': {'yard': 7}, 'licence': 'CC0'},
        'metrics': {'hall': {'abs_rel': 0.25}},
    }


def checkpoint(
    name: str, widths: Mapping[str, int], seed: int = 0, masks: dict[str, Tensor] | None = None
) -> Checkpoint:
    """Return a checkpoint of a network with random values."""
    network = build(name, widths)
    randomise(network, seed)
    return Checkpoint(
        network=name,
        widths=network.widths,
        step=3,
        config={'network': name, 'steps': 3},
        card=card(name),
        weights=network.state_dict(),
        masks=masks or {},
    )

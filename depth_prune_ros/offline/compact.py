"""Remove what is masked: the compact network computes what the masked one computed."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import replace
import math
from typing import TypeVar

from depth_prune_ros.core.errors import MaskError
from depth_prune_ros.offline.checkpoint import Checkpoint
from depth_prune_ros.offline.networks.base import DepthNetwork
from depth_prune_ros.offline.networks.prunable import Layer
from depth_prune_ros.offline.networks.prunable import Prunable
from depth_prune_ros.offline.networks.prunable import Source
import torch
from torch import Tensor

TOLERANCE = 1e-5
Network = TypeVar('Network', bound=Prunable)


def compact(checkpoint: Checkpoint, size: tuple[int, int]) -> Checkpoint:
    """
    Return the network without its masked filters.

    :param checkpoint: with masks
    :param size: (height, width) of the image the two networks are compared on
    :return: narrower widths, no masks; the largest difference to the masked network stands in
        its card as parity.masked_compact
    :raises MaskError: no masks, an empty group, or outputs that differ by more than 1e-5
        or are not numbers
    """
    kept = checkpoint.kept
    if not kept:
        msg = 'expected a checkpoint with masks (from depth-prune prune), found none in it'
        raise MaskError(msg)
    masked = checkpoint.build()
    masked.gates = {group: mask.float() for group, mask in kept.items()}
    small = remove(masked, kept)
    difference = largest_difference(masked, small, size)
    if not difference <= TOLERANCE:
        reason = (
            'its disparities are not numbers; train it again'
            if math.isnan(difference)
            else 'a layer of the network declares its groups wrongly'
        )
        msg = (
            f'expected masked and compact {checkpoint.network} to agree to {TOLERANCE:g}, found '
            f'{difference:.2g}; {reason}'
        )
        raise MaskError(msg)
    parity = {**checkpoint.card.get('parity', {}), 'masked_compact': difference}
    return replace(
        checkpoint,
        widths=small.widths,
        weights=small.state_dict(),
        masks={},
        step=0,
        card={**checkpoint.card, 'parity': parity},
    )


def remove(network: Network, kept: Mapping[str, Tensor]) -> Network:
    """
    Return a network of the same class with the kept filters only, in eval mode.

    :param kept: group -> bool [width], True where the filter stays
    :raises MaskError: an empty group
    """
    small = type(network)({group: int(mask.sum()) for group, mask in kept.items()})
    small.load_state_dict(compact_weights(network.layers, network.state_dict(), kept))
    return small.eval()


def compact_weights(
    layers: Sequence[Layer], weights: Mapping[str, Tensor], masks: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """
    Cut a state_dict down to the channels that stay.

    :param masks: group -> bool [width], True where the filter stays
    """
    cut = dict(weights)
    for layer in layers:
        filters = _channels((layer.output,), masks)
        key = f'{layer.conv}.weight'
        weight = (
            weights[key] if layer.depthwise else weights[key][:, _channels(layer.inputs, masks)]
        )
        cut[key] = weight[filters]
        for name in _per_filter(layer, weights):
            cut[name] = weights[name][filters]
    return cut


@torch.no_grad()
def largest_difference(one: DepthNetwork, other: DepthNetwork, size: tuple[int, int]) -> float:
    """Return the largest difference of any disparity of two networks on a random image, or nan."""
    image = torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(0))
    pairs = zip(one(image), other(image), strict=True)
    return float(torch.stack([(a - b).abs().max() for a, b in pairs]).max())


def _channels(sources: Sequence[Source], masks: Mapping[str, Tensor]) -> Tensor:
    """Return a bool mask over channels that are the sources laid one behind the other."""
    parts = [torch.ones(s, dtype=torch.bool) if isinstance(s, int) else masks[s] for s in sources]
    return torch.cat(parts)


def _per_filter(layer: Layer, weights: Mapping[str, Tensor]) -> list[str]:
    """Return the tensors that hold one value a filter: bias, norm weight, running mean."""
    prefixes = tuple(f'{name}.' for name in (layer.conv, layer.norm) if name)
    names = [name for name in weights if name.startswith(prefixes)]
    return [n for n in names if n != f'{layer.conv}.weight' and weights[n].ndim == 1]

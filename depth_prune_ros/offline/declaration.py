"""Does a network have the layers that it declares? Asked of its modules, before any is run."""

from __future__ import annotations

from depth_prune_ros.core.errors import MaskError
from depth_prune_ros.offline.networks.prunable import Layer
from depth_prune_ros.offline.networks.prunable import Prunable
from torch import nn


def check_declaration(network: Prunable) -> None:
    """
    Compare every declared layer with its convolution and its norm.

    :raises MaskError: one is not what it is declared as; names the layer
    """
    for layer in network.layers:
        network.check_groups(layer)
        conv = _conv(network, layer)
        _check_channels(network, layer, conv)
        _check_weights(network, layer, conv)


def _conv(network: Prunable, layer: Layer) -> nn.Conv2d:
    """Return a layer's convolution."""
    conv = dict(network.named_modules()).get(layer.conv)
    if isinstance(conv, nn.Conv2d):
        return conv
    found = 'nothing of this name' if conv is None else type(conv).__name__
    msg = (
        f'{network.name}: expected layer {layer.conv} to be a Conv2d of the network, found {found}'
    )
    raise MaskError(msg)


def _check_channels(network: Prunable, layer: Layer, conv: nn.Conv2d) -> None:
    """Compare what a convolution reads with the declared groups."""
    start = f'{network.name}: expected layer {layer.conv}'
    declared = network.channels(*layer.inputs)
    if conv.in_channels != declared:
        msg = (
            f'{start} to read the {declared} channels of its groups {layer.inputs}, '
            f'found {conv.in_channels}'
        )
        raise MaskError(msg)
    if layer.depthwise and conv.groups != declared:
        msg = f'{start} to be depthwise (groups={declared}), found {conv.groups} for groups'
        raise MaskError(msg)
    if not layer.depthwise and conv.groups != 1:
        msg = f'{start} to have groups=1, found {conv.groups}; declare it depthwise, or ungroup it'
        raise MaskError(msg)


def _check_weights(network: Prunable, layer: Layer, conv: nn.Conv2d) -> None:
    """Compare a convolution's own weights with the declared kernel."""
    start = f'{network.name}: expected layer {layer.conv}'
    if conv.kernel_size != (layer.kernel, layer.kernel):
        size = 'x'.join(map(str, conv.kernel_size))
        raise MaskError(f'{start} to have the kernel {layer.kernel} it declares, found {size}')
    if 'weight' not in dict(conv.named_parameters(recurse=False)):
        msg = (
            f'{start} to hold its weight, found one computed from other parameters; remove its '
            'parametrization (weight_norm, spectral_norm)'
        )
        raise MaskError(msg)

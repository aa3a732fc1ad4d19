"""Does a network have the layers that it declares? Asked of its modules, before any is run."""

from __future__ import annotations

from collections import Counter

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
        _check_norm(network, layer)
    _check_once(network)


def _check_once(network: Prunable) -> None:
    """Ask whether every convolution and norm belongs to one layer."""
    declared = Counter(
        name for layer in network.layers for name in (layer.conv, layer.norm) if name
    )
    for name, times in declared.items():
        if times > 1:
            msg = (
                f'{network.name}: expected {name} to be declared once, found {times} times; the '
                'cost counts each of them'
            )
            raise MaskError(msg)


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
    """Compare what a convolution reads and makes with the declared groups."""
    start = f'{network.name}: expected layer {layer.conv}'
    declared = network.channels(*layer.inputs)
    if conv.in_channels != declared:
        msg = (
            f'{start} to read the {declared} channels of its groups {layer.inputs}, '
            f'found {conv.in_channels}'
        )
        raise MaskError(msg)
    filters = network.channels(layer.output)
    if conv.out_channels != filters:
        msg = (
            f'{start} to have the {filters} filters of its output {layer.output!r}, found '
            f'{conv.out_channels}; size it by widths'
        )
        raise MaskError(msg)
    if layer.depthwise and conv.groups != declared:
        msg = f'{start} to be depthwise (groups={declared}), found {conv.groups} for groups'
        raise MaskError(msg)
    if not layer.depthwise and conv.groups != 1:
        msg = f'{start} to have groups=1, found {conv.groups}; declare it depthwise, or ungroup it'
        raise MaskError(msg)


def _check_weights(network: Prunable, layer: Layer, conv: nn.Conv2d) -> None:
    """Compare a convolution's own parameters with the declared kernel and bias."""
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
    bias = conv.bias is not None
    if bias != layer.bias:
        msg = (
            f'{start} to have bias={layer.bias} as it declares, found bias={bias}; declare what '
            'it has'
        )
        raise MaskError(msg)


def _check_norm(network: Prunable, layer: Layer) -> None:
    """Ask whether a layer's norm has what the cost counts, filter by filter."""
    if not layer.norm:
        return
    norm = dict(network.named_modules()).get(layer.norm)
    counted = 2 * network.channels(layer.output)
    found = 'nothing of this name'
    if norm is not None:
        params = sum(p.numel() for p in norm.parameters())
        if params == counted and not isinstance(norm, nn.GroupNorm):
            return
        found = f'a {type(norm).__name__} of {params}'
    msg = (
        f'{network.name}: expected norm {layer.norm} of layer {layer.conv} to be like a '
        f'BatchNorm2d of {counted} parameters (weight and bias), found {found}; use one, or name '
        'none'
    )
    raise MaskError(msg)

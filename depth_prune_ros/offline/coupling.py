"""Does a network compute what it declares? Asked before anything is trained."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
import copy

from depth_prune_ros.core.errors import MaskError
from depth_prune_ros.offline.compact import remove
from depth_prune_ros.offline.networks.prunable import Prunable
import torch
from torch import nn
from torch import Tensor

_RELATIVE = 1e-4


def check_coupling(network: Prunable, image: Tensor) -> None:
    """
    Mask a random half of every group and compare with the network without these filters.

    The outputs of all declared layers are compared one after the other, on a copy with random
    biases and norms, so that a gate before its batch norm is found as well.

    :param image: an input of the network, [N, C, H, W]; it may be small
    :raises MaskError: what the network computes is not what it declares; names the layer
    """
    random = torch.Generator().manual_seed(0)
    masked = _randomised(network, random)
    kept = {group: _half(width, random) for group, width in network.widths.items()}
    masked.gates = {group: mask.float() for group, mask in kept.items()}
    for layer in network.layers:
        _check_shapes(masked, layer.conv, layer.depthwise, layer.inputs)
    try:
        small = remove(masked, kept)
        outputs = _layer_outputs(small, image)
    except (RuntimeError, IndexError) as error:
        reason = ' '.join(str(error).split())
        msg = f'{network.name}: expected layers sized by their groups, found: {reason}'
        raise MaskError(msg) from error
    wanted = _layer_outputs(masked, image)
    for layer in network.layers:
        filters = slice(None) if isinstance(layer.output, int) else kept[layer.output]
        target, found = wanted[layer.conv][:, filters], outputs[layer.conv]
        if not torch.allclose(found, target, rtol=0, atol=_RELATIVE * float(target.abs().max())):
            msg = (
                f'{network.name}: expected layer {layer.conv} to compute the same with its groups '
                f'{layer.inputs} masked and removed, found a difference of '
                f'{float((found - target).abs().max()):.2g}; its inputs are declared wrongly, or '
                'one of them is not gated (behind norm and activation)'
            )
            raise MaskError(msg)


def _check_shapes(
    network: Prunable, name: str, depthwise: bool, inputs: tuple[str | int, ...]
) -> None:
    conv = network.get_submodule(name)
    declared = network.channels(*inputs)
    found = conv.in_channels if isinstance(conv, nn.Conv2d) else 0
    if found != declared or (depthwise and conv.groups != declared):
        msg = (
            f'{network.name}: expected layer {name} to read the {declared} channels of its '
            f'groups {inputs}, found {found}'
        )
        raise MaskError(msg)


def _randomised(network: Prunable, random: torch.Generator) -> Prunable:
    """Return a copy in eval mode; its biases, norms and statistics are random."""
    other = copy.deepcopy(network).eval()
    with torch.no_grad():
        for name, tensor in other.state_dict().items():
            if tensor.ndim == 1 and tensor.is_floating_point():
                low = 0.5 if name.endswith('var') else 0.1
                tensor.copy_(low + torch.rand(tensor.shape, generator=random))
    return other


def _half(width: int, random: torch.Generator) -> Tensor:
    """Return a bool mask with about half of a group's filters in, at least one of them."""
    chosen = torch.randperm(width, generator=random)[: max(1, width // 2)]
    kept = torch.zeros(width, dtype=torch.bool)
    kept[chosen] = True
    return kept


@torch.no_grad()
def _layer_outputs(network: Prunable, image: Tensor) -> Mapping[str, Tensor]:
    outputs: dict[str, Tensor] = {}

    def keep(name: str) -> Callable[[nn.Module, object, Tensor], None]:
        return lambda _module, _inputs, output: outputs.update({name: output})

    hooks = [
        network.get_submodule(layer.conv).register_forward_hook(keep(layer.conv))
        for layer in network.layers
    ]
    try:
        network(image)
    finally:
        for hook in hooks:
            hook.remove()
    return outputs

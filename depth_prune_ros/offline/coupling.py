"""Does a network compute what it declares? Asked before anything is trained."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from contextlib import contextmanager
import copy
from dataclasses import fields
from dataclasses import is_dataclass
import math

from depth_prune_ros.core.errors import MaskError
from depth_prune_ros.offline.compact import remove
from depth_prune_ros.offline.declaration import check_declaration
from depth_prune_ros.offline.networks.prunable import Layer
from depth_prune_ros.offline.networks.prunable import Prunable
import torch
from torch import nn
from torch import Tensor
from torch.nn.modules.conv import _ConvNd

_RELATIVE = 1e-4
# convolutions without padding make a little less than the image's size over the stride
_BORDER = 0.25
_COUNTED = (_ConvNd, nn.Linear)
Kept = Mapping[str, Tensor]
Outputs = tuple[dict[str, list[Tensor]], list[Tensor]]


def check_coupling(network: Prunable, image: Tensor) -> None:
    """
    Mask a random half of every group and compare with the network without these filters.

    The outputs of all declared layers are compared one after the other, and then the network's,
    on a copy with random weights, so that nothing hides behind a zero: a gate before its batch
    norm, a branch that counts for nothing before it is trained.

    :param image: an input of the network, [N, C, H, W]; it may be small, but its sides are
        multiples of the largest stride
    :raises MaskError: what the network computes is not what it declares; names the layer
    """
    check_declaration(network)
    random = torch.Generator().manual_seed(0)
    kept = {group: _half(width, random) for group, width in network.widths.items()}
    masked = _masked(network, kept, random)
    runs, result = _masked_outputs(masked, image)
    for layer in network.layers:
        _check_run(masked, layer, runs[layer.conv], image)
    _check_declared(masked, runs)
    compact_runs, compact_result = _compact_outputs(masked, kept, image)
    for layer in network.layers:
        filters = slice(None) if isinstance(layer.output, int) else kept[layer.output]
        _compare(masked, layer, compact_runs[layer.conv], runs[layer.conv][0][:, filters])
    if not _all_same(compact_result, result):
        msg = (
            f'{network.name}: expected the same output with the filters of layer '
            f'{_culprit(masked, kept, image)} masked and removed, found another; the output reads '
            'them past the declared layers'
        )
        raise MaskError(msg)


def _check_run(network: Prunable, layer: Layer, runs: Sequence[Tensor], image: Tensor) -> None:
    """Ask whether a layer is run once, at the stride that it declares."""
    start = f'{network.name}: expected layer {layer.conv}'
    if not runs:
        raise MaskError(f'{start} to be run by forward, found that it is not; do not declare it')
    if len(runs) > 1:
        msg = (
            f'{start} to run once, found {len(runs)} times; give each run a layer of its own: the '
            'cost counts one run'
        )
        raise MaskError(msg)
    sides, whole = runs[0].shape[-2:], image.shape[-2:]
    if any(
        abs(layer.stride * side / all_of_it - 1) >= _BORDER
        for side, all_of_it in zip(sides, whole, strict=True)
    ):
        found = f'{_size(sides)} of {_size(whole)}'
        msg = f'{start} to make one pixel of {layer.stride} (its stride), found {found}'
        raise MaskError(msg)


def _check_declared(network: Prunable, runs: Mapping[str, list[Tensor]]) -> None:
    """Ask whether all that runs, and costs, is declared."""
    declared = {layer.conv for layer in network.layers}
    others = [
        f'{name} ({type(network.get_submodule(name)).__name__})'
        for name in runs
        if name not in declared
    ]
    if others:
        msg = (
            f'{network.name}: expected all convolutions and linear layers that run to be '
            f'declared, found {", ".join(others)}; declare each, a Linear as a 1x1 Conv2d'
        )
        raise MaskError(msg)


def _compare(network: Prunable, layer: Layer, found: list[Tensor], wanted: Tensor) -> None:
    """Compare what a layer computes without the masked filters with what it did before."""
    if _all_same(found, [wanted]):
        return
    if [run.shape for run in found] == [wanted.shape]:
        difference = f'a difference of {float((found[0] - wanted).abs().max()):.2g}'
    else:
        sizes = ' and '.join(_size(run.shape) for run in found)
        difference = f'{sizes or "no run"} instead of {_size(wanted.shape)}'
    msg = (
        f'{network.name}: expected layer {layer.conv} to compute the same with its groups '
        f'{layer.inputs} masked and removed, found {difference}; its inputs are declared wrongly, '
        'or one of them is not gated (behind norm and activation)'
    )
    raise MaskError(msg)


def _culprit(network: Prunable, kept: Kept, image: Tensor) -> str:
    """Return the layers of the first group that, removed alone, fails or changes the output."""
    for group in kept:
        alone = {
            name: mask if name == group else torch.ones_like(mask) for name, mask in kept.items()
        }
        network.gates = {group: kept[group].float()}
        try:
            wanted = _outputs(network, image)[1]
            same = _all_same(_outputs(remove(network, alone), image)[1], wanted)
        except Exception:
            same = False
        if not same:
            return ', '.join(layer.conv for layer in network.layers if layer.output == group)
    return network.layers[-1].conv


def _all_same(found: list[Tensor], wanted: list[Tensor]) -> bool:
    return len(found) == len(wanted) and all(map(_same, found, wanted))


def _same(found: Tensor, wanted: Tensor) -> bool:
    found, wanted = found.double(), wanted.double()
    # where a depth is infinite, any other would be within its tolerance
    largest = wanted.nan_to_num(0, 0, 0).abs().amax() if wanted.numel() else 0
    tolerance = _RELATIVE * float(largest)
    return found.shape == wanted.shape and torch.allclose(found, wanted, rtol=0, atol=tolerance)


def _masked(network: Prunable, kept: Kept, random: torch.Generator) -> Prunable:
    """Return a copy of random weights, masked."""
    with _in_one_line(
        lambda found: (
            f'{network.name}: expected a network that can be copied, found {found}; build what '
            'cannot be copied outside of it'
        )
    ):
        masked = _randomised(network, random)
    masked.gates = {group: mask.float() for group, mask in kept.items()}
    return masked


def _masked_outputs(masked: Prunable, image: Tensor) -> Outputs:
    """See :func:`_outputs`."""
    with _in_one_line(
        lambda found: (
            f'{masked.name}: expected forward to compute from an image of {_size(image.shape)} '
            f'alone, found {found}; give it an image that it takes, and its other inputs defaults'
        )
    ):
        return _outputs(masked, image)


def _compact_outputs(masked: Prunable, kept: Kept, image: Tensor) -> Outputs:
    """Return :func:`_outputs` without the masked filters."""
    with _in_one_line(
        lambda found: (
            f'{masked.name}: expected layers sized by their groups, found: {found}; size by '
            f'widths what follows layer {_culprit(masked, kept, image)}, and name its norm'
        )
    ):
        return _outputs(remove(masked, kept), image)


@contextmanager
def _in_one_line(say: Callable[[str], str]) -> Iterator[None]:
    """Turn whatever a network's own code raises into a MaskError."""
    try:
        yield
    except MaskError:
        raise
    except Exception as error:
        found = ' '.join(f'{type(error).__name__}: {error}'.split())
        raise MaskError(say(found)) from error


def _randomised(network: Prunable, random: torch.Generator) -> Prunable:
    """
    Return a copy in eval mode of random weights and buffers.

    None of them is zero, as a last convolution may be before training, and all but variances have
    both signs, as after it.
    """
    other = copy.deepcopy(network).eval()
    with torch.no_grad():
        for name, tensor in other.state_dict().items():
            if tensor.is_floating_point():
                tensor.copy_(_random_values(tensor.shape, name.endswith('var'), random))
    return other


def _random_values(shape: torch.Size, positive: bool, random: torch.Generator) -> Tensor:
    """Return weights that keep their layer's scale, or scales and biases away from zero."""
    if len(shape) > 1:
        return torch.randn(shape, generator=random) / math.sqrt(math.prod(shape[1:]))
    values = (0.5 if positive else 0.1) + torch.rand(shape, generator=random)
    if positive:
        return values
    return torch.where(torch.rand(shape, generator=random) < 0.5, -values, values)


def _half(width: int, random: torch.Generator) -> Tensor:
    """Return a bool mask with about half of a group's filters in, at least one of them."""
    chosen = torch.randperm(width, generator=random)[: max(1, width // 2)]
    kept = torch.zeros(width, dtype=torch.bool)
    kept[chosen] = True
    return kept


@torch.no_grad()
def _outputs(network: Prunable, image: Tensor) -> Outputs:
    """
    Return what convolutions and linear layers compute, by name and run, and what the network does.

    Copies on both sides: the network may go on in place, with its image as with a layer's output.
    """
    outputs: dict[str, list[Tensor]] = defaultdict(list)

    def keep(name: str) -> Callable[[nn.Module, object, Tensor], None]:
        return lambda _module, _inputs, output: outputs[name].append(output.clone())

    hooks = [
        module.register_forward_hook(keep(name))
        for name, module in network.named_modules()
        if isinstance(module, _COUNTED)
    ]
    try:
        result = network(image.clone())
    finally:
        for hook in hooks:
            hook.remove()
    tensors = list(_tensors(result))
    if not tensors:
        msg = (
            f'{network.name}: expected forward to return tensors, found a '
            f'{type(result).__name__}; return a tensor, or a sequence, mapping or dataclass of '
            'tensors'
        )
        raise MaskError(msg)
    return outputs, tensors


def _tensors(result: object) -> Iterator[Tensor]:
    """Yield the tensors of whatever a forward returns."""
    parts: Iterable[object] = ()
    if isinstance(result, Tensor):
        yield result
    elif isinstance(result, Mapping):
        parts = result.values()
    elif is_dataclass(result):
        parts = [getattr(result, part.name) for part in fields(result)]
    elif isinstance(result, Iterable) and not isinstance(result, str):
        parts = result
    for part in parts:
        yield from _tensors(part)


def _size(shape: Sequence[int]) -> str:
    return 'x'.join(map(str, shape))

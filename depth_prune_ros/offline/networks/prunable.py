"""
What every prunable network declares: its groups of filters and the layers they tie together.

A group is a set of filters that can only stay or go together, channel by channel: the terms of a
residual sum, a depthwise convolution and the layer before it. A network names the group of
every layer's output and the groups its input channels consist of (a concatenation has several);
cost, masks and compaction follow from this declaration alone. docs/your_network.md has an example.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import replace
from typing import ClassVar

from depth_prune_ros.core.errors import MaskError
from torch import nn
from torch import Tensor

Source = str | int


@dataclass(frozen=True)
class Layer:
    """
    One convolution and the groups it ties together.

    :param conv: dotted name of the nn.Conv2d
    :param inputs: groups that make up its input channels, in order; a number stands for that
        many channels that are never masked (the image, an upsampled disparity)
    :param output: group of its filters; a number for a head, which is never masked
    :param stride: the input image's pixels per output pixel along one side
    :param norm: dotted name of the nn.BatchNorm2d behind it, with weight and bias, or ''
    :param depthwise: one input channel per filter; inputs then equals (output,)
    :param bias: whether the convolution has one; :meth:`Prunable.declare` knows
    """

    conv: str
    inputs: tuple[Source, ...]
    output: Source
    kernel: int
    stride: int
    norm: str = ''
    depthwise: bool = False
    bias: bool = False


class Prunable(nn.Module):
    """
    A network whose filters can be masked and removed.

    A subclass sets ``name`` and ``dense_widths``, takes widths as its only constructor argument,
    makes its convolutions with :meth:`declare` in the order of computation, and passes what
    each group computes through :meth:`gate`, behind batch norm and activation.

    :ivar widths: filters of every group
    :ivar layers: every convolution with its groups, in the order of computation
    :ivar gates: group -> mask [width]; where set, :meth:`gate` multiplies by it
    :ivar unmasked_in_paper: groups that the paper's form leaves whole
    """

    name: ClassVar[str]
    dense_widths: ClassVar[Mapping[str, int]]

    def __init__(self, widths: Mapping[str, int] | None = None) -> None:
        """
        Build the network with the given widths; groups left out keep their dense width.

        :raises MaskError: an unknown group, or a width below 1
        """
        super().__init__()
        given = dict(widths or {})
        unknown = sorted(set(given) - set(self.dense_widths))
        if unknown:
            groups = ', '.join(self.dense_widths)
            msg = f'expected groups of {self.name} ({groups}), found {unknown[0]!r}'
            raise MaskError(msg)
        self.widths: dict[str, int] = {**self.dense_widths, **given}
        empty = [group for group, width in self.widths.items() if width < 1]
        if empty:
            msg = f'expected at least one filter in group {empty[0]!r} of {self.name}, found 0'
            raise MaskError(msg)
        self.layers: list[Layer] = []
        self.gates: dict[str, Tensor] = {}
        self.unmasked_in_paper: set[str] = set()

    def channels(self, *sources: Source) -> int:
        """Return how many channels the given groups (or numbers) have together."""
        return sum(s if isinstance(s, int) else self.widths[s] for s in sources)

    def check_groups(self, layer: Layer) -> None:
        """
        Ask whether a layer names groups that there are.

        :raises MaskError: it does not
        """
        for source in (*layer.inputs, layer.output):
            if isinstance(source, str) and source not in self.widths:
                msg = (
                    f'{self.name}: expected layer {layer.conv} to name groups of '
                    f'{", ".join(self.widths)}, found {source!r}'
                )
                raise MaskError(msg)

    def declare(self, layer: Layer, *, bias: bool, step: int = 1) -> nn.Conv2d:
        """
        Record a layer and return its convolution, sized by the widths.

        :param step: stride of the convolution itself
        :raises MaskError: a group that there is not, or a depthwise layer that reads another
        """
        self.check_groups(layer)
        if layer.depthwise and layer.inputs != (layer.output,):
            msg = (
                f'{self.name}: expected depthwise layer {layer.conv} to read its own group '
                f'{(layer.output,)}, found {layer.inputs}; make them one group'
            )
            raise MaskError(msg)
        self.layers.append(replace(layer, bias=bias))
        return nn.Conv2d(
            self.channels(*layer.inputs),
            self.channels(layer.output),
            layer.kernel,
            stride=step,
            padding=layer.kernel // 2,
            groups=self.channels(layer.output) if layer.depthwise else 1,
            bias=bias,
        )

    def gate(self, features: Tensor, group: str) -> Tensor:
        """
        Multiply features [N, width, ...] by the group's mask, if it has one.

        :raises MaskError: features of another width
        """
        mask = self.gates.get(group)
        if mask is None:
            return features
        if features.shape[1:2] != mask.shape:
            msg = (
                f'{self.name}: expected features [N, {len(mask)}, ...] at the gate of group '
                f'{group!r}, found {"x".join(map(str, features.shape))}; gate what its layers '
                'compute'
            )
            raise MaskError(msg)
        return features * mask.to(features.dtype).view(-1, *[1] * (features.ndim - 2))

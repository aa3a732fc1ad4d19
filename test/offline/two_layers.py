"""A network of three layers to change in one way each, and the line it is refused with."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
from dataclasses import replace

from depth_prune_ros.core.errors import MaskError
from depth_prune_ros.offline.coupling import check_coupling
from depth_prune_ros.offline.networks.prunable import Layer
from depth_prune_ros.offline.networks.prunable import Prunable
import pytest
import torch
from torch import nn
from torch import Tensor
from torch.nn import functional

IMAGE = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
Change = Callable[['TwoLayers'], object]


class TwoLayers(Prunable):
    """Layers a and b of a group each, and a head that reads b."""

    name = 'two'
    dense_widths: Mapping[str, int] = {'a': 16, 'b': 16}
    change: Change = staticmethod(lambda _: None)  # type: ignore[assignment]

    def __init__(self, widths: Mapping[str, int] | None = None) -> None:
        super().__init__(widths)
        self.a = self.conv('a', (3,), 'a')
        self.b = self.conv('b', ('a',), 'b')
        self.head = self.conv('head', ('b',), 1)
        self.behind: nn.Module = nn.Identity()
        self.change(self)

    def conv(self, name: str, inputs: tuple[str | int, ...], output: str | int) -> nn.Conv2d:
        return self.declare(Layer(name, inputs, output, 3, 1), bias=True)

    def read(self, image: Tensor) -> tuple[Tensor, Tensor]:
        a = self.gate(functional.relu(self.behind(self.a(image))), 'a')
        return a, self.gate(functional.relu(self.b(a)), 'b')

    def forward(self, image: Tensor) -> object:
        return self.head(self.read(image)[1])


def changed(change: Change) -> type[TwoLayers]:
    """Return the network with something done at the end of its constructor."""
    return type('Changed', (TwoLayers,), {'change': staticmethod(change)})


def declared(name: str, **changes: object) -> Change:
    """Return a change of what a layer declares."""

    def change(net: TwoLayers) -> None:
        net.layers = [
            replace(layer, **changes) if layer.conv == name else layer  # type: ignore[arg-type]
            for layer in net.layers
        ]

    return change


def refusal(network: Prunable) -> str:
    """Return the one line that a network is refused with."""
    with pytest.raises(MaskError) as caught:
        check_coupling(network, IMAGE)
    assert '\n' not in str(caught.value)
    return str(caught.value)

"""What the cost would count wrongly is refused by its name."""

from __future__ import annotations

from collections.abc import Callable

from depth_prune_ros.core.errors import MaskError
from depth_prune_ros.offline.networks.prunable import Layer
from depth_prune_ros.offline.networks.prunable import Prunable
import pytest
from torch import nn
from torch import Tensor
from torch.nn import functional
from two_layers import changed
from two_layers import declared
from two_layers import refusal
from two_layers import TwoLayers


class _Thrice(TwoLayers):
    """Runs a layer again and again."""

    def read(self, image: Tensor) -> tuple[Tensor, Tensor]:
        a, b = super().read(image)
        for _ in range(2):
            b = self.gate(functional.relu(self.b(b)), 'b')
        return a, b


class _SharedHead(TwoLayers):
    """Runs one head on two groups."""

    def forward(self, image: Tensor) -> object:
        return [self.head(features) for features in self.read(image)]


@pytest.mark.parametrize(('wrong', 'layer', 'runs'), [(_Thrice, 'b', 3), (_SharedHead, 'head', 2)])
def test_a_layer_that_runs_again_is_named(wrong: type[Prunable], layer: str, runs: int) -> None:
    assert refusal(wrong()) == (
        f'two: expected layer {layer} to run once, found {runs} times; give each run a layer of '
        'its own: the cost counts one run'
    )


def _norm(norm: Callable[[int], nn.Module], name: str = 'behind') -> type[TwoLayers]:
    """Return the network with a norm behind its first layer, and its name there."""

    def change(net: TwoLayers) -> None:
        net.behind = norm(net.widths['a'])
        declared('a', norm=name)(net)

    return changed(change)


def _undeclared(net: TwoLayers) -> None:
    net.behind = nn.Conv2d(net.widths['a'], net.widths['a'], 1)


def _linear(net: TwoLayers) -> None:
    net.behind = nn.Sequential(nn.Linear(16, 16))


def _without_bias(net: TwoLayers) -> None:
    net.a.bias = None


def _twice(net: TwoLayers) -> None:
    net.layers.append(net.layers[1])


def _wide(net: TwoLayers) -> None:
    net.b = nn.Conv2d(net.widths['a'], 32, 3, padding=1)


UNDECLARED = 'expected all convolutions and linear layers that run to be declared, found '
EACH = '; declare each, a Linear as a 1x1 Conv2d'
NORM = (
    'to be like a BatchNorm2d of 32 parameters (weight and bias), found {}; use one, or name none'
)


@pytest.mark.parametrize(
    ('wrong', 'message'),
    [
        (changed(_undeclared), f'{UNDECLARED}behind (Conv2d){EACH}'),
        (changed(_linear), f'{UNDECLARED}behind.0 (Linear){EACH}'),
        (
            changed(declared('a', norm='bn')),
            f'expected norm bn of layer a {NORM.format("nothing of this name")}',
        ),
        (
            _norm(lambda width: nn.BatchNorm2d(width, affine=False)),
            f'expected norm behind of layer a {NORM.format("a BatchNorm2d of 0")}',
        ),
        (_norm(nn.PReLU), f'expected norm behind of layer a {NORM.format("a PReLU of 16")}'),
        (
            _norm(lambda width: nn.GroupNorm(16, width)),
            f'expected norm behind of layer a {NORM.format("a GroupNorm of 32")}',
        ),
        (
            changed(_without_bias),
            'expected layer a to have bias=True as it declares, found bias=False; declare what it '
            'has',
        ),
        (
            changed(declared('head', bias=False)),
            'expected layer head to have bias=False as it declares, found bias=True; declare what '
            'it has',
        ),
        (
            changed(_twice),
            'expected b to be declared once, found 2 times; the cost counts each of them',
        ),
        (
            changed(_wide),
            "expected layer b to have the 16 filters of its output 'b', found 32; size it by "
            'widths',
        ),
    ],
)
def test_what_the_cost_would_miss_is_named(wrong: type[Prunable], message: str) -> None:
    assert refusal(wrong()) == f'two: {message}'


def test_a_depthwise_layer_has_the_group_it_reads() -> None:
    with pytest.raises(MaskError) as caught:
        TwoLayers().declare(Layer('d', ('a',), 'b', 3, 1, depthwise=True), bias=True)
    assert str(caught.value) == (
        "two: expected depthwise layer d to read its own group ('b',), found ('a',); make them "
        'one group'
    )

"""What the cost would count wrongly is refused by its name."""

from __future__ import annotations

from depth_prune_ros.core.errors import MaskError
from depth_prune_ros.offline.networks.prunable import Layer
from depth_prune_ros.offline.networks.prunable import Prunable
import pytest
from torch import Tensor
from torch.nn import functional
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
        f'two: expected layer {layer} to run once, found {runs} times; declare a layer for each '
        'run, as the cost counts one'
    )


def test_a_depthwise_layer_has_the_group_it_reads() -> None:
    with pytest.raises(MaskError) as caught:
        TwoLayers().declare(Layer('d', ('a',), 'b', 3, 1, depthwise=True), bias=True)
    assert str(caught.value) == (
        "two: expected depthwise layer d to read its own group ('b',), found ('a',); make them "
        'one group'
    )

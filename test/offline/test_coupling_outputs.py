"""Whatever a network returns is compared, or refused."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from two_layers import refusal
from two_layers import TwoLayers


@dataclass
class _Output:
    depth: object
    features: object


class _DataOutput(TwoLayers):
    """Returns features beside its output."""

    def forward(self, image: Tensor) -> object:
        a, b = self.read(image)
        return _Output(self.head(b), [a.mean(1, keepdim=True)])


class _OpaqueOutput(TwoLayers):
    """Returns what nobody can look into."""

    def forward(self, image: Tensor) -> object:
        out = super().forward(image)
        return lambda: out


def test_a_dataclass_is_compared() -> None:
    assert refusal(_DataOutput()) == (
        'two: expected the same output with the filters of layer a masked and removed, found '
        'another; the output reads them past the declared layers'
    )


class _InfiniteBeside(TwoLayers):
    """Returns features beside what is infinite."""

    def forward(self, image: Tensor) -> object:
        a, b = self.read(image)
        return torch.cat([self.head(b), a.mean(1, keepdim=True), 1 / torch.zeros(1, 1, 16, 16)])


def test_an_infinite_output_hides_no_other() -> None:
    assert refusal(_InfiniteBeside()).startswith(
        'two: expected the same output with the filters of layer a masked and removed, found'
    )


def test_an_output_without_tensors_is_refused() -> None:
    assert refusal(_OpaqueOutput()) == (
        'two: expected forward to return tensors, found a function; return a tensor, or a '
        'sequence, mapping or dataclass of tensors'
    )

"""A declaration that is not what a network computes is refused by the layer's name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
import re
from typing import Any

from depth_prune_ros.core.errors import MaskError
from depth_prune_ros.offline.cost import cost
from depth_prune_ros.offline.coupling import check_coupling
from depth_prune_ros.offline.networks.catalogue import build
from depth_prune_ros.offline.networks.prunable import Prunable
import pytest
from tiny_networks import narrow
from tiny_networks import SIZES
import torch
from torch import Tensor
from torch.nn import functional

GUIDE = Path(__file__).resolve().parents[2] / 'docs' / 'your_network.md'
IMAGE = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def _guide(blocks: int) -> dict[str, Any]:
    """Run the first code blocks of the guide, as a reader would."""
    names: dict[str, Any] = {}
    for code in re.findall(r'```python\n(.*?)```', GUIDE.read_text(), re.DOTALL)[:blocks]:
        exec(compile(code, str(GUIDE), 'exec'), names)  # noqa: S102
    return names


def test_the_guide_from_end_to_end(capsys: pytest.CaptureFixture[str]) -> None:
    names = _guide(4)
    network, small, masks = names['network'], names['small'], names['masks']
    assert small.widths == masks.widths != network.widths
    share = float(capsys.readouterr().out.split('}')[1].split()[0])
    assert 0.29 <= share <= 0.3
    image = names['image']
    with torch.no_grad():
        torch.testing.assert_close(small(image), network(image), rtol=0, atol=1e-5)
        again = names['UNet'](small.widths).eval()
        again.load_state_dict(small.state_dict())
        torch.testing.assert_close(again(image), small(image))
    assert names['loss'].item() < 0.05


@pytest.mark.parametrize('name', SIZES)
def test_ours_compute_what_they_declare(name: str) -> None:
    network = build(name, narrow(name, 4))
    before = {key: value.clone() for key, value in network.state_dict().items()}
    check_coupling(network, torch.rand(1, 3, *SIZES[name]))
    assert not network.gates
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


UNet: type[Prunable] = _guide(1)['UNet']


def test_a_layer_with_bias_and_norm_is_priced_with_both() -> None:
    network = UNet()
    counted = cost(network.layers, network.widths, 32 * 32)
    assert counted.params == sum(p.numel() for p in network.parameters())


class _SkipFirst(UNet):  # type: ignore[valid-type, misc]
    """Concatenates the other way round than it declares; both groups are of one width."""

    dense_widths: Mapping[str, int] = {'down1': 16, 'down2': 32, 'bottom': 16, 'up': 16}

    def __init__(self, widths: Mapping[str, int] | None = None) -> None:
        super().__init__(widths)
        swapped = ('down1', 'bottom')
        self.layers = [
            replace(layer, inputs=swapped) if layer.conv == 'up' else layer
            for layer in self.layers
        ]


class _NotGated(UNet):  # type: ignore[valid-type, misc]
    """Forgets a gate."""

    def gate(self, features: Tensor, group: str) -> Tensor:
        gated: Tensor = features if group == 'bottom' else super().gate(features, group)
        return gated


class _LeakyGate(UNet):  # type: ignore[valid-type, misc]
    """Lets a hundredth of what is masked through."""

    def gate(self, features: Tensor, group: str) -> Tensor:
        gated: Tensor = super().gate(features, group)
        return gated + 0.01 * (features - gated) if group == 'bottom' else gated


class _GatedTooEarly(UNet):  # type: ignore[valid-type, misc]
    """Gates before the batch norm, which lets its bias through."""

    def forward(self, image: Tensor) -> Tensor:
        skip = self.gate(functional.relu(self.down1(image)), 'down1')
        low = functional.relu(self.norm(self.gate(self.down2(skip), 'down2')))
        low = self.gate(functional.relu(self.bottom(low)), 'bottom')
        high = functional.interpolate(low, scale_factor=2.0)
        high = functional.relu(self.up(torch.cat([high, skip], 1)))
        head: Tensor = self.head(self.gate(high, 'up'))
        return head


class _NoNorm(UNet):  # type: ignore[valid-type, misc]
    """Does not say that a batch norm follows."""

    def __init__(self, widths: Mapping[str, int] | None = None) -> None:
        super().__init__(widths)
        self.layers = [replace(layer, norm='') for layer in self.layers]


class _OneGroupLess(UNet):  # type: ignore[valid-type, misc]
    """Leaves the skip out of what the layer reads."""

    def __init__(self, widths: Mapping[str, int] | None = None) -> None:
        super().__init__(widths)
        self.layers = [
            replace(layer, inputs=layer.inputs[:1]) if layer.conv == 'up' else layer
            for layer in self.layers
        ]


@pytest.mark.parametrize(
    ('wrong', 'message'),
    [
        (_SkipFirst, 'expected layer up to compute the same'),
        (_NotGated, 'expected layer up to compute the same'),
        (_LeakyGate, 'expected layer up to compute the same'),
        (_GatedTooEarly, 'expected layer bottom to compute the same'),
        (_NoNorm, 'expected layers sized by their groups, found: .* norm.weight'),
        (_OneGroupLess, 'expected layer up to read the 32 channels .*, found 48'),
    ],
)
def test_wrong_ones_are_named(wrong: type[Prunable], message: str) -> None:
    with pytest.raises(MaskError, match=f'unet: {message}') as caught:
        check_coupling(wrong(), IMAGE)
    assert '\n' not in str(caught.value)


class _OutputReadsFeatures(UNet):  # type: ignore[valid-type, misc]
    """Adds to its output the mean over filters that can be removed."""

    def forward(self, image: Tensor) -> Tensor:
        seen: list[Tensor] = []
        hook = self.head.register_forward_pre_hook(lambda _head, inputs: seen.append(inputs[0]))
        head: Tensor = super().forward(image)
        hook.remove()
        return head + seen[0].mean(1, keepdim=True)


class _ReturnsFeatures(UNet):  # type: ignore[valid-type, misc]
    """Returns filters that can be removed, beside what it declares."""

    def forward(self, image: Tensor) -> dict[str, Tensor | list[Tensor]]:
        seen: list[Tensor] = []
        hook = self.down2.register_forward_pre_hook(lambda _conv, inputs: seen.append(inputs[0]))
        depth = super().forward(image)
        hook.remove()
        return {'depth': depth, 'features': seen}


class _HeadNotRun(UNet):  # type: ignore[valid-type, misc]
    """Declares a head that it goes without."""

    def forward(self, image: Tensor) -> Tensor:
        self.head = torch.nn.Identity()
        features: Tensor = super().forward(image)
        return features.mean(1, keepdim=True)


def _with(name: str, /, **changes: object) -> type[Prunable]:
    """Return the guide's network with another declaration of a layer."""

    class Changed(UNet):  # type: ignore[valid-type, misc]
        def __init__(self, widths: Mapping[str, int] | None = None) -> None:
            super().__init__(widths)
            self.layers = [
                replace(layer, **changes) if layer.conv == name else layer for layer in self.layers
            ]

    return Changed


@pytest.mark.parametrize(
    ('wrong', 'message'),
    [
        (_OutputReadsFeatures, 'expected the same output with the filters of layer up masked'),
        (_ReturnsFeatures, 'expected the same output with the filters of layer down1 masked'),
        (_HeadNotRun, 'expected layer head to be run by forward, found that it is not'),
        (_with('down2', stride=4), r'expected layer down2 .* of 4 \(its stride\), found 16x16 of'),
        (_with('head', stride=2), r'expected layer head .* of 2 \(its stride\), found 32x32 of'),
        (_with('bottom', depthwise=True), 'expected layer bottom to be depthwise .*, found 1 for'),
        (_with('bottom', kernel=1), 'expected layer bottom to have the kernel 1 .*, found 3x3'),
        (_with('bottom', conv='botom'), 'expected layer botom to be a Conv2d .*, found nothing'),
        (_with('down2', conv='norm'), 'expected layer norm to be a Conv2d .*, found BatchNorm2d'),
        (_with('up', inputs=('bottom', 'down')), r"expected layer up .* groups of .* 'down'"),
        (_with('up', output='upp'), r"expected layer up to name groups of .*, found 'upp'"),
    ],
)
def test_what_is_not_declared_is_named(wrong: type[Prunable], message: str) -> None:
    with pytest.raises(MaskError, match=f'unet: {message}') as caught:
        check_coupling(wrong(), IMAGE)
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize('size', [(32, 64), (30, 46)])
def test_the_image_may_have_any_sides(size: tuple[int, int]) -> None:
    check_coupling(UNet(), torch.rand(1, 3, *size))

"""Networks as people write them: right ones pass, each wrong one is refused in one line."""

from __future__ import annotations

from collections.abc import Mapping
import threading

from depth_prune_ros.core.errors import MaskError
from depth_prune_ros.offline.coupling import check_coupling
from depth_prune_ros.offline.networks.prunable import Prunable
import pytest
import torch
from torch import nn
from torch import Tensor
from torch.nn import functional
from torch.nn.utils import parametrizations
from two_layers import changed
from two_layers import declared
from two_layers import IMAGE
from two_layers import refusal
from two_layers import TwoLayers


class _ZeroHead(TwoLayers):
    """Concatenates the other way round than it declares; its head starts at zero."""

    def __init__(self, widths: Mapping[str, int] | None = None) -> None:
        super().__init__(widths)
        self.layers.pop()
        self.head = self.conv('head', ('a', 'b'), 1)
        nn.init.zeros_(self.head.weight)

    def forward(self, image: Tensor) -> object:
        return self.head(torch.cat(self.read(image)[::-1], 1))


class _ReZero(TwoLayers):
    """Adds a branch of another group, times a scalar that starts at zero."""

    def __init__(self, widths: Mapping[str, int] | None = None) -> None:
        super().__init__(widths)
        self.alpha = nn.Parameter(torch.zeros(()))

    def forward(self, image: Tensor) -> object:
        a, b = self.read(image)
        return self.head(b + self.alpha * a)


@pytest.mark.parametrize('wrong', [_ZeroHead, _ReZero])
def test_weights_at_zero_hide_nothing(wrong: type[Prunable]) -> None:
    start = "two: expected layer head to compute the same with its groups ('"
    assert refusal(wrong()).startswith(start)


def test_weights_are_random_of_both_signs_and_none_is_zero() -> None:
    seen: dict[str, Tensor] = {}

    class Seen(TwoLayers):
        def __init__(self, widths: Mapping[str, int] | None = None) -> None:
            super().__init__(widths)
            declared('a', norm='behind')(self)
            self.behind = nn.BatchNorm2d(self.widths['a'])
            self.scale = nn.Parameter(torch.zeros(1, 3, 1, 1))
            nn.init.zeros_(self.head.weight)

        def forward(self, image: Tensor) -> object:
            if not seen:
                state = self.state_dict().items()
                seen.update({name: value.clone() for name, value in state})
            return super().forward(image * self.scale)

    check_coupling(Seen(), IMAGE)
    assert seen.pop('behind.num_batches_tracked') == 0
    assert seen.pop('behind.running_var').min() >= 0.5
    assert all(value.ne(0).all() for value in seen.values())
    many = {name: value for name, value in seen.items() if value.numel() > 2}
    assert all(value.min() < 0 < value.max() for value in many.values())
    assert len(many) == 9
    assert seen['head.weight'].std().item() == pytest.approx((16 * 9) ** -0.5, rel=0.2)


class _SoundReZero(_ReZero):
    """Does the same in one group."""

    dense_widths = {'a': 16}

    def __init__(self, widths: Mapping[str, int] | None = None) -> None:
        Prunable.__init__(self, widths)
        self.a = self.conv('a', (3,), 'a')
        self.b = self.conv('b', ('a',), 'a')
        self.head = self.conv('head', ('a',), 1)
        self.behind = nn.Identity()
        self.alpha = nn.Parameter(torch.zeros(()))

    def read(self, image: Tensor) -> tuple[Tensor, Tensor]:
        a = self.gate(functional.relu(self.a(image)), 'a')
        return a, self.gate(self.b(a), 'a')


class _InPlace(_SoundReZero):
    """Adds in place."""

    def forward(self, image: Tensor) -> object:
        a, out = self.read(image)
        out += a
        return self.head(out)


class _ImageInPlace(TwoLayers):
    """Changes its image in place."""

    def forward(self, image: Tensor) -> object:
        image -= 0.5
        return super().forward(image)


class _OnVectors(TwoLayers):
    """Gates features without height and width."""

    def forward(self, image: Tensor) -> object:
        b = self.gate(self.read(image)[1].mean((2, 3)), 'b')
        return self.head(b[..., None, None].expand(-1, -1, *image.shape[2:]))


class _BoolBeside(TwoLayers):
    """Returns beside its output where it is valid."""

    def forward(self, image: Tensor) -> object:
        head = self.head(self.read(image)[1])
        return head, image[:, :1] > 0.5


@pytest.mark.parametrize('right', [_SoundReZero, _InPlace, _ImageInPlace, _OnVectors, _BoolBeside])
def test_right_ones_pass(right: type[Prunable]) -> None:
    image = IMAGE.clone()
    check_coupling(right(), image)
    assert torch.equal(image, IMAGE)


def test_a_gate_multiplies_channels_whatever_follows_them() -> None:
    network = TwoLayers({'a': 2})
    network.gates = {'a': torch.tensor([1.0, 0.0])}
    for shape in ((2, 2), (3, 2), (3, 2, 5), (3, 2, 5, 6)):
        gated = network.gate(torch.ones(shape), 'a')
        assert gated.shape == shape
        assert gated[:, 0].eq(1).all()
        assert gated[:, 1].eq(0).all()


def test_a_gate_of_another_group_is_named() -> None:
    network = TwoLayers({'a': 1})
    network.gates = {'a': torch.ones(1)}
    with pytest.raises(MaskError) as caught:
        network.gate(torch.ones(2, 16, 4, 4), 'a')
    assert str(caught.value) == (
        "two: expected features [N, 1, ...] at the gate of group 'a', found 2x16x4x4; gate what "
        'its layers compute'
    )


class _SumOfGroups(TwoLayers):
    """Multiplies two groups on the way to its output."""

    def forward(self, image: Tensor) -> object:
        a, b = self.read(image)
        return self.head(b) + (a * b).sum(1, keepdim=True)


class _Folded(TwoLayers):
    """Lays the filters of a group out as rows of an image."""

    def __init__(self, widths: Mapping[str, int] | None = None) -> None:
        super().__init__(widths)
        self.layers.pop()
        self.head = self.conv('head', (16,), 1)

    def forward(self, image: Tensor) -> object:
        return self.head(self.read(image)[1].reshape(1, 16, -1, 16))


class _TwoImages(TwoLayers):
    """Reads two images."""

    def forward(self, image: Tensor, other: Tensor) -> object:  # type: ignore[override]
        return super().forward(image - other)


def _group_norm(net: TwoLayers) -> None:
    net.behind = nn.GroupNorm(16, net.widths['a'])


def _grouped(net: TwoLayers) -> None:
    net.b = nn.Conv2d(net.widths['a'], net.widths['b'], 3, padding=1, groups=4)


def _weight_norm(net: TwoLayers) -> None:
    net.a = parametrizations.weight_norm(net.a)


def _old_weight_norm(net: TwoLayers) -> None:
    with pytest.warns(FutureWarning, match='deprecated'):
        net.a = nn.utils.weight_norm(net.a)


COMPUTED = (
    'expected layer a to hold its weight, found one computed from other parameters; remove its '
    'parametrization (weight_norm, spectral_norm)'
)


@pytest.mark.parametrize(
    ('wrong', 'message'),
    [
        (
            _SumOfGroups,
            'expected the same output with the filters of layer a masked and removed, found '
            'another; the output reads them past the declared layers',
        ),
        (
            _Folded,
            'expected layer head to compute the same with its groups (16,) masked and removed, '
            'found 1x1x8x16 instead of 1x1x16x16; its inputs are declared wrongly, or one of them '
            'is not gated (behind norm and activation)',
        ),
        (
            _TwoImages,
            'expected forward to compute from an image of 1x3x16x16 alone, found TypeError: '
            "_TwoImages.forward() missing 1 required positional argument: 'other'; give it an "
            'image that it takes, and its other inputs defaults',
        ),
        (
            changed(_group_norm),
            'expected layers sized by their groups, found: ValueError: num_channels (8) must be '
            'divisible by num_groups (16); size by widths what follows layer a, and name its norm',
        ),
        (
            changed(_grouped),
            'expected layer b to have groups=1, found 4; declare it depthwise, or ungroup it',
        ),
        (changed(_weight_norm), COMPUTED),
        (changed(_old_weight_norm), COMPUTED),
        (
            changed(lambda net: setattr(net, 'lock', threading.Lock())),
            "expected a network that can be copied, found TypeError: cannot pickle '_thread.lock' "
            'object; build what cannot be copied outside of it',
        ),
    ],
)
def test_what_cannot_run_is_said_in_one_line(wrong: type[Prunable], message: str) -> None:
    assert refusal(wrong()) == f'two: {message}'

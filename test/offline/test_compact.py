"""Compaction: the narrow network computes what the masked one computed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from depth_prune_ros.core.errors import MaskError
from depth_prune_ros.offline.checkpoint import load
from depth_prune_ros.offline.checkpoint import save
from depth_prune_ros.offline.compact import compact
from depth_prune_ros.offline.networks.base import DepthNetwork
from depth_prune_ros.offline.networks.catalogue import NETWORKS
from depth_prune_ros.offline.networks.mobilenet import MobileNetDepth
from depth_prune_ros.offline.networks.monodepth_vgg import MonoDepthVGG
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
import pytest
from tiny_networks import checkpoint
from tiny_networks import narrow
from tiny_networks import random_masks
from tiny_networks import random_widths
from tiny_networks import SIZES
import torch
from torch import Tensor


def _run(network: DepthNetwork, name: str) -> list[Tensor]:
    image = torch.rand(2, 3, *SIZES[name], generator=torch.Generator().manual_seed(11))
    with torch.no_grad():
        found: list[Tensor] = network(image)
    return found


@pytest.mark.parametrize('name', SIZES)
@given(seed=st.integers(0, 10**6))
@settings(max_examples=6, derandomize=True)
def test_compact_equals_masked(name: str, seed: int) -> None:
    widths = random_widths(name, seed)
    masks = random_masks(widths, seed)
    whole = checkpoint(name, widths, seed, masks)
    small = compact(whole, SIZES[name])
    kept = {g: int(masks[f'mask.{g}'].sum()) for g in widths}
    assert small.widths == kept
    assert small.masks == {}
    masked = whole.build()
    masked.gates = {g: masks[f'mask.{g}'] for g in widths}
    unmasked, wanted = _run(whole.build(), name), _run(masked, name)
    for found, target in zip(_run(small.build(), name), wanted, strict=True):
        torch.testing.assert_close(found, target, rtol=0, atol=1e-5)
    if kept != widths:
        assert (
            max(float((a - b).abs().max()) for a, b in zip(unmasked, wanted, strict=True)) > 1e-4
        )
    assert 0 <= small.card['parity']['masked_compact'] <= 1e-5


@pytest.mark.parametrize('name', SIZES)
def test_kept_filters_keep_their_values(name: str) -> None:
    """Open masks change nothing; one closed filter takes its row, and its column behind it."""
    widths = narrow(name, 3)
    masks = {f'mask.{group}': torch.ones(3) for group in widths}
    whole = checkpoint(name, widths, 1, masks)
    same = compact(whole, SIZES[name])
    assert same.weights.keys() == whole.weights.keys()
    assert all(torch.equal(v, whole.weights[k]) for k, v in same.weights.items())
    masks['mask.iconv2'] = torch.tensor([1.0, 0.0, 1.0])
    cut = compact(replace(whole, masks=masks), SIZES[name]).weights
    rows = [key for key in cut if key.startswith('decoder.iconv2.') and cut[key].ndim]
    assert len(rows) == (5 if name == 'mobilenet_norm' else 2)  # norm, or bias alone
    assert all(torch.equal(cut[row], whole.weights[row][[0, 2]]) for row in rows)
    head = 'decoder.disp2.weight'
    assert torch.equal(cut[head], whole.weights[head][:, [0, 2]])


class _SwappedSkip(MonoDepthVGG):
    """Declares upconv6 and its skip the wrong way round."""

    def __init__(self, widths: dict[str, int]) -> None:
        super().__init__(widths)
        self.layers = [
            replace(layer, inputs=layer.inputs[::-1]) if layer.output == 'iconv6' else layer
            for layer in self.layers
        ]


class _WrongStream(MobileNetDepth):
    """Declares that a block writes the stream before its own."""

    def __init__(self, widths: dict[str, int]) -> None:
        super().__init__(widths)
        self.layers = [
            replace(layer, inputs=('stage3',)) if layer.inputs == ('stage4',) else layer
            for layer in self.layers
        ]


@pytest.mark.parametrize('wrong', [_SwappedSkip, _WrongStream])
def test_a_wrongly_declared_layer_is_refused(
    wrong: type[DepthNetwork], monkeypatch: pytest.MonkeyPatch
) -> None:
    widths = narrow(wrong.name, 4)
    masks = {f'mask.{group}': torch.ones(4) for group in widths}
    halves = (torch.tensor([1.0, 1.0, 0.0, 0.0]), torch.tensor([0.0, 0.0, 1.0, 1.0]))
    for group, half in zip(('upconv6', 'stage3'), halves, strict=True):
        masks |= {f'mask.{group}': half} if group in widths else {}
    for group, half in zip(('stage4', 'conv5b'), halves, strict=True):
        masks |= {f'mask.{group}': half} if group in widths else {}
    whole = checkpoint(wrong.name, widths, 3, masks)
    compact(whole, SIZES[wrong.name])
    monkeypatch.setitem(NETWORKS, wrong.name, wrong)
    with pytest.raises(MaskError, match=f'masked and compact {wrong.name} to agree to 1e-05'):
        compact(whole, SIZES[wrong.name])


def test_no_masks() -> None:
    whole = checkpoint('mobilenet', narrow('mobilenet', 2))
    with pytest.raises(MaskError, match='expected a checkpoint with masks'):
        compact(whole, SIZES['mobilenet'])


@pytest.mark.parametrize('level', [1, 2])
def test_a_network_that_says_nan_is_refused(level: int) -> None:
    widths = narrow('mobilenet', 2)
    whole = checkpoint('mobilenet', widths, 0, random_masks(widths, 0))
    whole.weights[f'decoder.disp{level}.bias'].fill_(float('nan'))
    with pytest.raises(MaskError, match='agree to 1e-05, found nan; .* not numbers; train it'):
        compact(whole, SIZES['mobilenet'])


def test_an_emptied_group() -> None:
    widths = narrow('mobilenet', 2)
    masks = random_masks(widths, 0) | {'mask.stage2': torch.zeros(2)}
    whole = checkpoint('mobilenet', widths, 0, masks)
    with pytest.raises(MaskError, match="at least one filter in group 'stage2'"):
        compact(whole, SIZES['mobilenet'])


@pytest.mark.parametrize('name', SIZES)
def test_a_compact_checkpoint_needs_nothing_but_its_folder(name: str, tmp_path: Path) -> None:
    widths = narrow(name, 4)
    small = compact(checkpoint(name, widths, 2, random_masks(widths, 5)), SIZES[name])
    save(tmp_path, small)
    again = load(tmp_path)
    assert again.widths == small.widths
    assert again.card == small.card
    for found, wanted in zip(_run(again.build(), name), _run(small.build(), name), strict=True):
        assert torch.equal(found, wanted)

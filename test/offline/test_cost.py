"""Cost: the closed form against modules that are counted while they compute."""

from __future__ import annotations

import math

from depth_prune_ros.core.errors import ConfigError
from depth_prune_ros.offline.cost import Budget
from depth_prune_ros.offline.cost import Cost
from depth_prune_ros.offline.cost import cost
from depth_prune_ros.offline.cost import counts_latency
from depth_prune_ros.offline.cost import Measure
from depth_prune_ros.offline.cost import measures
from depth_prune_ros.offline.cost import parse_budget
from depth_prune_ros.offline.networks.base import DepthNetwork
import pytest
from tiny_networks import random_widths
from tiny_networks import shapes_only
import torch
from torch import nn
from torch import Tensor

PARAMS = Measure('params', lambda widths: 100.0 * widths['only'])
MACS = Measure('macs', lambda widths: 800.0 * widths['only'])
LATENCY = Measure('latency', lambda widths: 2.5 * widths['only'], unit='ms')
KNOWN = {'params': PARAMS, 'macs': MACS, 'latency': LATENCY}
DENSE = {'only': 10}


def _counted(network: DepthNetwork, height: int, width: int) -> Cost:
    """Count a forward pass: each convolution's weights, once an output pixel."""
    macs = 0

    def count(conv: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal macs
        weight = conv.get_parameter('weight')
        macs += weight.numel() * output.shape[2] * output.shape[3]

    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(count)
    network.eval()(torch.zeros(1, 3, height, width, device='meta'))
    return Cost(params=sum(p.numel() for p in network.parameters()), macs=macs)


@pytest.mark.parametrize('seed', [None, 0, 1, 2])
@pytest.mark.parametrize(
    ('name', 'height', 'width'), [('mobilenet', 64, 96), ('monodepth_vgg', 128, 256)]
)
def test_closed_form_equals_counting(name: str, height: int, width: int, seed: int | None) -> None:
    widths = None if seed is None else random_widths(name, seed)
    network = shapes_only(name, widths)
    assert cost(network.layers, network.widths, height * width) == _counted(network, height, width)


def test_paper_macs() -> None:
    """The dense network at 256x512: 14.97 GMACs."""
    network = shapes_only('monodepth_vgg')
    assert round(cost(network.layers, network.widths, 256 * 512).macs / 1e9, 2) == 14.97


@pytest.mark.parametrize('measure', ['params', 'macs', 'filters'])
def test_what_a_narrower_network_saves(measure: str) -> None:
    widths = dict.fromkeys(shapes_only('mobilenet').widths, 3)
    network = shapes_only('mobilenet', widths)
    found = measures(network.layers, 64 * 64)[measure].per_filter(widths)
    assert set(found) == set(widths)
    whole = _counted(network, 64, 64)
    for group in ('stem', 'block5', 'stage3', 'iconv2'):
        narrower = _counted(shapes_only('mobilenet', {**widths, group: 2}), 64, 64)
        saved = {
            'params': whole.params - narrower.params,
            'macs': whole.macs - narrower.macs,
            'filters': 1,
        }
        assert found[group] == saved[measure]


@pytest.mark.parametrize(
    ('text', 'budget'),
    [
        ('macs=0.25', Budget(MACS, 2000.0)),
        ('params=0.5', Budget(PARAMS, 500.0)),
        ('params=250', Budget(PARAMS, 250.0)),
        ('macs=1', Budget(MACS, 8000.0)),
        ('latency=12ms', Budget(LATENCY, 12.0)),
        ('latency=0.5ms', Budget(LATENCY, 0.5)),
        ('latency=0.5', Budget(LATENCY, 12.5)),
        ('none', Budget(PARAMS, math.inf)),
    ],
)
def test_budgets(text: str, budget: Budget) -> None:
    assert parse_budget(text, KNOWN, DENSE) == budget


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('macs', 'such as macs=0.2, params=500000, latency=12ms, latency=0.5 or none'),
        ('macs=', 'such as macs=0.2'),
        ('macs=few', 'such as macs=0.2'),
        ('macs=0', 'such as macs=0.2'),
        ('macs=-0.5', 'such as macs=0.2'),
        ('macs=nan', 'such as macs=0.2'),
        ('filters=0.5', 'such as macs=0.2'),
        ('latency=12', 'latency=12ms'),
        ('latency=12s', 'latency=12ms'),
        ('latency=ms', 'latency=12ms'),
        ('macs=12ms', 'such as macs=0.2'),
        ('latency=26ms', 'at most the dense 25 ms'),
        ('params=1001', 'at most the dense 1000 params'),
        ('macs=inf', 'at most the dense 8000 macs'),
    ],
)
def test_impossible_budgets(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=f"{message}.*, found '{text}'"):
        parse_budget(text, KNOWN, DENSE)


@pytest.mark.parametrize(
    ('text', 'found'), [('latency=12ms', True), ('latency=0.2', True), ('macs=0.2', False)]
)
def test_which_budgets_are_a_latency(text: str, found: bool) -> None:
    assert counts_latency(text) is found


def test_a_latency_without_unit_is_refused_before_anything_is_measured() -> None:
    with pytest.raises(ConfigError, match="latency=12ms.*, found 'latency=12'"):
        counts_latency('latency=12')


def test_a_filter_that_costs_nothing_alone_counts_with_its_neighbours() -> None:
    blocks = Measure('latency', lambda widths: 16.0 * math.ceil(widths['only'] / 8), grain=8)
    assert blocks.per_filter({'only': 20}) == {'only': 2.0}
    assert blocks.per_filter({'only': 4}) == {'only': 4.0}
    free = Measure('latency', lambda widths: 100.0)
    assert 0 < free.per_filter({'only': 20})['only'] < 1e-3

"""Latency: layers timed in onnxruntime, budgets never exceeded."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from pathlib import Path

from command_line import run
from depth_prune_ros.bags.street import Street
from depth_prune_ros.bags.street import street_to_bag
from depth_prune_ros.core.errors import MaskError
from depth_prune_ros.offline import checkpoint as checkpoints
from depth_prune_ros.offline import latency
from depth_prune_ros.offline import latency_table
from depth_prune_ros.offline import stages
from depth_prune_ros.offline.config import TrainConfig
from depth_prune_ros.offline.cost import Budget
from depth_prune_ros.offline.cost import measures
from depth_prune_ros.offline.latency import export_model
from depth_prune_ros.offline.latency import milliseconds
from depth_prune_ros.offline.latency import time_model
from depth_prune_ros.offline.latency import Timing
from depth_prune_ros.offline.latency_fit import LatencyModel
from depth_prune_ros.offline.latency_fit import Sample
from depth_prune_ros.offline.latency_stage import Latency
from depth_prune_ros.offline.masks import Masks
from depth_prune_ros.offline.masks import Pressure
from depth_prune_ros.offline.networks.catalogue import build
from depth_prune_ros.offline.networks.mobilenet import MobileNetDepth
from depth_prune_ros.offline.networks.prunable import Layer
from depth_prune_ros.offline.networks.prunable import Prunable
from depth_prune_ros.offline.training_data import read_data
import numpy as np
from numpy.typing import NDArray
import pytest
from tiny_networks import narrow
from tiny_networks import SIZES
import torch

MOBILENET = latency_table.key('mobilenet', (32, 64), 1)


class Three(Prunable):
    """A convolution, a depthwise one behind it, and one that reads it beside two channels."""

    name = 'three'
    dense_widths = {'a': 64, 'b': 48}

    def __init__(self, widths: Mapping[str, int] | None = None) -> None:
        super().__init__(widths)
        self.declare(Layer('first', (3,), 'a', 3, 1), bias=True)
        self.declare(Layer('deep', ('a',), 'a', 3, 1, depthwise=True), bias=True)
        self.declare(Layer('mix', ('a', 2), 'b', 3, 1), bias=True)


def _timing(a: int, b: int, offset: float = 1) -> Timing:
    """Return times that follow a formula: without blocks everything takes thrice as long."""
    layers = {'first': 0.25 + 0.0625 * a, 'deep': 0.03125 * a, 'mix': 0.001 * (a + 4) * b}
    plain = {name: 3 * time for name, time in layers.items()}
    whole = sum(layers.values())
    return Timing((2 * whole + offset, 2 * 3 * whole + offset), (layers, plain))


def _three(offset: float = 1) -> LatencyModel:
    rng = np.random.default_rng(0)
    widths = [
        {'a': 64, 'b': 48},
        *({g: 8 * int(rng.integers(1, 7)) for g in 'ab'} for _ in 'x' * 9),
    ]
    return LatencyModel(Three(), [Sample(w, _timing(w['a'], w['b'], offset)) for w in widths])


@pytest.mark.parametrize(
    ('a', 'b', 'layers'),
    [
        (32, 16, 2.25 + 1.0 + 0.576),
        # 12 and 10 channels are written as 16; 14 are read as 16, in blocks, as 12 are fours
        (12, 10, 1.25 + 0.5 + 0.256),
        # 13 cannot be read in blocks: deep and mix, with 15 channels read, as without
        (13, 16, 1.25 + 3 * 0.03125 * 13 + 3 * 0.001 * (13 + 4) * 16),
    ],
)
def test_the_sum_of_the_layers(a: int, b: int, layers: float) -> None:
    model = _three()
    assert model.block == 8
    assert model.milliseconds({'a': a, 'b': b}) == pytest.approx(2 * layers + 1, rel=0.01)
    # timing each layer took time that the whole network does not take
    whole = _three(offset=-0.5).milliseconds({'a': a, 'b': b})
    assert whole == pytest.approx(2 * layers - 0.5, rel=0.01)


def test_a_wider_network_is_never_cheaper() -> None:
    model = _three()
    for a in range(8, 64, 8):
        for b in range(8, 48, 8):
            here = model.milliseconds({'a': a, 'b': b})
            assert model.milliseconds({'a': a + 8, 'b': b}) > here
            assert model.milliseconds({'a': a, 'b': b + 8}) > here


def test_what_a_filter_costs_is_seen_in_whole_blocks() -> None:
    """A filter of b fewer saves nothing, eight save a block: 2 * 0.001 * (32 + 4) each."""
    saved = _three().measure().per_filter({'a': 32, 'b': 16})
    assert saved['b'] == pytest.approx(0.072, rel=0.02)
    assert saved['a'] == pytest.approx(2 * (0.0625 + 0.03125 + 0.001 * 16), rel=0.02)


def _masks(amount: float, check: Callable[[Mapping[str, int]], float] | None = None) -> Masks:
    pressure = Pressure(ramp=1.0, every=1, warmup=0, multiple=8)
    masks = Masks(Three(), Budget(_three().measure(), amount, check), pressure)
    for seed, score in enumerate(masks.scores.values()):
        score.copy_(torch.rand(len(score), generator=torch.Generator().manual_seed(seed)))
    return masks


@pytest.mark.parametrize('share', [0.3, 0.5, 0.8])
def test_masks_reach_a_latency_and_stay_below(share: float) -> None:
    price = _three().milliseconds
    budget = share * price({'a': 64, 'b': 48})
    masks = _masks(budget)
    for step in range(4):
        masks.choose(step, 4)
    assert price(masks.widths) <= budget
    wider = [
        {**masks.widths, g: w + 8} for g, w in masks.widths.items() if w < len(masks.masks[g])
    ]
    assert min(price(widths) for widths in wider) > budget


def test_masks_aim_lower_where_the_prediction_is_too_low() -> None:
    price = _three().milliseconds
    budget = 0.5 * price({'a': 64, 'b': 48})
    asked = []

    def check(widths: Mapping[str, int]) -> float:
        asked.append(price(widths))
        return 1.3 * asked[-1]

    masks = _masks(budget, check)
    masks.choose(0, 4)
    assert not asked
    masks.choose(3, 4)
    assert asked[0] > budget / 1.3
    assert asked[-1] == price(masks.widths) <= budget / 1.3


def test_a_latency_below_the_fastest_network_is_refused() -> None:
    least = _three().milliseconds({'a': 8, 'b': 8})
    with pytest.raises(MaskError, match=f'above {least:.4g} ms .*, found 1 ms; lower prune.floor'):
        _masks(1.0)
    assert _masks(least).widths == {'a': 64, 'b': 48}


@pytest.mark.parametrize('name', SIZES)
def test_every_layer_that_is_exported_is_timed(name: str, tmp_path: Path) -> None:
    network = build(name, narrow(name, 8))
    timing = time_model(export_model(network, SIZES[name], tmp_path / 'model.onnx', 1))
    coarse = {'decoder.disp2', 'decoder.disp3', 'decoder.disp4'}
    left_out = coarse if isinstance(network, MobileNetDepth) else set()
    layers = {layer.conv for layer in network.layers} - left_out
    assert [set(found) for found in timing.layers] == [layers, layers]
    for whole, found in zip(timing.whole, timing.layers, strict=True):
        assert min(found.values()) > 0
        assert 0.01 < sum(found.values()) / whole < 100


def test_layers_declared_out_of_order_are_refused(tmp_path: Path) -> None:
    network = build('mobilenet', narrow('mobilenet', 8))
    network.layers.reverse()
    with pytest.raises(MaskError, match='mobilenet: expected layers in the order of computation'):
        export_model(network, (32, 64), tmp_path / 'model.onnx', 1)


def test_a_whole_network_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """The least of three rounds at two levels, each the lower quartile of its runs."""
    rounds = iter([0.009, 0.008, 0.007, 0.004, 0.006, 0.005])

    def repeat(run: Callable[[], list[NDArray[np.float32]]]) -> Iterator[float]:
        assert run()[0].shape == (1, 32, 64)
        quartile_s = next(rounds)
        yield from (3 * quartile_s, quartile_s, quartile_s, 3 * quartile_s, 3 * quartile_s)

    monkeypatch.setattr(latency, '_repeat', repeat)
    network = build('mobilenet', narrow('mobilenet', 8))
    assert milliseconds(network, (32, 64), 1) == pytest.approx(4.0)
    assert list(rounds) == []


def _made_up(network: Prunable) -> Timing:
    """Return times that no computer takes: of the filters alone, not of the pixels as MACs are."""
    layers = {layer.conv: float(network.channels(layer.output)) for layer in network.layers}
    whole = sum(layers.values())
    return Timing((whole, whole), (layers, layers))


def _tiny_config() -> TrainConfig:
    prune = {'ramp': 0.5, 'every': 1, 'warmup': 0, 'multiple': 8, 'threads': 1}
    return TrainConfig.model_validate(
        {
            'network': 'mobilenet',
            'imagenet': False,
            'height': 32,
            'width': 64,
            'steps': 2,
            'batch': 1,
            'bf16': False,
            'channels_last': False,
            'prune': {**prune, 'latency_table': str(MOBILENET.file())},
        }
    )


def test_pruning_to_a_latency(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    monkeypatch.setattr(latency_table, 'export_model', lambda network, *_: network)
    monkeypatch.setattr(latency_table, 'time_model', _made_up)
    latency_table.cached_table(MOBILENET, lambda *_: None, networks=4, rounds=1)
    bag = tmp_path / 'street'
    street_to_bag(bag, Street(seed=1, frames=2, width=96, height=48))
    config = _tiny_config()
    data = read_data([bag], [], config, lambda *_: None)
    dense = stages.train(config, data, tmp_path / 'dense', lambda _: None)
    last = stages.prune(
        config, data, tmp_path / 'masked', lambda _: None, start=dense, budget='latency=0.9'
    )
    found = checkpoints.load(last)
    model = latency_table.load_table(MOBILENET.file(), MOBILENET)
    noted = Latency(**found.card['provenance']['latency'])
    assert noted.predicted_ms == pytest.approx(model.milliseconds(found.kept_widths))
    assert noted.budget_ms == pytest.approx(0.9 * model.milliseconds(build('mobilenet').widths))
    assert noted.predicted_ms <= 0.9 * model.milliseconds(build('mobilenet').widths)
    assert (noted.threads, noted.cpu) == (1, MOBILENET.cpu)
    assert min(noted.measured_ms, noted.dense_ms) > 0
    assert found.step == 2
    assert 'optimiser' in checkpoints.load_training(last)
    kept = {}
    for form in ('macs', 'latency'):
        changed = config.model_copy(
            update={'prune': config.prune.model_copy(update={'form': form})}
        )
        folder = tmp_path / form
        stages.prune(changed, data, folder, lambda _: None, start=dense, budget='macs=0.7')
        kept[form] = checkpoints.load(folder).kept_widths
        macs = measures(build('mobilenet').layers, 32 * 64)['macs'].price
        assert 0.65 < macs(kept[form]) / macs(build('mobilenet').widths) <= 0.7
    # the budget is one, what filters are weighed by another
    assert kept['latency'] != kept['macs']
    with pytest.raises(MaskError, match=r'expected a budget above \d.* ms .*found 0\.0001 ms'):
        stages.prune(
            config, data, tmp_path / 'x', lambda _: None, start=dense, budget='latency=0.0001ms'
        )


@pytest.mark.parametrize('budget', ['latency=12', 'latency=fast'])
def test_the_command_refuses_a_latency_without_its_unit(budget: str, tmp_path: Path) -> None:
    arguments = ['prune', 'run', '--bags', 'bag', '--out', 'out', '--budget', budget]
    done = run(*arguments, folder=tmp_path)
    assert (done.returncode, done.stdout) == (1, '')
    assert done.stderr.count('\n') == 1
    assert f"latency=12ms, latency=0.5 or none, found '{budget}'" in done.stderr

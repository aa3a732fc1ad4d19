"""Masks: the budget is met, floors hold, and scores tell useful filters from useless ones."""

from __future__ import annotations

from dataclasses import replace
import math

from depth_prune_ros.core.errors import MaskError
from depth_prune_ros.offline.cost import Budget
from depth_prune_ros.offline.cost import cost
from depth_prune_ros.offline.cost import measures
from depth_prune_ros.offline.masks import Masks
from depth_prune_ros.offline.masks import Pressure
from depth_prune_ros.offline.networks.base import DepthNetwork
from depth_prune_ros.offline.networks.catalogue import build
import numpy as np
import pytest
from tiny_networks import narrow
from tiny_networks import randomise
from tiny_networks import shapes_only
import torch
from torch import Tensor

PIXELS = 128 * 256
STEPS = 12
# of EAGER: the end of its ramp
LAST_CHOICE = 9
EAGER = Pressure(ramp=0.75, every=1, warmup=2, floor=0.1, floor_filters=4)


def _budget(network: DepthNetwork, measure: str, amount: float, pixels: int = PIXELS) -> Budget:
    return Budget(measures(network.layers, pixels)[measure], amount)


def _dense(network: DepthNetwork, measure: str) -> float:
    return measures(network.layers, PIXELS)[measure].price(network.widths)


def _random_masks(name: str, measure: str, ratio: float, pressure: Pressure = EAGER) -> Masks:
    """Return masks of the dense network with scores as uneven as real ones."""
    network = shapes_only(name)
    masks = Masks(network, _budget(network, measure, ratio * _dense(network, measure)), pressure)
    rng = np.random.default_rng(4)
    for score in masks.scores.values():
        size = rng.normal(0.1, 1, len(score)) * rng.lognormal(0, 2)
        score.copy_(torch.from_numpy(size.astype(np.float32)))
    return masks


@pytest.mark.parametrize('name', ['mobilenet', 'monodepth_vgg'])
@pytest.mark.parametrize(('measure', 'ratio'), [('params', 0.3), ('macs', 0.2)])
def test_the_schedule_ends_at_the_budget(name: str, measure: str, ratio: float) -> None:
    masks = _random_masks(name, measure, ratio)
    for step in range(STEPS):
        masks.choose(step, STEPS)
        # geometrically from all at step 2 to the budget at step 9
        due = ratio ** min(1.0, max(0.0, (step - 2) / 7))
        assert 0.99 * due <= masks.share() <= due * (1 + 1e-9)
    for group, mask in masks.masks.items():
        assert set(mask.tolist()) <= {0.0, 1.0}
        assert masks.widths[group] == mask.sum() >= max(4, math.ceil(0.1 * len(mask)))


@pytest.mark.parametrize('measure', ['params', 'macs'])
def test_share_is_the_cost_of_the_network_that_stays(measure: str) -> None:
    masks = _random_masks('mobilenet', measure, 0.4)
    masks.choose(LAST_CHOICE, STEPS)
    small = shapes_only('mobilenet', masks.widths)
    dense = shapes_only('mobilenet')
    assert masks.share() == pytest.approx(_dense(small, measure) / _dense(dense, measure))


def test_the_best_of_equally_dear_filters_stay() -> None:
    masks = _random_masks('mobilenet', 'macs', 0.3)
    masks.choose(LAST_CHOICE, STEPS)
    for group, mask in masks.masks.items():
        kept = mask.detach() > 0
        scores = masks.scores[group]
        assert kept.all() or scores[kept].min() >= scores[~kept].max()


@pytest.mark.parametrize('measure', ['params', 'macs'])
def test_dear_filters_need_higher_scores(measure: str) -> None:
    """Filters of equal score: those that cost the most go first."""
    network = shapes_only('mobilenet')
    masks = Masks(network, _budget(network, measure, 0.8 * _dense(network, measure)), EAGER)
    for score in masks.scores.values():
        score.fill_(1.0)
    masks.choose(LAST_CHOICE, STEPS)
    lost = {g for g, w in masks.widths.items() if w < network.widths[g]}
    saved = measures(network.layers, PIXELS)[measure].per_filter(network.widths)
    kept = set(saved) - lost
    assert lost
    assert min(saved[g] for g in lost) >= max(saved[g] for g in kept)


@pytest.mark.parametrize('step', [8, 16])
def test_widths_are_rounded_within_the_search(step: int) -> None:
    pressure = replace(EAGER, multiple=step)
    masks = _random_masks('mobilenet', 'macs', 0.4, pressure)
    masks.choose(LAST_CHOICE, STEPS)
    assert 0.396 <= masks.share() <= 0.4
    for group, mask in masks.masks.items():
        assert masks.widths[group] % step == 0 or masks.widths[group] == len(mask)
        kept = mask.detach() > 0
        assert kept.all() or masks.scores[group][kept].min() >= masks.scores[group][~kept].max()


def test_the_papers_form_counts_filters_and_spares_the_iconvs() -> None:
    """All scores alike: no filter is cheaper than another, whichever its cost."""
    network = shapes_only('monodepth_vgg')
    budget = _budget(network, 'macs', 0.6 * _dense(network, 'macs'))
    filters = measures(network.layers, PIXELS)['filters']
    masks = Masks(network, budget, EAGER, weigh=filters, whole=network.unmasked_in_paper)
    rng = np.random.default_rng(0)
    for score in masks.scores.values():
        score.copy_(torch.from_numpy(rng.random(len(score)).astype(np.float32)))
    masks.choose(LAST_CHOICE, STEPS)
    shares = {group: masks.widths[group] / len(mask) for group, mask in masks.masks.items()}
    assert {shares[f'iconv{level}'] for level in range(1, 8)} == {1.0}
    masked = [share for group, share in shares.items() if not group.startswith('iconv')]
    assert len(masked) == 21
    wide = [share for g, share in shares.items() if len(masks.masks[g]) >= 256 and share < 1]
    assert max(wide) - min(wide) < 0.12
    assert 0.594 <= masks.share() <= 0.6


def test_without_pressure_only_what_harms_goes() -> None:
    network = shapes_only('mobilenet')
    masks = Masks(network, _budget(network, 'params', math.inf), EAGER)
    for group, score in masks.scores.items():
        score.fill_(-1.0 if group == 'block3' else 1e-9)
    masks.scores['stem'][5] = -1e-9
    masks.choose(LAST_CHOICE, STEPS)
    floor = math.ceil(0.1 * len(masks.masks['block3']))
    lost = {'block3': len(masks.masks['block3']) - floor, 'stem': 1}
    assert {g: len(m) - masks.widths[g] for g, m in masks.masks.items() if not m.all()} == lost
    assert masks.masks['stem'].tolist()[5] == 0


def test_heads_have_no_mask() -> None:
    network = shapes_only('monodepth_vgg')
    masks = Masks(network, _budget(network, 'params', 1e7), EAGER)
    heads = [layer for layer in network.layers if layer.conv.startswith('decoder.disp')]
    assert [head.output for head in heads] == [2, 2, 2, 2]
    masked = {layer.output for layer in network.layers if layer not in heads}
    assert set(masks.masks) == set(network.gates) == masked


def test_choices_only_when_due() -> None:
    masks = _random_masks('mobilenet', 'macs', 0.3, Pressure(every=5, warmup=5))
    for step in (0, 4, 6, 8):
        masks.choose(step, STEPS)
        assert masks.share() == 1.0
    masks.choose(LAST_CHOICE, STEPS)
    assert 0.297 <= masks.share() <= 0.3


@pytest.mark.parametrize(
    'pressure', [Pressure(), Pressure(ramp=1.0, warmup=0, every=1), Pressure(warmup=0, every=7)]
)
def test_the_last_step_meets_the_budget_whatever_the_schedule(pressure: Pressure) -> None:
    masks = _random_masks('mobilenet', 'params', 0.4, pressure)
    for step in range(STEPS):
        masks.choose(step, STEPS)
    assert 0.396 <= masks.share() <= 0.4


def test_after_the_ramp_the_masks_stay() -> None:
    masks = _random_masks('mobilenet', 'macs', 0.3)
    masks.choose(LAST_CHOICE, STEPS)
    chosen = {group: mask.tolist() for group, mask in masks.masks.items()}
    for score in masks.scores.values():
        score.neg_()
    masks.choose(LAST_CHOICE + 1, STEPS)
    assert {group: mask.tolist() for group, mask in masks.masks.items()} == chosen
    masks.choose(LAST_CHOICE, STEPS)
    assert {group: mask.tolist() for group, mask in masks.masks.items()} != chosen


def test_impossible_budget() -> None:
    network = shapes_only('mobilenet')
    floors = {g: max(4, math.ceil(0.1 * w)) for g, w in network.widths.items()}
    smallest = cost(network.layers, floors, PIXELS).params
    message = f'above {smallest:.0f} params .*found {smallest - 1:.0f}; lower .*prune.multiple'
    with pytest.raises(MaskError, match=message):
        Masks(network, _budget(network, 'params', smallest - 1), EAGER)
    masks = Masks(network, _budget(network, 'params', smallest), EAGER)
    masks.choose(LAST_CHOICE, STEPS)
    assert masks.widths == floors


def _set_gradients(masks: Masks, values: dict[str, list[float]]) -> None:
    for group, mask in masks.masks.items():
        mask.grad = torch.tensor(values.get(group, [0.0] * len(mask)))


def test_scores_to_second_order() -> None:
    """-g + (2 m - 1) k batch g^2 / (4 L): m = 1, 0; g = 0.2, -0.2; L = 0.5; 2 images; k = 3."""
    network = shapes_only('mobilenet', narrow('mobilenet', 2))
    pressure = Pressure(memory=4, curvature=3)
    masks = Masks(network, _budget(network, 'params', 1e9), pressure)
    masks.masks['stem'].data[1] = 0
    _set_gradients(masks, {'stem': [0.2, -0.2]})
    masks.learn(0.5, 2)
    rise = torch.tensor([-0.2 + 3 * 0.04, 0.2 - 3 * 0.04])
    torch.testing.assert_close(masks.scores['stem'], rise / 4)
    assert masks.masks['stem'].grad is None
    _set_gradients(masks, {})
    masks.learn(0.5, 2)
    torch.testing.assert_close(masks.scores['stem'], rise / 4 * 3 / 4)
    assert float(masks.scores['block2'].abs().sum()) == 0


def _network_with_one_useful_filter() -> DepthNetwork:
    """Return one whose finest head reads filter 2 of iconv1 only; more of it: more disparity."""
    network = build('mobilenet', narrow('mobilenet', 3))
    randomise(network, 2)
    head = network.get_submodule('decoder.disp1')
    head.weight.data.zero_()
    head.weight.data[:, 2, 1, 1] = 1.0
    mix = network.get_submodule('decoder.iconv1')
    mix.bias.data[2] = 2.0
    return network.eval()


def _loss(network: DepthNetwork, image: Tensor) -> Tensor:
    return 0.3 - network(image)[0].mean()


def test_a_useful_filter_scores_higher_and_comes_back() -> None:
    network = _network_with_one_useful_filter()
    smallest = cost(network.layers, narrow('mobilenet', 1), 32 * 64).params
    pressure = Pressure(every=1, warmup=0, memory=1, curvature=1, floor=0, floor_filters=1)
    masks = Masks(network, _budget(network, 'params', smallest, 32 * 64), pressure)
    image = torch.rand(2, 3, 32, 64, generator=torch.Generator().manual_seed(0))
    for start in ([1.0, 1.0, 1.0], [1.0, 1.0, 0.0]):
        masks.masks['iconv1'].data.copy_(torch.tensor(start))
        loss = _loss(network, image)
        loss.backward()
        assert masks.masks['iconv1'].grad is not None
        masks.learn(loss.item(), 2)
        scores = masks.scores['iconv1']
        assert scores[2] > 0
        assert scores[:2].tolist() == [0.0, 0.0]
    masks.choose(0, 1)
    assert masks.masks['iconv1'].tolist() == [0.0, 0.0, 1.0]
    assert set(masks.widths.values()) == {1}


def test_a_score_is_the_rise_of_the_loss() -> None:
    """The estimate has the sign and about the size of really taking the filter out."""
    network = _network_with_one_useful_filter()
    masks = Masks(
        network, _budget(network, 'params', 1e9, 32 * 64), Pressure(memory=1, curvature=1)
    )
    image = torch.rand(1, 3, 32, 64, generator=torch.Generator().manual_seed(1))
    loss = _loss(network, image)
    loss.backward()
    masks.learn(loss.item(), 1)
    masks.masks['iconv1'].data[2] = 0
    with torch.no_grad():
        rise = float(_loss(network, image) - loss)
    assert rise > 0
    assert 0.3 * rise < float(masks.scores['iconv1'][2]) < 3 * rise


def test_state_round_trip() -> None:
    masks = _random_masks('mobilenet', 'macs', 0.3)
    masks.choose(LAST_CHOICE, STEPS)
    state = masks.state()
    other = _random_masks('mobilenet', 'macs', 0.3)
    for score in other.scores.values():
        score.zero_()
    other.load(state)
    assert other.widths == masks.widths
    for group, mask in masks.masks.items():
        assert torch.equal(other.masks[group], mask)
        assert torch.equal(other.scores[group], masks.scores[group])
    masks.scores['stem'].zero_()
    assert float(state['score.stem'].abs().sum()) > 0

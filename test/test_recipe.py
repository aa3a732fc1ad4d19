"""The search for a recipe: what is changed, and what a row says."""

from __future__ import annotations

import json
from pathlib import Path

from depth_prune_ros.bags.street import Street
from depth_prune_ros.bags.street import street_to_bag
from depth_prune_ros.offline.config import TrainConfig
from depth_prune_ros.offline.coupling import check_coupling
from depth_prune_ros.offline.networks.catalogue import load_imagenet
from depth_prune_ros.offline.networks.mobilenet import MobileNetDepth
import pytest
import recipe
from recipe_networks import BilinearMobileNet
from recipe_networks import DepthwiseMobileNet
from recipe_networks import start_of_width
import torch
import yaml

PLAN = {
    'seeds': [3, 4],
    'base': {
        'network': 'mobilenet',
        'imagenet': False,
        'height': 32,
        'width': 64,
        'steps': 2,
        'batch': 1,
        'validate_every': 1,
        'bf16': False,
        'channels_last': True,
        'tensorboard': False,
        'losses': {'depth': 0.5, 'photometric': 0.25},
        'shares': {'street*': 0.5},
    },
    'changes': {'plain': {'shares': {}, 'losses.depth': 2.0}, 'slow': {'learning_rate': 1e-5}},
}


def test_one_thing_is_changed_at_a_time(tmp_path: Path) -> None:
    (tmp_path / 'tiny.yaml').write_text(yaml.safe_dump(PLAN))
    runs = recipe.planned(tmp_path / 'tiny.yaml')
    assert [run.name for run in runs] == [
        f'tiny-{name}-{seed}' for name in ('base', 'plain', 'slow') for seed in (3, 4)
    ]
    base = {**PLAN['base'], 'seed': 4}
    assert runs[1].values == base
    losses = {'depth': 2.0, 'photometric': 0.25}
    assert runs[3].values == {**base, 'shares': {}, 'losses': losses}
    assert runs[5].values == {**base, 'learning_rate': 1e-5}
    assert runs[1].values['losses'] == {'depth': 0.5, 'photometric': 0.25}


def test_a_row_says_what_came_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    monkeypatch.setattr(recipe, 'RESULTS', tmp_path / 'results')
    (tmp_path / 'tiny.yaml').write_text(yaml.safe_dump(PLAN))
    bags = []
    for name, seed in (('kitti', 1), ('street101', 2), ('judged', 3)):
        bags.append(tmp_path / name)
        street_to_bag(bags[-1], Street(seed=seed, frames=2, width=96, height=48))
    runs = recipe.planned(tmp_path / 'tiny.yaml')
    both = {'kitti': 2, 'street101': 2}
    for run, shares, trained_on in (
        (runs[1], {'street*': 0.5}, both),
        (runs[3], {}, {'kitti': 2}),
    ):
        recipe._make(run, bags[:2], bags[2:], tmp_path / 'runs')
        row = json.loads((tmp_path / 'results' / f'{run.name}.json').read_text())
        assert (row['run'], row['seed'], row['steps']) == (run.name, 4, 2)
        assert row['changes'] == run.changes
        assert row['config']['shares'] == shares
        assert row['trained_on'] == trained_on
        assert row['config'] == TrainConfig.model_validate(run.values).model_dump()
        assert list(row['course']) == ['1', '2']
        assert row['abs_rel'] == pytest.approx(row['per_drive']['judged'])
        assert row['course']['2'] == pytest.approx(row['abs_rel'], abs=1e-4)
    assert not list((tmp_path / 'runs').iterdir())


def test_a_row_of_other_widths_with_a_teacher(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    monkeypatch.setattr(recipe, 'RESULTS', tmp_path / 'results')
    changes = {'widths.decoder': 0.5, 'teacher': 'benchmarks/compare/dense_mobilenet'}
    base = {**PLAN['base'], 'widths': recipe.SAME, 'baseline_m': 0.54, 'shares': {}}
    plan = {'seeds': [3], 'base': base, 'changes': {'half': changes}}
    (tmp_path / 'tiny.yaml').write_text(yaml.safe_dump(plan))
    street_to_bag(tmp_path / 'bag', Street(seed=1, frames=2, width=96, height=48))
    street_to_bag(tmp_path / 'judged', Street(seed=2, frames=2, width=96, height=48))
    (tmp_path / 'runs' / 'tiny-half-3-start').mkdir(parents=True)
    run = recipe.planned(tmp_path / 'tiny.yaml')[1]
    row = recipe._make(run, [tmp_path / 'bag'], [tmp_path / 'judged'], tmp_path / 'runs')
    whole = MobileNetDepth()
    assert row['params'] < recipe.spent(whole, TrainConfig(height=32, width=64)).params
    assert row['changes'] == changes
    assert not list((tmp_path / 'runs').iterdir())


def test_other_decoders_are_what_they_say() -> None:
    torch.manual_seed(0)
    step = torch.tensor([0.0, 1.0]).expand(1, 1, 2, 2)
    risen = {
        kind: kind().decoder.upsample(step)[0, 0, 0].tolist()
        for kind in (MobileNetDepth, BilinearMobileNet)
    }
    assert risen == {MobileNetDepth: [0, 0, 1, 1], BilinearMobileNet: [0, 0.25, 0.75, 1]}
    costs = {}
    for network in (MobileNetDepth(), BilinearMobileNet(), DepthwiseMobileNet()):
        check_coupling(network, torch.rand(1, 3, 64, 64))
        costs[network.name] = recipe.spent(network, TrainConfig(height=64, width=64))
    assert costs['mobilenet-bilinear'] == costs['mobilenet']
    assert costs['mobilenet-depthwise'].macs < 0.5 * costs['mobilenet'].macs


def test_a_narrower_encoder_keeps_the_largest_filters() -> None:
    whole = MobileNetDepth()
    load_imagenet(whole)
    narrow = start_of_width(encoder=0.75, decoder=2)
    assert (narrow.widths['stem'], narrow.widths['stage7']) == (24, 240)
    assert (narrow.widths['iconv1'], narrow.widths['upconv5']) == (32, 256)
    stem, depthwise, below = (
        whole.get_submodule(name).weight.detach()
        for name in ('stem.0', 'blocks.0.depthwise.0', 'blocks.0.project.0')
    )
    norms = stem.abs().sum((1, 2, 3)) + depthwise.abs().sum((1, 2, 3))
    kept = norms.topk(24).indices.sort().values
    assert torch.equal(narrow.get_submodule('stem.0').weight, stem[kept])
    projected = narrow.get_submodule('blocks.0.project.0').weight
    found = [any(torch.equal(row, other) for other in below[:, kept]) for row in projected]
    assert found == [True] * 16

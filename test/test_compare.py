"""The comparison's methods and figures, on networks of a few filters."""

from __future__ import annotations

import compare
from compare_methods import at_once
import compare_results
from depth_prune_ros.bags.street import Street
from depth_prune_ros.bags.street import street_to_bag
from depth_prune_ros.offline.config import TrainConfig
from depth_prune_ros.offline.cost import measures
from depth_prune_ros.offline.training_data import read_data
from depth_prune_ros.offline.training_data import TrainingData
import pytest
from tiny_networks import checkpoint
from tiny_networks import narrow
import torch

DENSE = checkpoint('mobilenet', narrow('mobilenet', 16), 3)
CONFIG = TrainConfig.model_validate({'height': 32, 'width': 64, 'batch': 2, 'imagenet': False})


@pytest.fixture(scope='module')
def data(tmp_path_factory: pytest.TempPathFactory) -> TrainingData:
    bag = tmp_path_factory.mktemp('bags') / 'street'
    street_to_bag(bag, Street(seed=1, frames=2, width=128, height=64))
    return read_data([bag], [], CONFIG, lambda *_: None)


@pytest.mark.parametrize(
    'method', ['random-masks', 'uniform-scratch', 'tp-l1', 'tp-group-norm', 'tp-taylor']
)
def test_methods_meet_the_budget_with_a_network_that_loads(
    method: str, data: TrainingData
) -> None:
    small = at_once(method, DENSE, 0.4, CONFIG, data)
    macs = measures(DENSE.build().layers, 32 * 64)['macs'].price
    assert 0.3 < macs(small.widths) / macs(DENSE.widths) <= 0.4
    image = torch.rand(1, 3, 32, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        found = small.build()(image)[0]
    assert found.shape == (1, 2, 32, 64)
    kept = {tuple(row.flatten().tolist()) for row in DENSE.weights['stem.0.weight']}
    own = {tuple(row.flatten().tolist()) for row in small.weights['stem.0.weight']}
    assert (own <= kept) == (method != 'uniform-scratch')


def test_our_widths_from_random_weights(data: TrainingData) -> None:
    widths = narrow('mobilenet', 8)
    small = at_once('ours-from-scratch', DENSE, 0.4, CONFIG, data, widths)
    assert small.widths == widths
    start = small.build().state_dict()['stem.0.weight']
    assert start.shape[0] == widths['stem']
    assert not torch.equal(start, DENSE.weights['stem.0.weight'][: len(start)])


def test_rows_come_budget_by_budget() -> None:
    plan = {'network': 'n', 'budgets': [0.2, 0.5], 'seeds': [0, 1], 'methods': ['a']}
    plan |= {'at_first_budget': ['b'], 'controls': ['c']}
    names = [run.name for run in compare.planned(plan)]
    assert names == [
        *('n-a-0.2-0', 'n-b-0.2-0', 'n-a-0.2-1', 'n-b-0.2-1'),
        *('n-c-0', 'n-c-1', 'n-a-0.5-0', 'n-a-0.5-1'),
    ]


def _row(method: str, seed: int, abs_rel: float, ms: float) -> compare_results.Row:
    return {
        'network': 'n',
        'method': method,
        'budget': 0.2,
        'seed': seed,
        'abs_rel': abs_rel,
        'rmse': 4.0,
        'a1': 0.5,
        'params': 10,
        'macs': 20,
        'ms': ms,
        'ms_dense': 12.0,
    }


def test_means_and_spread_over_the_seeds() -> None:
    rows = [_row('b', 0, 0.2, 4.0), _row('b', 1, 0.3, 6.0), _row('a', 0, 0.1, 3.0)]
    refused = {'network': 'n', 'method': 'c', 'budget': 0.2, 'seed': 0, 'refused': 'too small'}
    first, second, last = compare_results._groups([*rows, refused])
    assert (first['method'], first['seeds'], first['spread']) == ('a', 1, None)
    assert (second['method'], second['seeds']) == ('b', 2)
    assert second['abs_rel'] == pytest.approx(0.25)
    # sample standard deviation of 0.2 and 0.3
    assert second['spread'] == pytest.approx(0.05 * 2**0.5)
    assert (second['ms'], second['faster']) == (5.0, pytest.approx((3 + 2) / 2))
    assert last['refused'] == 'too small'


def test_the_claims_name_both_sides() -> None:
    rows = [_row('ours-macs', seed, 0.2 + 0.01 * seed, 4.0) for seed in (0, 1)]
    few, none, scratch = compare_results.claims(compare_results._groups(rows))
    assert few.endswith(
        'parameters, not made yet, by MACs, AbsRel 0.2050 ± 0.0071 (0.00 M parameters).'
    )
    assert none.endswith(
        'help: not made yet; the same extra training without masks, not made yet.'
    )
    assert scratch.startswith(
        'n, pruned is better than the same widths from scratch: AbsRel 0.2050'
    )


def test_findings_weigh_the_difference_against_the_spread() -> None:
    """Ours 0.21 +- 0.0141, the best other 0.23 +- 0.0141 or, with far seeds, +- 0.0424."""
    ours = [_row('ours-macs', seed, 0.20 + 0.02 * seed, 4.0) for seed in (0, 1)]
    ours += [_row('ours-params', 0, 0.30, 4.0)]
    assert not list(compare_results.findings(compare_results._groups(ours)))
    for step, verdict in ((0.02, 'more'), (0.06, 'no more')):
        rest = [_row('b', seed, 0.23 + step * (seed - 0.5), 4.0) for seed in (0, 1)]
        rest += [_row('ours-from-scratch', 0, 0.24, 4.0)]
        (found,) = compare_results.findings(compare_results._groups([*ours, *rest]))
        assert found == (
            'n at 0.2: ours-macs 0.2100, the best of the others, b, 0.2300: ours is lower by '
            f'0.0200, {verdict} than the spread of the seeds ({max(step, 0.02) / 2**0.5:.4f}); '
            '0.000 and 0.000 GMACs.'
        )
    same = [_row('b', seed, 0.20 + 0.02 * seed, 4.0) for seed in (0, 1)]
    (found,) = compare_results.findings(compare_results._groups([*ours, *same]))
    assert 'ours is equal, no more than the spread' in found


def test_claims_have_a_verdict() -> None:
    """Pruned 1.02 and 1.10 times the dense one's error; controls beyond and within the spread."""

    def said(macs: float, control: float) -> list[str]:
        rows = [_row('ours-macs', seed, macs + 0.002 * seed, 4.0) for seed in (-1, 1)]
        rows += [_row('ours-params', 0, 0.5, 4.0), _row('ours-from-scratch', 0, control, 4.0)]
        free = [_row('dense-longer', 0, 0.2, 4.0), _row('masks-without-pressure', 0, 0.21, 4.0)]
        rows += [{**row, 'budget': 0} for row in free]
        return list(compare_results.claims(compare_results._groups(rows)))

    few, none, scratch = said(0.204, 0.3)
    assert few.endswith(' Confirmed: 1.02 times the error.')
    assert none.endswith(' Not confirmed: higher by 0.0100 (spread of the seeds 0.0000).')
    assert scratch.endswith(' Confirmed: lower by 0.0960.')
    few, _, scratch = said(0.22, 0.222)
    assert few.endswith(' Not confirmed: 1.10 times the error.')
    assert scratch.endswith(' Not confirmed: lower by 0.0020 (spread of the seeds 0.0028).')


def test_every_prediction_is_said() -> None:
    rows = [
        {'network': 'n', 'budget': budget, 'predicted_ms': 10.0, 'ms': ms}
        for budget, ms in ((0.1, 8.0), (0.2, 10.0), (0.2, 12.5))
    ]
    found = list(compare_results.predictions(rows))
    assert found == ['n, ours-latency at 0.2: +0.0%, -20.0%', 'n, ours-latency at 0.1: +25.0%']

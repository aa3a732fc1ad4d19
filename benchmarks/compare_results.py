"""
Make the comparison's table and plots from its rows, after measuring their times.

Run by ``make results``. All networks of a family are measured in one go, turn by turn, on 2
threads, and the least time of each counts; ``--keep-times`` leaves the times that are there.
docs/results.md is written from benchmarks/results.md.j2, the text around the figures, and from
the files in benchmarks/results/.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator
import csv
import json
from pathlib import Path
import random
import statistics
from typing import Any

from compare import planned
from depth_prune_ros.offline.config import TrainConfig
from depth_prune_ros.offline.latency import milliseconds
from depth_prune_ros.offline.networks.catalogue import build
from jinja2 import Environment
from jinja2 import StrictUndefined
from matplotlib import colormaps
from matplotlib import rc_context
from matplotlib.figure import Figure
from recipe import spent
import yaml

HERE = Path(__file__).resolve().parent
DOCS = HERE.parent / 'docs'
ROWS = HERE / 'results' / 'compare'
PLANS = HERE / 'compare'
RECIPES = HERE / 'results' / 'recipe'
TABLE = HERE / 'results' / 'compare.csv'
COLUMNS = (
    'network',
    'method',
    'budget',
    'seed',
    'steps',
    'size',
    'params',
    'macs',
    'ms',
    'ms_dense',
    'abs_rel',
    'rmse',
    'a1',
    'drives',
    'frames',
)
THREADS, ROUNDS = 2, 4
OURS = ('ours-macs', 'ours-params', 'ours-latency')
CONTROLLED = ('ours-macs', 'ours-from-scratch')
LITTLE = 1.05  # times the dense network's error
Row = dict[str, Any]


def main() -> None:
    """Write compare.csv, the plots and docs/results.md."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog='Example: python benchmarks/compare_results.py',
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('--keep-times', action='store_true', help='measure only new rows')
    options = parser.parse_args()
    rows = [json.loads(file.read_text()) for file in sorted(ROWS.glob('*.json'))]
    made = [row for row in rows if 'refused' not in row]
    for network in sorted({row['network'] for row in made}):
        own = [row for row in made if row['network'] == network]
        if not (options.keep_times and all('ms' in row for row in own)):
            _measure(network, own)
    with TABLE.open('w', newline='') as file:
        writer = csv.DictWriter(file, COLUMNS, extrasaction='ignore')
        writer.writeheader()
        writer.writerows(made)
    groups = _groups(rows)
    for network in sorted({row['network'] for row in made}):
        _plot(network, [group for group in groups if group['network'] == network])
    _write_docs(groups, _missing(rows))


def _measure(network: str, rows: list[Row]) -> None:
    """Note each row's milliseconds and, from the same rounds, the dense network's."""
    height, width = map(int, rows[0]['size'].split('x'))
    size = (height, width)
    networks = {'dense': build(network)}
    networks |= {_name(row): build(network, row['widths']) for row in rows}
    found: dict[str, list[float]] = {name: [] for name in networks}
    # in another order each time: slow moments of the computer, a minute long, meet all alike
    for seed in range(ROUNDS):
        for name in random.Random(seed).sample(sorted(networks), len(networks)):
            found[name].append(milliseconds(networks[name].eval(), size, THREADS))
    for row in rows:
        row['ms'] = round(min(found[_name(row)]), 2)
        row['ms_dense'] = round(min(found['dense']), 2)
        (ROWS / f'{_name(row)}.json').write_text(json.dumps(row, indent=1))


def _name(row: Row) -> str:
    budget = f'-{row["budget"]:g}' if row['budget'] else ''
    return f'{row["network"]}-{row["method"]}{budget}-{row["seed"]}'


def _groups(rows: list[Row]) -> list[Row]:
    """Return one entry per network, budget and method: means and spread over the seeds."""
    found: dict[tuple[Any, ...], list[Row]] = defaultdict(list)
    for row in rows:
        found[row['network'], row['budget'], row['method']].append(row)
    groups = []
    for (network, budget, method), own in found.items():
        group: Row = {'network': network, 'budget': budget, 'method': method}
        refused = [row['refused'] for row in own if 'refused' in row]
        if refused:
            groups.append({**group, 'refused': refused[0], 'abs_rel': float('inf')})
            continue
        errors = [row['abs_rel'] for row in own]
        group['seeds'] = len(own)
        group['abs_rel'] = statistics.mean(errors)
        group['spread'] = statistics.stdev(errors) if len(errors) > 1 else None
        for key in ('rmse', 'a1', 'params', 'macs', 'ms'):
            group[key] = statistics.mean(row[key] for row in own)
        group['faster'] = statistics.mean(row['ms_dense'] / row['ms'] for row in own)
        groups.append(group)
    return sorted(groups, key=lambda g: (g['network'], -g['budget'], g['abs_rel']))


def _plot(network: str, groups: list[Row]) -> None:
    """Draw AbsRel against the multiply-accumulates and against the milliseconds."""
    figure = Figure(figsize=(11, 4.5), layout='constrained')
    panes = figure.subplots(1, 2, sharey=True)
    methods = sorted({g['method'] for g in groups if 'refused' not in g})
    for pane, key, unit, scale in zip(
        panes, ('macs', 'ms'), ('GMACs', 'ms, 2 threads'), (1e-9, 1), strict=True
    ):
        for number, method in enumerate(methods):
            own = sorted(
                (g for g in groups if g['method'] == method and 'refused' not in g),
                key=lambda g: g[key],
            )
            x, y = [g[key] * scale for g in own], [g['abs_rel'] for g in own]
            spread = [g['spread'] or 0 for g in own]
            style = '-o' if method.startswith('ours') else '--s'
            colour = colormaps['tab20'](number)
            pane.errorbar(x, y, spread, fmt=style, color=colour, ms=4, lw=1.2, label=method)
        pane.set_xlabel(unit)
        pane.grid(alpha=0.3)
    panes[0].set_ylabel('AbsRel, mean over the validation drives')
    figure.legend(*panes[0].get_legend_handles_labels(), loc='outside lower center', ncols=6)
    figure.suptitle(f'{network}: mean and standard deviation over the seeds', fontsize=10)
    with rc_context({'svg.hashsalt': network}):  # the same picture is the same file
        figure.savefig(DOCS / f'compare_{network}.svg', metadata={'Date': None})


def claims(groups: list[Row]) -> Iterator[str]:
    """Say of each network what came out for the paper's three claims, with their controls."""
    found = {(g['network'], g['method'], g['budget']): g for g in groups if 'refused' not in g}
    for network in sorted({g['network'] for g in groups}):

        def show(method: str, budget: float = 0.2, network: str = network) -> str:
            row = found.get((network, method, budget))
            if row is None:
                return 'not made yet'
            spread = f' ± {row["spread"]:.4f}' if row['spread'] is not None else ''
            return f'AbsRel {row["abs_rel"]:.4f}{spread} ({row["params"] / 1e6:.2f} M parameters)'

        longer, dense = show('dense-longer', 0), found.get((network, 'dense-longer', 0))
        yield (
            f'{network}, a fifth costs little: dense, trained on, {longer}; at 0.2 of the MACs, '
            f'weighed by parameters, {show("ours-params")}, by MACs, {show("ours-macs")}.'
            f'{_little(dense, [found.get((network, name, 0.2)) for name in OURS[:2]])}'
        )
        yield (
            f'{network}, masks without pressure help: {show("masks-without-pressure", 0)}; '
            f'the same extra training without masks, {longer}.'
            f'{_better(found.get((network, "masks-without-pressure", 0)), dense)}'
        )
        yield (
            f'{network}, pruned is better than the same widths from scratch: '
            f'{show("ours-macs")}; from random weights, {show("ours-from-scratch")}.'
            f'{_better(*(found.get((network, name, 0.2)) for name in CONTROLLED))}'
        )


def _little(dense: Row | None, pruned: list[Row | None]) -> str:
    """Say how much larger the least error of pruned networks is, where all are made."""
    errors = [row['abs_rel'] for row in pruned if row]
    if dense is None or len(errors) < len(pruned):
        return ''
    ratio = min(errors) / dense['abs_rel']
    return f' {"Confirmed" if ratio <= LITTLE else "Not confirmed"}: {ratio:.2f} times the error.'


def _better(claimed: Row | None, control: Row | None) -> str:
    """Say whether an error is below its control's by more than the seeds spread."""
    if claimed is None or control is None:
        return ''
    less = control['abs_rel'] - claimed['abs_rel']
    spread = max(claimed['spread'] or 0, control['spread'] or 0)
    if less > spread:
        return f' Confirmed: lower by {less:.4f}.'
    side = 'lower' if less > 0 else 'higher'
    return f' Not confirmed: {side} by {abs(less):.4f} (spread of the seeds {spread:.4f}).'


def findings(groups: list[Row]) -> Iterator[str]:
    """Say of each network and budget how the best of ours compares with the best of the rest."""
    made = [g for g in groups if g['budget'] and 'refused' not in g]
    for network, budget in sorted({(g['network'], g['budget']) for g in made}, reverse=True):
        own = [g for g in made if (g['network'], g['budget']) == (network, budget)]
        sides = [[g for g in own if (g['method'] in OURS) == mine] for mine in (True, False)]
        if not all(sides):
            continue
        ours, rest = (min(side, key=lambda g: g['abs_rel']) for side in sides)
        less = rest['abs_rel'] - ours['abs_rel']
        spread = max(ours['spread'] or 0, rest['spread'] or 0)
        side = f'{"lower" if less > 0 else "higher"} by {abs(less):.4f}'
        if abs(less) < 5e-5:
            side = 'equal'
        verdict = 'more' if abs(less) > spread else 'no more'
        yield (
            f'{network} at {budget:g}: {ours["method"]} {ours["abs_rel"]:.4f}, the best of the '
            f'others, {rest["method"]}, {rest["abs_rel"]:.4f}: ours is {side}, {verdict} than the '
            f'spread of the seeds ({spread:.4f}); {ours["macs"] / 1e9:.3f} and '
            f'{rest["macs"] / 1e9:.3f} GMACs.'
        )


def predictions(rows: list[Row]) -> Iterator[str]:
    """Say how far the latency tables' predictions are from what was measured."""
    found: dict[tuple[str, float], list[float]] = defaultdict(list)
    for row in rows:
        found[row['network'], row['budget']].append(row['predicted_ms'] / row['ms'] - 1)
    for (network, budget), off in sorted(found.items(), reverse=True):
        each = ', '.join(f'{one:+.1%}' for one in off)
        yield f'{network}, ours-latency at {budget:g}: {each}'


def _missing(rows: list[Row]) -> int:
    """Return how many rows of the plans are not there."""
    made = {_name(row) for row in rows}
    plans = (yaml.safe_load(file.read_text()) for file in sorted(PLANS.glob('*.yaml')))
    return sum(run.name not in made for plan in plans for run in planned(plan))


def _write_docs(groups: list[Row], missing: int) -> None:
    environment = Environment(
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    template = environment.from_string((HERE / 'results.md.j2').read_text())
    latency = _kept('latency')
    text = template.render(
        groups=groups,
        bench=_kept('bench'),
        robustness=_kept('robustness'),
        edges=_kept('edges'),
        missing=missing,
        recipe=_recipe(),
        findings=list(findings(groups)),
        latency=latency,
        predictions=list(predictions(latency['rows'] if latency else [])),
        claims=list(claims(groups)),
    )
    (DOCS / 'results.md').write_text(text)


def _recipe() -> list[Row]:
    """Return the runs of the search for a recipe, plan by plan, the best first."""
    rows = [json.loads(file.read_text()) for file in RECIPES.glob('*.json')]
    for row in rows:
        row['plan'] = row['run'].partition('-')[0]
        changes = (f'{key} {value}' for key, value in row['changes'].items())
        row['changed'] = ', '.join(changes) or 'nothing: the base'
        if 'macs' not in row:
            config = TrainConfig.model_validate(row['config'])
            row['macs'] = spent(build(config.network), config).macs
    return sorted(rows, key=lambda row: (row['plan'], row['abs_rel']))


def _kept(name: str) -> Any:
    """Return what a benchmark left; None where it was not run."""
    file = HERE / 'results' / f'{name}.json'
    return json.loads(file.read_text()) if file.exists() else None


if __name__ == '__main__':
    main()

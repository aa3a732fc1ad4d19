"""
The comparison of pruning methods: same dense start, same steps, same loss, same budget.

Run by ``make compare``. Every run is a file in benchmarks/results/compare/, with its
configuration; a run that is there is not made again, and one that was stopped goes on from its
last checkpoint. ``python benchmarks/compare_results.py`` measures the times and writes the table.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from dataclasses import replace
import itertools
import json
from pathlib import Path
import shutil
import time
from typing import Any

from compare_methods import at_once
from compare_methods import FORMS
from compare_methods import learned_masks
from depth_prune_ros.core.errors import MaskError
from depth_prune_ros.offline import checkpoint as checkpoints
from depth_prune_ros.offline import stages
from depth_prune_ros.offline.config import TrainConfig
from depth_prune_ros.offline.cost import measures
from depth_prune_ros.offline.machine import keep_freed_memory
from depth_prune_ros.offline.training_data import read_data
from depth_prune_ros.offline.training_data import TrainingData
from kitti_runs import kitti_bags
from kitti_runs import make_rows
from kitti_runs import plan_parser
from kitti_runs import write_row
import numpy as np
import yaml

HERE = Path(__file__).resolve().parent
RESULTS = HERE / 'results' / 'compare'


@dataclass(frozen=True)
class Run:
    """One row: a method at a budget (a ratio of the MACs; 0 = none) with a seed."""

    network: str
    method: str
    budget: float
    seed: int

    @property
    def name(self) -> str:
        """Return the row's file name."""
        budget = f'-{self.budget:g}' if self.budget else ''
        return f'{self.network}-{self.method}{budget}-{self.seed}'


def main() -> None:
    """Make the rows that are missing, one after the other."""
    usual = 'benchmarks/compare/mobilenet.yaml'
    options = plan_parser(__doc__, usual, 'runs/compare').parse_args()
    keep_freed_memory()
    plan = yaml.safe_load(options.plan.read_text())
    missing = [
        run
        for run in planned(plan)
        if options.only in run.name and not (RESULTS / f'{run.name}.json').exists()
    ]
    print(f'{len(missing)} rows to make')
    config = TrainConfig.model_validate(plan['train'])
    data = read_data(*kitti_bags(options.runs / 'bags'), config, lambda *_: None)
    dense = Path(plan['dense'])
    if missing and not checkpoints.exists(dense):
        print(f'{dense}: training the dense start')
        start = TrainConfig.model_validate(plan['train'] | plan['dense_train'])
        stages.train(start, data, dense, lambda _: None)
    by_name = {run.name: run for run in missing}
    make_rows(
        list(by_name),
        lambda name: _make(by_name[name], plan, config, data, options.runs),
        options.jobs,
    )


def planned(plan: dict[str, Any]) -> Iterator[Run]:
    """Yield the rows, budget by budget, so that a part of them is a comparison too."""
    network, seeds = plan['network'], plan['seeds']
    for number, budget in enumerate(plan['budgets']):
        first = () if number else plan['at_first_budget']
        for seed, method in itertools.product(seeds, (*plan['methods'], *first)):
            yield Run(network, method, budget, seed)
        if not number:
            for seed, method in itertools.product(seeds, plan['controls']):
                yield Run(network, method, 0, seed)


def _make(
    run: Run, plan: dict[str, Any], config: TrainConfig, data: TrainingData, runs: Path
) -> dict[str, Any]:
    """Prune, fine-tune, judge; write the row."""
    start = time.monotonic()
    folder = runs / run.name
    dense = Path(plan['dense'])
    seeded = config.model_dump() | {'seed': run.seed}
    for name, settings in plan['prune_of'].items():
        if run.name.startswith(f'{run.network}-{name}'):
            seeded['prune'] |= settings
    # fine-tuning goes on where choosing ends, and brings the learning rate down
    choosing = TrainConfig.model_validate(
        seeded | {'steps': plan['mask_steps'], 'final_rate': 1.0}
    )
    try:
        if run.method in FORMS:
            budget = f'macs={run.budget}' if run.budget else 'none'
            small = learned_masks(run.method, dense, budget, choosing, data, folder)
        else:
            given = _widths_of_ours(run) if run.method == 'ours-from-scratch' else None
            whole = checkpoints.load(dense)
            small = at_once(run.method, whole, run.budget, choosing, data, given)
    except MaskError as error:
        return _write(run, {'refused': str(error)})
    steps = plan['steps'] - (plan['mask_steps'] if run.method in FORMS else 0)
    tuning = TrainConfig.model_validate(seeded | {'steps': steps, 'seed': run.seed + 100})
    checkpoints.save(folder / 'start', small)
    stages.train(
        tuning, data, folder / 'small', lambda _: None, start=folder / 'start', teachers=[dense]
    )
    last = checkpoints.load(folder / 'small')
    network = last.build()
    known = measures(network.layers, config.height * config.width)
    judged = last.card['metrics']
    row = {
        'steps': plan['steps'],
        'size': f'{config.height}x{config.width}',
        'params': known['params'].price(network.widths),
        'macs': known['macs'].price(network.widths),
        **{
            key: float(np.mean([m[key] for m in judged.values()]))
            for key in ('abs_rel', 'rmse', 'a1')
        },
        'per_drive': {drive: m['abs_rel'] for drive, m in judged.items()},
        'drives': '+'.join(judged),
        'frames': sum(len(frames) for frames in data.validation.values()),
        'minutes': round((time.monotonic() - start) / 60, 2),
        'widths': network.widths,
        'config': {'choosing': choosing.model_dump(), 'tuning': tuning.model_dump()},
    }
    shutil.rmtree(folder)
    return _write(run, row)


def _widths_of_ours(run: Run) -> dict[str, int]:
    """Return the widths that our masks left, of the same budget and seed."""
    ours = RESULTS / f'{replace(run, method="ours-macs").name}.json'
    widths: dict[str, int] = json.loads(ours.read_text())['widths']
    return widths


def _write(run: Run, row: dict[str, Any]) -> dict[str, Any]:
    row = {
        'network': run.network,
        'method': run.method,
        'budget': run.budget,
        'seed': run.seed,
        **row,
    }
    return write_row(RESULTS / f'{run.name}.json', row)


if __name__ == '__main__':
    main()

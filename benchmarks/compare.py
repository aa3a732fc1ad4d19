"""
The comparison of pruning methods: same dense start, same steps, same loss, same budget.

Run by ``make compare``. Every run is a file in benchmarks/results/compare/, with its
configuration; a run that is there is not made again, and one that was stopped goes on from its
last checkpoint. ``python benchmarks/compare_results.py`` measures the times and writes the table.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from dataclasses import replace
import itertools
import json
import multiprocessing
import os
from pathlib import Path
import shutil
import sys
import time
from typing import Any

from compare_methods import at_once
from compare_methods import FORMS
from compare_methods import learned_masks
from depth_prune_ros.bags.kitti import kitti_to_bag
from depth_prune_ros.core.errors import MaskError
from depth_prune_ros.offline import checkpoint as checkpoints
from depth_prune_ros.offline import stages
from depth_prune_ros.offline.config import TrainConfig
from depth_prune_ros.offline.cost import measures
from depth_prune_ros.offline.machine import keep_freed_memory
import numpy as np
import torch
import yaml

HERE = Path(__file__).resolve().parent
RESULTS = HERE / 'results' / 'compare'
DATE = 'raw/2011_09_26/2011_09_26_drive'
TRAINING = {
    '0005': f'{DATE}_0005_sync',
    '0001': f'{DATE}_0001_sync',
    '0013': f'{DATE}_0013_sync',
    'object': 'object/training',
    'odometry06': 'odometry/sequences/06',
    'odometry01': 'odometry/sequences/01',
}
VALIDATION = {name: f'{DATE}_{name}_sync' for name in ('0002', '0048', 'unknown')}


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
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog='Example: python benchmarks/compare.py benchmarks/compare/mobilenet.yaml',
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('config', type=Path, help='such as benchmarks/compare/mobilenet.yaml')
    parser.add_argument('--runs', type=Path, default=Path('runs/compare'), help='working folder')
    parser.add_argument('--only', default='', help='rows whose name contains this')
    parser.add_argument('--jobs', type=int, default=2, help='rows at a time, a thread each')
    options = parser.parse_args()
    keep_freed_memory()
    plan = yaml.safe_load(options.config.read_text())
    missing = [
        run
        for run in planned(plan)
        if options.only in run.name and not (RESULTS / f'{run.name}.json').exists()
    ]
    print(f'{len(missing)} rows to make')
    bags = {name: _bag(name, options.runs / 'bags') for name in (*TRAINING, *VALIDATION)}
    config = TrainConfig.model_validate(plan['train'])
    data = stages.read_data(
        [bags[name] for name in TRAINING],
        [bags[name] for name in VALIDATION],
        config,
        lambda *_: None,
    )
    dense = Path(plan['dense'])
    if missing and not any(dense.glob('step-*')):
        print(f'{dense}: training the dense start')
        start = TrainConfig.model_validate(plan['train'] | plan['dense_train'])
        stages.train(start, data, dense, lambda _: None)
    # forked, so that the frames are in memory once
    forking = multiprocessing.get_context('fork')
    taken = forking.Value('i', 0)

    def work() -> None:
        torch.set_num_threads(1)
        while True:
            with taken.get_lock():
                number = taken.value
                taken.value += 1
            if number >= len(missing):
                return
            row = _make(missing[number], plan, config, data, options.runs)
            found = row.get('abs_rel') or row['refused']
            print(f'{number + 1}/{len(missing)} {missing[number].name}: {found}', flush=True)

    workers = [forking.Process(target=work) for _ in range(options.jobs)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if any(worker.exitcode for worker in workers):
        sys.exit('a row failed: see above; what is done is kept, and the same command goes on')


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
    run: Run, plan: dict[str, Any], config: TrainConfig, data: stages.Data, runs: Path
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
        tuning, data, folder / 'small', lambda _: None, start=folder / 'start', teacher=dense
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
    RESULTS.mkdir(parents=True, exist_ok=True)
    file = RESULTS / f'{run.name}.json'
    partial = file.with_suffix('.partial')
    partial.write_text(json.dumps(row, indent=1))
    partial.replace(file)
    return row


def _bag(name: str, folder: Path) -> Path:
    kitti = Path(os.environ.get('DEPTH_PRUNE_KITTI', HERE.parents[1] / 'shared' / 'kitti'))
    bag = folder / name
    if not bag.exists():
        folder.mkdir(parents=True, exist_ok=True)
        kitti_to_bag(kitti / {**TRAINING, **VALIDATION}[name], bag, images='jpeg')
    return bag


if __name__ == '__main__':
    main()

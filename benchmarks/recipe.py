"""
The search for a training recipe: one thing changed at a time, judged on the validation drives.

Run by ``make recipe``. benchmarks/recipe/*.yaml holds a base configuration and what is changed in
it; every run is a file in benchmarks/results/recipe/. A run that is there is not made again,
and one that was stopped goes on from its last checkpoint. ``make results`` writes the table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from dataclasses import dataclass
from functools import partial
from pathlib import Path
import shutil
import statistics
import time
from typing import Any

from depth_prune_ros.bags.street import Street
from depth_prune_ros.bags.street import street_to_bag
from depth_prune_ros.offline import checkpoint as checkpoints
from depth_prune_ros.offline import stages
from depth_prune_ros.offline.checkpoint import Checkpoint
from depth_prune_ros.offline.config import TrainConfig
from depth_prune_ros.offline.cost import Cost
from depth_prune_ros.offline.cost import cost
from depth_prune_ros.offline.machine import keep_freed_memory
from depth_prune_ros.offline.networks.base import DepthNetwork
from depth_prune_ros.offline.networks.catalogue import NETWORKS
from depth_prune_ros.offline.progress import Progress
from depth_prune_ros.offline.training_data import read_data
from kitti_runs import kitti_bags
from kitti_runs import make_rows
from kitti_runs import plan_parser
from kitti_runs import Row
from kitti_runs import write_row
from recipe_networks import OTHER_DECODERS
from recipe_networks import start_of_width
import torch
import yaml

HERE = Path(__file__).resolve().parent
RESULTS = HERE / 'results' / 'recipe'
STREETS = range(101, 111)
SAME = {'encoder': 1, 'decoder': 1}


@dataclass(frozen=True)
class Run:
    """
    One training.

    :param changes: what differs from the base: dotted key of the configuration -> value
    :param values: the whole configuration, and what else a training has: teacher (a checkpoint),
        widths.encoder and widths.decoder (times the network's own)
    """

    name: str
    changes: Mapping[str, Any]
    values: Mapping[str, Any]


def main() -> None:
    """Make the rows that are missing."""
    options = plan_parser(__doc__, 'benchmarks/recipe/dense.yaml', 'runs/recipe').parse_args()
    keep_freed_memory()
    NETWORKS.update({network.name: network for network in OTHER_DECODERS})
    runs = {
        run.name: run
        for run in planned(options.plan)
        if options.only in run.name and not _file(run).exists()
    }
    print(f'{len(runs)} runs to make')
    training, validation = kitti_bags(options.runs.parent / 'compare' / 'bags')
    training += [_street(options.runs / 'bags', seed) for seed in STREETS]
    make = partial(_make, training=training, validation=validation, folder=options.runs)
    make_rows(list(runs), lambda name: make(runs[name]), options.jobs)


def planned(plan: Path) -> list[Run]:
    """Return a plan's runs: each seed of the base, then of each change."""
    values = yaml.safe_load(plan.read_text())
    found = []
    for name, changes in {'base': {}, **values['changes']}.items():
        for seed in values['seeds']:
            whole = {**values['base'], 'seed': seed}
            for key, value in changes.items():
                section, _, inner = key.rpartition('.')
                whole[section or inner] = {**whole[section], inner: value} if section else value
            found.append(Run(f'{plan.stem}-{name}-{seed}', changes, whole))
    return found


def _make(run: Run, training: list[Path], validation: list[Path], folder: Path) -> Row:
    """Train from ImageNet weights, judge, write the row."""
    begun = time.monotonic()
    values = dict(run.values)
    widths, teacher = values.pop('widths', SAME), values.pop('teacher', '')
    config = TrainConfig.model_validate(values)
    start = None if widths == SAME else _start(config, widths, folder / f'{run.name}-start')
    if not any(share.startswith('street') for share in config.shares):
        training = [bag for bag in training if not bag.name.startswith('street')]
    data = read_data(training, validation, config, lambda *_: None)
    course: dict[int, float] = {}

    def note(progress: Progress) -> None:
        if progress.validation:
            found = [metrics.abs_rel for metrics in progress.validation.values()]
            course[progress.step] = round(statistics.mean(found), 4)

    stages.train(
        config,
        data,
        folder / run.name,
        note,
        start=start,
        teachers=[HERE.parent / teacher] if teacher else [],
    )
    trained = checkpoints.load(folder / run.name)
    judged = trained.card['metrics']
    row = {
        'run': run.name,
        'changes': dict(run.changes),
        'seed': config.seed,
        'steps': config.steps,
        'size': f'{config.height}x{config.width}',
        **asdict(spent(trained.build(), config)),
        'minutes': round((time.monotonic() - begun) / 60, 1),
        **{
            key: statistics.mean(drive[key] for drive in judged.values())
            for key in ('abs_rel', 'rmse', 'a1')
        },
        'trained_on': data.dataset.bags,
        'per_drive': {name: drive['abs_rel'] for name, drive in judged.items()},
        'course': course,
        'config': config.model_dump(),
    }
    shutil.rmtree(folder / run.name)
    if start is not None:
        shutil.rmtree(start)
    return write_row(_file(run), row)


def spent(network: DepthNetwork, config: TrainConfig) -> Cost:
    """Return a network's parameters and, at the size of the configuration, its MACs."""
    return cost(network.layers, network.widths, config.height * config.width)


def _start(config: TrainConfig, widths: Mapping[str, float], run: Path) -> Path:
    """Write a network of other widths, to start from, unless it is there."""
    if not checkpoints.exists(run):
        torch.manual_seed(config.seed)
        network = start_of_width(**widths)
        card = {'baseline_m': config.baseline_m}
        about = (config.network, network.widths, 0, config.model_dump(), card)
        checkpoints.save(run, Checkpoint(*about, network.state_dict()))
    return run


def _file(run: Run) -> Path:
    return RESULTS / f'{run.name}.json'


def _street(folder: Path, seed: int) -> Path:
    bag = folder / f'street{seed}'
    if not bag.exists():
        folder.mkdir(parents=True, exist_ok=True)
        street = Street(seed=seed, frames=10, width=832, height=250, speed_m_s=80)
        street_to_bag(bag, street, images='jpeg')
    return bag


if __name__ == '__main__':
    main()

"""What runs on KITTI's frames share: their bags, and several runs at a time."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from collections.abc import Sequence
import json
import multiprocessing
import os
from pathlib import Path
import sys
from typing import Any

from depth_prune_ros.bags.kitti import kitti_to_bag
from depth_prune_ros.core.files import write_whole
import torch

Row = dict[str, Any]
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


def plan_parser(description: str | None, plan: str, runs: str) -> argparse.ArgumentParser:
    """
    Return what a command takes that makes the rows of a plan.

    :param plan: the usual one
    :param runs: the usual working folder
    """
    parser = argparse.ArgumentParser(
        description=description,
        epilog=f'Example: python {sys.argv[0]} {plan}',
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('plan', type=Path, help=f'such as {plan}')
    parser.add_argument('--runs', type=Path, default=Path(runs), help='working folder')
    parser.add_argument('--only', default='', help='rows whose name contains this')
    parser.add_argument('--jobs', type=int, default=2, help='rows at a time, a thread each')
    return parser


def kitti_bags(folder: Path) -> tuple[list[Path], list[Path]]:
    """Return the bags to train on and those to judge on, made where they are not there."""
    return [_bag(name, folder) for name in TRAINING], [_bag(name, folder) for name in VALIDATION]


def make_rows(names: Sequence[str], make: Callable[[str], Row], jobs: int) -> None:
    """Make rows, ``jobs`` at a time with a thread each, and say what came out."""
    # forked, so that the frames are in memory once
    forking = multiprocessing.get_context('fork')
    taken = forking.Value('i', 0)

    def work() -> None:
        torch.set_num_threads(1)
        while True:
            with taken.get_lock():
                number = taken.value
                taken.value += 1
            if number >= len(names):
                return
            row = make(names[number])
            found = row.get('abs_rel') or row['refused']
            print(f'{number + 1}/{len(names)} {names[number]}: {found}', flush=True)

    workers = [forking.Process(target=work) for _ in range(jobs)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if any(worker.exitcode for worker in workers):
        sys.exit('a row failed: see above; what is done is kept, and the same command goes on')


def write_row(file: Path, row: Row) -> Row:
    """Write a row whole or not at all."""
    write_whole(file, json.dumps(row, indent=1).encode())
    return row


def _bag(name: str, folder: Path) -> Path:
    beside = Path(__file__).resolve().parents[2] / 'shared' / 'kitti'
    kitti = Path(os.environ.get('DEPTH_PRUNE_KITTI', beside))
    bag = folder / name
    if not bag.exists():
        folder.mkdir(parents=True, exist_ok=True)
        kitti_to_bag(kitti / {**TRAINING, **VALIDATION}[name], bag, images='jpeg')
    return bag

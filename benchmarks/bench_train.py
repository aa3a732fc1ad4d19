"""
Images per second of a training, against a bare loop on the same network.

Run by ``make bench-train``. The bare loop has its batches in memory and does nothing but network,
loss, gradients and optimiser. The two take turns, a few steps each, in one process, so that
whatever else the computer does meets both; compare the ratio. The training reads a rendered
street through its cache, augments, checks its losses, and writes checkpoints, as it always does.
"""

from __future__ import annotations

import argparse
from collections.abc import Generator
import json
from pathlib import Path
import resource
import shutil
import time

from depth_prune_ros.bags.street import Street
from depth_prune_ros.bags.street import street_to_bag
from depth_prune_ros.offline.config import TrainConfig
from depth_prune_ros.offline.dataset import TrainingBatch
from depth_prune_ros.offline.losses import depth_loss
from depth_prune_ros.offline.losses import Weights
from depth_prune_ros.offline.machine import keep_freed_memory
from depth_prune_ros.offline.networks.catalogue import build
from depth_prune_ros.offline.progress import Progress
from depth_prune_ros.offline.train import Trainer
from depth_prune_ros.offline.training_data import read_data
from depth_prune_ros.offline.training_data import TrainingData
import torch

IN_MEMORY = 4


class BareLoop:
    """Network, loss, gradients, optimiser; nothing else."""

    def __init__(
        self, config: TrainConfig, batches: list[TrainingBatch], trainer: Trainer
    ) -> None:
        """Take the training's precision and layout, and a network of its own."""
        self._config = config
        self._batches = batches
        self._trainer = trainer
        self._network = build(config.network).train()
        self._network.to(memory_format=trainer.speed.memory_format)
        self._weights = Weights.of(config.losses.model_dump())
        self._optimiser = torch.optim.AdamW(self._network.parameters(), lr=1e-6)

    def run(self, steps: int) -> float:
        """Do some steps and return the seconds they took."""
        start = time.perf_counter()
        for number in range(steps):
            batch = self._batches[number % len(self._batches)]
            with torch.autocast('cpu', torch.bfloat16, enabled=self._trainer.speed.bf16):
                predictions = self._network(batch.image)
            loss = depth_loss(predictions, batch, self._weights)['task']
            self._optimiser.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self._network.parameters(), 1.0)
            self._optimiser.step()
            float(loss.detach())
        return time.perf_counter() - start


def main() -> None:
    """Take turns and print the rates, their ratio, the memory and the writer's share."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--folder', type=Path, default=Path('runs/bench_train'))
    parser.add_argument('--size', default='96x320', help='height x width of the network')
    parser.add_argument('--batch', type=int, default=8)
    parser.add_argument('--turns', type=int, default=5)
    parser.add_argument('--steps', type=int, default=5, help='of one turn')
    parser.add_argument('--prepare', action='store_true', help='make bag and cache only')
    options = parser.parse_args()
    keep_freed_memory()
    config = _config(options)
    data = _data(options.folder, config)
    if options.prepare:
        return
    run = options.folder / 'run'
    shutil.rmtree(run, ignore_errors=True)
    trainer = Trainer(build(config.network), data.dataset, config, card={})
    batches = [data.dataset.batch(number, config.batch, 1) for number in range(IN_MEMORY)]
    bare = BareLoop(config, batches, trainer)
    bare.run(1)
    seconds: dict[str, list[float]] = {'training': [], 'bare': []}
    turn = _turns(bare, options.steps, seconds)
    next(turn)
    trainer.run(run, {}, turn.send)
    print(json.dumps(_result(config, options, seconds, trainer), indent=1))


def _turns(
    bare: BareLoop, steps: int, seconds: dict[str, list[float]]
) -> Generator[None, Progress, None]:
    """Be told of each step of the training; let the bare loop do as many after each turn."""
    yield
    while True:
        start = time.perf_counter()
        for _ in range(steps):
            yield
        seconds['training'].append(time.perf_counter() - start)
        seconds['bare'].append(bare.run(steps))


def _config(options: argparse.Namespace) -> TrainConfig:
    height, width = map(int, options.size.split('x'))
    return TrainConfig.model_validate(
        {
            'imagenet': False,
            'height': height,
            'width': width,
            'steps': 1 + options.turns * options.steps,
            'batch': options.batch,
            'checkpoint_every': 10,
            'cache': str(options.folder / 'cache'),
        }
    )


def _data(folder: Path, config: TrainConfig) -> TrainingData:
    bag = folder / 'street'
    if not bag.exists():
        folder.mkdir(parents=True, exist_ok=True)
        street_to_bag(folder / 'part', Street(seed=1, frames=16, width=960, height=288))
        (folder / 'part').rename(bag)
    return read_data([bag], [], config, lambda *_: None)


def _result(
    config: TrainConfig,
    options: argparse.Namespace,
    seconds: dict[str, list[float]],
    trainer: Trainer,
) -> dict[str, object]:
    images = options.steps * config.batch
    rates = {name: [images / s for s in found] for name, found in seconds.items()}
    return {
        'size': options.size,
        'batch': config.batch,
        'threads': torch.get_num_threads(),
        'speed': trainer.speed.line,
        'images_per_s': {name: round(images * len(s) / sum(s), 2) for name, s in seconds.items()},
        'ratio': round(sum(seconds['bare']) / sum(seconds['training']), 3),
        'turns': {name: [round(rate, 2) for rate in found] for name, found in rates.items()},
        'held_up_by_checkpoints': round(trainer.held_up_s / sum(seconds['training']), 4),
        'memory_mb': resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }


if __name__ == '__main__':
    main()

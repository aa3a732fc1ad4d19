"""Trains and prunes a network of few filters and writes every step's loss; run by torchrun."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from dataclasses import replace
import json
from pathlib import Path
import sys

from depth_prune_ros.bags.street import Street
from depth_prune_ros.bags.street import street_to_bag
from depth_prune_ros.offline import checkpoint as checkpoints
from depth_prune_ros.offline import ranks
from depth_prune_ros.offline import stages
from depth_prune_ros.offline.config import TrainConfig
from depth_prune_ros.offline.label_losses import distillation
from depth_prune_ros.offline.losses import depth_loss
from depth_prune_ros.offline.losses import Weights
from depth_prune_ros.offline.progress import Progress
from depth_prune_ros.offline.teachers import Teacher
from depth_prune_ros.offline.teachers import Teachers
from depth_prune_ros.offline.training_data import read_data
from tiny_networks import checkpoint
from tiny_networks import narrow
import torch
from torch import Tensor

CONFIG = TrainConfig.model_validate(
    {
        'imagenet': False,
        'height': 64,
        'width': 128,
        'steps': 6,
        'batch': 4,
        'bf16': False,
        'channels_last': True,
        'learning_rate': 1e-4,
        'validate_every': 3,
        'augment': {'crop': 0.75, 'whole': 0, 'blur': 0, 'noise': 0},
        'prune': {
            'ramp': 0.5,
            'every': 1,
            'warmup': 1,
            'memory': 4,
            'curvature': 30,
            'saturation': 0,
        },
    }
)
Curves = dict[str, list[dict[str, float]]]


def prepare(folder: Path) -> None:
    """Write the bags and the checkpoint that the curves start from."""
    for seed, name in ((1, 'street'), (2, 'hall')):
        street_to_bag(folder / name, Street(seed=seed, frames=4, width=160, height=80))
    start = checkpoint('mobilenet', narrow('mobilenet', 8), 5)
    size = {'input_height': CONFIG.height, 'input_width': CONFIG.width}
    card = {**start.card, **size, 'baseline_m': CONFIG.baseline_m}
    checkpoints.save(folder / 'start', replace(start, card=card))


def curves(folder: Path, out: Path) -> Curves:
    """Return by stage the terms of each step, the masks' share and the validations' AbsRel."""
    torch.set_num_threads(1)
    data = read_data([folder / 'street'], [folder / 'hall'], CONFIG, lambda *_: None)
    found: Curves = {'train': [], 'prune': []}

    def into(stage: str) -> stages.Report:
        def report(progress: Progress) -> None:
            judged: Mapping[str, float] = {k: m.abs_rel for k, m in progress.validation.items()}
            found[stage].append({**progress.terms, 'share': progress.share, **judged})

        return report

    start = folder / 'start'
    first = CONFIG.model_copy(update={'steps': 1})
    quiet: stages.Report = lambda _: None  # noqa: E731
    # oneDNN's sums depend on how many samples a process has
    torch.backends.mkldnn.set_flags(False)
    try:
        stages.train(CONFIG, data, out / 'train', into('train'), start=start)
        stages.prune(CONFIG, data, out / 'prune', into('prune'), start=start, budget='macs=0.5')
        stages.train(first, data, out / 'train_first', quiet, start=start)
        stages.prune(first, data, out / 'prune_first', quiet, start=start, budget='none')
        held = first.model_copy(update={'hold_encoder': True})
        stages.train(held, data, out / 'held', quiet, start=start)
    finally:
        torch.backends.mkldnn.set_flags(True)
    return found


def exact_direction(folder: Path, masks: Mapping[str, Tensor]) -> Tensor:
    """Return the direction of the first step's gradient in one process, in float64."""
    data = read_data([folder / 'street'], [folder / 'hall'], CONFIG, lambda *_: None)
    drawn = data.dataset.batch(0, CONFIG.batch, CONFIG.seed)
    floats = {f.name: getattr(drawn, f.name) for f in fields(drawn)}
    floats = {name: x.double() for name, x in floats.items() if x.is_floating_point()}
    batch = replace(drawn, **floats)
    start = checkpoints.load(folder / 'start')
    network, teacher = (start.build().double() for _ in range(2))
    network.gates = {name[5:]: x.double() for name, x in masks.items() if 'mask.' in name}
    predictions = network.train()(batch.image)
    weights = Weights.of(CONFIG.losses.model_dump())
    total = depth_loss(predictions, batch, weights)['task']
    if masks:
        size = start.card['input_height'], start.card['input_width']
        wanted = Teachers([Teacher(teacher, size)]).disparities(batch.image, 0)
        total = total + CONFIG.losses.distillation * distillation(predictions, wanted)
    total.backward()
    every = torch.cat([x.grad.flatten() for x in network.parameters() if x.grad is not None])
    return every / every.norm()


def main() -> None:
    """Write the curves of the ranks that torchrun started; only one reports any."""
    folder, out = map(Path, sys.argv[1:])
    with ranks.process_group():
        found = curves(folder, out)
        (out / f'rank{ranks.rank()}.json').write_text(json.dumps(found))


if __name__ == '__main__':
    main()

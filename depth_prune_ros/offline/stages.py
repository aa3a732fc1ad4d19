"""The stages one after the other: bags to a dense network, to masks, to a compact network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from depth_prune_ros.core.errors import CheckpointError
from depth_prune_ros.core.errors import ConfigError
from depth_prune_ros.offline import checkpoint as checkpoints
from depth_prune_ros.offline import ranks
from depth_prune_ros.offline.baseline import check_baseline
from depth_prune_ros.offline.baseline import refer_to
from depth_prune_ros.offline.budget import make_masks
from depth_prune_ros.offline.budget import takes_table
from depth_prune_ros.offline.checkpoint import Checkpoint
from depth_prune_ros.offline.compact import compact
from depth_prune_ros.offline.config import TrainConfig
from depth_prune_ros.offline.cost import counts_latency
from depth_prune_ros.offline.coupling import check_coupling
from depth_prune_ros.offline.latency_stage import latency_bench
from depth_prune_ros.offline.latency_stage import record_latency
from depth_prune_ros.offline.networks.base import DepthNetwork
from depth_prune_ros.offline.networks.catalogue import build
from depth_prune_ros.offline.networks.catalogue import load_imagenet
from depth_prune_ros.offline.networks.mobilenet import MobileNetDepth
from depth_prune_ros.offline.origin import check_origin
from depth_prune_ros.offline.origin import merged_licence
from depth_prune_ros.offline.origin import ORIGIN
from depth_prune_ros.offline.origin import weights_digest
from depth_prune_ros.offline.progress import Report
from depth_prune_ros.offline.teachers import Teacher
from depth_prune_ros.offline.teachers import Teachers
from depth_prune_ros.offline.train import Trainer
from depth_prune_ros.offline.training_data import TrainingData
import torch
from torch import nn


def train(
    config: TrainConfig,
    data: TrainingData,
    out: Path,
    report: Report,
    *,
    start: Path | None = None,
    teachers: Sequence[Path] = (),
) -> Path:
    """
    Train a dense network, or fine-tune the (compact) one of a checkpoint.

    :param start: checkpoint to start from; None starts a new network
    :param teachers: checkpoints whose disparities are distilled into the network
    :return: the last checkpoint's folder
    :raises CheckpointError: masks in a start or teacher; out has a run of another beginning
    """
    torch.manual_seed(config.seed)
    before = checkpoints.load_unmasked(start) if start is not None else None
    network = _new_network(config) if before is None else before.build()
    if before is not None:
        refer_to(network, before.card['baseline_m'], config.baseline_m)
    _check_network(network, config, data)
    teacher_digests = ' '.join(weights_digest(teacher) for teacher in teachers)
    origin = {'start': weights_digest(start), 'teacher': teacher_digests}
    check_origin(out, origin, config)
    known = [checkpoints.load_unmasked(teacher) for teacher in teachers]
    card = _card(config, data, before, origin, known)
    ensemble = Teachers([_teacher(teacher, config) for teacher in known])
    trainer = Trainer(network, data.dataset, config, card=card, teachers=ensemble)
    trainer.resume(out)
    return trainer.run(out, data.validation, report)


def prune(
    config: TrainConfig,
    data: TrainingData,
    out: Path,
    report: Report,
    *,
    start: Path,
    budget: str,
) -> Path:
    """
    Learn the masks jointly with the weights, from a dense checkpoint, to a budget.

    The dense network is the teacher where config.losses.distillation is above 0.

    :param budget: such as macs=0.2; a latency is predicted by the table of this computer, which
        is made where there is none, and measured at the last choice and at the end
    :return: the last checkpoint's folder
    :raises CheckpointError: masks in the start; out has a run of another beginning
    """
    torch.manual_seed(config.seed)
    before = checkpoints.load_unmasked(start)
    check_baseline(before.card, config.baseline_m, 'checkpoint')
    network = before.build()
    _check_network(network, config, data)
    check_coupling(network, torch.rand(1, 3, network.multiple, network.multiple))
    origin = {'budget': budget, 'form': config.prune.form, 'start': weights_digest(start)}
    check_origin(out, origin, config)
    bench = latency_bench(config, network.name) if takes_table(config, budget) else None
    masks = make_masks(network, config, budget, bench)
    card = _card(config, data, before, origin)
    card['provenance'] = _with_budget(card['provenance'], budget)
    dense = Teachers([_teacher(before, config)] if config.losses.distillation > 0 else [])
    trainer = Trainer(network, data.dataset, config, card=card, masks=masks, teachers=dense)
    trainer.resume(out)
    last = trainer.run(out, data.validation, report)
    if bench is not None and ranks.rank() == 0:
        record_latency(out, bench, masks.budget.amount if counts_latency(budget) else None)
    ranks.barrier()
    return last


def remove_masked(start: Path, out: Path) -> Checkpoint:
    """
    Write the compact network of a pruned run's last checkpoint.

    :raises CheckpointError: out has a checkpoint already, or the run was stopped before its end
    """
    checkpoints.refuse_existing(out)
    masked = checkpoints.load(start)
    steps = masked.config.get('steps', masked.step)
    if masked.masks and masked.step < steps:
        msg = (
            f'{start}: expected masks that were learned to the end, found step {masked.step} of '
            f'{steps}, where the budget is not met; the same prune command goes on from there'
        )
        raise CheckpointError(msg)
    small = compact(masked, (masked.card['input_height'], masked.card['input_width']))
    checkpoints.save(out, small)
    return small


def _new_network(config: TrainConfig) -> DepthNetwork:
    network = build(config.network)
    if config.imagenet and isinstance(network, MobileNetDepth):
        load_imagenet(network, config.imagenet_weights)
    return network


def _teacher(found: Checkpoint, config: TrainConfig) -> Teacher:
    check_baseline(found.card, config.baseline_m, 'teacher')
    return Teacher(found.build(), (found.card['input_height'], found.card['input_width']))


def _check_network(network: DepthNetwork, config: TrainConfig, data: TrainingData) -> None:
    if 'network' in config.model_fields_set and network.name != config.network:
        msg = f'expected a start of network {config.network}, as configured, found {network.name}'
        raise ConfigError(msg)
    if config.height % network.multiple or config.width % network.multiple:
        msg = (
            f'expected height and width in multiples of {network.multiple} for {network.name}, '
            f'found {config.height}x{config.width}'
        )
        raise ConfigError(msg)
    frames = min(config.batch, sum(data.dataset.bags.values()))
    coarsest = config.height * config.width // network.multiple**2
    if frames * coarsest == 1 and any(isinstance(m, nn.BatchNorm2d) for m in network.modules()):
        msg = (
            'expected two pixels or more at the coarsest level, for batch norm, found one: of one '
            f'frame of {config.height}x{config.width}; take more frames or larger ones'
        )
        raise ConfigError(msg)


def _card(
    config: TrainConfig,
    data: TrainingData,
    before: Checkpoint | None,
    origin: dict[str, str],
    teachers: Sequence[Checkpoint] = (),
) -> dict[str, Any]:
    """Return what the model card will say of this training and the ones before it."""
    earlier = before.card if before is not None else {}
    history = earlier.get('provenance', {})
    sources = [history, *(teacher.card.get('provenance', {}) for teacher in teachers)]
    licences = [source.get('licence', '') for source in sources]
    provenance = {
        'trained_on': {**history.get('trained_on', {}), **data.dataset.bags},
        'cameras': {**history.get('cameras', {}), **data.dataset.cameras},
        'validated_on': {name: len(frames) for name, frames in data.validation.items()},
        'protocol': config.protocol,
        'licence': merged_licence(config.licence, *licences),
        ORIGIN: origin,
    }
    return {
        **earlier,
        'input_height': config.height,
        'input_width': config.width,
        'baseline_m': config.baseline_m,
        **dict(zip(('fx_over_width', 'fy_over_height'), data.dataset.focal_lengths, strict=True)),
        'provenance': {**history, **provenance},
        'metrics': {},
    }


def _with_budget(provenance: dict[str, Any], budget: str) -> dict[str, Any]:
    """Add a budget to those of the masks before, of what they left; their latency is no more."""
    earlier = provenance.get('budget')
    both = f'{earlier}, then {budget}' if earlier else budget
    return {**{k: v for k, v in provenance.items() if k != 'latency'}, 'budget': both}

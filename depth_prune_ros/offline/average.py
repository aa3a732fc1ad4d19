"""
Several trainings of one network to a single one: the mean of their weights.

Networks fine-tuned from one start err in different places but lie in one valley of the loss; their
mean errs about as little as the best of them, without a choice (model soups: Wortsman et al., ICML
2022). It costs nothing when the network runs.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from depth_prune_ros.core.card import judged_by
from depth_prune_ros.core.errors import CheckpointError
from depth_prune_ros.offline import checkpoint as checkpoints
from depth_prune_ros.offline.card_validation import validated
from depth_prune_ros.offline.checkpoint import Checkpoint
from depth_prune_ros.offline.origin import ORIGIN
from depth_prune_ros.offline.origin import weights_digest
import torch
from torch import Tensor

_SAME = ('input_height', 'input_width', 'baseline_m')


def average(
    runs: Sequence[Path], out: Path, val: Sequence[Path], reading: Callable[[str, int], None]
) -> Checkpoint:
    """
    Write the mean of the weights of several runs' last checkpoints.

    :param runs: of one network, widths, size and baseline; without masks
    :param val: bags that the mean is judged on, for its card
    :param reading: called with a bag's name and its frames
    :raises CheckpointError: fewer than two runs, runs that differ, or out has a checkpoint already
    """
    checkpoints.refuse_existing(out)
    if len(runs) < 2:
        msg = f'expected two runs or more to average, found {len(runs)}'
        raise CheckpointError(msg)
    found = [checkpoints.load(run) for run in runs]
    for run, one in zip(runs, found, strict=True):
        if one.masks:
            msg = f'{run}: expected a compact network, found masks; first run: depth-prune compact'
            raise CheckpointError(msg)
        if _kind(one) != _kind(found[0]):
            msg = (
                f'{run}: expected a compact network as that of {runs[0]}: {_say(found[0])}, '
                f'found {_say(one)}'
            )
            raise CheckpointError(msg)
    weights = {name: _mean([one.weights[name] for one in found]) for name in found[0].weights}
    digests = ' '.join(weights_digest(run) for run in runs)
    provenance = {**_together(found), ORIGIN: {'averaged': digests}}
    card = {**found[0].card, 'provenance': provenance, 'metrics': {}}
    mean = replace(found[0], weights=weights, card=card)
    (judged,) = validated([mean], val, judged_by(provenance), reading)
    checkpoints.save(out, judged)
    return judged


def _kind(one: Checkpoint) -> tuple[Any, ...]:
    return one.network, one.widths, *(one.card[name] for name in _SAME)


def _say(one: Checkpoint) -> str:
    filters, about = sum(one.widths.values()), ', '.join(f'{n} {one.card[n]}' for n in _SAME)
    return f'{one.network} with {filters} filters, {about}'


def _mean(tensors: list[Tensor]) -> Tensor:
    """Return the mean; of a count, such as batch norm's of batches, the first."""
    if not tensors[0].is_floating_point():
        return tensors[0]
    return torch.stack([one.double() for one in tensors]).mean(0).to(tensors[0].dtype)


def _together(found: Sequence[Checkpoint]) -> dict[str, Any]:
    """Return the provenance of all: what any of them was trained on is in the mean."""
    each = [one.card.get('provenance', {}) for one in found]
    merged = {**each[0]}
    for name in ('trained_on', 'cameras'):
        merged[name] = {bag: v for one in each for bag, v in one.get(name, {}).items()}
    licences = dict.fromkeys(one['licence'] for one in each if one.get('licence'))
    return {**merged, 'licence': '; '.join(licences)}

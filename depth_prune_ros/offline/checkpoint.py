"""
Checkpoints: a folder that is either whole or not there.

``weights.safetensors`` holds the tensors (masks and scores under ``masks.``),
``checkpoint.json`` what they are, ``training.pt`` what a training needs to go on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from dataclasses import dataclass
from dataclasses import field
from dataclasses import replace
import json
import os
from pathlib import Path
import shutil
from typing import Any

from depth_prune_ros.core.errors import CheckpointError
from depth_prune_ros.core.models import shipped_checkpoint
from depth_prune_ros.offline.networks.base import DepthNetwork
from depth_prune_ros.offline.networks.catalogue import build
from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save_file
import torch
from torch import Tensor

SHIPPED = Path('shipped')
_PREFIX = 'step-'


@dataclass(frozen=True)
class Checkpoint:
    """
    A network at one step of its training.

    :param network: the network's name
    :param widths: filters of every group
    :param step: optimiser steps done
    :param config: the configuration it was trained with
    :param card: what the model card will say: baseline_m, focal lengths, size, provenance
    :param weights: the network's state_dict
    :param masks: mask and score tensors; empty where nothing is masked
    :param data_fingerprint: of the frames it was trained on; empty where it is not known
    """

    network: str
    widths: dict[str, int]
    step: int
    config: dict[str, Any]
    card: dict[str, Any]
    weights: dict[str, Tensor]
    masks: dict[str, Tensor] = field(default_factory=dict)
    data_fingerprint: str = ''

    @property
    def kept(self) -> dict[str, Tensor]:
        """Return for each masked group which filters stay: bool [width]; empty without masks."""
        return {k[5:]: v > 0 for k, v in self.masks.items() if k.startswith('mask.')}

    @property
    def kept_widths(self) -> dict[str, int]:
        """Return the widths without the masked filters."""
        return {**self.widths, **{group: int(kept.sum()) for group, kept in self.kept.items()}}

    def build(self) -> DepthNetwork:
        """
        Return the network with these weights, in eval mode.

        :raises CheckpointError: weights that do not fit the network's widths
        """
        network = build(self.network, self.widths)
        try:
            network.load_state_dict(self.weights)
        except RuntimeError as error:
            reason = str(error).splitlines()[-1].strip()
            msg = f'expected weights of {self.network} at its widths, found: {reason}'
            raise CheckpointError(msg) from error
        return network.eval()


def save(run: Path, checkpoint: Checkpoint, training: Mapping[str, Any] | None = None) -> Path:
    """
    Write a checkpoint as ``run/step-N``, then remove the older ones.

    At every moment the run has a whole checkpoint, if it had one before: one of the same step
    makes way only when the new one stands beside it, under a name that counts as a later step.

    :param training: optimiser and random state, to go on from
    :return: the checkpoint's folder
    :raises CheckpointError: the disk is full or the folder cannot be written
    """
    final = run / f'{_PREFIX}{checkpoint.step:07d}'
    partial = run / f'.{final.name}.partial'
    try:
        for left in run.glob(f'.{_PREFIX}*'):
            shutil.rmtree(left, ignore_errors=True)
        partial.mkdir(parents=True)
        _write(partial, checkpoint, training)
        if final.exists():
            beside = partial.rename(final.with_name(f'{final.name}-again'))
            sync(run)
            _remove(final)
            beside.rename(final)
        else:
            partial.rename(final)
        sync(run)
    # a full disk is a SafetensorError to one writer, and a RuntimeError to the other
    except (OSError, SafetensorError, RuntimeError) as error:
        shutil.rmtree(partial, ignore_errors=True)
        reason = getattr(error, 'strerror', None) or str(error).splitlines()[0]
        msg = (
            f'{final}: expected to write a checkpoint, found: {reason}; '
            'once it can be written, the same command goes on'
        )
        raise CheckpointError(msg) from error
    for older in _steps(run):
        if older != final:
            _remove(older)
    return final


def exists(run: Path) -> bool:
    """Return whether a run has a whole checkpoint."""
    return bool(_steps(run))


def refuse_existing(out: Path) -> None:
    """
    Refuse a folder for a new network that has one already.

    :raises CheckpointError: it has a checkpoint
    """
    if exists(out):
        msg = f'{out}: expected a folder without checkpoints, found some; name another --out'
        raise CheckpointError(msg)


def load(path: Path) -> Checkpoint:
    """
    Read a checkpoint: a ``step-N`` folder, or a run's folder, of which the last one is taken.

    :raises CheckpointError: none there, or damaged
    """
    folder = latest(path)
    try:
        about = json.loads((folder / 'checkpoint.json').read_text())
        tensors = load_file(folder / 'weights.safetensors')
        return Checkpoint(
            weights={k: v for k, v in tensors.items() if not k.startswith('masks.')},
            masks={k[6:]: v for k, v in tensors.items() if k.startswith('masks.')},
            **about,
        )
    except Exception as error:  # safetensors, json and keys each fail in their own way
        msg = f'{folder}: expected a whole checkpoint, found: {str(error).splitlines()[0]}'
        raise CheckpointError(msg) from error


def load_unmasked(path: Path) -> Checkpoint:
    """
    Read a checkpoint that another training begins with or is taught by.

    :raises CheckpointError: none there, damaged, or with masks, which it would begin without
    """
    found = load(path)
    if found.masks:
        msg = (
            f'{path}: expected a checkpoint without masks, found masks in it; first run: '
            f'depth-prune compact {path} --out {path}_compact'
        )
        raise CheckpointError(msg)
    return found


def load_training(path: Path) -> dict[str, Any]:
    """
    Read what a training needs to go on; empty where the checkpoint has none.

    :raises CheckpointError: damaged
    """
    file = latest(path) / 'training.pt'
    if not file.is_file():
        return {}
    try:
        state: dict[str, Any] = torch.load(file, weights_only=True)
    except Exception as error:  # pickle, zip and torch each fail in their own way
        msg = f'{file}: expected the state of a training, found: {str(error).splitlines()[0]}'
        raise CheckpointError(msg) from error
    return state


def latest(path: Path) -> Path:
    """
    Return the last whole checkpoint of a run, or the path itself when it is one.

    ``shipped`` is the dense one that is installed with the package, unless a run has this name.

    :raises CheckpointError: there is none
    """
    if (path / 'checkpoint.json').is_file():
        return path
    steps = _steps(path)
    if not steps and path == SHIPPED:
        return latest(shipped_checkpoint())
    if not steps:
        msg = f'{path}: expected a checkpoint ({_PREFIX}N/checkpoint.json), found none'
        raise CheckpointError(msg)
    return steps[-1]


def _steps(run: Path) -> list[Path]:
    return sorted(p for p in run.glob(f'{_PREFIX}*') if (p / 'checkpoint.json').is_file())


def _write(folder: Path, checkpoint: Checkpoint, training: Mapping[str, Any] | None) -> None:
    tensors = {k: v.detach().contiguous() for k, v in checkpoint.weights.items()}
    tensors |= {f'masks.{k}': v.detach().contiguous() for k, v in checkpoint.masks.items()}
    about = {k: v for k, v in asdict(_light(checkpoint)).items() if k not in ('weights', 'masks')}
    save_file(tensors, folder / 'weights.safetensors')
    if training is not None:
        torch.save(dict(training), folder / 'training.pt')
    (folder / 'checkpoint.json').write_text(json.dumps(about, indent=1))
    for path in (*folder.iterdir(), folder):
        sync(path)


def _remove(folder: Path) -> None:
    """Take a checkpoint away: first its name, so that no part of it is ever taken for a whole."""
    hidden = folder.with_name(f'.{folder.name}.old')
    folder.rename(hidden)
    shutil.rmtree(hidden, ignore_errors=True)


def sync(path: Path) -> None:
    """Have a file's content, or a folder's names, on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _light(checkpoint: Checkpoint) -> Checkpoint:
    """Drop the tensors, which asdict would copy."""
    return replace(checkpoint, weights={}, masks={})

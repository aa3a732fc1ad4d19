"""The mean of several trainings' weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from depth_prune_ros.bags.street import Street
from depth_prune_ros.bags.street import street_to_bag
from depth_prune_ros.core.errors import CheckpointError
from depth_prune_ros.offline import checkpoint as checkpoints
from depth_prune_ros.offline.average import average
from depth_prune_ros.offline.training_data import validation_frames
from depth_prune_ros.offline.validation import validate
import pytest
from tiny_networks import checkpoint
from tiny_networks import narrow
from tiny_networks import random_masks
import torch


def _run(folder: Path, seed: int, **card: Any) -> Path:
    state = checkpoint('mobilenet', narrow('mobilenet'), seed)
    trained_on, licence = {f'bag{seed}': seed}, f'licence {seed}'
    provenance = {'trained_on': trained_on, 'licence': licence, 'protocol': 'plain'}
    checkpoints.save(folder, replace(state, card={**state.card, 'provenance': provenance, **card}))
    return folder


def test_the_mean_of_the_weights_is_judged(tmp_path: Path) -> None:
    runs = [_run(tmp_path / str(seed), seed) for seed in (1, 2, 3)]
    bag = tmp_path / 'street'
    street_to_bag(bag, Street(seed=1, frames=2, width=128, height=64))
    mean = average(runs, tmp_path / 'mean', [bag], lambda *_: None)
    kept = checkpoints.load(tmp_path / 'mean')
    each = [checkpoints.load(run).weights for run in runs]
    for name, value in kept.weights.items():
        if value.is_floating_point():
            expected = (each[0][name] + each[1][name] + each[2][name]) / 3
            torch.testing.assert_close(value, expected)
    provenance = kept.card['provenance']
    assert provenance['trained_on'] == {'bag1': 1, 'bag2': 2, 'bag3': 3}
    assert provenance['licence'] == 'licence 1; licence 2; licence 3'
    assert len(provenance['begun_with']['averaged'].split()) == 3
    assert (provenance['validated_on'], provenance['protocol']) == ({'street': 2}, 'plain')
    size = kept.card['input_height'], kept.card['input_width']
    frames = validation_frames(bag, 'plain', lambda *_: None)
    judged = validate(kept.build(), frames, size, kept.card['baseline_m'], 'plain')
    assert mean.card['metrics']['street']['abs_rel'] == pytest.approx(judged.abs_rel)


@pytest.mark.parametrize(
    ('other', 'reason'),
    [
        ({'baseline_m': 0.1}, r'other: expected a compact network as that of .*, found .* 0\.1'),
        ({'input_width': 96}, r'expected .* input_width 64.*, found .* input_width 96'),
    ],
)
def test_runs_that_differ_are_refused(tmp_path: Path, other: dict[str, Any], reason: str) -> None:
    runs = [_run(tmp_path / 'one', 1), _run(tmp_path / 'other', 2, **other)]
    with pytest.raises(CheckpointError, match=reason):
        average(runs, tmp_path / 'mean', [], lambda *_: None)
    assert not (tmp_path / 'mean').exists()


def test_runs_with_masks_are_refused(tmp_path: Path) -> None:
    widths = narrow('mobilenet')
    masked = checkpoint('mobilenet', widths, masks=random_masks(widths, 0))
    runs = [tmp_path / 'one', tmp_path / 'other']
    for run in runs:
        checkpoints.save(run, masked)
    with pytest.raises(
        CheckpointError,
        match='one: expected a compact network, found masks; first',
    ):
        average(runs, tmp_path / 'mean', [], lambda *_: None)


def test_one_run_has_no_mean_and_no_run_is_replaced(tmp_path: Path) -> None:
    run = _run(tmp_path / 'one', 1)
    with pytest.raises(CheckpointError, match='expected two runs or more to average, found 1'):
        average([run], tmp_path / 'mean', [], lambda *_: None)
    with pytest.raises(CheckpointError, match='one: expected a folder without checkpoints'):
        average([run, run], run, [], lambda *_: None)

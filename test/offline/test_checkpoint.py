"""Checkpoints: whole or not there, back bit for bit, and nothing in them is run."""

from __future__ import annotations

from dataclasses import replace
import json
from pathlib import Path
import pickle
import shutil
from typing import Any

from depth_prune_ros.core.errors import CheckpointError
from depth_prune_ros.offline import checkpoint as checkpoints
from depth_prune_ros.offline.checkpoint import Checkpoint
from depth_prune_ros.offline.writer import checkpoint_writer
from full_disk import files_of_at_most
import pytest
from safetensors.torch import save_file
from tiny_networks import checkpoint
from tiny_networks import narrow
from tiny_networks import random_masks
import torch


@pytest.fixture(scope='module')
def state() -> Checkpoint:
    widths = narrow('mobilenet', 2)
    return checkpoint('mobilenet', widths, 6, random_masks(widths, 6))


def _at(state: Checkpoint, step: int) -> Checkpoint:
    return Checkpoint(**{**vars(state), 'step': step})


def test_round_trip(state: Checkpoint, tmp_path: Path) -> None:
    training = {'optimiser': {'state': {0: {'exp_avg': torch.rand(3)}}, 'param_groups': []}}
    folder = checkpoints.save(tmp_path, state, training)
    assert folder == tmp_path / 'step-0000003'
    for path in (folder, tmp_path):
        again = checkpoints.load(path)
        for name in ('network', 'widths', 'step', 'config', 'card'):
            assert getattr(again, name) == getattr(state, name)
        for found, wanted in ((again.weights, state.weights), (again.masks, state.masks)):
            assert found.keys() == wanted.keys()
            assert all(torch.equal(found[k], v) for k, v in wanted.items())
            assert all(found[k].dtype == v.dtype for k, v in wanted.items())
    moment = checkpoints.load_training(tmp_path)['optimiser']['state'][0]['exp_avg']
    assert torch.equal(moment, training['optimiser']['state'][0]['exp_avg'])  # type: ignore[index]


def test_the_widths_that_stay(state: Checkpoint) -> None:
    wanted = {group: int(state.masks[f'mask.{group}'].sum()) for group in state.widths}
    assert state.kept_widths == wanted
    assert replace(state, masks={}).kept_widths == state.widths


def test_nothing_to_go_on_from(state: Checkpoint, tmp_path: Path) -> None:
    checkpoints.save(tmp_path, state)
    assert checkpoints.load_training(tmp_path) == {}


def test_the_built_network_has_the_weights(state: Checkpoint) -> None:
    network = state.build()
    assert not network.training
    assert all(torch.equal(network.state_dict()[k], v) for k, v in state.weights.items())


def test_older_steps_are_removed(state: Checkpoint, tmp_path: Path) -> None:
    (tmp_path / 'log.csv').write_text('mine')
    for step in (2, 9, 10):
        checkpoints.save(tmp_path, _at(state, step))
    assert sorted(p.name for p in tmp_path.iterdir()) == ['log.csv', 'step-0000010']
    assert checkpoints.load(tmp_path).step == 10


def test_the_last_of_several_is_taken(state: Checkpoint, tmp_path: Path) -> None:
    folder = checkpoints.save(tmp_path, state)
    for step in (900, 5, 1000, 40, 7, 999, 80):
        shutil.copytree(folder, tmp_path / f'step-{step:07d}')
    assert checkpoints.latest(tmp_path).name == 'step-0001000'


def test_a_step_is_written_anew(state: Checkpoint, tmp_path: Path) -> None:
    checkpoints.save(tmp_path, state)
    key = 'decoder.disp1.bias'
    other = Checkpoint(**{**vars(state), 'weights': {**state.weights, key: torch.ones(2)}})
    checkpoints.save(tmp_path, other)
    assert checkpoints.load(tmp_path).weights[key].tolist() == [1.0, 1.0]
    assert len(list(tmp_path.iterdir())) == 1


def test_a_half_written_one_is_ignored(state: Checkpoint, tmp_path: Path) -> None:
    folder = checkpoints.save(tmp_path, state)
    shutil.copytree(folder, tmp_path / '.step-0000009.partial')
    (tmp_path / 'step-0000007').mkdir()
    assert checkpoints.load(tmp_path).step == 3
    checkpoints.save(tmp_path, _at(state, 9))
    assert checkpoints.load(tmp_path).step == 9
    assert not (tmp_path / '.step-0000009.partial').exists()


@pytest.mark.parametrize('spare', [-1, 0], ids=['weights', 'training'])
def test_a_failed_save_leaves_the_one_before(
    spare: int, state: Checkpoint, tmp_path: Path
) -> None:
    """No file may be larger than the weights, or than a byte less: as on a full disk."""
    last = checkpoints.save(tmp_path, state)
    weights = (last / 'weights.safetensors').stat().st_size
    training = {'optimiser': {'state': torch.zeros(weights)}}
    told = r'step-0000004: expected to write a checkpoint, found: [^\n]+$'
    with files_of_at_most(weights + spare), pytest.raises(CheckpointError, match=told):
        checkpoints.save(tmp_path, _at(state, 4), training)
    assert [p.name for p in tmp_path.iterdir()] == ['step-0000003']
    assert checkpoints.load(tmp_path).step == 3


def _cut_weights(folder: Path) -> None:
    file = folder / 'weights.safetensors'
    file.write_bytes(file.read_bytes()[:-7])


def _garbage_weights(folder: Path) -> None:
    (folder / 'weights.safetensors').write_bytes(b'garbage')


def _no_weights(folder: Path) -> None:
    (folder / 'weights.safetensors').unlink()


def _cut_json(folder: Path) -> None:
    (folder / 'checkpoint.json').write_text('{"network": "mob')


def _unknown_key(folder: Path) -> None:
    about = json.loads((folder / 'checkpoint.json').read_text())
    (folder / 'checkpoint.json').write_text(json.dumps({**about, 'extra': 1}))


def _missing_key(folder: Path) -> None:
    about = json.loads((folder / 'checkpoint.json').read_text())
    del about['widths']
    (folder / 'checkpoint.json').write_text(json.dumps(about))


@pytest.mark.parametrize(
    'damage', [_cut_weights, _garbage_weights, _no_weights, _cut_json, _unknown_key, _missing_key]
)
def test_damaged_ones_are_refused_in_one_line(
    damage: Any, state: Checkpoint, tmp_path: Path
) -> None:
    folder = checkpoints.save(tmp_path, state)
    damage(folder)
    with pytest.raises(CheckpointError) as caught:
        checkpoints.load(tmp_path)
    message = str(caught.value)
    assert message.startswith(f'{folder}: expected a whole checkpoint, found: ')
    assert '\n' not in message


def test_none_there(state: Checkpoint, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r'expected a checkpoint .*, found none'):
        checkpoints.load(tmp_path / 'nowhere')
    folder = checkpoints.save(tmp_path, state)
    assert checkpoints.exists(tmp_path)
    (folder / 'checkpoint.json').unlink()
    assert not checkpoints.exists(tmp_path)
    with pytest.raises(CheckpointError, match=r'expected a checkpoint .*, found none'):
        checkpoints.load(tmp_path)


def test_weights_of_other_widths(state: Checkpoint) -> None:
    wider = Checkpoint(**{**vars(state), 'widths': {**state.widths, 'iconv1': 3}})
    with pytest.raises(
        CheckpointError, match='expected weights of mobilenet at its widths'
    ) as caught:
        wider.build()
    assert '\n' not in str(caught.value)


class _Trap:
    """Makes a file when it is unpickled."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.file,)


def test_nothing_is_unpickled(state: Checkpoint, tmp_path: Path) -> None:
    sprung = tmp_path / 'sprung'
    folder = checkpoints.save(tmp_path / 'run', state)
    torch.save({'optimiser': _Trap(sprung)}, folder / 'training.pt')
    with pytest.raises(CheckpointError, match='expected the state of a training') as caught:
        checkpoints.load_training(folder)
    assert '\n' not in str(caught.value)
    (folder / 'weights.safetensors').write_bytes(pickle.dumps(_Trap(sprung)))
    with pytest.raises(CheckpointError):
        checkpoints.load(folder)
    assert not sprung.exists()


def test_a_folder_that_cannot_be_made_is_refused_before_the_first_step(tmp_path: Path) -> None:
    file = tmp_path / 'file'
    file.touch()
    for run in (file, file / 'run'):
        with (
            pytest.raises(CheckpointError, match=f'^{run}: expected a folder for checkpoints'),
            checkpoint_writer(run),
        ):
            pytest.fail('a training began')


def test_tensors_of_a_larger_one_are_written_alone(state: Checkpoint, tmp_path: Path) -> None:
    """A slice (as compaction cuts them) is written as what it shows."""
    key = 'decoder.disp1.bias'
    sliced = torch.arange(6.0).view(2, 3)[:, 1]
    checkpoints.save(
        tmp_path, Checkpoint(**{**vars(state), 'weights': {**state.weights, key: sliced}})
    )
    assert checkpoints.load(tmp_path).weights[key].tolist() == [1.0, 4.0]


def test_files_of_safetensors_alone_are_no_checkpoint(tmp_path: Path) -> None:
    save_file({'a': torch.ones(1)}, tmp_path / 'weights.safetensors')
    with pytest.raises(CheckpointError, match='found none'):
        checkpoints.load(tmp_path)

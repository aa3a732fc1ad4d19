"""Trainings in processes of their own: the commands a user types, on a network of few filters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
import os
from pathlib import Path
import subprocess
import sys

from command_line import Command
from depth_prune_ros.bags.street import Street
from depth_prune_ros.bags.street import street_to_bag
from depth_prune_ros.offline import checkpoint as checkpoints
from tiny_networks import checkpoint
from tiny_networks import narrow
import torch
import yaml

STEPS = 40
CONFIG = {
    'imagenet': False,
    'baseline_m': 0.5,
    'height': 32,
    'width': 64,
    'steps': STEPS,
    'batch': 2,
    'bf16': False,
    'channels_last': True,
    'checkpoint_every': 2,
    'tensorboard': False,
    'average': 0.9,
    'augment': {'blur': 0.5, 'noise': 0.5},
    'prune': {'ramp': 0.9, 'every': 1, 'warmup': 1, 'memory': 4, 'floor_filters': 1},
}


@dataclass(frozen=True)
class Stage:
    """A stage of the command line and what it starts from."""

    name: str
    config: Path
    bag: Path
    start: Path

    def arguments(self, out: Path) -> list[str]:
        """Return the command's arguments for a run in that folder."""
        common = ['--bags', self.bag, '--config', self.config, '--out', out]
        own = {
            'train': ['train', '--start', self.start],
            'prune': ['prune', self.start, '--budget', 'macs=0.5'],
        }
        return [str(part) for part in (*own[self.name], *common)]

    def begin(self, out: Path) -> Command:
        """Start the stage in a process."""
        return Command(*self.arguments(out))

    def begin_ranks(self, out: Path, launcher: Sequence[str]) -> subprocess.Popen[str]:
        """Start the stage in the processes of a launcher."""
        # torchrun would take --start for an option of its own without the dashes
        module = ['-m', '--', 'depth_prune_ros.cli']
        command = [sys.executable, *launcher, *module, *self.arguments(out)]
        alone = {**os.environ, 'OMP_NUM_THREADS': '1'}
        pipes = {'stdout': subprocess.PIPE, 'stderr': subprocess.PIPE}
        return subprocess.Popen(command, env=alone, text=True, **pipes)

    def finish(self, out: Path, launcher: Sequence[str] = ()) -> str:
        """Run the stage to its end and return what it printed."""
        process = self.begin_ranks(out, launcher) if launcher else self.begin(out)
        printed, errors = process.communicate()
        assert process.returncode == 0, errors
        return printed


def make_stage(folder: Path, name: str, width: int = 4) -> Stage:
    """Write a bag, a configuration and a checkpoint of a narrow network."""
    street_to_bag(folder / 'street', Street(seed=1, frames=4, width=96, height=48))
    (folder / 'train.yaml').write_text(yaml.safe_dump(CONFIG))
    checkpoints.save(folder / 'start', checkpoint('mobilenet', narrow('mobilenet', width), 5))
    return Stage(name, folder / 'train.yaml', folder / 'street', folder / 'start')


def assert_same_run(found: Path, wanted: Path) -> None:
    """Compare the last checkpoints of two runs bit for bit, with all that a run goes on from."""
    one, other = (checkpoints.load(run) for run in (found, wanted))
    assert (one.step, one.data_fingerprint) == (other.step, other.data_fingerprint)
    for name in ('weights', 'masks'):
        values, others = getattr(one, name), getattr(other, name)
        assert values.keys() == others.keys()
        assert all(torch.equal(value, others[key]) for key, value in values.items())
    _assert_same(*(checkpoints.load_training(run) for run in (found, wanted)))


def _assert_same(one: object, other: object) -> None:
    assert type(one) is type(other)
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, other)  # type: ignore[arg-type]
    elif isinstance(one, dict):
        assert one.keys() == other.keys()  # type: ignore[attr-defined]
        for key, value in one.items():
            _assert_same(value, other[key])  # type: ignore[index]
    elif isinstance(one, list):
        for pair in zip(one, other, strict=True):  # type: ignore[call-overload]
            _assert_same(*pair)
    else:
        assert one == other

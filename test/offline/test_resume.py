"""Runs that are killed or stopped, in processes of their own: nothing is lost, no bit differs."""

from __future__ import annotations

from contextlib import suppress
import os
from pathlib import Path
import random
import signal
import time

from command_line import Command
from depth_prune_ros.offline import checkpoint as checkpoints
from killed_runs import assert_same_run
from killed_runs import make_stage
from killed_runs import Stage
from killed_runs import STEPS
import pytest

# DEPTH_PRUNE_SOAK: 20 kills of each stage instead of 3
KILLS = 20 if os.environ.get('DEPTH_PRUNE_SOAK') else 3


@pytest.fixture(scope='module', params=['train', 'prune'])
def stage(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Stage:
    return make_stage(tmp_path_factory.mktemp(request.param), request.param)


@pytest.fixture(scope='module')
def whole(stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the run that nobody interrupted."""
    out = tmp_path_factory.mktemp('whole') / 'run'
    stage.finish(out)
    return out


def _step(out: Path) -> int:
    with suppress(Exception):
        return int(checkpoints.latest(out).name[5:12])
    return 0


def _wait_for_step(process: Command, out: Path, step: int) -> None:
    while _step(out) < step and process.poll() is None:
        time.sleep(0.002)


def test_killed_at_random_moments(stage: Stage, whole: Path, tmp_path: Path) -> None:
    """Each kill is somewhere in the steps, the writes or the start of the next few steps."""
    out, rng, killed = tmp_path / 'run', random.Random(7), []
    for _ in range(KILLS):
        before = _step(out)
        process = stage.begin(out)
        aim = before + 2 * rng.randint(0, max(1, (STEPS - before) // 2 // KILLS))
        _wait_for_step(process, out, min(aim, STEPS - 2))
        time.sleep(rng.uniform(0, 0.15))
        process.kill()
        process.communicate()
        if _step(out):
            killed.append(checkpoints.load(out).step)
            assert killed[-1] >= before
    stage.finish(out)
    assert killed == sorted(killed)
    assert killed
    assert killed[0] < STEPS
    assert_same_run(out, whole)
    assert [path.name for path in out.glob('step-*')] == [f'step-{STEPS:07d}']


def test_stopped_by_a_signal(stage: Stage, whole: Path, tmp_path: Path) -> None:
    """A checkpoint of the very step, one line that says how to go on, exit code 130."""
    out = tmp_path / 'run'
    process = stage.begin(out)
    _wait_for_step(process, out, 6)
    process.send_signal(signal.SIGINT if stage.name == 'train' else signal.SIGTERM)
    printed, errors = process.communicate()
    assert process.returncode == 130, errors
    stopped = checkpoints.latest(out)
    assert 6 <= _step(out) < STEPS
    assert printed == f'{stopped}: stopped; the same command goes on from there\n'
    stage.finish(out)
    assert_same_run(out, whole)

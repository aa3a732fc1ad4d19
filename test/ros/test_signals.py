"""The signal gate of the executable, in processes that are nothing else."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import os, signal
from depth_prune_ros.ros.depth_node import SignalGate
gate = SignalGate()
gate.exit_at_once = {at_once}
{before}
print(gate.wait())
"""


def _run(before: str, *, at_once: bool) -> tuple[int, str]:
    program = PROGRAM.format(at_once=at_once, before=before)
    done = subprocess.run(
        [sys.executable, '-c', program], capture_output=True, text=True, timeout=60, check=False
    )
    return done.returncode, done.stdout.strip()


@pytest.mark.parametrize('name', ['SIGINT', 'SIGTERM'])
def test_a_signal_before_the_wait_is_not_lost(name: str) -> None:
    assert _run(f'os.kill(os.getpid(), signal.{name})', at_once=False) == (0, 'True')


@pytest.mark.parametrize('name', ['SIGINT', 'SIGTERM'])
def test_with_nothing_to_clean_up_a_signal_ends_the_process(name: str) -> None:
    assert _run(f'os.kill(os.getpid(), signal.{name})', at_once=True) == (0, '')


def test_the_end_of_spinning_is_no_signal() -> None:
    assert _run('gate.end()', at_once=False) == (0, 'False')

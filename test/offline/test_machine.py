"""What makes steps fast: memory that is kept, and the precision the processor is made for."""

from __future__ import annotations

import subprocess
import sys

from depth_prune_ros.offline import machine
import pytest
import torch

FAULTS = """
import resource, sys, torch
from depth_prune_ros.offline.machine import keep_freed_memory
if sys.argv[1] == 'keep':
    assert keep_freed_memory()
def step():
    ones = torch.ones(16 << 20)
    return float((ones * 2)[0])
held = [torch.ones(16 << 20) for _ in range(4)]
del held
for _ in range(3):
    step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(4):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def test_freed_memory_is_not_filled_with_zeros_again() -> None:
    """Four steps of two tensors of 64 MB: with the memory kept, hardly a page is made anew."""
    faults = {
        mode: int(
            subprocess.run(
                [sys.executable, '-c', FAULTS, mode], capture_output=True, text=True, check=True
            ).stdout
        )
        for mode in ('keep', 'give back')
    }
    assert faults['keep'] < 0.05 * faults['give back']


@pytest.mark.parametrize('slow', ['bfloat16', 'float32'])
def test_the_faster_precision_is_chosen(slow: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that counts a second for each call, and ten more for those in the slow precision."""
    now = [0.0]
    convolve = torch.nn.Conv2d.forward

    def forward(conv: torch.nn.Conv2d, image: torch.Tensor) -> torch.Tensor:
        result = convolve(conv, image)
        now[0] += 10.0 if str(result.dtype) == f'torch.{slow}' else 1.0
        return result

    monkeypatch.setattr(torch.nn.Conv2d, 'forward', forward)
    monkeypatch.setattr(machine.time, 'perf_counter', lambda: now[0])
    assert machine.bf16_is_faster() == (slow == 'float32')

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
for _ in range(10):
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


def _slow_clock(monkeypatch: pytest.MonkeyPatch, slow: tuple[torch.dtype, bool]) -> None:
    """Count a second for each convolution, and ten more for those not computed in one way."""
    now = [0.0]
    convolve = torch.nn.Conv2d.forward

    def forward(conv: torch.nn.Conv2d, image: torch.Tensor) -> torch.Tensor:
        result = convolve(conv, image)
        layout = image.is_contiguous(memory_format=torch.channels_last)
        now[0] += 1.0 if (result.dtype, layout) == slow else 10.0
        return result

    monkeypatch.setattr(torch.nn.Conv2d, 'forward', forward)
    monkeypatch.setattr(machine.time, 'perf_counter', lambda: now[0])


@pytest.mark.parametrize('bf16', [True, False])
@pytest.mark.parametrize('channels_last', [True, False])
def test_the_fastest_way_is_chosen(
    bf16: bool, channels_last: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    _slow_clock(monkeypatch, (torch.bfloat16 if bf16 else torch.float32, channels_last))
    found = machine.fastest(None, None)
    assert (found.bf16, found.channels_last) == (bf16, channels_last)
    named = f'{"bfloat16" if bf16 else "float32"}, channels {"last" if channels_last else "first"}'
    assert found.line.startswith(f'computing in {named}, the fastest here (')
    assert f'{named}: 3000.0 ms' in found.line
    assert found.line.count('30000.0 ms') == 3


def test_what_is_configured_is_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    _slow_clock(monkeypatch, (torch.bfloat16, False))
    found = machine.fastest(False, None)
    assert (found.bf16, found.channels_last) == (False, True)
    monkeypatch.setattr(machine, '_seconds', None)
    assert machine.fastest(True, False) == machine.Speed(
        True, False, 'computing in bfloat16, channels first, as configured'
    )


def test_a_little_faster_is_not_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, '_seconds', lambda bf16, last: 0.97 if bf16 or not last else 1.0)
    found = machine.fastest(None, None)
    assert (found.bf16, found.channels_last) == (False, True)

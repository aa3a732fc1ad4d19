"""The computer at hand: its processor, and what makes a training step fast on it."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
import os
from pathlib import Path
import platform
import sys
import time

import torch
from torch import nn

# malloc.h: parameters of mallopt, and "never" for the two thresholds
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX, _ARENA_MAX = -1, -2, -4, -8
_NEVER = -1
_PAD_BYTES = 256 << 20


def keep_freed_memory() -> bool:
    """
    Keep the memory that a step frees for the next step, instead of giving it back.

    A step takes and frees gigabytes. glibc maps large tensors anew each time, and the kernel
    fills every page of them with zeros: a third of a step's time.

    :return: whether the C library could be told (it is glibc)
    """
    if not sys.platform.startswith('linux'):
        return False
    mallopt = getattr(ctypes.CDLL(None), 'mallopt', None)
    if mallopt is None:
        return False
    settings = (
        (_ARENA_MAX, 1),
        (_MMAP_MAX, 0),
        (_TRIM_THRESHOLD, _NEVER),
        (_TOP_PAD, _PAD_BYTES),
    )
    return all(int(mallopt(name, value)) == 1 for name, value in settings)


@dataclass(frozen=True)
class Speed:
    """
    How a training computes.

    :param bf16: convolutions in bfloat16 (autocast); processors without the instructions crawl
    :param channels_last: images and weights with their channels together in memory
    :param line: what was measured, for people
    """

    bf16: bool
    channels_last: bool
    line: str = ''

    @property
    def memory_format(self) -> torch.memory_format:
        """Return torch's name of the layout."""
        return torch.channels_last if self.channels_last else torch.contiguous_format


def fastest(bf16: bool | None = None, channels_last: bool | None = None) -> Speed:
    """
    Time what a network consists of, forwards and backwards, each way; None leaves the choice.

    A way other than float32 and channels last has to be faster by 5 %, so that two starts on one
    machine choose alike.
    """
    ways = [
        (precision, layout)
        for precision in ((False, True) if bf16 is None else (bf16,))
        for layout in ((True, False) if channels_last is None else (channels_last,))
    ]
    if len(ways) == 1:
        return Speed(*ways[0], f'computing in {_named(*ways[0])}, as configured')
    seconds = {way: _seconds(*way) for way in ways}
    chosen = ways[0]
    for way in ways[1:]:
        if seconds[way] < 0.95 * seconds[chosen]:
            chosen = way
    others = ', '.join(f'{_named(*way)}: {1e3 * s:.1f} ms' for way, s in seconds.items())
    return Speed(*chosen, f'computing in {_named(*chosen)}, the fastest here ({others})')


def _seconds(bf16: bool, channels_last: bool) -> float:
    layers = [nn.Conv2d(32, 32, 3, padding=1), nn.Conv2d(32, 32, 3, padding=1, groups=32)]
    block = nn.Sequential(*layers, nn.Conv2d(32, 32, 1))
    layout = Speed(bf16, channels_last).memory_format
    block.to(memory_format=layout)  # type: ignore[call-overload]
    image = torch.ones(1, 32, 64, 192).contiguous(memory_format=layout)
    found = []
    for _ in range(4):
        start = time.perf_counter()
        with torch.autocast('cpu', torch.bfloat16, enabled=bf16):
            out = block(image)
        out.float().sum().backward()
        found.append(time.perf_counter() - start)
    return min(found)


def _named(bf16: bool, channels_last: bool) -> str:
    precision = 'bfloat16' if bf16 else 'float32'
    return f'{precision}, channels {"last" if channels_last else "first"}'


def processor() -> str:
    """Return the processor's name, its stepping and how many of them there are."""
    try:
        lines = Path('/proc/cpuinfo').read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(':')[2].strip() for line in lines if line.startswith('model name')]
    return f'{names[0] if names else platform.processor()} x {os.cpu_count()}'

"""What makes a training step fast on the computer at hand, without changing what it computes."""

from __future__ import annotations

import ctypes
import sys
import time

import torch

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


def bf16_is_faster() -> bool:
    """Time a convolution in bfloat16 and in float32; processors without the instructions crawl."""
    conv = torch.nn.Conv2d(32, 32, 3, padding=1)
    image = torch.rand(1, 32, 64, 192).contiguous(memory_format=torch.channels_last)

    def seconds(enabled: bool) -> float:
        found = []
        for _ in range(4):
            start = time.perf_counter()
            with torch.no_grad(), torch.autocast('cpu', torch.bfloat16, enabled=enabled):
                conv(image)
            found.append(time.perf_counter() - start)
        return min(found)

    return seconds(True) < seconds(False)

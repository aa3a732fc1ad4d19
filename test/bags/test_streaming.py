"""A large bag is streamed: reading it needs no more memory than a small one."""

from __future__ import annotations

import os
from pathlib import Path
import subprocess
import sys

from depth_prune_ros.bags.write import BagWriter
from depth_prune_ros.core.camera import Intrinsics
import numpy as np
import pytest

SOAK = 'DEPTH_PRUNE_SOAK' in os.environ
MEGABYTES = 2000 if SOAK else 200
MOST_MEMORY_MB = 500
CAMERA = Intrinsics(1242, 375, 721.5, 721.5, 609.6, 172.9)
IMAGE_MB = 1242 * 375 * 3e-6
# VmHWM and not ru_maxrss, in which the memory of the process that started it counts
READER = """
import sys
from pathlib import Path
from depth_prune_ros.bags.frames import read_frames
frames = sum(frame.right is not None for frame in read_frames(Path(sys.argv[1])))
status = dict(line.split(':', 1) for line in open('/proc/self/status'))
print(frames, int(status['VmHWM'].split()[0]) // 1000)
"""

EVALUATION = """
import sys
from pathlib import Path
from depth_prune_ros.core.metrics import EIGEN
from depth_prune_ros.evaluation.gallery import Gallery
from depth_prune_ros.evaluation.run import evaluate_bags
from depth_prune_ros.evaluation.run import Job
from depth_prune_ros.evaluation.run import load_engines
job = Job((Path(sys.argv[1]),), EIGEN, load_engines([]))
(result,) = evaluate_bags(job, on_frame=Gallery())
status = dict(line.split(':', 1) for line in open('/proc/self/status'))
print(result.frames_out, int(status['VmHWM'].split()[0]) // 1000)
"""


def large_bag(path: Path, storage: str) -> int:
    """Write a stereo drive; returns its number of frames."""
    frames = round(MEGABYTES / (2 * IMAGE_MB))
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (CAMERA.height, CAMERA.width, 3), np.uint8)
    with BagWriter(path, storage=storage) as bag:
        for number in range(frames):
            stamp_ns = 1_700_000_000_000_000_000 + number * 100_000_000
            for side, tx in (('left', 0.0), ('right', -380.0)):
                bag.camera_info(f'/{side}/camera_info', stamp_ns, 'cam', CAMERA, tx)
                bag.image(f'/{side}/image_raw', stamp_ns, 'cam', image)
    return frames


@pytest.mark.parametrize('damaged', [False, True], ids=['whole', 'cut'])
@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
def test_memory_stays_below_500_mb(tmp_path: Path, storage: str, damaged: bool) -> None:
    frames = large_bag(tmp_path / 'bag', storage)
    (file,) = (path for path in (tmp_path / 'bag').iterdir() if path.suffix != '.yaml')
    size_mb = file.stat().st_size * 1e-6
    assert size_mb > 0.95 * MEGABYTES
    if damaged:
        os.truncate(file, int(file.stat().st_size * 0.95))
    command = [sys.executable, '-c', READER, str(tmp_path / 'bag')]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    read, memory_mb = map(int, done.stdout.split())
    assert (read == frames) != damaged
    assert read > 0.9 * frames
    assert memory_mb < min(MOST_MEMORY_MB, size_mb)
    print(f'{storage}, {size_mb:.0f} MB: {memory_mb} MB of memory')
    # A folder of many gigabytes is not left to pytest, which keeps the last three.
    file.unlink()


def test_evaluating_stays_below_500_mb(tmp_path: Path) -> None:
    frames = large_bag(tmp_path / 'bag', 'mcap')
    command = [sys.executable, '-c', EVALUATION, str(tmp_path / 'bag')]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    predicted, memory_mb = map(int, done.stdout.split())
    assert predicted == frames
    assert memory_mb < MOST_MEMORY_MB
    print(f'evaluating {MEGABYTES} MB: {memory_mb} MB of memory')
    (file,) = (tmp_path / 'bag').glob('*.mcap')
    file.unlink()

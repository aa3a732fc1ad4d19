"""
depth-prune evaluate against the network alone, in one run: frames per second of the same frames.

Run by ``make bench-bags``. The network alone has its images in memory, resized: one at a time with
all threads, as the node runs it, and as many at a time as there are processors, one thread each,
which is how evaluate runs it. Evaluate reads a stereo bag with a lidar of 120,000 points, draws
the points, leaves out occluded ones, predicts and judges. They take turns; medians.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
import os
from pathlib import Path
import tempfile
import time

from bench_bags import write_drive
from depth_prune_ros.bags.frames import read_frames
from depth_prune_ros.core.engine import DepthEngine
from depth_prune_ros.core.images import resize_image
from depth_prune_ros.core.metrics import PROTOCOLS
from depth_prune_ros.core.models import shipped_model
from depth_prune_ros.evaluation.run import evaluate_bags
from depth_prune_ros.evaluation.run import Job
from depth_prune_ros.evaluation.run import load_engines
import numpy as np

FRAMES = 200
ROUNDS = 3


def main() -> None:
    """Print one row a side."""
    engines = load_engines([])
    ((name, engine),) = engines
    node = DepthEngine.load(shipped_model())
    with tempfile.TemporaryDirectory() as folder:
        bag = write_drive(Path(folder) / 'drive', 'mcap', 'raw', FRAMES)
        size = (engine.card.input_width, engine.card.input_height)
        fitted = [resize_image(frame.left, *size) for frame in read_frames(bag)]
        job = Job((bag,), PROTOCOLS['eigen'], engines)

        spread = ThreadPoolExecutor(len(os.sched_getaffinity(0)))
        sides: dict[str, Callable[[], object]] = {
            'network, one image at a time': lambda: list(map(node.run, fitted)),
            'network, spread': lambda: list(spread.map(engine.run, fitted)),
            'evaluate': lambda: evaluate_bags(job),
        }
        taken: dict[str, list[float]] = {side: [] for side in sides}
        for _ in range(1 + ROUNDS):
            for side, work in sides.items():
                start = time.perf_counter()
                work()
                taken[side].append(time.perf_counter() - start)
    rates = {side: FRAMES / float(np.median(seconds[1:])) for side, seconds in taken.items()}
    print(f'{name}, {FRAMES} frames, {ROUNDS} rounds')
    for side, rate in rates.items():
        print(f'{side:30} {rate:6.1f} frames/s, evaluate has {rates["evaluate"] / rate:.0%} of it')


if __name__ == '__main__':
    main()

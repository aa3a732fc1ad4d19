"""
Dense against pruned, in one run: depth on the validation drives, and time in onnxruntime.

Run by ``make bench``. Times are medians over rounds in which the models take turns, so that a
slow moment of the computer meets all of them; compare the ratios. The validation drives are
read from DEPTH_PRUNE_KITTI (default ../shared/kitti); without them only the times are shown.
"""

from __future__ import annotations

import os
from pathlib import Path
import platform
import tempfile
import time

import numpy as np

from depth_prune_ros.bags.frames import read_frames
from depth_prune_ros.bags.kitti import kitti_to_bag
from depth_prune_ros.core.engine import DepthEngine
from depth_prune_ros.core.metrics import EIGEN
from depth_prune_ros.core.models import default_model
from depth_prune_ros.evaluation.evaluate import evaluate_model
from depth_prune_ros.offline.checkpoint import load
from depth_prune_ros.offline.export import export

THREADS = 2
ROUNDS = 15
RUNS = 5
HERE = Path(__file__).resolve().parent
DRIVES = ('0002', '0048', 'unknown')


def main() -> None:
    """Print one row a model."""
    with tempfile.TemporaryDirectory() as folder:
        files = {'dense': Path(folder) / 'dense.onnx', 'macs=0.2': default_model()}
        export(load(HERE / 'dense'), files['dense'])
        if (HERE / 'params').is_dir():
            files['params=0.2'] = Path(folder) / 'params.onnx'
            export(load(HERE / 'params'), files['params=0.2'])
        engines = {name: DepthEngine.load(file, threads=THREADS) for name, file in files.items()}
        times = _times(engines)
        errors = _errors(engines, Path(folder))
    print(f'{platform.processor() or platform.machine()}, {THREADS} threads, medians of {ROUNDS} rounds')
    for name, engine in engines.items():
        card = engine.card
        ratio = np.median(times['dense'] / times[name])
        row = f'{name:11} {card.parameters / 1e6:5.2f}M {card.macs / 1e9:6.3f} GMACs '
        row += f'{np.median(times[name]):7.1f} ms  {ratio:4.2f}x '
        row += '  '.join(f'{drive} {value:.4f}' for drive, value in errors[name].items())
        if errors[name]:
            mean = np.mean(list(errors[name].values()))
            row += f'  mean {mean:.4f} ({mean / np.mean(list(errors["dense"].values())):.2f} of dense)'
        print(row)


def _times(engines: dict[str, DepthEngine]) -> dict[str, np.ndarray]:
    """Return for each model the milliseconds of one inference, one value a round."""
    rng = np.random.default_rng(0)
    found: dict[str, list[float]] = {name: [] for name in engines}
    for number in range(ROUNDS + 1):
        for name, engine in engines.items():
            shape = (engine.card.input_height, engine.card.input_width, 3)
            image = rng.integers(0, 256, shape, dtype=np.uint8)
            start = time.perf_counter()
            for _ in range(RUNS):
                engine.disparity(image)
            if number:
                found[name].append((time.perf_counter() - start) * 1000 / RUNS)
    return {name: np.array(values) for name, values in found.items()}


def _errors(engines: dict[str, DepthEngine], folder: Path) -> dict[str, dict[str, float]]:
    """Return AbsRel (Eigen protocol, cap 80 m, no median scaling) by model and drive."""
    kitti = Path(os.environ.get('DEPTH_PRUNE_KITTI', HERE.parents[1] / 'shared' / 'kitti'))
    errors: dict[str, dict[str, float]] = {name: {} for name in engines}
    for drive in DRIVES:
        source = kitti / 'raw' / '2011_09_26' / f'2011_09_26_drive_{drive}_sync'
        if not source.is_dir():
            continue
        kitti_to_bag(source, folder / drive)
        frames = list(read_frames(folder / drive))
        for name, engine in engines.items():
            result = evaluate_model(frames, engine, EIGEN)
            errors[name][f'{drive} ({result.frames})'] = result.metrics.abs_rel
    return errors


if __name__ == '__main__':
    main()

"""
Dense networks against the shipped ones, in one run: depth on the validation drives, and time.

Run by ``make bench``. The models take turns; compare the ratios. The validation drives are read
from DEPTH_PRUNE_KITTI (default ../shared/kitti); without them only the times are shown. The
figures are kept in benchmarks/results/bench.json, from which ``make results`` writes
docs/results.md.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
import sys
import tempfile

from depth_prune_ros.bags.frames import read_frames
from depth_prune_ros.bags.kitti import kitti_to_bag
from depth_prune_ros.core.engine import DepthEngine
from depth_prune_ros.core.metrics import EIGEN
from depth_prune_ros.core.models import shipped_model
from depth_prune_ros.evaluation.evaluate import evaluate_model
from depth_prune_ros.offline.checkpoint import load
from depth_prune_ros.offline.export import export
from depth_prune_ros.offline.speed import measure_speeds
from depth_prune_ros.offline.speed import ROUNDS
from depth_prune_ros.offline.speed import RUNS
import numpy as np

THREADS = 2
HERE = Path(__file__).resolve().parent
RESULTS = HERE / 'results' / 'bench.json'
CHECKPOINTS = {
    'dense': HERE / 'dense',
    'dense, 96x320': HERE / 'compare' / 'dense_mobilenet',
    'params=0.2, 96x320': HERE / 'params=0.2',
}
SHIPPED = ('depth_small', 'depth_small_int8', 'depth_tiny', 'depth_tiny_int8')
DRIVES = ('0002', '0048', 'unknown')


def main() -> None:
    """Print one row a model."""
    with tempfile.TemporaryDirectory() as folder:
        files = {name: shipped_model(name) for name in SHIPPED}
        for name, run in CHECKPOINTS.items():
            files[name] = Path(folder) / f'{name}.onnx'
            export(load(run), files[name])
        speeds = dict(zip(files, measure_speeds(list(files.values()), THREADS), strict=True))
        bags = drives(Path(folder))
        errors = {name: _errors(file, bags) for name, file in files.items()}
        cards = {name: DepthEngine.load(file).card for name, file in files.items()}
    means = {name: np.mean(list(found.values()) or [np.nan]) for name, found in errors.items()}
    rows = []
    for name, card in cards.items():
        # what each network is compared with: the dense one of its size
        mean, dense = means[name], 'dense, 96x320' if '96x320' in name else 'dense'
        row = {
            'name': name,
            'params': card.parameters,
            'macs': card.macs,
            'ms': speeds[name].ms,
            'faster': float(np.median(np.divide(speeds[dense].rounds_ms, speeds[name].rounds_ms))),
            'abs_rel': float(mean),
            'of_dense': float(mean / means[dense]),
            'drives': errors[name],
        }
        rows.append(row)
        print(
            f'{name:18} {card.parameters / 1e6:.2f}M {card.macs / 1e9:.3f} GMACs '
            f'{row["ms"]:6.1f} ms, {row["faster"]:.2f}x as fast as dense; '
            f'AbsRel {mean:.4f}, {row["of_dense"]:.2f} of dense:',
            ', '.join(f'{drive} {value:.4f}' for drive, value in row['drives'].items()),
        )
    if errors['dense']:
        machine = speeds['dense'].processor
        about = {'machine': machine, 'threads': THREADS, 'rounds': ROUNDS, 'runs': RUNS}
        RESULTS.write_text(json.dumps({**about, 'rows': rows}, indent=1))


def drives(folder: Path) -> dict[str, Path]:
    """Make bags of the validation drives that are there, by drive."""
    found = {}
    for drive in DRIVES:
        source = kitti_folder() / 'raw' / '2011_09_26' / f'2011_09_26_drive_{drive}_sync'
        if source.is_dir():
            found[drive] = folder / drive
            kitti_to_bag(source, found[drive])
    return found


def needed_drives(folder: Path) -> dict[str, Path]:
    """Make the same bags, or end with what is missing."""
    return drives(folder) or sys.exit(
        f'{kitti_folder()}: expected KITTI drives {", ".join(DRIVES)} under raw/2011_09_26, found '
        'none; set DEPTH_PRUNE_KITTI'
    )


def kitti_folder() -> Path:
    """Return where KITTI's frames should be."""
    return Path(os.environ.get('DEPTH_PRUNE_KITTI', HERE.parents[1] / 'shared' / 'kitti'))


def _errors(file: Path, bags: dict[str, Path]) -> dict[str, float]:
    """Return AbsRel by drive (Eigen protocol, cap 80 m, no median scaling)."""
    engine = DepthEngine.load(file, repeatable=True)
    errors = {}
    for drive, bag in bags.items():
        result = evaluate_model(read_frames(bag), engine, EIGEN)
        errors[f'{drive} ({result.frames} frames)'] = result.metrics.abs_rel
    return errors


if __name__ == '__main__':
    main()

"""
Write a checkpoint in half precision: half of the bytes, for benchmarks/dense.

python benchmarks/half_precision.py runs/dense benchmarks/dense
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from depth_prune_ros.offline import checkpoint as checkpoints


def main() -> None:
    """Read a run's last checkpoint and write it without what a training goes on from."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('run', type=Path)
    parser.add_argument('out', type=Path)
    options = parser.parse_args()
    whole = checkpoints.load(options.run)
    halved = {
        name: value.half() if value.is_floating_point() else value
        for name, value in whole.weights.items()
    }
    print(checkpoints.save(options.out, replace(whole, weights=halved)))


if __name__ == '__main__':
    main()

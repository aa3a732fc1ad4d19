"""
How well a model sees edges, poles and people, which hardly count in the mean over an image.

Run by ``make edges``, with model files or for the shipped networks: the validation drives in
stereo, each view pair matched as for a training (offline.hints), and three things against that.
The mean absolute error of log depth: everywhere, within 8 pixels of a jump in depth of 35 %, and
on what is narrow and upright. And how much of such a jump is there within 12 pixels along a row:
the slope of a regression through 0 of the change of log depth that the model says on the change
that matching found, 1 where edges are as sharp as those, 0 where there are none. A wrong scale
of the whole frame changes the error but not the slope.
Third, what is no jump: the share of pairs 12 pixels apart along a row which matching finds at one
depth (within 5 %) and the model does not (10 %).
Matching is no truth: it errs at edges, too, by a few pixels.
Kept in benchmarks/results/edges.json, from which ``make results`` writes docs/results.md.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
import json
from pathlib import Path
import tempfile

from bench import HERE
from bench import needed_drives
from bench import SHIPPED
import cv2
from depth_prune_ros.bags.frames import Frame
from depth_prune_ros.bags.frames import read_frames
from depth_prune_ros.core.engine import DepthEngine
from depth_prune_ros.core.metrics import resize_disparity
from depth_prune_ros.core.models import shipped_model
from depth_prune_ros.offline.hints import match
import numpy as np
from numpy.typing import NDArray
from upright import upright

RESULTS = HERE / 'results' / 'edges.json'
REACH, JUMP, STEP = 8, 0.3, 12
LEVEL, FALSE = 0.05, 0.1
_FARTHEST = np.float32(99)
Float = NDArray[np.float32]
Matched = tuple[Frame, Float]


def main() -> None:
    """Print one row a model and keep them."""
    parser = argparse.ArgumentParser(description='Judge models at edges, on poles and people.')
    parser.add_argument('models', nargs='*', type=Path, help='the shipped ones by default')
    named = parser.parse_args().models
    files = named or [shipped_model(name) for name in SHIPPED]
    with tempfile.TemporaryDirectory() as folder:
        bags = needed_drives(Path(folder))
        frames = [pair for bag in bags.values() for pair in _matched(bag)]
    rows = []
    for file in files:
        engine = DepthEngine.load(file)
        seen = [compare(engine, *pair) for pair in frames]
        means = {name: float(np.mean([error[name] for error, _ in seen])) for name in seen[0][0]}
        slopes = {
            name: float(np.divide(*np.sum([products[name] for _, products in seen], 0)))
            for name in seen[0][1]
        }
        rows.append({'model': engine.card.name, **means, 'slope': slopes})
        print(json.dumps(rows[-1]), flush=True)
    if not named:
        RESULTS.write_text(json.dumps({'frames': len(frames), 'rows': rows}, indent=1) + '\n')


def _matched(bag: Path) -> Iterator[Matched]:
    for frame in read_frames(bag):
        if frame.right is not None:
            yield frame, match(frame.left, frame.right)[0]


def compare(
    engine: DepthEngine, frame: Frame, wanted: Float
) -> tuple[dict[str, float], dict[str, tuple[float, float]]]:
    """
    Judge one frame.

    :return: its mean errors by place and the share of false jumps; of each place's regression the
        two sums
    """
    camera = frame.camera
    assert frame.baseline_m is not None
    found = engine.disparity(frame.left, camera.fx_over_width, camera.fy_over_height)
    fine = resize_disparity(found, camera.height, camera.width)
    fine = fine * np.float32(frame.baseline_m / engine.card.baseline_m)
    known = wanted > 0
    log = np.log(np.where(known, wanted, 1))
    narrow = upright(wanted)
    block = np.ones((2 * REACH + 1, 2 * REACH + 1), np.uint8)
    highest, lowest = (
        extreme(np.where(known, log, nothing), block)
        for extreme, nothing in ((cv2.dilate, -_FARTHEST), (cv2.erode, _FARTHEST))
    )
    error = np.abs(np.log(fine) - log)
    places = {'all': known, 'edges': known & (highest - lowest > JUMP), 'upright': narrow}
    errors = {name: float(error[place].mean()) for name, place in places.items()}
    changed, change = np.log(fine[:, STEP:] / fine[:, :-STEP]), log[:, STEP:] - log[:, :-STEP]
    both = known[:, STEP:] & known[:, :-STEP]
    level, jump = both & (np.abs(change) < LEVEL), both & (np.abs(change) > JUMP)
    errors['false'] = float((np.abs(changed[level]) > FALSE).mean())
    pairs = {'edges': jump, 'upright': jump & (narrow[:, STEP:] | narrow[:, :-STEP])}
    products = {
        name: (float((changed * change)[pair].sum()), float(np.square(change[pair]).sum()))
        for name, pair in pairs.items()
    }
    return errors, products


if __name__ == '__main__':
    main()

"""
How well a model sees edges, poles and people, which hardly count in the mean over an image.

Run by ``make edges``, with model files or for the shipped networks: the validation drives in
stereo, each view pair matched as for a training (offline.hints), and the mean absolute error of
log depth against that: everywhere, within 8 pixels of a jump in depth of 35 %, and on what is
narrow and upright. Matching is no truth: it errs at edges, too, by a few pixels.
Kept in benchmarks/results/edges.json, from which ``make results`` writes docs/results.md.
"""

from __future__ import annotations

from collections.abc import Iterator
import json
from pathlib import Path
import sys
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
REACH, JUMP = 8, 0.3
_FARTHEST = np.float32(99)
Matched = tuple[Frame, NDArray[np.float32]]


def main() -> None:
    """Print one row a model and keep them."""
    files = [Path(name) for name in sys.argv[1:]] or [shipped_model(name) for name in SHIPPED]
    with tempfile.TemporaryDirectory() as folder:
        bags = needed_drives(Path(folder))
        frames = [pair for bag in bags.values() for pair in _matched(bag)]
    rows = []
    for file in files:
        engine = DepthEngine.load(file)
        errors = [_errors(engine, *pair) for pair in frames]
        means = {name: float(np.mean([error[name] for error in errors])) for name in errors[0]}
        rows.append({'model': engine.card.name, **means})
        print(json.dumps(rows[-1]), flush=True)
    if not sys.argv[1:]:
        RESULTS.write_text(json.dumps({'frames': len(frames), 'rows': rows}, indent=1) + '\n')


def _matched(bag: Path) -> Iterator[Matched]:
    for frame in read_frames(bag):
        if frame.right is not None:
            yield frame, match(frame.left, frame.right)[0]


def _errors(engine: DepthEngine, frame: Frame, wanted: NDArray[np.float32]) -> dict[str, float]:
    """Return the mean errors of a frame; both disparities are fractions of the image width."""
    camera = frame.camera
    assert frame.baseline_m is not None
    found = engine.disparity(frame.left, camera.fx_over_width, camera.fy_over_height)
    fine = resize_disparity(found, camera.height, camera.width)
    fine = fine * np.float32(frame.baseline_m / engine.card.baseline_m)
    known = wanted > 0
    log = np.log(np.where(known, wanted, 1))
    error = np.abs(np.log(fine) - log)
    block = np.ones((2 * REACH + 1, 2 * REACH + 1), np.uint8)
    highest, lowest = (
        extreme(np.where(known, log, nothing), block)
        for extreme, nothing in ((cv2.dilate, -_FARTHEST), (cv2.erode, _FARTHEST))
    )
    places = {'all': known, 'edges': known & (highest - lowest > JUMP), 'upright': upright(wanted)}
    return {name: float(error[place].mean()) for name, place in places.items()}


if __name__ == '__main__':
    main()

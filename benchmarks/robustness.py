"""
AbsRel of a model on the validation drives when the images are not as they were in training.

Run by ``make robustness``. Each case changes image, ground truth and intrinsics together, so that
the true depth stays what it was. The protocol is eigen's (cap 80 m, no median scaling; in cropped
images the Garg crop is that of the crop). Kept in benchmarks/results/robustness.json, from which
``make results`` writes docs/results.md.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
import json
from pathlib import Path
import tempfile
from typing import Any

from bench import HERE
from bench import needed_drives
from bench import SHIPPED
import cv2
from depth_prune_ros.bags.frames import Frame
from depth_prune_ros.bags.frames import read_frames
from depth_prune_ros.core.camera import centre_window
from depth_prune_ros.core.camera import depth_from_disparity
from depth_prune_ros.core.camera import Window
from depth_prune_ros.core.engine import DepthEngine
from depth_prune_ros.core.images import resize_image
from depth_prune_ros.core.metrics import EIGEN
from depth_prune_ros.core.metrics import resize_disparity
from depth_prune_ros.core.models import shipped_model
from depth_prune_ros.evaluation.evaluate import evaluate_depth_topic
from depth_prune_ros.evaluation.evaluate import evaluate_model
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
# a frame, and the same with the depth predicted of the whole image instead of the measured one
Seen = tuple[Frame, Frame]
RESULTS = HERE / 'results' / 'robustness.json'


def of_image(change: Callable[[Image], object]) -> Callable[[Frame], Frame]:
    """Change nothing but the image."""
    return lambda frame: replace(frame, left=np.asarray(change(frame.left), np.uint8))


def _noisy(image: Image) -> object:
    noise = np.random.default_rng(image.size).normal(0, 10, image.shape)
    return np.clip(image + noise, 0, 255)


def _jpeg(image: Image) -> object:
    _, data = cv2.imencode('.jpg', image, [cv2.IMWRITE_JPEG_QUALITY, 40])
    return cv2.imdecode(data, cv2.IMREAD_COLOR)


def _cropped(frame: Frame, window: Window) -> Frame:
    """Show a part of the image, as a camera with a smaller sensor does."""
    depth, camera = frame.depth, frame.camera
    moved = replace(
        camera,
        width=window.width,
        height=window.height,
        cx=camera.cx - window.x,
        cy=camera.cy - window.y,
    )
    return replace(
        frame,
        left=np.ascontiguousarray(frame.left[window.slices]),
        depth=None if depth is None else depth[window.slices],
        camera=moved,
        right=None,
        baseline_m=None,
    )


def _narrow(frame: Frame) -> Frame:
    camera = frame.camera
    return _cropped(frame, centre_window(camera.width, camera.height, 4 / 3))


def _fitted(frame: Frame, engine: DepthEngine) -> Frame:
    """Take what the node's fit: crop shows the network."""
    card, camera = engine.card, frame.camera
    window = centre_window(camera.width, camera.height, card.input_width / card.input_height)
    return _cropped(frame, window)


def _zoomed(frame: Frame) -> Frame:
    camera = frame.camera
    width, height = round(0.7 * camera.width), round(0.7 * camera.height)
    left, top = (camera.width - width) // 2, (camera.height - height) // 2
    return _cropped(frame, Window(left, top, width, height))


CASES: dict[str, Callable[[Frame], Frame]] = {
    'clean': lambda frame: frame,
    'brightness x0.5': of_image(lambda image: image * 0.5),
    'brightness x1.5': of_image(lambda image: np.clip(image * 1.5, 0, 255)),
    'blur, sigma 2 px': of_image(lambda image: cv2.GaussianBlur(image, (0, 0), 2)),
    'noise, sigma 10': of_image(_noisy),
    'JPEG 40': of_image(_jpeg),
    'crop to 4:3': _narrow,
    'crop to 4:3, fit: stretch': _narrow,
    'crop to 4:3, fit: crop': _narrow,
    'focal length x1.43': _zoomed,
}

# The node's fit is match but for these.
STRETCHED = ('crop to 4:3, fit: stretch', 'crop to 4:3, fit: crop')


def main() -> None:
    """Judge the shipped networks and keep that; or a named one, and only print it."""
    parser = argparse.ArgumentParser(description='Judge a model on changed images.')
    parser.add_argument('model', nargs='?', type=Path, help='the shipped ones by default')
    named = parser.parse_args().model
    files = [named] if named else [shipped_model(name) for name in SHIPPED]
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        bags = needed_drives(Path(folder))
        for file in files:
            found[file.stem] = _rows(DepthEngine.load(file), bags)
    if named is None:
        RESULTS.write_text(json.dumps(found, indent=1) + '\n')


def _rows(engine: DepthEngine, bags: dict[str, Path]) -> list[dict[str, Any]]:
    """Print one row a case, and return them."""
    seen = {name: _seen(bag, engine) for name, bag in bags.items()}
    rows: list[dict[str, Any]] = []
    for case in CASES:
        rows.append(_row(case, engine, seen))
        rows[-1]['of_clean'] = rows[-1]['mean'] / rows[0]['mean']
        rows[-1]['of_whole'] = rows[-1]['mean'] / rows[-1]['whole']
        print(json.dumps({'model': engine.card.name, **rows[-1]}), flush=True)
    return rows


def _seen(bag: Path, engine: DepthEngine) -> list[Seen]:
    found = []
    for frame in read_frames(bag):
        if frame.depth is not None:
            camera = frame.camera
            predicted = engine.disparity(frame.left, camera.fx_over_width, camera.fy_over_height)
            fine = resize_disparity(predicted, camera.height, camera.width)
            depth = depth_from_disparity(fine, engine.card.baseline_m, camera.fx_over_width)
            found.append((frame, replace(frame, depth=depth)))
    return found


def _row(case: str, engine: DepthEngine, seen: dict[str, list[Seen]]) -> dict[str, Any]:
    def change(frame: Frame) -> Frame:
        changed = CASES[case](frame)
        return _fitted(changed, engine) if case.endswith('fit: crop') else changed

    found, whole = {}, []
    for drive, pairs in seen.items():
        frames = [change(frame) for frame, _ in pairs]
        if case in STRETCHED:
            shown = {frame.stamp_ns: _stretched(frame, engine) for frame in frames}
            found[drive] = evaluate_depth_topic(frames, shown, EIGEN).metrics.abs_rel
        else:
            found[drive] = evaluate_model(frames, engine, EIGEN).metrics.abs_rel
        depths = {predicted.stamp_ns: _depth(change(predicted)) for _, predicted in pairs}
        whole.append(evaluate_depth_topic(frames, depths, EIGEN).metrics.abs_rel)
    mean = float(np.mean(list(found.values())))
    return {'case': case, **found, 'mean': mean, 'whole': float(np.mean(whole))}


def _stretched(frame: Frame, engine: DepthEngine) -> NDArray[np.float32]:
    """Return the depth of an image that is brought to the size of training, as it comes."""
    card = engine.card
    disparity = engine.run(resize_image(frame.left, card.input_width, card.input_height))
    return depth_from_disparity(disparity, card.baseline_m, frame.camera.fx_over_width)


def _depth(frame: Frame) -> NDArray[np.float32]:
    assert frame.depth is not None
    return frame.depth


if __name__ == '__main__':
    main()

"""
What the shipped network sees: pictures to look at critically.

Run by ``make gallery``: every frame of the validation drives (image, depth, ground truth, error,
and the cloud of points) in gallery/, which git ignores: KITTI's pictures are not ours to give.
With --readme it draws the rendered street of README.md: docs/street.png and docs/street.gif.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
import tempfile

from bench import HERE
from bench import needed_drives
import cv2
from depth_prune_ros.bags.frames import Frame
from depth_prune_ros.bags.frames import read_frames
from depth_prune_ros.bags.street import Street
from depth_prune_ros.bags.street import street_to_bag
from depth_prune_ros.core.engine import DepthEngine
from depth_prune_ros.core.models import model_file
from depth_prune_ros.evaluation.cloud import cloud_picture
from depth_prune_ros.evaluation.pictures import colour_depth
from depth_prune_ros.evaluation.pictures import frame_strip
from depth_prune_ros.evaluation.pictures import write_png
import numpy as np
from numpy.typing import NDArray
from PIL import Image

Bytes = NDArray[np.uint8]
STREET = Street(seed=4, frames=24, width=640, height=192)
STILL = 8


def main() -> None:
    """Draw the drives, or the street of the README."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--model', type=Path, default=None, help='the shipped one by default')
    parser.add_argument('--readme', action='store_true')
    options = parser.parse_args()
    engine = DepthEngine.load(model_file(options.model))
    with tempfile.TemporaryDirectory() as folder:
        if options.readme:
            _draw_street(Path(folder) / 'street', engine)
            return
        for drive, bag in needed_drives(Path(folder)).items():
            for number, (frame, depth) in enumerate(_predicted(bag, engine)):
                cloud = cloud_picture(frame.left, depth, frame.camera)
                out = HERE.parent / 'gallery' / drive / f'{number:03}.png'
                write_png(out, np.concatenate([frame_strip(frame, depth), cloud]))
                print(out)


def _predicted(bag: Path, engine: DepthEngine) -> Iterator[tuple[Frame, NDArray[np.float32]]]:
    for frame in read_frames(bag):
        camera = frame.camera
        yield frame, engine.infer(frame.left, camera.fx_over_width, camera.fy_over_height)


def _draw_street(bag: Path, engine: DepthEngine) -> None:
    street_to_bag(bag, STREET)
    pictures = []
    for number, (frame, depth) in enumerate(_predicted(bag, engine)):
        cloud = cloud_picture(frame.left, depth, frame.camera, 640, 256)
        if number == STILL:
            write_png(HERE.parent / 'docs' / 'street.png', frame_strip(frame, depth))
        whole = np.concatenate([frame.left, colour_depth(depth), cloud])
        small = cv2.resize(whole, None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA)
        pictures.append(Image.fromarray(small).quantize(96))
    pictures[0].save(
        HERE.parent / 'docs' / 'street.gif',
        save_all=True,
        append_images=pictures[1:],
        duration=100,
        loop=0,
        optimize=True,
    )


if __name__ == '__main__':
    main()

"""What a training is told where nobody says: a configuration that suits what the bags have."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
import math
from pathlib import Path
from statistics import median_low
from typing import Any

from depth_prune_ros.bags.bag_files import bag_name
from depth_prune_ros.bags.frames import Frame
from depth_prune_ros.bags.frames import read_frames
from depth_prune_ros.bags.topic_names import is_kitti
from depth_prune_ros.bags.topics import find_topics
from depth_prune_ros.core.errors import TrainingError
from depth_prune_ros.core.files import write_whole
from depth_prune_ros.offline.checkpoint import exists
from depth_prune_ros.offline.config import TrainConfig
from depth_prune_ros.offline.config_file import read_file
from depth_prune_ros.offline.networks.catalogue import NETWORKS
from depth_prune_ros.offline.stage_folder import flat
import numpy as np
import yaml

_NETWORK = TrainConfig().network
_PIXELS = 192 * 640  # of the shipped network
_LOOKED_AT = 5
# frames to look at for what some of the topics should have, where others have something
_PATIENCE = 300
_BASELINE_M = 0.54  # of the shipped network
# The heads end at 0.3 of the width, and learn slowly near their end.
_LARGEST = 0.25
# a stereo pair is built for what is farther than this disparity
_NEAREST_OF_PAIR = 0.1
_PROPORTIONS = 1.1
_LOOK = '; what they have beside: depth-prune bag info BAG'


@dataclass(frozen=True)
class Finding:
    """
    What the frames of a bag have.

    :param size: (width, height) of the images
    :param baseline_m: of its stereo pair, or None
    :param depth: 'lidar', 'depth' (a depth image), or None
    :param nearest_m: what 1 % of the measured depth is below; infinite where nothing is measured
    :param kitti: whether its topics are KITTI's
    """

    name: str
    size: tuple[int, int]
    fx_over_width: float
    baseline_m: float | None
    depth: str | None
    nearest_m: float
    kitti: bool

    @property
    def aspect(self) -> float:
        """Width over height."""
        return self.size[0] / self.size[1]

    def line(self) -> str:
        """Return it as people read it."""
        pair = f'stereo pair ({self.baseline_m:.3g} m)' if self.baseline_m else ''
        kinds = {'lidar': 'lidar', 'depth': 'depth image'}
        measured = f'{kinds[self.depth]} from {self.nearest_m:.2g} m' if self.depth else ''
        what = ', '.join(filter(None, (pair, measured))) or 'nothing to learn from'
        size = f'{self.size[0]}x{self.size[1]}'
        return f'{self.name}: {size}, fx {self.fx_over_width:.3f} of the width, {what}'


def look_at(bag: Path) -> Finding:
    """
    Look at the first frames of a bag, and on until pair and depth, where it has topics of them.

    :raises BagError: a bag that cannot be read
    """
    frames = _some_frames(bag)
    measured = [_measured(frame) for frame in frames]
    every = np.concatenate(measured)
    return Finding(
        name=bag_name(bag),
        size=(frames[0].camera.width, frames[0].camera.height),
        fx_over_width=frames[0].camera.fx_over_width,
        baseline_m=next((frame.baseline_m for frame in frames if frame.baseline_m), None),
        depth=next((frame.depth_source for frame in frames if len(_measured(frame))), None),
        nearest_m=float(np.percentile(every, 1)) if len(every) else math.inf,
        kitti=is_kitti(find_topics(bag).left),
    )


def _some_frames(bag: Path) -> list[Frame]:
    """Return the first frames of a bag, and the first that has what those before it lack."""
    topics = find_topics(bag)
    there = {'pair': topics.right, 'depth': topics.depth or topics.lidar}
    missing = {what for what, topic in there.items() if topic}
    frames: list[Frame] = []
    found: set[str] = set()
    for number, frame in enumerate(read_frames(bag), start=1):
        pair, depth = bool(frame.baseline_m), len(_measured(frame)) > 0
        has = {what for what, here in (('pair', pair), ('depth', depth)) if here}
        if number <= _LOOKED_AT or has & missing:
            frames.append(frame)
        found |= has
        missing -= has
        if number >= _LOOKED_AT and (not missing or (found and number >= _PATIENCE)):
            break
    return frames


def suited(found: Sequence[Finding]) -> dict[str, Any]:
    """Return the values of a configuration that suits bags, as its file has them."""
    stereo = any(finding.baseline_m for finding in found)
    depth = any(finding.depth for finding in found)
    # where depth is measured, it leads, and the views fill in what it does not reach
    views = 0.5 if depth else 1.0
    height, width = network_size(
        median_low([finding.aspect for finding in found]),
        (max(f.size[0] for f in found), max(f.size[1] for f in found)),
        NETWORKS[_NETWORK].multiple,
    )
    return {
        'network': _NETWORK,
        'height': height,
        'width': width,
        'baseline_m': min(_BASELINE_M, *(_baseline_m(finding) for finding in found)),
        'losses': {
            'photometric': views if stereo else 0.0,
            'smoothness': 0.1 if stereo else 0.0,
            'consistency': views if stereo else 0.0,
            'depth': 1.0 if depth else 0.0,
        },
        'protocol': 'eigen' if all(finding.kitti for finding in found) else 'plain',
        # widths that onnxruntime is fast with
        'prune': {'multiple': 8},
    }


def network_size(aspect: float, most: tuple[int, int], multiple: int) -> tuple[int, int]:
    """
    Return (height, width) in a network's multiples: about the shipped one's pixels, of an aspect.

    :param aspect: width over height of the images
    :param most: (width, height) of the largest images; more than these tell the network nothing
    """
    pixels = min(_PIXELS, most[0] * most[1])
    heights, widths = (range(multiple, side + multiple, multiple) for side in most[::-1])
    return min(
        ((height, width) for height in heights for width in widths),
        key=lambda size: (
            abs(math.log(size[1] / size[0] / aspect))
            + 0.25 * abs(math.log(size[0] * size[1] / pixels))
        ),
    )


def suited_config(bags: Sequence[Path], out: Path) -> tuple[Path, list[str]]:
    """
    Write the configuration that suits bags as ``config.yaml`` into the run's folder.

    One that is there already is taken: the same command goes on with the same run. Where the run
    has no checkpoint yet, what other bags would need is said.

    :return: the file, and what there is to say of the bags
    :raises BagError: a bag that cannot be read
    :raises TrainingError: nothing to learn from in any of them
    """
    file = out / 'config.yaml'
    if file.is_file() and exists(out):
        return file, [f'configuration: {file}']
    found = [look_at(bag) for bag in bags]
    if not any(finding.baseline_m or finding.depth for finding in found):
        msg = 'expected frames with a right image or measured depth, found none in the bags: '
        raise TrainingError(msg + '; '.join(finding.line() for finding in found) + _LOOK)
    values = suited(found)
    if file.is_file():
        return file, [f'configuration: {file}', *_differing(file, values)]
    write_whole(file, yaml.safe_dump(values, sort_keys=False).encode())
    lines = [finding.line() for finding in found]
    aspects = [finding.aspect for finding in found]
    if max(aspects) > _PROPORTIONS * min(aspects):
        lines.append(
            'note: images of different proportions are stretched to one size; depth is right '
            'in all of them, but harder to learn (docs/own_robot.md)'
        )
    lines.append(f'configuration: {file}, {values["width"]}x{values["height"]}')
    return file, lines


def _differing(file: Path, values: Mapping[str, Any]) -> list[str]:
    """Say where a configuration that is there is not what suits the bags."""
    there, wanted = flat(read_file(file).values), flat(values)
    other = [f'{key} {wanted[key]}' for key in wanted if there.get(key) != wanted[key]]
    told = 'note: it is there already; delete it for one that suits these bags: '
    return [told + ', '.join(other)] if other else []


def _baseline_m(finding: Finding) -> float:
    """Return the largest training baseline at which the nearest things are within the heads."""
    nearest_m = finding.nearest_m
    if math.isinf(nearest_m) and finding.baseline_m:
        nearest_m = finding.baseline_m * finding.fx_over_width / _NEAREST_OF_PAIR
    return float(f'{_LARGEST * nearest_m / finding.fx_over_width:.2g}')


def _measured(frame: Frame) -> np.ndarray[Any, Any]:
    if frame.depth is None:
        return np.zeros(0, np.float32)
    return frame.depth[np.isfinite(frame.depth) & (frame.depth > 0)]

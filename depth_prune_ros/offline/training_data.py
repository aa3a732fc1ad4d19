"""What a training learns from, and what it is judged on."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import replace
from functools import partial
import hashlib
import json
from pathlib import Path

from depth_prune_ros.bags.bag_files import bag_name
from depth_prune_ros.bags.frames import Frame
from depth_prune_ros.bags.frames import read_frames
from depth_prune_ros.bags.losses import warn
from depth_prune_ros.bags.reading import open_bag
from depth_prune_ros.core.errors import BagError
from depth_prune_ros.core.errors import TrainingError
from depth_prune_ros.core.metrics import protocol as find_protocol
from depth_prune_ros.core.metrics import valid_pixels
from depth_prune_ros.offline import ranks
from depth_prune_ros.offline.cache import cached_samples
from depth_prune_ros.offline.config import TrainConfig
from depth_prune_ros.offline.dataset import Dataset
from depth_prune_ros.offline.sample_file import CachedSamples

Reading = Callable[[str, int], None]


@dataclass(frozen=True)
class TrainingData:
    """What a training learns from and is judged on."""

    dataset: Dataset
    validation: dict[str, list[Frame]]


def read_data(
    bags: Sequence[Path], val: Sequence[Path], config: TrainConfig, reading: Reading
) -> TrainingData:
    """
    Open training bags through their caches, and read validation bags into memory.

    :param reading: called with the bag's name and the frames read so far
    :raises BagError: a bag that cannot be read, or two to learn from, or to judge on, of one name
    :raises TrainingError: nothing that the configured losses learn from, or a cache that cannot
        be written
    """
    learned_from, judged_on = by_name(bags), by_name(val)
    for bag in judged_on.values():
        with open_bag(bag):  # says what is wrong with one that is none before others are decoded
            pass
    samples = {name: samples_of(bag, config, reading) for name, bag in learned_from.items()}
    _check_taught(samples, config)
    judging = judged_on if ranks.rank() == 0 else {}
    validation = {
        name: validation_frames(bag, config.protocol, reading) for name, bag in judging.items()
    }
    fingerprint = _fingerprint({name: found.fingerprint for name, found in samples.items()})
    size = (config.height, config.width)
    dataset = Dataset(samples, config.shares, size, config.baseline_m, config.augment, fingerprint)
    return TrainingData(dataset, validation)


def _check_taught(samples: dict[str, CachedSamples], config: TrainConfig) -> None:
    """Refuse bags that have nothing of what the losses compare with; warn of a single one."""
    useless = [name for name, found in samples.items() if not len(found)]
    learned = [name for name in ('depth', 'photometric', 'hints') if getattr(config.losses, name)]
    by_depth, by_views = 'depth' in learned, {'photometric', 'hints'} & {*learned}
    every = (sample for bag in samples.values() for sample in bag)
    if any((by_depth and len(s.points)) or (by_views and s.right is not None) for s in every):
        for name in useless:
            warn(f'{name}: nothing is learned of it, no frame has a right image or depth')
        return
    if len(useless) < len(samples):
        has, other = ('right images', 'photometric') if by_depth else ('measured depth', 'depth')
        msg = (
            f'expected frames for losses.{" or losses.".join(learned)}, found none: the bags have '
            f'{has}; raise losses.{other}'
        )
        raise TrainingError(msg)


def samples_of(bag: Path, config: TrainConfig, reading: Reading) -> CachedSamples:
    """
    Return the samples that a training has of a bag, from their cache.

    :param reading: called with the bag's name and the frames read so far
    :raises BagError: a bag that cannot be read
    :raises TrainingError: a cache that cannot be written
    """
    return cached_samples(
        bag,
        (config.height, config.width),
        config.baseline_m,
        partial(reading, bag_name(bag)),
        Path(config.cache) if config.cache else None,
        hints=config.needs_hints,
    )


def validation_frames(bag: Path, protocol: str, reading: Reading) -> list[Frame]:
    """
    Return a bag's frames with measured depth, without their right images.

    :param protocol: what they are to be judged by
    :param reading: called with the bag's name and the frames read so far
    :raises BagError: a bag without measured depth, or where the protocol does not judge it
    """
    rules = find_protocol(protocol)
    frames: list[Frame] = []
    judged = False
    for frame in read_frames(bag, need=['depth']):
        frames.append(replace(frame, right=None))
        judged |= frame.depth is not None and bool(valid_pixels(frame.depth, rules).any())
        reading(bag_name(bag), len(frames))
    if not judged:
        where = 'in the Garg crop' if rules.crop else 'in the image'
        msg = (
            f'{bag}: expected measured depth up to {rules.max_depth_m:g} m {where} (protocol '
            f'{rules.name}), found none there'
        )
        raise BagError(msg + ('; take another: plain' if rules.crop else ''))
    return frames


def _fingerprint(bags: dict[str, str]) -> str:
    """Return a digest of the bags' own: their order and names decide what is drawn."""
    return hashlib.blake2b(json.dumps(list(bags.items())).encode(), digest_size=16).hexdigest()


def by_name(bags: Sequence[Path]) -> dict[str, Path]:
    """
    Return bags by their names, in their order.

    :raises BagError: two of one name
    """
    names = [bag_name(bag) for bag in bags]
    if len(set(names)) < len(names):
        msg = f'expected bags of different names, found {", ".join(names)}; rename one'
        raise BagError(msg)
    return dict(zip(names, bags, strict=True))

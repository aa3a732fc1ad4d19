"""
A float model file to an int8 one, as few layers left float as the allowed loss needs.

Each layer is measured alone on frames of the calibration bags (:func:`int8.harms`). The layers
that harm most stay float, as few of them as keep AbsRel on every validation bag within the
allowed loss; the card tells which, and AbsRel before and after.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import asdict
from dataclasses import replace
from functools import partial
import math
from pathlib import Path
from typing import Any

from depth_prune_ros.bags.bag_files import bag_name
from depth_prune_ros.bags.frames import Frame
from depth_prune_ros.bags.frames import read_frames
from depth_prune_ros.bags.topics import find_topics
from depth_prune_ros.bags.topics import Topics
from depth_prune_ros.core.card import judged_by
from depth_prune_ros.core.card import ModelCard
from depth_prune_ros.core.engine import DepthEngine
from depth_prune_ros.core.errors import ConfigError
from depth_prune_ros.core.errors import ModelError
from depth_prune_ros.core.images import resize_image
from depth_prune_ros.offline.card_file import check_file
from depth_prune_ros.offline.card_file import save
from depth_prune_ros.offline.int8 import calibrate
from depth_prune_ros.offline.int8 import check_float
from depth_prune_ros.offline.int8 import harms
from depth_prune_ros.offline.int8_search import Bench
from depth_prune_ros.offline.int8_search import fewest_float
from depth_prune_ros.offline.int8_search import Trial
from depth_prune_ros.offline.training_data import by_name
from depth_prune_ros.offline.training_data import validation_frames
import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Progress = Callable[[str, int, int], None]

# They bound the memory and, with one model a layer to be run, the time.
CALIBRATION_FRAMES = 64
HARM_FRAMES = 4


def quantize(
    source: Path,
    out: Path,
    *,
    bags: Sequence[Path],
    val: Sequence[Path],
    max_loss: float = 0.05,
    progress: Progress,
) -> ModelCard:
    """
    Write the int8 model of a float one; where that is refused, nothing.

    :param source: a float model file
    :param bags: images like those that the model will see; 64 of them at most are used
    :param val: frames with measured depth, judged by the protocol of the model's card
    :param max_loss: how much AbsRel may grow on any of val, as a fraction of the float model's
    :param progress: called with a step's name, done and total (0: not known)
    :raises BagError: a bag that cannot be read, without images or without depth to judge by
    :raises ConfigError: no bags, or a loss that is no number from 0
    :raises ModelError: a model that cannot be quantised, says nan or is not within max_loss
    """
    _check_request(source, out, bags, val, max_loss)
    engine = DepthEngine.load(source)
    check_float(source)
    bench = Bench(engine, _validation(val, engine.card, progress), progress)
    images = _calibration(bags, engine.card, progress)
    every = [image for found in images.values() for image in found]
    calibrated = calibrate(source, every, lambda *at: progress('calibrating', *at))
    few = _spread(every, HARM_FRAMES)
    harm = partial(harms, calibrated, few, partial(progress, 'measuring each layer'))
    trial = fewest_float(calibrated, harm, bench, max_loss)
    about = {
        'from_sha256': engine.sha256,
        'calibrated_on': {bag: len(found) for bag, found in images.items()},
        'max_loss': max_loss,
        'float_layers': list(trial.kept_float),
        'int8_share_of_macs': calibrated.int8_share(trial.kept_float),
        **_judgement(trial, engine.card),
    }
    difference = _difference(engine, trial.engine, few)
    card = replace(
        engine.card,
        name=out.stem,
        # Neither the float model's milliseconds nor its figures on other bags are this model's.
        provenance={**_untimed(engine.card.provenance), 'int8': about},
        parity={**engine.card.parity, 'float_int8': difference},
        metrics={bag: asdict(result.metrics) for bag, result in trial.after.items()},
    )
    save(trial.model, card, out)
    return card


def _untimed(provenance: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in provenance.items() if name not in ('speed', 'latency')}


def _judgement(trial: Trial, card: ModelCard) -> dict[str, Any]:
    """Return AbsRel before and after as the card has it."""
    abs_rel = {
        bag: {
            'frames': after.frames,
            'before': trial.before[bag].metrics.abs_rel,
            'after': after.metrics.abs_rel,
        }
        for bag, after in trial.after.items()
    }
    return {'protocol': judged_by(card.provenance), 'abs_rel': abs_rel}


def _check_request(
    source: Path, out: Path, bags: Sequence[Path], val: Sequence[Path], max_loss: float
) -> None:
    if not bags or not val:
        msg = (
            'expected bags to calibrate on (--bags) and to validate on (--val), found '
            f'{len(bags)} and {len(val)}'
        )
        raise ConfigError(msg)
    if not 0 <= max_loss < math.inf:
        msg = f'expected a loss from 0, such as 0.05, found {max_loss}'
        raise ConfigError(msg)
    for same in (bags, val):
        by_name(same)
    if out.resolve() == source.resolve():
        msg = f'{out}: expected another file than the float model, found the same; name another'
        raise ModelError(msg)
    check_file(out)


def _validation(
    bags: Sequence[Path], card: ModelCard, progress: Progress
) -> dict[str, list[Frame]]:
    protocol = judged_by(card.provenance)

    def reading(bag: str, frames: int) -> None:
        progress(f'reading {bag}', frames, 0)

    return {bag_name(bag): validation_frames(bag, protocol, reading) for bag in bags}


def _calibration(
    bags: Sequence[Path], card: ModelCard, progress: Progress
) -> dict[str, list[Bytes]]:
    """Return images of the model's size, as many of each bag, evenly spread over it."""
    most = max(CALIBRATION_FRAMES // len(bags), 1)
    return {bag_name(bag): _spread(_images(bag, card, progress), most) for bag in bags}


def _images(bag: Path, card: ModelCard, progress: Progress) -> Iterable[Bytes]:
    found = find_topics(bag)
    # Lidar and depth are not needed here, and may lack what they need themselves.
    camera = Topics(left=found.left, left_info=found.left_info)
    for done, frame in enumerate(read_frames(bag, topics=camera), start=1):
        yield resize_image(frame.left, card.input_width, card.input_height)
        progress(f'reading {bag_name(bag)} to calibrate', done, 0)


def _spread(images: Iterable[Bytes], most: int) -> list[Bytes]:
    """Keep every n-th, n a power of 2, so that at most that many are in memory and left."""
    kept: list[Bytes] = []
    step = 1
    for index, image in enumerate(images):
        if index % step == 0:
            kept.append(image)
        if len(kept) > most:
            kept, step = kept[::2], 2 * step
    return kept


def _difference(before: DepthEngine, after: DepthEngine, images: Sequence[Bytes]) -> float:
    """
    Return the largest relative difference of the disparities.

    :raises ModelError: one of them is not a number
    """
    worst = 0.0
    for image in images:
        wanted = before.disparity(image)
        difference = (np.abs(after.disparity(image) - wanted) / wanted).max()
        worst = float(np.maximum(worst, difference))  # nan where one of them is
    if math.isnan(worst):
        msg = 'expected float and int8 disparities that are numbers, found nan; train again'
        raise ModelError(msg)
    return worst

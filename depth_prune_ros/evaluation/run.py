"""Bags, models and recorded topics -> results, a bag at a time; also a part of the work."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from dataclasses import replace
from itertools import count
import os
from pathlib import Path
from typing import Any
from typing import TYPE_CHECKING

import cv2
from depth_prune_ros.core.errors import BagError
from depth_prune_ros.core.metrics import Protocol
from depth_prune_ros.evaluation.evaluate import evaluate_frames
from depth_prune_ros.evaluation.evaluate import OnFrame
from depth_prune_ros.evaluation.evaluate import Watch
from depth_prune_ros.evaluation.predictions import model_predictor
from depth_prune_ros.evaluation.predictions import Predictor
from depth_prune_ros.evaluation.predictions import recorded_predictor
from depth_prune_ros.evaluation.results import joined
from depth_prune_ros.evaluation.results import Result
from depth_prune_ros.evaluation.shards import Shard
from depth_prune_ros.evaluation.tally import Part
from depth_prune_ros.evaluation.truth import bag_frames
from depth_prune_ros.evaluation.truth import BagFrames

if TYPE_CHECKING:
    from depth_prune_ros.core.engine import DepthEngine


# One reading thread keeps no more busy, and each has some frames of a few megabytes in memory.
MOST_WORKERS = 8


@dataclass(frozen=True)
class Job:
    """
    What is to be evaluated.

    :param bags: in the order of the results
    :param rules: the protocol with its switches
    :param engines: name -> loaded model
    :param topics: recorded depth topics, judged beside the models
    :param depth_bag: bag of these topics, where it is another one than the frames'
    :param ground_truth: see :func:`depth_prune_ros.evaluation.truth.bag_frames`
    """

    bags: tuple[Path, ...]
    rules: Protocol
    engines: tuple[tuple[str, DepthEngine], ...] = ()
    topics: tuple[str, ...] = ()
    depth_bag: Path | None = None
    ground_truth: str = ''


def load_engines(models: Sequence[Path]) -> tuple[tuple[str, DepthEngine], ...]:
    """
    Load model files for :class:`Job`; the shipped one where none is named.

    Each runs in one thread: :func:`evaluate_bags` predicts several frames at a time, which is
    faster than several threads a frame, and always computes the same bits, so that shards add up
    to the very figures of one run. A file named twice is loaded once, so that both give the
    same figures to the last bit.

    :raises ModelError: a file that is missing or no model of ours
    """
    from depth_prune_ros.core.engine import DepthEngine
    from depth_prune_ros.core.models import model_file

    loaded: dict[Path, DepthEngine] = {}
    names: list[str] = []
    paths = [model_file(named).resolve() for named in models or [Path()]]
    for path in paths:
        if path not in loaded:
            loaded[path] = DepthEngine.load(path, threads=1, repeatable=True)
        name = loaded[path].card.name
        names.append(f'{name} ({len(names) + 1})' if name in names else name)
    return tuple((name, loaded[path]) for name, path in zip(names, paths, strict=True))


def evaluate_bags(
    job: Job,
    *,
    shard: Shard | None = None,
    on_frame: OnFrame | None = None,
    progress: Callable[[int, int], None] | None = None,
    workers: int | None = None,
) -> tuple[Result, ...]:
    """
    Judge everything of a job, or a shard of it: a run of consecutive frames over all bags.

    :param workers: frames predicted at a time; by default one a processor, at most MOST_WORKERS
    :return: one result a model and topic, in this order
    :raises BagError: a bag that cannot be read, or no depth for its frames
    """
    with _one_opencv_thread():
        return _evaluate_all(job, shard or Shard(), on_frame, progress, workers or _processors())


def identity(job: Job) -> dict[str, Any]:
    """Return what tells a job from another, as JSON."""
    alone = len(job.bags) == 1
    sources = [bag_frames(bag, job.ground_truth, job.topics, alone=alone) for bag in job.bags]
    return {
        'images': [source.count for source in sources],
        'models': [engine.sha256 for _, engine in job.engines],
        'topics': list(job.topics),
        'depth_bag': job.depth_bag.resolve().name if job.depth_bag else '',
        'ground_truth': job.ground_truth,
    }


def _evaluate_all(
    job: Job,
    shard: Shard,
    on_frame: OnFrame | None,
    progress: Callable[[int, int], None] | None,
    workers: int,
) -> tuple[Result, ...]:
    alone = len(job.bags) == 1
    sources = [bag_frames(bag, job.ground_truth, job.topics, alone=alone) for bag in job.bags]
    names = _bag_names(job.bags)
    first, end = shard.frames(sum(source.count for source in sources))
    done, start, found = 0, 0, []
    for bag, name, source in zip(job.bags, names, sources, strict=True):
        low, high = max(first - start, 0), min(end - start, source.count)
        start += source.count
        if low >= high and shard.count > 1:
            continue
        whole = high == source.count
        part = Part(name, low, None if whole else high)
        watch = Watch(on_frame, _shifted(progress, done, end - first))
        found.append(_evaluate_bag(job, bag, source, part, watch, workers))
        done += high - low
    if not found:
        msg = (
            f'shard {shard.number}/{shard.count}: expected frames, found {end - first}; take '
            'fewer shards'
        )
        raise BagError(msg)
    return tuple(joined(parts) for parts in zip(*found, strict=True))


def _evaluate_bag(
    job: Job, bag: Path, source: BagFrames, part: Part, watch: Watch, workers: int
) -> tuple[Result, ...]:
    models = [model_predictor(engine, job.rules, name) for name, engine in job.engines]
    topics = [recorded_predictor(job.depth_bag or bag, t, job.rules) for t in job.topics]
    predictors: Sequence[Predictor] = [*models, *topics]
    try:
        results = evaluate_frames(
            source.read(), predictors, job.rules, part=part, workers=workers, watch=watch
        )
    except BagError as error:
        text = str(error)
        raise BagError(text if str(bag) in text else f'{bag}: {text}') from error
    return tuple(replace(result, remarks=source.remarks) for result in results)


@contextmanager
def _one_opencv_thread() -> Iterator[None]:
    """Keep OpenCV from splitting pictures up: the frames are spread over the processors."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


def _shifted(
    progress: Callable[[int, int], None] | None, done: int, total: int
) -> Callable[[int, int], None] | None:
    if progress is None:
        return None
    return lambda now, _: progress(done + now, total)


def _bag_names(bags: Sequence[Path]) -> list[str]:
    """Name bags by their last folder, with a number where that is not enough."""
    names: list[str] = []
    for bag in bags:
        name = bag.resolve().name
        free = (f'{name}#{number}' for number in count(2))
        names.append(name if name not in names else next(f for f in free if f not in names))
    return names


def _processors() -> int:
    return min(len(os.sched_getaffinity(0)), MOST_WORKERS)

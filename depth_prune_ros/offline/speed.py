"""Milliseconds of whole model files on this computer, as core.engine runs them."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence
from dataclasses import asdict
from dataclasses import dataclass
from dataclasses import replace
from pathlib import Path
import time

from depth_prune_ros.core.engine import DepthEngine
from depth_prune_ros.offline.card_file import set_card
from depth_prune_ros.offline.machine import processor
import numpy as np

Progress = Callable[[int, int], None]

ROUNDS = 9
RUNS = 20
_WARM_UP = 5


@dataclass(frozen=True)
class InferenceTime:
    """
    What one model takes.

    :param ms: of one inference: uint8 image in, metric depth out; median of the rounds
    :param rounds_ms: the median of each round
    """

    ms: float
    rounds_ms: tuple[float, ...]
    threads: int
    provider: str
    processor: str


def measure_speeds(
    models: Sequence[Path],
    threads: int,
    progress: Progress = lambda _done, _total: None,
    *,
    rounds: int = ROUNDS,
) -> list[InferenceTime]:
    """
    Time models in turn, one loaded at a time: threads of an idle one would disturb the others.

    :param threads: of one inference
    :param progress: called with turns done and all of them
    :raises ModelError: a file that is missing or no model of ours
    """
    image_of = np.random.default_rng(0)
    found: list[list[float]] = [[] for _ in models]
    providers = [''] * len(models)
    for number in range(rounds * len(models)):
        progress(number, rounds * len(models))
        which = number % len(models)
        engine = DepthEngine.load(models[which], threads=threads)
        providers[which] = engine.provider
        found[which].append(_median_ms(engine, image_of))
    progress(rounds * len(models), rounds * len(models))
    return [
        InferenceTime(float(np.median(times)), tuple(times), threads, provider, processor())
        for times, provider in zip(found, providers, strict=True)
    ]


def keep_speed(model: Path, speed: InferenceTime) -> None:
    """
    Write what a model takes into its card.

    :raises ModelError: the file is no model of ours, or cannot be written
    """
    card = DepthEngine.load(model).card
    about = {name: value for name, value in asdict(speed).items() if name != 'rounds_ms'}
    set_card(model, replace(card, provenance={**card.provenance, 'speed': about}))


def _median_ms(engine: DepthEngine, rng: np.random.Generator) -> float:
    """Let a model warm up, and return the median of some inferences."""
    shape = (engine.card.input_height, engine.card.input_width, 3)
    image = rng.integers(0, 256, shape, dtype=np.uint8)
    runs = []
    for _ in range(_WARM_UP + RUNS):
        start = time.perf_counter()
        engine.infer(image)
        runs.append((time.perf_counter() - start) * 1e3)
    return float(np.median(runs[_WARM_UP:]))

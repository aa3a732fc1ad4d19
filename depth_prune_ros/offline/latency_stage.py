"""Latency as a budget: the table it is predicted by, and the check that a network keeps to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from dataclasses import dataclass
from dataclasses import replace
from pathlib import Path
from typing import Any

from depth_prune_ros.core.errors import MaskError
from depth_prune_ros.offline import checkpoint as checkpoints
from depth_prune_ros.offline import ranks
from depth_prune_ros.offline.config import TrainConfig
from depth_prune_ros.offline.latency import milliseconds
from depth_prune_ros.offline.latency_fit import LatencyModel
from depth_prune_ros.offline.latency_table import cached_table
from depth_prune_ros.offline.latency_table import Key
from depth_prune_ros.offline.latency_table import key
from depth_prune_ros.offline.latency_table import load_table
from depth_prune_ros.offline.latency_table import Progress
from depth_prune_ros.offline.networks.catalogue import build

# the computer is not equally fast all the time: a network is chosen to be this much faster
_MARGIN = 0.03
_TRIES = 3
TOLERANCE = 0.1


@dataclass(frozen=True)
class Latency:
    """
    Milliseconds of one inference.

    :param predicted_ms: from the table of measured layers
    :param measured_ms: of the exported network
    :param dense_ms: of the dense network, measured
    :param threads: of one inference; 0: all cores
    :param cpu: processor they were measured on
    :param budget_ms: what it may be at most, where the budget was a latency
    """

    predicted_ms: float
    measured_ms: float
    dense_ms: float
    threads: int
    cpu: str
    budget_ms: float | None = None

    @property
    def error(self) -> float:
        """Return the prediction's error as a fraction of what was measured."""
        return self.predicted_ms / self.measured_ms - 1

    def check(self) -> None:
        """
        Refuse a network that is slower than its budget.

        :raises MaskError: it is, in every measurement
        """
        if self.budget_ms is not None and self.measured_ms > self.budget_ms:
            msg = (
                f'expected at most {self.budget_ms:.4g} ms, found {self.measured_ms:.4g} ms; '
                'the run is kept: prune to a lower latency into another folder, or again while '
                'the computer does nothing else'
            )
            raise MaskError(msg)

    def line(self) -> str:
        """Return it as people read it, with a warning where the prediction is off."""
        warning = '' if abs(self.error) <= TOLERANCE else '; warning: more than 10 % apart'
        return (
            f'{self.measured_ms:.2f} ms measured, {self.predicted_ms:.2f} ms predicted '
            f'({self.error:+.1%}{warning}), dense {self.dense_ms:.2f} ms, '
            f'threads: {self.threads or "all"}, {self.cpu}'
        )


class LatencyBench:
    """Predicts and measures networks of one name, image size and thread count."""

    def __init__(self, wanted: Key, model: LatencyModel) -> None:
        """Use the table's model; :func:`latency_bench` finds or makes the table."""
        self._key = wanted
        self.measure = model.measure()

    def measured(self, widths: Mapping[str, int]) -> float:
        """Return the milliseconds of a network of these widths, exported."""
        network = build(self._key.network, widths)
        return milliseconds(network, self._key.size, self._key.threads)

    def check(self, widths: Mapping[str, int]) -> float:
        """Return what a budget is compared with: measured, and a margin."""
        return self.measured(widths) * (1 + _MARGIN)

    def latency(self, widths: Mapping[str, int], budget_ms: float | None = None) -> Latency:
        """Predict and measure a network of these widths, again where it seems too slow."""
        measured_ms = self.measured(widths)
        for _ in range(_TRIES):
            if budget_ms is None or measured_ms <= budget_ms:
                break
            measured_ms = min(measured_ms, self.measured(widths))
        return Latency(
            predicted_ms=self.measure.price(widths),
            measured_ms=measured_ms,
            dense_ms=self.measured({}),
            threads=self._key.threads,
            cpu=self._key.cpu,
            budget_ms=budget_ms,
        )


def latency_bench(
    config: TrainConfig, network: str, progress: Progress = lambda _done, _total: None
) -> LatencyBench:
    """
    Load the latency table of a network, or make the one of this computer; rank 0 does.

    :param network: the network's name
    :param progress: called with measurements done and all of them
    :raises ConfigError: the table that the configuration names is not of this computer
    """

    def bench() -> LatencyBench:
        wanted = key(network, (config.height, config.width), config.prune.threads)
        file = config.prune.latency_table
        model = load_table(Path(file), wanted) if file else cached_table(wanted, progress)
        return LatencyBench(wanted, model)

    return ranks.from_first(bench)


def record_latency(run: Path, bench: LatencyBench, budget_ms: float | None) -> Latency:
    """Measure the network of a run's last checkpoint and write it into the card."""
    last = checkpoints.load(run)
    found = bench.latency(last.kept_widths, budget_ms)
    provenance: dict[str, Any] = {**last.card['provenance'], 'latency': asdict(found)}
    card = {**last.card, 'provenance': provenance}
    checkpoints.save(run, replace(last, card=card), checkpoints.load_training(run) or None)
    return found

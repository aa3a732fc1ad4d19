"""What is said of a latency, and which network is measured for it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from depth_prune_ros.core.errors import MaskError
from depth_prune_ros.offline import latency_stage
from depth_prune_ros.offline import latency_table
from depth_prune_ros.offline.latency import Timing
from depth_prune_ros.offline.latency_fit import LatencyModel
from depth_prune_ros.offline.latency_fit import Sample
from depth_prune_ros.offline.latency_stage import Latency
from depth_prune_ros.offline.latency_stage import LatencyBench
from depth_prune_ros.offline.networks.base import DepthNetwork
from depth_prune_ros.offline.networks.catalogue import build
import pytest
from tiny_networks import narrow

SMALL = narrow('mobilenet', 8)


def test_a_latency_is_said_with_a_warning_where_the_prediction_is_off() -> None:
    good = Latency(10.9, 10.0, 40.0, 2, 'Z80 x 1')
    assert good.line() == (
        '10.00 ms measured, 10.90 ms predicted (+9.0%), dense 40.00 ms, threads: 2, Z80 x 1'
    )
    bad = replace(good, predicted_ms=8.8, threads=0)
    assert '(-12.0%; warning: more than 10 % apart)' in bad.line()
    assert 'threads: all' in bad.line()


def test_a_network_above_its_latency_is_refused() -> None:
    Latency(10.9, 10.0, 40.0, 2, 'Z80 x 1', budget_ms=10.0).check()
    Latency(10.9, 10.0, 40.0, 2, 'Z80 x 1').check()
    with pytest.raises(MaskError, match=r'expected at most 9\.9 ms, found 10 ms; the run is kept'):
        Latency(10.9, 10.0, 40.0, 2, 'Z80 x 1', budget_ms=9.9).check()


@pytest.fixture(scope='module')
def bench() -> LatencyBench:
    dense = build('mobilenet')
    layers = {layer.conv: 0.5 for layer in dense.layers}
    sample = Sample(dense.widths, Timing((40.0, 40.0), (layers, layers)))
    wanted = latency_table.key('mobilenet', (32, 64), 3)
    return LatencyBench(wanted, LatencyModel(dense, [sample]))


def _clock(small: list[float], monkeypatch: pytest.MonkeyPatch) -> Iterator[float]:
    """Have the small network take these times, one after the other, and the dense one 40 ms."""
    coming = iter(small)

    def milliseconds(network: DepthNetwork, size: tuple[int, int], threads: int) -> float:
        assert (network.name, size, threads) == ('mobilenet', (32, 64), 3)
        if network.widths == network.dense_widths:
            return 40.0
        assert network.widths == SMALL
        return next(coming)

    monkeypatch.setattr(latency_stage, 'milliseconds', milliseconds)
    return coming


@pytest.mark.parametrize(
    ('budget_ms', 'times', 'measured_ms'),
    [
        (10.0, [12.0, 11.0, 10.5, 10.2], 10.2),
        (10.0, [12.0, 10.5, 11.0, 11.0], 10.5),
        (10.0, [12.0, 9.0], 9.0),
        (10.0, [10.0], 10.0),
        (None, [12.0], 12.0),
    ],
)
def test_a_network_that_seems_too_slow_is_measured_again(
    bench: LatencyBench,
    budget_ms: float | None,
    times: list[float],
    measured_ms: float,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    left = _clock(times, monkeypatch)
    found = bench.latency(SMALL, budget_ms)
    assert (found.measured_ms, found.dense_ms) == (measured_ms, 40.0)
    assert (found.threads, found.budget_ms) == (3, budget_ms)
    assert found.predicted_ms == pytest.approx(bench.measure.price(SMALL))
    assert list(left) == []


def test_a_budget_is_compared_with_a_margin(
    bench: LatencyBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    _clock([10.0], monkeypatch)
    assert bench.check(SMALL) == pytest.approx(10.3)

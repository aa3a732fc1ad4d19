"""The search for the fewest float layers, on losses that are known by their number."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence
from typing import cast

from depth_prune_ros.core.engine import DepthEngine
from depth_prune_ros.core.errors import ModelError
from depth_prune_ros.core.metrics import DepthMetrics
from depth_prune_ros.evaluation.results import Result
from depth_prune_ros.offline.int8 import Calibrated
from depth_prune_ros.offline.int8_search import Bench
from depth_prune_ros.offline.int8_search import fewest_float
from depth_prune_ros.offline.int8_search import Trial
import onnx
import pytest

HARM = {f'layer{n}': 0.1 * n for n in range(20)}
RANKED = [f'layer{n}' for n in reversed(range(20))]
CALIBRATED = Calibrated(onnx.ModelProto(), None, tuple(HARM), dict.fromkeys(HARM, 5))


def _results(**abs_rel: float) -> dict[str, Result]:
    return {
        bag: Result(1, 'eigen', DepthMetrics(value, 0, 0, 0, 0, 0, 0), (), {})
        for bag, value in abs_rel.items()
    }


class Known:
    """Stands for a bench: AbsRel of hall is as before from so many float layers on."""

    def __init__(self, enough: int) -> None:
        self.enough = enough
        self.tried: list[int] = []

    def trial(self, calibrated: Calibrated, kept_float: Sequence[str]) -> Trial:
        assert list(kept_float) == RANKED[: len(kept_float)]
        self.tried.append(len(kept_float))
        missing = max(self.enough - len(kept_float), 0)
        before, after = _results(yard=0.1, hall=0.2), _results(yard=0.1, hall=0.2 + 0.1 * missing)
        return Trial(tuple(kept_float), calibrated.model, cast('DepthEngine', None), before, after)


@pytest.mark.parametrize(
    ('enough', 'tried'),
    [
        (0, [0]),
        (1, [0, 1]),
        (2, [0, 1, 2]),
        (3, [0, 1, 2, 4, 3]),
        (5, [0, 1, 2, 4, 8, 6, 5]),
        (8, [0, 1, 2, 4, 8, 6, 7]),
        (10, [0, 1, 2, 4, 8, 10, 9]),
    ],
)
def test_the_fewest_layers_are_found(enough: int, tried: list[int]) -> None:
    bench = Known(enough)
    measured: list[int] = []

    def harm() -> Mapping[str, float]:
        measured.append(len(bench.tried))
        return HARM

    best = fewest_float(CALIBRATED, harm, cast('Bench', bench), 0.05)
    assert list(best.kept_float) == RANKED[:enough]
    assert bench.tried == tried
    assert measured == ([1] if enough else [])


def test_half_of_the_work_stays_int8() -> None:
    bench = Known(11)
    wanted = (
        r'at most 5.00% in int8, found 50.00% on hall at best \(0.2000 before, 0.3000 after, 10 '
    )
    with pytest.raises(ModelError, match=wanted):
        fewest_float(CALIBRATED, lambda: HARM, cast('Bench', bench), 0.05)
    assert bench.tried == [0, 1, 2, 4, 8, 10]


def test_the_loss_is_that_of_the_worst_bag() -> None:
    before = _results(yard=0.1, hall=0.2, lane=0.4)
    after = _results(yard=0.05, hall=0.25, lane=0.48)
    trial = Trial((), onnx.ModelProto(), cast('DepthEngine', None), before, after)
    assert trial.worst == 'hall'
    assert trial.loss == pytest.approx(0.25)
    assert trial.loss_on('yard') == pytest.approx(-0.5)

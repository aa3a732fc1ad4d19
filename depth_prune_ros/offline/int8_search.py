"""Which layers stay float: as few of the most harmful as the allowed loss of AbsRel needs."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
import tempfile

from depth_prune_ros.bags.frames import Frame
from depth_prune_ros.core.card import judged_by
from depth_prune_ros.core.engine import DepthEngine
from depth_prune_ros.core.errors import BagError
from depth_prune_ros.core.errors import ModelError
from depth_prune_ros.core.metrics import protocol as find_protocol
from depth_prune_ros.evaluation.evaluate import evaluate_model
from depth_prune_ros.evaluation.results import Result
from depth_prune_ros.offline.card_file import save
from depth_prune_ros.offline.int8 import Calibrated
from depth_prune_ros.offline.int8 import quantised
import onnx

Progress = Callable[[str, int, int], None]

# Without a bound there is always a way to keep the loss: everything float. A convention.
LEAST_INT8 = 0.5


@dataclass(frozen=True)
class Trial:
    """
    An int8 model and how good it is.

    :param kept_float: the layers that are not int8
    :param before: results of the float model, by validation bag
    :param after: results of this one
    """

    kept_float: tuple[str, ...]
    model: onnx.ModelProto
    engine: DepthEngine
    before: dict[str, Result]
    after: dict[str, Result]

    def loss_on(self, bag: str) -> float:
        """Return how much AbsRel grew on a bag, as a fraction of the float model's."""
        return self.after[bag].metrics.abs_rel / self.before[bag].metrics.abs_rel - 1

    @property
    def worst(self) -> str:
        """Return the bag where AbsRel grew most."""
        return max(self.after, key=self.loss_on)

    @property
    def loss(self) -> float:
        """Return how much AbsRel grew there."""
        return self.loss_on(self.worst)


class Bench:
    """Makes int8 models and judges them on validation frames, by the card's protocol."""

    def __init__(
        self, engine: DepthEngine, frames: Mapping[str, Sequence[Frame]], progress: Progress
    ) -> None:
        """
        Judge the float model.

        :param frames: by bag name
        :raises BagError: a bag without measured depth to judge by
        """
        self._card = engine.card
        self._frames = frames
        self._progress = progress
        self._before = self._judge(engine, 'judging the float model')

    def trial(self, calibrated: Calibrated, kept_float: Sequence[str]) -> Trial:
        """Make and judge the model with these layers float."""
        model = quantised(calibrated, kept_float)
        with tempfile.TemporaryDirectory() as folder:
            save(model, self._card, Path(folder) / 'model.onnx')
            engine = DepthEngine.load(Path(folder) / 'model.onnx')
        after = self._judge(engine, f'judging with {len(kept_float)} layers float')
        return Trial(tuple(kept_float), model, engine, self._before, after)

    def _judge(self, engine: DepthEngine, step: str) -> dict[str, Result]:
        results: dict[str, Result] = {}
        rules = find_protocol(judged_by(self._card.provenance))
        done, total = 0, sum(len(frames) for frames in self._frames.values())
        for bag, frames in self._frames.items():
            try:
                results[bag] = evaluate_model(frames, engine, rules)
            except BagError as error:
                msg = f'{bag}: {error}'
                raise BagError(msg) from error
            done += len(frames)
            self._progress(step, done, total)
        return results


def fewest_float(
    calibrated: Calibrated, harm: Callable[[], Mapping[str, float]], bench: Bench, max_loss: float
) -> Trial:
    """
    Find the model with the fewest float layers that is within the allowed loss.

    Tries 0, 1, 2, 4... of the most harmful layers, then bisects below the first number that does.

    :param harm: measures that of each layer; called where some have to stay float
    :param max_loss: how much AbsRel may grow on any bag, as a fraction of the float model's
    :raises ModelError: none is, as long as int8 layers do half of the multiply-accumulates
    """
    best, too_few = None, 0
    tried = [bench.trial(calibrated, ())]
    if tried[0].loss <= max_loss:
        return tried[0]
    harmed = harm()
    ranked = sorted(harmed, key=lambda layer: -harmed[layer])
    counts = range(len(ranked) + 1)
    most = max(n for n in counts if calibrated.int8_share(ranked[:n]) >= LEAST_INT8)
    for count in sorted({most, *(2**n for n in range(most.bit_length()))} - {0}):
        tried.append(bench.trial(calibrated, ranked[:count]))
        if tried[-1].loss <= max_loss:
            best = tried[-1]
            break
        too_few = count
    if best is None:
        raise ModelError(_refusal(min(tried, key=lambda trial: trial.loss), max_loss))
    while len(best.kept_float) - too_few > 1:
        count = (len(best.kept_float) + too_few) // 2
        trial = bench.trial(calibrated, ranked[:count])
        if trial.loss <= max_loss:
            best = trial
        else:
            too_few = count
    return best


def _refusal(best: Trial, max_loss: float) -> str:
    bag = best.worst
    before, after = (results[bag].metrics.abs_rel for results in (best.before, best.after))
    return (
        f'expected AbsRel to grow by at most {max_loss:.2%} in int8, found {best.loss:.2%} on '
        f'{bag} at best ({before:.4f} before, {after:.4f} after, {len(best.kept_float)} layers '
        'float); calibrate on bags more like it, raise max-loss, or keep the float model'
    )

"""The training loop: dense, under mask pressure, or fine-tuning; the same steps in each."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from dataclasses import dataclass
from dataclasses import field
from dataclasses import replace
import math
from pathlib import Path
from typing import Any

from depth_prune_ros.bags.frames import Frame
from depth_prune_ros.core.errors import CheckpointError
from depth_prune_ros.core.errors import TrainingError
from depth_prune_ros.core.metrics import DepthMetrics
from depth_prune_ros.offline import checkpoint as checkpoints
from depth_prune_ros.offline.checkpoint import Checkpoint
from depth_prune_ros.offline.config import TrainConfig
from depth_prune_ros.offline.dataset import Dataset
from depth_prune_ros.offline.dataset import TrainingBatch
from depth_prune_ros.offline.guard import LossGuard
from depth_prune_ros.offline.guard import StopRequest
from depth_prune_ros.offline.losses import depth_loss
from depth_prune_ros.offline.losses import distillation
from depth_prune_ros.offline.losses import Weights
from depth_prune_ros.offline.machine import bf16_is_faster
from depth_prune_ros.offline.masks import Masks
from depth_prune_ros.offline.networks.base import DepthNetwork
from depth_prune_ros.offline.validation import Preview
from depth_prune_ros.offline.validation import preview
from depth_prune_ros.offline.validation import validate
from depth_prune_ros.offline.writer import CheckpointWriter
import torch
from torch import nn
from torch import Tensor


@dataclass(frozen=True)
class Progress:
    """
    What a training reports after a step.

    :param terms: of the loss, weighted, 'task' being their sum
    :param share: present cost over the dense network's, in the budget's measure
    :param validation: bag -> metrics, where the step was validated
    :param widths: filters of each group that are in; empty without masks
    :param previews: bag -> its first frame, where the step was validated
    """

    step: int
    steps: int
    terms: dict[str, float]
    learning_rate: float
    share: float
    validation: dict[str, DepthMetrics]
    widths: dict[str, int] = field(default_factory=dict)
    previews: dict[str, Preview] = field(default_factory=dict)


Report = Callable[[Progress], None]


class _DivergenceError(TrainingError):
    """A step whose loss or gradients are not usable."""


class Trainer:
    """One training: a network, its data, and what it has to go on from."""

    def __init__(
        self,
        network: DepthNetwork,
        dataset: Dataset,
        config: TrainConfig,
        *,
        card: Mapping[str, Any],
        masks: Masks | None = None,
        teacher: DepthNetwork | None = None,
    ) -> None:
        """
        Prepare a training.

        :param card: what the checkpoints say for the model card
        :param masks: learned jointly with the weights where given
        :param teacher: its disparities are distilled into the network where given
        """
        self.network = network
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.masks = masks
        self._teacher = None if teacher is None else teacher.eval()
        self._dataset = dataset
        self._config = config
        self._card = dict(card)
        self._weights = Weights(**config.losses.model_dump(exclude={'distillation'}))
        self._optimiser = torch.optim.AdamW(
            network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        )
        self._bf16 = bf16_is_faster() if config.bf16 == 'auto' else config.bf16
        self._guard = LossGuard(config.explosion)
        self.step = 0

    def resume(self, run: Path) -> bool:
        """
        Go on from the run's last checkpoint, if it has one.

        :return: whether it had
        :raises CheckpointError: the checkpoint is of another network, stage or data
        """
        if not any(run.glob('step-*/checkpoint.json')):
            return False
        last = checkpoints.load(run)
        state = checkpoints.load_training(run)
        data = self._dataset.fingerprint
        ours = (self.network.name, self.network.widths, self.masks is not None, True, data)
        trained = last.data_fingerprint or data  # not known in runs of version 0.1
        found = (last.network, last.widths, bool(last.masks), bool(state), trained)
        if found != ours:
            msg = f'{run}: expected a run of this very training, found another; name another --out'
            raise CheckpointError(msg)
        self.network.load_state_dict(last.weights)
        if self.masks is not None:
            self.masks.load(last.masks)
        self._optimiser.load_state_dict(state['optimiser'])
        if 'loss' in state:
            self._guard.load(state['loss'])
            torch.set_rng_state(state['random'])
            self._bf16 = state['bf16']
        self.step = last.step
        return True

    def run(self, out: Path, validation: Mapping[str, list[Frame]], report: Report) -> Path:
        """
        Train to the configured number of steps.

        :param out: the run's folder; a checkpoint in it is gone on from
        :param validation: bag -> frames with measured depth
        :return: the last checkpoint's folder
        :raises TrainingError: the loss is not finite, or explodes
        :raises KeyboardInterrupt: asked to stop by a signal; a checkpoint is written
        """
        stop = StopRequest()
        with stop.listening(), CheckpointWriter(out) as writer:
            try:
                self._loop(validation, report, writer, stop)
            except _DivergenceError as error:
                writer.wait()
                last = checkpoints.latest(out) if any(out.glob('step-*')) else 'none'
                msg = f'{error}; last good checkpoint: {last}; lower learning_rate'
                raise TrainingError(msg) from error
            if self.step < self._config.steps:
                writer.wait()
                msg = f'{checkpoints.latest(out)}: stopped; the same command goes on from there'
                raise KeyboardInterrupt(msg)
        return checkpoints.latest(out)

    def _loop(
        self,
        validation: Mapping[str, list[Frame]],
        report: Report,
        writer: CheckpointWriter,
        stop: StopRequest,
    ) -> None:
        config, steps = self._config, self._config.steps
        self.network.train()
        with ThreadPoolExecutor(1) as loader:
            coming = loader.submit(self._batch, self.step)
            stopping = False
            while self.step < steps and not stopping:
                batch = coming.result()
                coming = loader.submit(self._batch, self.step + 1)
                terms = self._advance(batch)
                last, progress = self.step == steps, self._progress(terms)
                if validation and (last or self.step % config.validate_every == 0):
                    progress = self._validate(validation, progress)
                    metrics = progress.validation.items()
                    self._card['metrics'] = {name: asdict(m) for name, m in metrics}
                stopping = stop.asked
                if last or stopping or self.step % config.checkpoint_every == 0:
                    writer.write(self._checkpoint(), self._state())
                report(progress)

    def _checkpoint(self) -> Checkpoint:
        return Checkpoint(
            network=self.network.name,
            widths=self.network.widths,
            step=self.step,
            config=self._config.model_dump(),
            card=self._card,
            weights=self.network.state_dict(),
            masks=self.masks.state() if self.masks is not None else {},
            data_fingerprint=self._dataset.fingerprint,
        )

    def _state(self) -> dict[str, Any]:
        """Return what a training goes on from, beside the checkpoint proper."""
        return {
            'optimiser': self._optimiser.state_dict(),
            'loss': self._guard.state(),
            'random': torch.get_rng_state(),
            # a choice made by the clock, and another one next time
            'bf16': self._bf16,
        }

    def _batch(self, number: int) -> TrainingBatch:
        return self._dataset.batch(number, self._config.batch, self._config.seed)

    def _advance(self, batch: TrainingBatch) -> dict[str, float]:
        """Do one step: L_task (and L_distillation), gradients, masks, weights."""
        config = self._config
        rate = learning_rate(self.step, config.steps, config.learning_rate)
        for group in self._optimiser.param_groups:
            group['lr'] = rate
        if self.masks is not None:
            self.masks.choose(self.step, config.steps)
        with torch.autocast('cpu', torch.bfloat16, enabled=self._bf16):
            predictions = self.network(batch.image)
        terms = depth_loss(predictions, batch, self._weights)
        total = terms['task'] + self._distil(batch.image, predictions, terms)
        value = float(total.detach())
        self._optimiser.zero_grad(set_to_none=True)
        total.backward()
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), config.gradient_norm)
        self._check(value, float(norm))
        if self.masks is not None:
            self.masks.learn(value, len(batch.left))
        self._optimiser.step()
        self.step += 1
        return {name: float(term.detach()) for name, term in terms.items()}

    def _check(self, loss: float, gradient_norm: float) -> None:
        """Stop before a bad step reaches weights, scores or checkpoints."""
        fault = self._guard.fault(loss, gradient_norm)
        if fault:
            frames = self._dataset.frames(self.step, self._config.batch, self._config.seed)
            msg = f'step {self.step}: {fault}; its frames: {", ".join(frames)}'
            raise _DivergenceError(msg)

    def _distil(
        self, image: Tensor, predictions: list[Tensor], terms: dict[str, Tensor]
    ) -> Tensor:
        weight = self._config.losses.distillation
        if self._teacher is None or weight == 0:
            return image.new_zeros(())
        with torch.no_grad(), torch.autocast('cpu', torch.bfloat16, enabled=self._bf16):
            wanted = self._teacher(image)
        terms['distillation'] = weight * distillation(predictions, wanted)
        return terms['distillation']

    def _validate(self, validation: Mapping[str, list[Frame]], progress: Progress) -> Progress:
        size, baseline_m = (self._config.height, self._config.width), self._config.baseline_m
        self.network.eval()
        found = {
            name: validate(self.network, frames, size, baseline_m)
            for name, frames in validation.items()
        }
        previews = {
            name: preview(self.network, frames[0], size, baseline_m)
            for name, frames in validation.items()
        }
        self.network.train()
        return replace(progress, validation=found, previews=previews)

    def _progress(self, terms: dict[str, float]) -> Progress:
        rate = float(self._optimiser.param_groups[0]['lr'])
        share = self.masks.share() if self.masks is not None else 1.0
        widths = self.masks.widths if self.masks is not None else {}
        return Progress(self.step, self._config.steps, terms, rate, share, {}, widths)


def learning_rate(step: int, steps: int, top: float) -> float:
    """Return a cosine from ``top`` to 0, after a linear rise over the first 2 % of the steps."""
    rise = max(1, round(0.02 * steps))
    if step < rise:
        return top * (step + 1) / rise
    return top * 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, steps - rise)))

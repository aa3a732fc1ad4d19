"""The training loop: dense, under mask pressure, or fine-tuning; the same steps in each."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from dataclasses import replace
from pathlib import Path
from typing import Any

from depth_prune_ros.bags.frames import Frame
from depth_prune_ros.core.errors import CheckpointError
from depth_prune_ros.core.errors import TrainingError
from depth_prune_ros.offline import checkpoint as checkpoints
from depth_prune_ros.offline import ranks
from depth_prune_ros.offline.checkpoint import Checkpoint
from depth_prune_ros.offline.config import TrainConfig
from depth_prune_ros.offline.dataset import Dataset
from depth_prune_ros.offline.dataset import TrainingBatch
from depth_prune_ros.offline.guard import gradient_fault
from depth_prune_ros.offline.guard import LossGuard
from depth_prune_ros.offline.guard import StopRequest
from depth_prune_ros.offline.label_losses import distillation
from depth_prune_ros.offline.losses import depth_loss
from depth_prune_ros.offline.losses import Weights
from depth_prune_ros.offline.machine import fastest
from depth_prune_ros.offline.machine import Speed
from depth_prune_ros.offline.masks import Masks
from depth_prune_ros.offline.networks.base import DepthNetwork
from depth_prune_ros.offline.progress import Progress
from depth_prune_ros.offline.progress import Report
from depth_prune_ros.offline.schedule import learning_rate
from depth_prune_ros.offline.schedule import WeightAverage
from depth_prune_ros.offline.teachers import Teachers
from depth_prune_ros.offline.validation import preview
from depth_prune_ros.offline.validation import validate
from depth_prune_ros.offline.writer import checkpoint_writer
from depth_prune_ros.offline.writer import CheckpointWriter
import torch
from torch import nn
from torch import Tensor


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
        teachers: Teachers | None = None,
    ) -> None:
        """
        Prepare a training.

        :param card: what the checkpoints say for the model card
        :param masks: learned jointly with the weights where given
        :param teachers: their disparities are distilled into the network
        """
        self.network = network
        ranks.join_norms(network)
        if config.hold_encoder:
            network.hold_encoder()
        self.masks = masks
        self._teachers = teachers or Teachers([])
        self._dataset = dataset
        self._config = config
        self._card = dict(card)
        self._weights = Weights.of(config.losses.model_dump())
        self._optimiser = torch.optim.AdamW(network.parameters())
        self._use(fastest(**config.ways))
        averaged = config.average > 0 and masks is None  # masked filters have nothing to average
        self._average = WeightAverage(network, config.average) if averaged else None
        self._guard = LossGuard(config.explosion)
        self.step = 0
        self.held_up_s = 0.0  # by checkpoints, in the last run

    def resume(self, run: Path) -> bool:
        """
        Go on from the run's last checkpoint, if it has one.

        :return: whether it had
        :raises CheckpointError: the checkpoint is of another network, stage or data
        """
        if not checkpoints.exists(run):
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
        self.network.load_state_dict(state.get('weights', last.weights))
        if self._average is not None:
            self._average.load(last.weights)
        if self.masks is not None:
            self.masks.load(last.masks)
        self._optimiser.load_state_dict(state['optimiser'])
        if 'loss' in state:
            self._guard.load(state['loss'])
            torch.set_rng_state(state['random'])
            self._use(Speed(**{**state['speed'], **self._config.ways}))
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
        with stop.listening(), checkpoint_writer(out) as writer:
            try:
                stopped = self._loop(validation, report, writer, stop)
            except _DivergenceError as error:
                writer.wait()
                last = checkpoints.latest(out) if checkpoints.exists(out) else 'none'
                msg = f'{error}; last good checkpoint: {last}; lower learning_rate'
                raise TrainingError(msg) from error
            writer.wait()
            self.held_up_s = writer.held_up_s
            ranks.barrier()
            if stopped:
                msg = f'{checkpoints.latest(out)}: stopped; the same command goes on from there'
                raise KeyboardInterrupt(msg)
        return checkpoints.latest(out)

    def _loop(
        self,
        validation: Mapping[str, list[Frame]],
        report: Report,
        writer: CheckpointWriter,
        stop: StopRequest,
    ) -> bool:
        config, steps = self._config, self._config.steps
        self._agree()
        first = ranks.rank() == 0
        self.network.train()
        with ThreadPoolExecutor(1) as loader:
            coming, stopping = loader.submit(self._batch, self.step), False
            while self.step < steps and not stopping:
                batch = coming.result()
                coming = loader.submit(self._batch, self.step + 1)
                terms = self._advance(batch)
                last, progress = self.step == steps, self._progress(terms)
                if first and validation and (last or self.step % config.validate_every == 0):
                    progress = self._validate(validation, progress)
                judged = progress.validation.items()  # of these very weights, or none
                self._card['metrics'] = {name: asdict(metrics) for name, metrics in judged}
                stopping = ranks.any_rank(stop.asked)
                if first and (last or stopping or self.step % config.checkpoint_every == 0):
                    writer.write(self._checkpoint(), self._state())
                if first:
                    report(progress)
        return stopping

    def _use(self, speed: Speed) -> None:
        self.speed = speed
        self.network.to(memory_format=speed.memory_format)  # type: ignore[call-overload]

    def _agree(self) -> None:
        """
        Have every rank start from the same network.

        :raises TrainingError: a rank does not see the run's folder
        """
        steps = ranks.all_reduce_mean({'step': self.step})['step']
        if steps != self.step:
            msg = f'rank {ranks.rank()}: expected the run at its last checkpoint, found step '
            raise TrainingError(f'{msg}{self.step}; keep the run where every machine sees it')
        ranks.broadcast(self.network.state_dict().values())
        first = ranks.rank() == 0
        bf16, last = self.speed.bf16, self.speed.channels_last
        agreed = (ranks.any_rank(first and bf16), ranks.any_rank(first and last))
        self._use(Speed(*agreed, self.speed.line))

    def _judged(self) -> DepthNetwork:
        """Return the network that is judged and kept: of averaged weights where asked for."""
        return self.network if self._average is None else self._average.network

    def _checkpoint(self) -> Checkpoint:
        return Checkpoint(
            network=self.network.name,
            widths=self.network.widths,
            step=self.step,
            config=self._config.model_dump(),
            card=self._card,
            weights=self._judged().state_dict(),
            masks=self.masks.state() if self.masks is not None else {},
            data_fingerprint=self._dataset.fingerprint,
        )

    def _state(self) -> dict[str, Any]:
        """Return what a training goes on from, beside the checkpoint proper."""
        return {
            **({'weights': self.network.state_dict()} if self._average is not None else {}),
            'optimiser': self._optimiser.state_dict(),
            'loss': self._guard.state(),
            'random': torch.get_rng_state(),
            # a choice made by the clock, perhaps another one next time
            'speed': asdict(self.speed),
        }

    def _batch(self, number: int) -> TrainingBatch:
        part = ranks.rank(), ranks.count()
        return self._dataset.batch(number, self._config.batch, self._config.seed, part)

    def _advance(self, batch: TrainingBatch) -> dict[str, float]:
        """Do one step of L_total = L_task + L_distillation: gradients, masks, weights."""
        config = self._config
        rate = learning_rate(self.step, config.steps, config.learning_rate, config.final_rate)
        for group in self._optimiser.param_groups:
            group.update(lr=rate, weight_decay=config.weight_decay)
        if self.masks is not None:
            self.masks.choose(self.step, config.steps)
        image = batch.image.contiguous(memory_format=self.speed.memory_format)
        with torch.autocast('cpu', torch.bfloat16, enabled=self.speed.bf16):
            predictions = self.network(image)
        terms = depth_loss(predictions, batch, self._weights)
        if len(self._teachers) and config.losses.distillation:
            terms['distillation'] = self._distil(predictions, batch)
        total = terms['task'] + terms.get('distillation', 0.0)
        found = ranks.all_reduce_mean({name: float(term.detach()) for name, term in terms.items()})
        value = found['task'] + found.get('distillation', 0.0)
        self._check(self._guard.fault(value))  # grid_sample's backward crashes where it is nan
        self._optimiser.zero_grad(set_to_none=True)
        total.backward()
        ranks.average_gradients(self._learned())
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), config.gradient_norm)
        self._check(gradient_fault(float(norm)))
        if self.masks is not None:
            self.masks.learn(value, len(batch.left) * ranks.count())
        self._optimiser.step()
        if self._average is not None:
            self._average.update(self.network)
        self.step += 1
        return found

    def _learned(self) -> Iterator[Tensor]:
        yield from (p for p in self.network.parameters() if p.requires_grad)
        if self.masks is not None:
            yield from self.masks.masks.values()

    def _check(self, fault: str) -> None:
        """Stop before a bad step reaches weights, scores or checkpoints."""
        if fault:
            frames = self._dataset.frames(self.step, self._config.batch, self._config.seed)
            msg = f'step {self.step}: {fault}; its frames: {", ".join(frames)}'
            raise _DivergenceError(msg)

    def _distil(self, predictions: list[Tensor], batch: TrainingBatch) -> Tensor:
        image = batch.plain.contiguous(memory_format=self.speed.memory_format)
        with torch.autocast('cpu', torch.bfloat16, enabled=self.speed.bf16):
            wanted = self._teachers.disparities(image, self.step)
        hints = batch.hints if self._weights.sharpen else None
        return self._config.losses.distillation * distillation(predictions, wanted, hints)

    def _validate(self, validation: Mapping[str, list[Frame]], progress: Progress) -> Progress:
        size, baseline_m = (self._config.height, self._config.width), self._config.baseline_m
        network, protocol = self._judged().eval(), self._config.protocol
        found = {
            name: validate(network, frames, size, baseline_m, protocol)
            for name, frames in validation.items()
        }
        previews = {
            name: preview(network, frames[0], size, baseline_m)
            for name, frames in validation.items()
        }
        network.train()
        return replace(progress, validation=found, previews=previews)

    def _progress(self, terms: dict[str, float]) -> Progress:
        rate = float(self._optimiser.param_groups[0]['lr'])
        share = self.masks.share() if self.masks is not None else 1.0
        widths = self.masks.widths if self.masks is not None else {}
        where = (self.step, self._config.steps)
        return Progress(*where, terms, rate, share, widths=widths, speed=self.speed.line)

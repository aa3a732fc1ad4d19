"""
All stages of a run, one after the other: bags to a model file, its int8 twin and a report.

Each stage has a folder in the run's. One whose inputs (its configuration, the bags' bytes, what
it starts from) are those of last time is left as it is; one that was interrupted is gone on with;
any other is made. Under torchrun all processes train, and the first does everything else.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from contextlib import AbstractContextManager
from contextlib import contextmanager
from dataclasses import dataclass
import fcntl
from functools import partial
from pathlib import Path
from typing import Any

from depth_prune_ros.core.errors import ConfigError
from depth_prune_ros.core.errors import ModelError
from depth_prune_ros.offline import checkpoint as checkpoints
from depth_prune_ros.offline import ranks
from depth_prune_ros.offline import stages
from depth_prune_ros.offline.budget import check_budget
from depth_prune_ros.offline.budget import takes_table
from depth_prune_ros.offline.card_validation import validated
from depth_prune_ros.offline.config import TrainConfig
from depth_prune_ros.offline.export import export
from depth_prune_ros.offline.judgement import FILES
from depth_prune_ros.offline.judgement import judge_models
from depth_prune_ros.offline.latency_stage import Latency
from depth_prune_ros.offline.latency_stage import latency_bench
from depth_prune_ros.offline.progress import Report
from depth_prune_ros.offline.quantize import quantize
from depth_prune_ros.offline.run_config import RunConfig
from depth_prune_ros.offline.run_inputs import RunInputs
from depth_prune_ros.offline.stage_folder import Begun
from depth_prune_ros.offline.stage_folder import file_digest
from depth_prune_ros.offline.stage_folder import flat
from depth_prune_ros.offline.stage_folder import Inputs
from depth_prune_ros.offline.stage_folder import is_done
from depth_prune_ros.offline.stage_folder import run_digest
from depth_prune_ros.offline.stage_folder import run_files
from depth_prune_ros.offline.stage_folder import StageFolder
from depth_prune_ros.offline.training_data import read_data
from depth_prune_ros.offline.training_data import TrainingData


@dataclass(frozen=True)
class Watch:
    """
    What whoever started a run is told.

    :param training: of a training's folder and configuration: gives what its steps go to
    :param progress: called with a step's name, done and total (0: not known)
    :param stage: called with a stage's name, and how it begins, when it is over
    """

    training: Callable[[Path, TrainConfig], AbstractContextManager[Report]]
    progress: Callable[[str, int, int], None]
    stage: Callable[[str, Begun], None]


@dataclass(frozen=True)
class _Stage:
    """
    A stage of the run.

    :param inputs: what its results depend on, asked when the stages before it are over
    :param make: fills its folder
    :param products: the files that it leaves in its folder for others
    :param trains: all processes take part, and it can go on where it was interrupted
    """

    name: str
    inputs: Callable[[], Inputs]
    make: Callable[[Path], object]
    products: Callable[[Path], Sequence[Path]] = lambda _: ()
    trains: bool = False


class Pipeline:
    """The stages of one run."""

    def __init__(self, config: RunConfig, watch: Watch) -> None:
        """Tell of a run; :meth:`run` makes it."""
        self._config = config
        self._watch = watch
        self._reading = partial(_reading, watch)
        self._inputs = RunInputs(config, self._reading)

    def run(self) -> Path:
        """
        Make what is not there yet.

        :return: the model file for the node
        :raises ConfigError: another process makes the same run
        """
        with _alone(self._config.out):
            for stage in self._stages():
                self._do(stage)
        return self.model

    @property
    def model(self) -> Path:
        """Return the model file for the node: the int8 one where it is wanted."""
        return self._models()[-1 if self._config.quantize else 0]

    @property
    def report(self) -> Path:
        """Return the folder of the evaluation."""
        return self._folder('evaluate')

    def _stages(self) -> Iterator[_Stage]:
        config = self._config
        if takes_table(config.prune, config.budget):
            yield _Stage('latency', self._inputs.latency, self._check_latency, trains=True)
        yield _Stage('cache', self._inputs.cache, lambda _: self._inputs.decode())
        start = config.start_from
        yield self._training('train', {} if start is None else {'start': start}, self._train)
        yield self._training(
            'prune', {'train': self._folder('train')}, self._prune, {'budget': config.budget}
        )
        yield _Stage(
            'compact',
            lambda: {'prune': run_digest(self._folder('prune'))},
            lambda folder: stages.remove_masked(self._folder('prune'), folder),
            run_files,
        )
        before = {name: self._folder(name) for name in ('compact', 'train')}
        yield self._training('finetune', before, self._finetune)
        yield _Stage('export', self._export_inputs, self._export, lambda _: self._models()[:2])
        if config.quantize is not None:
            int8 = self._quantize_inputs, self._quantize, lambda _: self._models()[2:]
            yield _Stage('quantize', *int8)
        yield _Stage('evaluate', self._evaluate_inputs, self._evaluate, self._evaluated)

    def _do(self, stage: _Stage) -> None:
        folder = self._folder(stage.name)
        first = ranks.rank() == 0
        record = begun = None
        if first:
            record = StageFolder(folder, stage.inputs())
            begun = record.begin(goes_on=stage.trains)
        ranks.barrier()
        done = is_done(folder)
        ranks.barrier()
        if not done and (first or stage.trains):
            stage.make(folder)
        ranks.barrier()
        if record is not None and begun is not None:
            if not done:
                record.finish(stage.products(folder))
            self._watch.stage(stage.name, begun)
        ranks.barrier()

    def _training(
        self,
        name: str,
        before: Mapping[str, Path],
        make: Callable[[Path, TrainConfig, TrainingData, Report], object],
        more: Mapping[str, Any] | None = None,
    ) -> _Stage:
        """
        Return a stage that trains.

        :param before: the runs that it starts from, by what they are to it
        :param more: other inputs
        """
        config: TrainConfig = getattr(self._config, name)

        def run(folder: Path) -> None:
            with self._watch.training(folder, config) as report:
                bags = self._config.bags, self._config.val
                make(folder, config, read_data(*bags, config, self._reading), report)

        inputs = partial(self._inputs.training, name, before, more or {})
        return _Stage(name, inputs, run, run_files, trains=True)

    def _check_latency(self, _folder: Path) -> None:
        config = self._config
        progress = partial(self._watch.progress, 'measuring layers')
        check_budget(config.prune, config.budget, config.start_widths(), progress)

    def _train(
        self, folder: Path, config: TrainConfig, data: TrainingData, report: Report
    ) -> None:
        stages.train(config, data, folder, report, start=self._config.start_from)

    def _prune(
        self, folder: Path, config: TrainConfig, data: TrainingData, report: Report
    ) -> None:
        budget = self._config.budget
        if takes_table(config, budget):  # of this computer: the check may have been another's
            latency_bench(
                config, config.network, partial(self._watch.progress, 'measuring layers')
            )
        start = self._folder('train')
        last = stages.prune(config, data, folder, report, start=start, budget=budget)
        found = checkpoints.load(last).card['provenance'].get('latency')
        if found:
            Latency(**found).check()

    def _finetune(
        self, folder: Path, config: TrainConfig, data: TrainingData, report: Report
    ) -> None:
        start, teacher = self._folder('compact'), self._folder('train')
        stages.train(config, data, folder, report, start=start, teachers=[teacher])

    def _export_inputs(self) -> Inputs:
        runs = {name: run_digest(self._folder(name)) for name in ('finetune', 'train')}
        val = self._inputs.bags(self._config.val, 'val')
        return {'name': self._config.name, 'protocol': self._config.protocol, **runs, **val}

    def _export(self, _folder: Path) -> None:
        trained = [checkpoints.load(self._folder(name)) for name in ('finetune', 'train')]
        found = validated(trained, self._config.val, self._config.protocol, self._reading)
        for checkpoint, model in zip(found, self._models(), strict=False):
            export(checkpoint, model)

    def _quantize_inputs(self) -> Inputs:
        config = self._config
        about = config.quantize.model_dump() if config.quantize else {}
        bags = {**self._inputs.bags(config.bags), **self._inputs.bags(config.val, 'val')}
        return {'export': file_digest(self._models()[0]), **flat(about, 'quantize.'), **bags}

    def _quantize(self, _folder: Path) -> None:
        config, whole = self._config, self._models()[0]
        try:
            quantize(
                whole,
                self.model,
                bags=config.bags,
                val=config.val,
                max_loss=config.quantize.max_loss if config.quantize else 0.0,
                progress=self._watch.progress,
            )
        except ModelError as error:
            msg = f'{error}: {whole}, which is judged where quantize is not in the configuration'
            raise ModelError(msg) from error

    def _evaluate_inputs(self) -> Inputs:
        models = {path.name: file_digest(path) for path in self._models()}
        protocol = {'protocol': self._config.protocol}
        return {**models, **protocol, **self._inputs.bags(self._config.val, 'val')}

    def _evaluate(self, folder: Path) -> None:
        progress = partial(self._watch.progress, 'judging')
        judge_models(folder, self._models(), self._config.val, self._config.protocol, progress)

    def _evaluated(self, folder: Path) -> list[Path]:
        return [folder / name for name in FILES]

    def _models(self) -> list[Path]:
        """Return the model files: the small one, the dense one, and perhaps the int8 one."""
        name, exported = self._config.name, self._folder('export')
        models = [exported / f'{name}.onnx', exported / f'{name}_dense.onnx']
        if self._config.quantize is not None:
            models.append(self._folder('quantize') / f'{name}_int8.onnx')
        return models

    def _folder(self, stage: str) -> Path:
        return self._config.out / stage


def _reading(watch: Watch, name: str, frames: int) -> None:
    watch.progress(f'reading {name}', frames, 0)


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    """Keep a second process from making the same run; the processes of torchrun are one."""
    out.mkdir(parents=True, exist_ok=True)
    if ranks.rank():
        yield
        return
    with (out / '.lock').open('w') as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            msg = f'{out}: expected nobody else at this run, found another process; wait for it'
            raise ConfigError(msg) from error
        yield

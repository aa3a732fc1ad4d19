"""What each stage of a run depends on, under names that a user knows."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from depth_prune_ros.bags.bag_files import bag_name
from depth_prune_ros.bags.topics import named_topics
from depth_prune_ros.offline.cache import default_folder
from depth_prune_ros.offline.config import TrainConfig
from depth_prune_ros.offline.fingerprint import bag_digest
from depth_prune_ros.offline.run_config import RunConfig
from depth_prune_ros.offline.run_config import TRAININGS
from depth_prune_ros.offline.stage_folder import file_digest
from depth_prune_ros.offline.stage_folder import flat
from depth_prune_ros.offline.stage_folder import Inputs
from depth_prune_ros.offline.stage_folder import run_digest
from depth_prune_ros.offline.training_data import samples_of

# what a training's result does not depend on
_INDIFFERENT = {'tensorboard', 'cache', 'checkpoint_every', 'validate_every', 'protocol'}


class RunInputs:
    """The inputs of the stages of one run; bags are read once for all of them."""

    def __init__(self, config: RunConfig, reading: Callable[[str, int], None]) -> None:
        """
        Tell of a run.

        :param reading: called with a bag's name and its frames read so far, where it is decoded
        """
        self._config = config
        self._reading = reading
        self._digests: dict[Path, str] = {}

    def bags(self, bags: Sequence[Path], kind: str = 'bag') -> Inputs:
        """Return the digests of bags, in their order, and the topics that are named."""
        notes = Path(self._config.train.cache or default_folder()) / 'digests'
        for bag in bags:
            if bag not in self._digests:
                self._digests[bag] = bag_digest(bag, notes)
        found: Inputs = {f'{kind} {bag_name(bag)}': self._digests[bag] for bag in bags}
        found[f'order of {kind}s'] = [bag_name(bag) for bag in bags]
        return {**found, 'topics': topics} if (topics := named_topics()) else found

    def cache(self) -> Inputs:
        """Return what decoded frames depend on."""
        config = self._config
        options = {f'{name}.frames': _frames_of(getattr(config, name)) for name in TRAININGS}
        return {**options, **self.bags(config.bags)}

    def decode(self) -> None:
        """Decode the bags for every size that is trained at."""
        options = {_frames_of(config): config for config in self._trainings()}
        for config in options.values():
            for bag in self._config.bags:
                samples_of(bag, config, self._reading)

    def latency(self) -> Inputs:
        """Return what the check of a latency budget depends on."""
        config, start = self._config.prune, self._config.start_from
        own = {name: getattr(config, name) for name in ('network', 'height', 'width')}
        masks = flat(config.prune.model_dump(), 'prune.')
        begins = {} if start is None else {'start': run_digest(start)}
        return {'budget': self._config.budget, **own, **masks, **_files(config), **begins}

    def training(self, name: str, before: Mapping[str, Path], more: Mapping[str, Any]) -> Inputs:
        """
        Return what a training depends on.

        :param before: the runs that it starts from, by what they are to it
        :param more: other inputs
        """
        config: TrainConfig = getattr(self._config, name)
        unused = _INDIFFERENT | (set() if name == 'prune' else {'prune'})
        digests = {key: run_digest(run) for key, run in before.items()}
        own = flat(config.model_dump(exclude=unused), f'{name}.')
        files = {f'{name}.{key}': digest for key, digest in _files(config).items()}
        own |= {key: digest for key, digest in files.items() if key in own}
        # of the bags, and of the code that decodes them
        samples = [samples_of(bag, config, self._reading) for bag in self._config.bags]
        frames = {'frames': [found.fingerprint for found in samples]}
        return {**digests, **more, **own, **self.bags(self._config.bags), **frames}

    def _trainings(self) -> list[TrainConfig]:
        return [getattr(self._config, name) for name in TRAININGS]


def _files(config: TrainConfig) -> Inputs:
    """Return the digests of files that a configuration names: their paths say nothing."""
    named = {
        'imagenet_weights': config.imagenet_weights,
        'prune.latency_table': config.prune.latency_table,
    }
    return {key: file_digest(Path(path)) for key, path in named.items() if path}


def _frames_of(config: TrainConfig) -> tuple[int, int, float, str, bool]:
    """Return what a cache of decoded frames depends on."""
    hints = config.needs_hints
    return config.height, config.width, config.baseline_m, config.cache, hints

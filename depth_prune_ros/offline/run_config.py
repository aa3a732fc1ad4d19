"""What a whole run is told: one YAML file for all stages, checked before the first one starts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated
from typing import Any

from depth_prune_ros.core.errors import ConfigError
from depth_prune_ros.core.errors import DepthPruneError
from depth_prune_ros.core.metrics import protocol as find_protocol
from depth_prune_ros.offline import checkpoint as checkpoints
from depth_prune_ros.offline.config import Strict
from depth_prune_ros.offline.config import TrainConfig
from depth_prune_ros.offline.config_file import explain
from depth_prune_ros.offline.config_file import Key
from depth_prune_ros.offline.config_file import read_file
from depth_prune_ros.offline.cost import counts_latency
from depth_prune_ros.offline.cost import measures
from depth_prune_ros.offline.cost import parse_budget
from depth_prune_ros.offline.networks.catalogue import build
from depth_prune_ros.offline.stages import bag_name
from pydantic import AfterValidator
from pydantic import Field
from pydantic import field_validator
from pydantic import ValidationError
import torch

TRAININGS = ('train', 'prune', 'finetune')


def _is_there(bag: Path) -> Path:
    if not bag.exists():
        msg = 'Input should be a bag that is there'
        raise ValueError(msg)
    return bag


Bags = Annotated[list[Annotated[Path, AfterValidator(_is_there)]], Field(min_length=1)]


class QuantizeConfig(Strict):
    """The int8 model (offline.quantize)."""

    max_loss: float = Field(0.05, ge=0, description='how much AbsRel may grow, as a fraction')


class RunConfig(Strict):
    """
    A whole run: what it learns from, where it leaves what, and a section for each training.

    What ``common`` says holds for every training that does not say otherwise.
    """

    name: str = Field(pattern=r'^[\w.-]+$', description="the model's; its file is NAME.onnx")
    bags: Bags
    val: Bags
    out: Path
    budget: str = 'macs=0.2'
    start: str = Field('shipped', description='checkpoint to fine-tune; none: a new network')
    protocol: str = 'eigen'
    common: TrainConfig = TrainConfig()
    train: TrainConfig = TrainConfig()
    prune: TrainConfig = TrainConfig()
    finetune: TrainConfig = TrainConfig()
    quantize: QuantizeConfig | None = Field(None, description='left out: no int8 model')

    @field_validator('bags', 'val')
    @classmethod
    def _have_own_names(cls, bags: list[Path]) -> list[Path]:
        if len({bag_name(bag) for bag in bags}) < len(bags):
            msg = 'Input should be bags of different names'
            raise ValueError(msg)
        return bags

    @field_validator('protocol')
    @classmethod
    def _is_known(cls, name: str) -> str:
        try:
            return find_protocol(name).name
        except ConfigError as error:
            raise ValueError(str(error)) from error

    @property
    def start_from(self) -> Path | None:
        """Return the checkpoint that the first training starts from."""
        return None if self.start == 'none' else Path(self.start)


def read_run_config(path: Path) -> RunConfig:
    """
    Read the configuration of a run, and try all of it that can be tried beforehand.

    :raises ConfigError: a key or value that does not fit, with its line
    """
    file = read_file(path)
    _validated(file.values, path, file.lines)
    values, lines = _with_common(file.values, file.lines)
    config = _validated(values, path, lines)
    for key, check in (('start', _check_start), ('budget', _check_budget)):
        try:
            check(config)
        except DepthPruneError as error:
            where = f'{path}:{lines[(key,)]}' if (key,) in lines else f'{path}'
            msg = f'{where}: {key}: {error}'
            raise ConfigError(msg) from error
    return config


def _validated(values: Mapping[str, Any], path: Path, lines: Mapping[Key, int]) -> RunConfig:
    try:
        return RunConfig.model_validate(values)
    except ValidationError as error:
        raise ConfigError(explain(error, RunConfig, path, lines)) from error


def _with_common(
    values: Mapping[str, Any], lines: Mapping[Key, int]
) -> tuple[dict[str, Any], dict[Key, int]]:
    """Write the common values into every training, with the lines they come from."""
    common = values.get('common') or {}
    merged = {**values, **{name: _over(values.get(name) or {}, common) for name in TRAININGS}}
    shared = {key[1:]: line for key, line in lines.items() if key[0] == 'common' and key[1:]}
    found = {(name, *key): line for name in TRAININGS for key, line in shared.items()}
    return merged, {**found, **lines}


def _over(own: Mapping[str, Any], common: Mapping[str, Any]) -> dict[str, Any]:
    """Lay a section's own values over the common ones, section by section within."""
    merged = {**common, **own}
    for key in common.keys() & own.keys():
        # shares are a value of their own: a rest of other shares would not sum up
        if isinstance(own[key], dict) and isinstance(common[key], dict) and key != 'shares':
            merged[key] = _over(own[key], common[key])
    return merged


def _check_start(config: RunConfig) -> None:
    wanted = config.common.network
    for name in TRAININGS:
        if getattr(config, name).network != wanted:
            msg = f'expected the network of common ({wanted}) in {name}, found another'
            raise ConfigError(msg)
    if config.start_from is None:
        return
    found = checkpoints.load(config.start_from)
    if found.network != wanted:
        msg = f'expected a checkpoint of {wanted}, found one of {found.network}; or write: none'
        raise ConfigError(msg)


def _check_budget(config: RunConfig) -> None:
    if counts_latency(config.budget):
        return
    with torch.device('meta'):
        network = build(config.prune.network)
    known = measures(network.layers, config.prune.height * config.prune.width)
    parse_budget(config.budget, known, network.widths)

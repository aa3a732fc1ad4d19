"""What a whole run is told: one YAML file for all stages, checked before the first one starts."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Annotated
from typing import Any

from depth_prune_ros.bags.bag_files import bag_name
from depth_prune_ros.bags.topics import find_topics
from depth_prune_ros.core.errors import ConfigError
from depth_prune_ros.core.errors import DepthPruneError
from depth_prune_ros.core.metrics import protocol as find_protocol
from depth_prune_ros.offline import checkpoint as checkpoints
from depth_prune_ros.offline.budget import check_budget
from depth_prune_ros.offline.budget import takes_table
from depth_prune_ros.offline.config import check_together
from depth_prune_ros.offline.config import ProtocolName
from depth_prune_ros.offline.config import Strict
from depth_prune_ros.offline.config import TrainConfig
from depth_prune_ros.offline.config_file import explain
from depth_prune_ros.offline.config_file import Key
from depth_prune_ros.offline.config_file import read_file
from depth_prune_ros.offline.dataset import share_patterns
from depth_prune_ros.offline.latency_table import key as table_key
from depth_prune_ros.offline.latency_table import load_table
from depth_prune_ros.offline.networks.catalogue import imagenet_file
from depth_prune_ros.offline.networks.catalogue import NETWORKS
from depth_prune_ros.offline.networks.mobilenet import MobileNetDepth
from pydantic import AfterValidator
from pydantic import Field
from pydantic import field_validator
from pydantic import ValidationError

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
    bags: Bags = Field(description='to learn from')
    val: Bags = Field(description='to be judged on; they need measured depth')
    out: Path = Field(description='folder for all stages')
    budget: str = Field('macs=0.2', description='what may stay: params, macs, latency, none')
    start: str = Field('shipped', description='checkpoint to fine-tune; none: a new network')
    protocol: ProtocolName = Field('eigen', description="of all stages; plain: a robot's own bags")
    common: TrainConfig = Field(TrainConfig(), description='settings of all three trainings')
    train: TrainConfig = Field(TrainConfig(), description='settings of the dense training')
    prune: TrainConfig = Field(TrainConfig(), description='settings of the masks')
    finetune: TrainConfig = Field(TrainConfig(), description='settings of the compact training')
    quantize: QuantizeConfig | None = Field(None, description='left out: no int8 model')

    @field_validator('bags', 'val')
    @classmethod
    def _have_own_names(cls, bags: list[Path]) -> list[Path]:
        if len({bag_name(bag) for bag in bags}) < len(bags):
            msg = 'Input should be bags of different names'
            raise ValueError(msg)
        return bags

    @property
    def start_from(self) -> Path | None:
        """Return the checkpoint that the first training starts from."""
        return None if self.start == 'none' else Path(self.start)

    def start_widths(self) -> dict[str, int] | None:
        """Return the widths of the network that is trained and pruned; None: the dense ones."""
        start = self.start_from
        return None if start is None else checkpoints.load(start).widths


def read_run_config(path: Path) -> RunConfig:
    """
    Read the configuration of a run, and try all of it that can be tried beforehand.

    :raises ConfigError: a key or value that does not fit, with its line
    """
    file = read_file(path)
    _validated(file.values, path, file.lines)
    values, lines = _with_common(file.values, file.lines)
    config = _validated(values, path, lines)
    for name in TRAININGS:
        together = getattr(config, name), path, lines, (name,)
        check_together(*together, prunes=name == 'prune')
    for key, check in _checks():
        try:
            check(config)
        except DepthPruneError as error:
            known = (key[:n] for n in range(len(key), 0, -1) if key[:n] in lines)
            line = next((f':{lines[found]}' for found in known), '')
            msg = f'{path}{line}: {".".join(key)}: {error}'
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
    """Write the common values, and the protocol, into every training, with their lines."""
    common = {'protocol': values.get('protocol', 'eigen'), **(values.get('common') or {})}
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


def _checks() -> Iterator[tuple[Key, Callable[[RunConfig], None]]]:
    """Yield what is tried before a run starts, and the key at fault where it fails."""
    yield ('start',), _check_start
    yield ('protocol',), _check_protocol
    yield ('train', 'imagenet_weights'), _check_imagenet
    for name in TRAININGS:
        yield (name, 'baseline_m'), partial(_check_baseline, name)
        yield (name, 'shares'), partial(_check_shares, name)
    yield ('prune', 'prune', 'latency_table'), _check_table
    yield ('budget',), _check_budget


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


def _check_protocol(config: RunConfig) -> None:
    if find_protocol(config.protocol).needs_disparity:
        for bag in config.val:
            if find_topics(bag).right is None:
                msg = f'expected a stereo pair in {bag}, found one camera; take another protocol'
                raise ConfigError(msg)


def _check_imagenet(config: RunConfig) -> None:
    train = config.train
    takes_imagenet = issubclass(NETWORKS[train.network], MobileNetDepth)
    begins = config.start_from is None and train.imagenet and takes_imagenet
    if begins or train.imagenet_weights:
        imagenet_file(train.imagenet_weights)


def _check_baseline(name: str, config: RunConfig) -> None:
    wanted, found = config.train.baseline_m, getattr(config, name).baseline_m
    if found != wanted:
        msg = f'expected one baseline for all trainings ({wanted} m in train), found {found} m'
        raise ConfigError(msg)


def _check_shares(name: str, config: RunConfig) -> None:
    share_patterns(map(bag_name, config.bags), getattr(config, name).shares)


def _check_table(config: RunConfig) -> None:
    section = config.prune.prune
    if section.latency_table:
        size = config.prune.height, config.prune.width
        wanted = table_key(config.prune.network, size, section.threads)
        load_table(Path(section.latency_table), wanted)


def _check_budget(config: RunConfig) -> None:
    """Price the budget; one that takes a table that is still to be made, when the run begins."""
    prune = config.prune
    if prune.prune.latency_table or not takes_table(prune, config.budget):
        check_budget(prune, config.budget, config.start_widths())

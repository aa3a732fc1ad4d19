"""What a training can be told: one YAML file, checked before anything starts."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated
from typing import Any
from typing import Literal

from depth_prune_ros.core.errors import ConfigError
from depth_prune_ros.core.metrics import protocol as find_protocol
from depth_prune_ros.core.metrics import PROTOCOLS
from depth_prune_ros.offline.config_file import ConfigFile
from depth_prune_ros.offline.config_file import explain
from depth_prune_ros.offline.config_file import Key
from depth_prune_ros.offline.config_file import read_file
from depth_prune_ros.offline.config_file import where
from depth_prune_ros.offline.networks.catalogue import NETWORKS
from pydantic import AfterValidator
from pydantic import BaseModel
from pydantic import BeforeValidator
from pydantic import ConfigDict
from pydantic import Field
from pydantic import field_validator
from pydantic import ValidationError
from pydantic import ValidationInfo

# what torch and numpy count and seed with
_COUNTABLE = 2**31


def _no_switch(value: object) -> object:
    if isinstance(value, bool):
        msg = 'Input should be a number'
        raise ValueError(msg)
    return value


class Strict(BaseModel):
    """A section that takes the keys it knows, no others, and finite numbers for numbers."""

    model_config = ConfigDict(extra='forbid', frozen=True, allow_inf_nan=False)

    @field_validator('*', mode='before')
    @classmethod
    def _is_no_switch(cls, value: object, info: ValidationInfo) -> object:
        number = cls.model_fields[info.field_name or ''].annotation in (int, float)
        return _no_switch(value) if number else value


def _known_protocol(name: str) -> str:
    try:
        return find_protocol(name).name
    except ConfigError as error:
        msg = f'Input should be one of {", ".join(PROTOCOLS)}'
        raise ValueError(msg) from error


ProtocolName = Annotated[str, AfterValidator(_known_protocol)]
Share = Annotated[float, BeforeValidator(_no_switch), Field(gt=0, le=1)]


class LossConfig(Strict):
    """Weights of the loss terms, and what they teach (offline.losses)."""

    photometric: float = Field(1.0, ge=0, description='stereo: each view drawn from the other')
    smoothness: float = Field(0.1, ge=0, description='stereo: disparity changes where images do')
    consistency: float = Field(1.0, ge=0, description='stereo: the two disparities agree')
    depth: float = Field(1.0, ge=0, description='log depth that a lidar or depth camera measured')
    hints: float = Field(0.0, ge=0, description='stereo: disparity found by matching the views')
    edges: float = Field(0.0, ge=0, description='of the hints: where they change, and how much')
    jumps: float = Field(0.0, ge=0, description='of the hints: where they jump, by themselves')
    sky: float = Field(0.0, ge=0, description='far where bright and plain at the top: outdoors')
    distillation: float = Field(1.0, ge=0, description='where a teacher is given')
    sharpen: bool = Field(
        False, description='only the left view; no teacher where a hint contradicts it'
    )


class AugmentConfig(Strict):
    """Random changes to a training frame, the same for both views."""

    flip: float = Field(0.5, ge=0, le=1, description='probability; swaps the views')
    colour: float = Field(0.5, ge=0, le=1, description='probability of gamma, brightness, tint')
    grey: float = Field(0.1, ge=0, le=1, description='probability')
    blur: float = Field(0.2, ge=0, le=1, description='probability of a lens out of focus')
    noise: float = Field(0.2, ge=0, le=1, description='probability of sensor noise')
    paint: float = Field(0.0, ge=0, le=1, description='probability; lines on the ground (stereo)')
    crop: float = Field(0.4, gt=0, le=1, description='smallest side of the crop; 1 = none')
    whole: float = Field(0.5, ge=0, le=1, description='probability of the whole height')
    narrow: float = Field(
        1.0,
        gt=0,
        le=1,
        description='half of the samples keep this share of their width or more',
    )


class PruneConfig(Strict):
    """How masks are learned under pressure (offline.masks)."""

    ramp: float = Field(0.75, gt=0, le=1, description='share of the steps to reach the budget')
    every: int = Field(5, ge=1, description='steps between two choices of filters')
    warmup: int = Field(40, ge=0, description='steps that only observe')
    memory: int = Field(60, ge=1, description='steps a score remembers')
    curvature: float = Field(1000.0, ge=0, description='weight of the second-order term')
    margin: float = Field(0.2, ge=0, description='advantage of a filter that is in')
    saturation: float = Field(1.0, ge=0, description='filters of narrow groups are worth more')
    floor: float = Field(0.1, ge=0, le=1, description='smallest share of a group')
    floor_filters: int = Field(4, ge=1, description='smallest number of filters of a group')
    multiple: int = Field(1, ge=1, description='widths come in multiples of it')
    threads: int = Field(
        2, ge=0, le=64, description='of one inference, for a latency; 0: all cores'
    )
    latency_table: str = Field('', description='file of a latency table; empty: made and kept')
    form: Literal['budget', 'params', 'macs', 'latency', 'paper'] = Field(
        'budget', description='what a filter costs: in the measure of the budget, or in another'
    )


class TrainConfig(Strict):
    """Everything a training needs besides its bags."""

    network: str = Field('mobilenet_subpixel', description='one of those in README.md')
    imagenet: bool = Field(True, description='start the encoder from ImageNet weights')
    imagenet_weights: str = Field('', description='their file; empty: the installed package')
    height: int = Field(192, ge=32, description="of the network's image; images are stretched")
    width: int = Field(640, ge=32, description='both in multiples of 32 (most networks)')
    baseline_m: float = Field(0.54, gt=0, description='baseline the disparity refers to, metres')
    steps: int = Field(1000, ge=1, lt=_COUNTABLE, description='batches to learn from')
    batch: int = Field(8, ge=1, lt=_COUNTABLE, description='frames a step')
    hold_encoder: bool = Field(False, description='train the decoder alone')
    learning_rate: float = Field(3e-4, gt=0, description='of AdamW, at its highest')
    final_rate: float = Field(0.0, ge=0, le=1, description='of learning_rate, at the last step')
    weight_decay: float = Field(1e-2, ge=0, description='of AdamW')
    average: float = Field(
        0.0,
        ge=0,
        lt=1,
        description='decay of a moving average of the weights, which is then what is judged and '
        'kept; 0: none; none while masks are learned',
    )
    gradient_norm: float = Field(1.0, gt=0, description='gradients are clipped to it')
    explosion: float = Field(20.0, gt=1, description='loss over its mean that stops the training')
    bf16: bool | Literal['auto'] = Field('auto', description='auto: where it is faster')
    channels_last: bool | Literal['auto'] = Field('auto', description='auto: where it is faster')
    seed: int = Field(0, ge=0, lt=_COUNTABLE, description='of batches, changes and new weights')
    checkpoint_every: int = Field(100, ge=1, lt=_COUNTABLE, description='steps')
    validate_every: int = Field(200, ge=1, lt=_COUNTABLE, description='steps')
    protocol: ProtocolName = Field('eigen', description='of validation; plain: whole images')
    shares: dict[str, Share] = Field(
        default_factory=dict, description='bag name (street*) -> share of the samples'
    )
    tensorboard: bool = Field(True, description='event files in the run, where it is installed')
    cache: str = Field('', description="folder of decoded frames; empty: in the user's cache")
    licence: str = Field('as the bags it was trained on', description='goes into the card')
    losses: LossConfig = LossConfig()
    augment: AugmentConfig = AugmentConfig()
    prune: PruneConfig = PruneConfig()

    @property
    def needs_hints(self) -> bool:
        """Whether the two views of a frame are matched."""
        losses = self.losses
        return any((losses.hints, losses.edges, losses.jumps, losses.sky, self.augment.paint))

    @property
    def ways(self) -> dict[str, bool]:
        """Return what of a step's speed is configured, and not chosen by the clock."""
        ways = {'bf16': self.bf16, 'channels_last': self.channels_last}
        return {name: way for name, way in ways.items() if way != 'auto'}

    @field_validator('network')
    @classmethod
    def _is_known(cls, name: str) -> str:
        if name not in NETWORKS:
            nearest = get_close_matches(name, NETWORKS, 1, 0.0)[0]
            msg = f'Input should be one of {", ".join(NETWORKS)}; nearest: {nearest}'
            raise ValueError(msg)
        return name

    @field_validator('height', 'width')
    @classmethod
    def _is_multiple(cls, side: int, info: ValidationInfo) -> int:
        network = NETWORKS.get(info.data.get('network', ''))
        if network is not None and side % network.multiple:
            msg = f'Input should be a multiple of {network.multiple} for {network.name}'
            raise ValueError(msg)
        return side

    @field_validator('shares')
    @classmethod
    def _is_a_whole(cls, shares: dict[str, float]) -> dict[str, float]:
        if sum(shares.values()) > 1 + 1e-9:
            msg = 'Input should sum to 1 at most'
            raise ValueError(msg)
        return shares


def read_config(path: Path | None, prune: Mapping[str, Any] | None = None) -> TrainConfig:
    """
    Read a YAML file; None gives the defaults.

    :param prune: values of the prune section that stand above the file's; None leaves one alone,
        and None in all is a training without masks
    :raises ConfigError: no such file, not YAML, or a key or value that does not fit
    """
    file = ConfigFile({}, {}) if path is None else read_file(path)
    values = dict(file.values)
    changes = {key: value for key, value in (prune or {}).items() if value is not None}
    section = values.get('prune') or {}
    if changes and isinstance(section, dict):
        values['prune'] = {**section, **changes}
    own: dict[Key, int] = {('prune', key): 0 for key in changes}
    lines = {**file.lines, **own}
    try:
        config = TrainConfig.model_validate(values)
    except ValidationError as error:
        raise ConfigError(explain(error, TrainConfig, path, lines)) from error
    written = config.prune.model_fields_set & {'ramp', 'warmup'}
    check_together(config, path, lines, prunes=prune is not None or bool(written))
    return config


def check_together(
    config: TrainConfig,
    path: Path | None,
    lines: Mapping[Key, int],
    above: Key = (),
    *,
    prunes: bool,
) -> None:
    """
    Refuse values that are possible one by one, but not together.

    :param above: the section of the file that they stand in
    :param prunes: whether the masks' schedule is one of them
    :raises ConfigError: nothing that teaches, or a ramp that ends before the warm-up
    """
    losses, prune, name = config.losses, config.prune, '.'.join
    if not (losses.photometric or losses.depth or losses.hints):
        keys = [(*above, 'losses', key) for key in ('photometric', 'depth')]
        at = where(path, lines, *keys)
        msg = f'{at}{name(keys[0])}: expected it, depth or hints above 0, found 0 in all'
        raise ConfigError(msg)
    end = min(config.steps - 1, round(config.steps * prune.ramp))
    if prunes and end < prune.warmup:
        keys = [(*above, *key) for key in (('prune', 'warmup'), ('prune', 'ramp'), ('steps',))]
        at = where(path, lines, *keys)
        msg = (
            f'{at}{name(keys[0])}: expected at most {end} steps, where the ramp ends (prune.ramp '
            f'of {config.steps} steps), found {prune.warmup}'
        )
        raise ConfigError(msg)

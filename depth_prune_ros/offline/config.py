"""What a training can be told: one YAML file, checked before anything starts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated
from typing import Any
from typing import Literal

from depth_prune_ros.core.errors import ConfigError
from pydantic import BaseModel
from pydantic import ConfigDict
from pydantic import Field
from pydantic import ValidationError
import yaml


class _Strict(BaseModel):
    model_config = ConfigDict(extra='forbid', frozen=True)


class LossConfig(_Strict):
    """Weights of the loss terms (offline.losses)."""

    photometric: float = Field(1.0, ge=0)
    smoothness: float = Field(0.1, ge=0)
    consistency: float = Field(1.0, ge=0)
    depth: float = Field(1.0, ge=0)
    distillation: float = Field(1.0, ge=0, description='where a teacher is given')


class AugmentConfig(_Strict):
    """Random changes to a training frame, the same for both views."""

    flip: float = Field(0.5, ge=0, le=1, description='probability; swaps the views')
    colour: float = Field(0.5, ge=0, le=1, description='probability of gamma, brightness, tint')
    grey: float = Field(0.1, ge=0, le=1, description='probability')
    crop: float = Field(0.75, gt=0, le=1, description='smallest side of the crop; 1 = none')


class PruneConfig(_Strict):
    """How masks are learned under pressure (offline.masks)."""

    ramp: float = Field(0.75, gt=0, le=1, description='share of the steps to reach the budget')
    every: int = Field(5, ge=1, description='steps between two choices of filters')
    warmup: int = Field(40, ge=0, description='steps that only observe')
    memory: int = Field(60, ge=1, description='steps a score remembers')
    curvature: float = Field(30.0, ge=0, description='weight of the second-order term')
    margin: float = Field(0.2, ge=0, description='advantage of a filter that is in')
    floor: float = Field(0.1, ge=0, le=1, description='smallest share of a group')
    floor_filters: int = Field(4, ge=1, description='smallest number of filters of a group')
    multiple: int = Field(1, ge=1, description='widths come in multiples of it')
    threads: int = Field(2, ge=0, description='of one inference, for a latency; 0: all cores')
    latency_table: str = Field('', description='file of a latency table; empty: made and kept')
    form: Literal['budget', 'params', 'macs', 'latency', 'paper'] = Field(
        'budget', description='what a filter costs: in the measure of the budget, or in another'
    )


class TrainConfig(_Strict):
    """Everything a training needs besides its bags."""

    network: str = 'mobilenet'
    imagenet: bool = Field(True, description='start the encoder from ImageNet weights')
    imagenet_weights: str = ''
    height: int = Field(192, ge=32)
    width: int = Field(640, ge=32)
    baseline_m: float = Field(0.54, gt=0, description='baseline the disparity refers to')
    steps: int = Field(1000, ge=1)
    batch: int = Field(8, ge=1)
    learning_rate: float = Field(3e-4, gt=0)
    weight_decay: float = Field(1e-2, ge=0)
    gradient_norm: float = Field(1.0, gt=0)
    explosion: float = Field(20.0, gt=1, description='loss over its mean that stops the training')
    bf16: bool | Literal['auto'] = Field('auto', description='auto: where it is faster')
    seed: int = Field(0, ge=0)
    checkpoint_every: int = Field(100, ge=1)
    validate_every: int = Field(200, ge=1)
    shares: dict[str, Annotated[float, Field(gt=0, le=1)]] = Field(
        default_factory=dict, description='bag name (street*) -> share of the samples'
    )
    cache: str = Field('', description="folder of decoded frames; empty: in the user's cache")
    licence: str = Field('as the bags it was trained on', description='goes into the card')
    losses: LossConfig = LossConfig()
    augment: AugmentConfig = AugmentConfig()
    prune: PruneConfig = PruneConfig()


def read_config(path: Path | None, prune: Mapping[str, Any] | None = None) -> TrainConfig:
    """
    Read a YAML file; None gives the defaults.

    :param prune: values of the prune section that stand above the file's; None leaves one alone
    :raises ConfigError: no such file, not YAML, or a key or value that does not fit
    """
    values = {} if path is None else _read_yaml(path)
    changes = {key: value for key, value in (prune or {}).items() if value is not None}
    section = values.get('prune') or {}
    if changes and isinstance(section, dict):
        values['prune'] = {**section, **changes}
    try:
        return TrainConfig.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        key = '.'.join(map(str, first['loc']))
        msg = f'{path or "options"}: {key}: {first["msg"]}, found {first["input"]!r}'
        raise ConfigError(msg) from error


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        values = yaml.safe_load(path.read_text()) or {}
    except OSError as error:
        msg = f'{path}: expected a configuration file, found: {error.strerror}'
        raise ConfigError(msg) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        msg = f'{path}: expected YAML, found: {" ".join(str(error).split())}'
        raise ConfigError(msg) from error
    if not isinstance(values, dict):
        msg = f'{path}: expected keys and values, found {values!r}'
        raise ConfigError(msg)
    return values

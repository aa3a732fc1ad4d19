"""The model card: everything a reader of a model file must know, as JSON inside the file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from dataclasses import dataclass
from dataclasses import field
from dataclasses import fields
import json
from typing import Any

from depth_prune_ros.core.errors import ModelError

METADATA_KEY = 'depth_prune_ros.card'
SCHEMA_VERSION = 1
DISPARITY_MEANING = 'left disparity as a fraction of the image width'


@dataclass(frozen=True)
class ModelCard:
    """
    What the network expects and means, where it comes from and how well it does.

    :param input_height: rows of the network's image
    :param input_width: columns of the network's image
    :param baseline_m: stereo baseline the disparity refers to, metres
    :param fx_over_width: focal length over width of the training camera: how large things are in
        the network's image (core.fit), and the depth's scale where the camera is unknown
    :param fy_over_height: the same over the height, of the image as it came; 0, as in older files:
        training showed images in their own proportions
    :param size_multiple: the network runs on images whose sides are multiples of it, too, and then
        means fractions of input_width; 0: on no other size than its own
    :param widths: filters of every group
    :param provenance: frames trained on, licence, configuration
    :param parity: largest differences measured (masked against compact, torch against ONNX)
    :param metrics: validation figures, one entry a drive
    """

    name: str
    network: str
    input_height: int
    input_width: int
    baseline_m: float
    fx_over_width: float
    parameters: int
    macs: int
    fy_over_height: float = 0.0
    size_multiple: int = 0
    widths: dict[str, int] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)
    parity: dict[str, float] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    colour: str = 'rgb'
    disparity: str = DISPARITY_MEANING
    schema_version: int = SCHEMA_VERSION

    def as_dict(self) -> dict[str, Any]:
        """Return the card as plain values, as in its JSON."""
        values: dict[str, Any] = json.loads(self.to_json())
        return values

    def to_json(self) -> str:
        """Return the card as JSON text."""
        return json.dumps(asdict(self), indent=1, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> ModelCard:
        """
        Read a card.

        :raises ModelError: not JSON, another schema version, a key missing or of a wrong type
        """
        try:
            values = json.loads(text)
        except json.JSONDecodeError as error:
            msg = f'expected a model card in JSON, found: {error}'
            raise ModelError(msg) from error
        if not isinstance(values, dict):
            msg = f'expected a model card (a JSON object), found {type(values).__name__}'
            raise ModelError(msg)
        version = values.get('schema_version')
        if version != SCHEMA_VERSION:
            msg = f'expected a model card of schema version {SCHEMA_VERSION}, found {version}'
            raise ModelError(msg)
        return cls(**_checked(values))


def judged_by(provenance: Mapping[str, Any]) -> str:
    """Return the name of the protocol behind a card's metrics; version 0.1 had one alone."""
    return str(provenance.get('protocol', 'eigen'))


# keys that files of version 0.1 do not have
_LATER = ('fy_over_height', 'size_multiple')
_TYPES: dict[str, type | tuple[type, ...]] = {
    'str': str,
    'int': int,
    'float': (int, float),
    'dict': dict,
    'tuple': list,
}


def _checked(values: dict[str, Any]) -> dict[str, Any]:
    """Keep the known keys, each of its declared type."""
    known: dict[str, Any] = {}
    for item in fields(ModelCard):
        if item.name in _LATER and item.name not in values:
            continue
        if item.name not in values:
            msg = f'expected key {item.name!r} in the model card, found none'
            raise ModelError(msg)
        value = values[item.name]
        wanted = _TYPES[str(item.type).split('[')[0]]
        if not isinstance(value, wanted) or isinstance(value, bool):
            msg = f'model card: expected {item.name} as {item.type}, found {value!r}'
            raise ModelError(msg)
        known[item.name] = tuple(value) if isinstance(value, list) else value
    return known

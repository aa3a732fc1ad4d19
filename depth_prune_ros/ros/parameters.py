"""The node's parameters: declared once, with unit and range, and read as one value."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Collection
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import Field
from dataclasses import field
from dataclasses import fields
from enum import Enum
from typing import Any

from depth_prune_ros.core.errors import ConfigError
from depth_prune_ros.core.session import AUTO
from depth_prune_ros.core.session import PROVIDERS
from rcl_interfaces.msg import FloatingPointRange
from rcl_interfaces.msg import IntegerRange
from rcl_interfaces.msg import ParameterDescriptor
from rcl_interfaces.msg import SetParametersResult
from rclpy.exceptions import InvalidParameterValueException
from rclpy.node import Node
from rclpy.parameter import Parameter


class When(Enum):
    """When a parameter may be changed."""

    NEVER = 'Fixed at start.'
    INACTIVE = 'While the node is not active; counts from the next activation.'
    ANY = 'At any time.'


def _parameter(
    default: Any,
    text: str,
    allowed: tuple[str, ...] | tuple[float, float] | None = None,
    when: When = When.ANY,
) -> Any:
    """Declare a parameter; allowed are its words, or its smallest and its largest value."""
    return field(default=default, metadata={'text': text, 'allowed': allowed, 'when': when})


@dataclass(frozen=True)
class DepthParameters:
    """The parameters of the depth node; the defaults here are the node's."""

    model: str = _parameter(
        '',
        'Model file (ONNX with its card), or the name of a shipped one; empty: depth_small.',
        when=When.INACTIVE,
    )
    model_sha256: str = _parameter(
        '', 'SHA-256 the model file must have (hex); empty: any.', when=When.INACTIVE
    )
    provider: str = _parameter(
        AUTO,
        f'What runs the network; auto: the first of {", ".join(PROVIDERS)} that works.',
        (AUTO, *PROVIDERS),
        When.INACTIVE,
    )
    threads: int = _parameter(
        0, 'Threads of one inference on the cpu; 0: onnxruntime decides.', (0, 64), When.INACTIVE
    )
    image_transport: str = _parameter(
        'raw',
        'What the topic image carries: raw (Image) or compressed (CompressedImage, jpeg or png).',
        ('raw', 'compressed'),
        When.NEVER,
    )
    fit: str = _parameter(
        'match',
        "How the network sees the image: match its proportions and the training camera's focal "
        'length, stretch it to the size of training, or crop its centre to that.',
        ('match', 'stretch', 'crop'),
    )
    rectify: bool = _parameter(
        False, 'Bring the image from the raw to the rectified camera of camera_info first.'
    )
    depth_encoding: str = _parameter(
        '32FC1',
        '32FC1 (metres, NaN = none) or 16UC1 (millimetres, 0 = none).',
        ('32FC1', '16UC1'),
    )
    output_size: str = _parameter(
        'network',
        'Size of what is published: the size of the network, or of the input image.',
        ('network', 'input'),
    )
    max_depth: float = _parameter(80.0, 'Farthest valid depth in metres.', (0.0, 1000.0))
    min_depth: float = _parameter(0.1, 'Nearest valid depth in metres.', (0.0, 1000.0))
    points_fields: str = _parameter(
        'xyz', 'What a point has: xyz, or xyzrgb with its colour.', ('xyz', 'xyzrgb')
    )
    points_stride: int = _parameter(
        2, 'Takes every so many-th pixel of every so many-th row for points.', (1, 64)
    )
    points_max_range: float = _parameter(
        30.0, 'Farthest point in metres from the camera.', (0.0, 1000.0)
    )
    rate_limit: float = _parameter(
        0.0, 'Most images a second that are worked on; 0: all.', (0.0, 1000.0)
    )
    max_age: float = _parameter(
        0.0,
        'Older images, in seconds by the clock of the node, are dropped; 0: no limit.',
        (0.0, 3600.0),
    )
    autostart: bool = _parameter(True, 'Configure and activate at start.', when=When.NEVER)

    @property
    def of_the_model(self) -> tuple[Any, ...]:
        """Return what a loaded model depends on."""
        return (self.model, self.model_sha256, self.provider, self.threads)


def declare_parameters(
    node: Node, is_active: Callable[[], bool] = lambda: False
) -> dict[str, str]:
    """
    Declare every parameter on a node, with its descriptor.

    An integer is taken where a decimal number is wanted. An override of a wrong type or out of
    range is not taken: the node lives, and can say so.

    :param is_active: whether the node works, so that what belongs to the model cannot change
    :return: what is wrong with the overrides, by parameter
    """
    faults = {}
    for item in fields(DepthParameters):
        value = _override(node, item)
        try:
            node.declare_parameter(
                item.name, _typed(item, value), _descriptor(item), ignore_override=True
            )
        except (ConfigError, InvalidParameterValueException) as error:
            faults[item.name] = str(error)
            node.declare_parameter(
                item.name, item.default, _descriptor(item), ignore_override=True
            )
    node.add_on_set_parameters_callback(lambda changes: _check_changes(node, changes, is_active))
    return faults


def read_parameters(node: Node) -> DepthParameters:
    """
    Read the declared parameters.

    :raises ConfigError: a word that is none of those allowed, or min_depth not below max_depth
    """
    parameters = _read(node, {})
    _check(parameters, [item.name for item in fields(DepthParameters)])
    return parameters


def _override(node: Node, item: Field[Any]) -> Any:
    """Return a parameter's override of whatever type; its default without one."""
    # a node may be told to declare its overrides by itself
    if not node.has_parameter(item.name):
        anything = ParameterDescriptor(dynamic_typing=True)
        node.declare_parameter(item.name, item.default, anything)
    value = node.get_parameter(item.name).value
    node.undeclare_parameter(item.name)
    return value


def _typed(item: Field[Any], value: Any) -> Any:
    """
    Return the value in the parameter's type.

    :raises ConfigError: it is of another one
    """
    wanted = type(item.default)
    if wanted is float and type(value) is int:
        return float(value)
    if type(value) is not wanted:
        msg = f'parameter {item.name}: expected type {wanted.__name__}, found {value!r}'
        raise ConfigError(msg)
    return value


def _read(node: Node, changes: Mapping[str, Any]) -> DepthParameters:
    names = [item.name for item in fields(DepthParameters)]
    values = {name: node.get_parameter(name).value for name in names} | dict(changes)
    return DepthParameters(**values)


def _check(parameters: DepthParameters, names: Collection[str]) -> None:
    """
    Check some of the parameters.

    :raises ConfigError: as :func:`read_parameters`
    """
    for item in fields(DepthParameters):
        allowed, value = item.metadata['allowed'], getattr(parameters, item.name)
        words = allowed if isinstance(item.default, str) else None
        if item.name in names and words and value not in words:
            msg = f'parameter {item.name}: expected {" or ".join(words)}, found {value!r}'
            raise ConfigError(msg)
    low, high = parameters.min_depth, parameters.max_depth
    if {'min_depth', 'max_depth'} & set(names) and not low < high:
        msg = (
            'parameters min_depth, max_depth: expected min_depth below max_depth, found '
            f'{low} and {high} m'
        )
        raise ConfigError(msg)


def _check_changes(
    node: Node, changes: list[Parameter], is_active: Callable[[], bool]
) -> SetParametersResult:
    """
    Refuse changes that would not work, or not now; ranges and types are rclpy's own checks.

    What does not change is not looked at: several wrong parameters are put right one by one.
    """
    known = {item.name: item for item in fields(DepthParameters)}
    new = {change.name: change.value for change in changes if change.name in known}
    try:
        _check(_read(node, new), new)
        late = [
            name
            for name in new
            if known[name].metadata['when'] is When.INACTIVE
            and new[name] != node.get_parameter(name).value
        ]
        if late and is_active():
            msg = f'parameter {late[0]}: expected an inactive node, found it active; deactivate it'
            raise ConfigError(msg)
    except ConfigError as error:
        return SetParametersResult(successful=False, reason=str(error))
    return SetParametersResult(successful=True)


def _descriptor(item: Field[Any]) -> ParameterDescriptor:
    """Make a parameter's descriptor from its declaration."""
    allowed, when = item.metadata['allowed'], item.metadata['when']
    descriptor = ParameterDescriptor(
        description=f'{item.metadata["text"]} {when.value}', read_only=when is When.NEVER
    )
    if isinstance(item.default, str) and allowed:
        descriptor.additional_constraints = f'One of: {", ".join(allowed)}'
    elif allowed and isinstance(item.default, float):
        low, high = allowed
        descriptor.floating_point_range = [FloatingPointRange(from_value=low, to_value=high)]
    elif allowed:
        low, high = allowed
        descriptor.integer_range = [IntegerRange(from_value=low, to_value=high, step=1)]
    return descriptor

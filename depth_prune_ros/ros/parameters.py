"""The node's parameters: declared once, with unit and range, and read as one value."""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import fields

from depth_prune_ros.core.errors import ConfigError
from rcl_interfaces.msg import FloatingPointRange
from rcl_interfaces.msg import IntegerRange
from rcl_interfaces.msg import ParameterDescriptor
from rcl_interfaces.msg import SetParametersResult
from rclpy.node import Node
from rclpy.parameter import Parameter

IMAGE_TRANSPORTS = ('raw', 'compressed')
DEPTH_ENCODINGS = ('32FC1', '16UC1')
LARGEST_DEPTH_M = 1000.0
MOST_THREADS = 64


@dataclass(frozen=True)
class DepthParameters:
    """
    The parameters of the depth node; the defaults here are the node's.

    :param model: model file (ONNX); empty takes the one the package ships
    :param model_sha256: hex digest the file must have; empty accepts any
    :param image_transport: what `image` carries: raw (Image) or compressed (CompressedImage)
    :param depth_encoding: 32FC1 (metres, NaN = none) or 16UC1 (millimetres, 0 = none)
    :param max_depth: metres; farther becomes invalid
    :param min_depth: metres; nearer becomes invalid
    :param threads: threads of one inference; 0 leaves it to onnxruntime
    :param autostart: configure and activate at start
    """

    model: str = ''
    model_sha256: str = ''
    image_transport: str = 'raw'
    depth_encoding: str = '32FC1'
    max_depth: float = 80.0
    min_depth: float = 0.1
    threads: int = 0
    autostart: bool = True


def declare_parameters(node: Node) -> None:
    """Declare every parameter on a node, with its descriptor."""
    descriptors = _descriptors()
    for item in fields(DepthParameters):
        node.declare_parameter(item.name, item.default, descriptors[item.name])
    node.add_on_set_parameters_callback(lambda changes: _check_changes(node, changes))


def read_parameters(node: Node) -> DepthParameters:
    """
    Read the declared parameters.

    :raises ConfigError: a word that is none of those allowed, or min_depth not below max_depth
    """
    values = {item.name: node.get_parameter(item.name).value for item in fields(DepthParameters)}
    parameters = DepthParameters(**values)
    _check_word('image_transport', parameters.image_transport, IMAGE_TRANSPORTS)
    _check_word('depth_encoding', parameters.depth_encoding, DEPTH_ENCODINGS)
    _check_limits(parameters.min_depth, parameters.max_depth)
    return parameters


def _check_word(name: str, found: str, allowed: tuple[str, ...]) -> None:
    if found not in allowed:
        msg = f'parameter {name}: expected {" or ".join(allowed)}, found {found!r}'
        raise ConfigError(msg)


def _check_limits(min_depth_m: float, max_depth_m: float) -> None:
    if not min_depth_m < max_depth_m:
        msg = (
            f'parameters min_depth, max_depth: expected min_depth below max_depth, found '
            f'{min_depth_m} and {max_depth_m} m'
        )
        raise ConfigError(msg)


def _check_changes(node: Node, changes: list[Parameter]) -> SetParametersResult:
    """Refuse limits that cross; ranges and types are rclpy's own checks."""
    new = {change.name: change.value for change in changes}
    limits = [new.get(k, node.get_parameter(k).value) for k in ('min_depth', 'max_depth')]
    try:
        _check_limits(*limits)
    except ConfigError as error:
        return SetParametersResult(successful=False, reason=str(error))
    return SetParametersResult(successful=True)


def _descriptors() -> dict[str, ParameterDescriptor]:
    metres = [FloatingPointRange(from_value=0.0, to_value=LARGEST_DEPTH_M)]
    threads = [IntegerRange(from_value=0, to_value=MOST_THREADS, step=1)]
    fixed = {
        'model': 'Model file (ONNX with its card); empty: the shipped one.',
        'model_sha256': 'SHA-256 the model file must have (hex); empty: any.',
        'image_transport': 'What the topic image carries: raw or compressed.',
        'depth_encoding': '32FC1 (metres, NaN = none) or 16UC1 (millimetres, 0 = none).',
        'autostart': 'Configure and activate at start.',
    }
    descriptors = {
        name: ParameterDescriptor(description=text, read_only=True) for name, text in fixed.items()
    }
    descriptors['threads'] = ParameterDescriptor(
        description='Threads of one inference; 0: onnxruntime decides.',
        integer_range=threads,
        read_only=True,
    )
    descriptors['max_depth'] = ParameterDescriptor(
        description='Farthest valid depth in metres.', floating_point_range=metres
    )
    descriptors['min_depth'] = ParameterDescriptor(
        description='Nearest valid depth in metres.', floating_point_range=metres
    )
    return descriptors

"""The parameter file against the node's declarations."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from depth_prune_ros.core.errors import ConfigError
from depth_prune_ros.ros.context import free_domain
from depth_prune_ros.ros.context import ros_context
from depth_prune_ros.ros.parameters import declare_parameters
from depth_prune_ros.ros.parameters import DepthParameters
from depth_prune_ros.ros.parameters import read_parameters
import pytest
import rclpy
from rclpy.exceptions import InvalidParameterValueException
from rclpy.node import Node
from rclpy.parameter import Parameter
import yaml

FILE = Path(__file__).parents[2] / 'config' / 'depth.param.yaml'


@pytest.fixture
def node() -> Iterator[Node]:
    """Return a node with the parameters declared."""
    with ros_context(free_domain()) as context:
        node = rclpy.create_node('parameters', context=context)
        declare_parameters(node)
        yield node
        node.destroy_node()


def test_the_file_has_every_parameter_at_its_default() -> None:
    values = yaml.safe_load(FILE.read_text())['/**']['ros__parameters']
    assert values == asdict(DepthParameters())
    assert list(values) == list(asdict(DepthParameters()))


def test_every_parameter_is_described(node: Node) -> None:
    assert read_parameters(node) == DepthParameters()
    for name in asdict(DepthParameters()):
        assert node.describe_parameter(name).description.endswith('.'), name


def test_limits_can_be_moved_but_not_crossed(node: Node) -> None:
    assert node.set_parameters([Parameter('max_depth', value=20.0)])[0].successful
    assert read_parameters(node).max_depth == 20.0
    refused = node.set_parameters([Parameter('min_depth', value=30.0)])[0]
    assert not refused.successful
    assert 'expected min_depth below max_depth, found 30.0 and 20.0 m' in refused.reason


def test_ranges_and_fixed_parameters_are_kept(node: Node) -> None:
    assert not node.set_parameters([Parameter('max_depth', value=2000.0)])[0].successful
    assert not node.set_parameters([Parameter('threads', value=2)])[0].successful


def test_an_impossible_start_is_refused() -> None:
    with ros_context(free_domain()) as context:
        overrides = [Parameter('threads', value=65)]
        node = rclpy.create_node('bad', context=context, parameter_overrides=overrides)
        with pytest.raises(InvalidParameterValueException, match='threads'):
            declare_parameters(node)
        node.destroy_node()
        overrides = [Parameter('depth_encoding', value='64FC1')]
        node = rclpy.create_node('worse', context=context, parameter_overrides=overrides)
        declare_parameters(node)
        with pytest.raises(ConfigError, match="expected 32FC1 or 16UC1, found '64FC1'"):
            read_parameters(node)
        node.destroy_node()

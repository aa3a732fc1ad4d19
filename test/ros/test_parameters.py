"""The parameter file against the node's declarations."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from dataclasses import fields
from pathlib import Path
import re

from depth_prune_ros.core.errors import ConfigError
from depth_prune_ros.ros.context import free_domain
from depth_prune_ros.ros.context import ros_context
from depth_prune_ros.ros.parameters import declare_parameters
from depth_prune_ros.ros.parameters import DepthParameters
from depth_prune_ros.ros.parameters import read_parameters
from depth_prune_ros.ros.parameters import When
import pytest
import rclpy
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
    assert not node.set_parameters([Parameter('points_stride', value=0)])[0].successful
    assert not node.set_parameters([Parameter('autostart', value=False)])[0].successful
    refused = node.set_parameters([Parameter('fit', value='squash')])[0]
    assert refused.reason == "parameter fit: expected match or stretch or crop, found 'squash'"
    assert read_parameters(node) == DepthParameters()


def test_the_model_changes_only_while_the_node_does_not_work() -> None:
    active = [True]
    with ros_context(free_domain()) as context:
        node = rclpy.create_node('model', context=context)
        declare_parameters(node, lambda: active[0])
        change = [Parameter('model', value='other.onnx')]
        assert 'expected an inactive node' in node.set_parameters(change)[0].reason
        same = [Parameter('model', value=''), Parameter('threads', value=0)]
        assert node.set_parameters_atomically(same).successful
        assert node.set_parameters([Parameter('min_depth', value=1.0)])[0].successful
        active[0] = False
        assert node.set_parameters(change)[0].successful
        assert read_parameters(node).of_the_model[0] == 'other.onnx'
        node.destroy_node()


@pytest.mark.parametrize(
    ('name', 'value', 'reason'),
    [
        ('threads', 65, 'threads out of range'),
        ('threads', 'many', "parameter threads: expected type int, found 'many'"),
        ('max_depth', 'far', "parameter max_depth: expected type float, found 'far'"),
        ('model', 3, 'parameter model: expected type str, found 3'),
        ('rectify', 1, 'parameter rectify: expected type bool, found 1'),
    ],
)
def test_an_impossible_override_is_reported_and_not_taken(
    name: str, value: object, reason: str
) -> None:
    with ros_context(free_domain()) as context:
        overrides = [Parameter(name, value=value)]
        node = rclpy.create_node('bad', context=context, parameter_overrides=overrides)
        faults = declare_parameters(node)
        assert list(faults) == [name]
        assert reason in faults[name]
        assert read_parameters(node) == DepthParameters()
        node.destroy_node()


def test_an_integer_is_a_decimal_number_and_a_wrong_word_is_refused() -> None:
    with ros_context(free_domain()) as context:
        overrides = [Parameter('max_depth', value=20), Parameter('depth_encoding', value='64FC1')]
        node = rclpy.create_node('worse', context=context, parameter_overrides=overrides)
        assert declare_parameters(node) == {}
        assert node.get_parameter('max_depth').value == 20.0
        with pytest.raises(ConfigError, match="expected 32FC1 or 16UC1, found '64FC1'"):
            read_parameters(node)
        node.destroy_node()


def test_overrides_that_the_node_declared_by_itself_are_taken() -> None:
    with ros_context(free_domain()) as context:
        node = rclpy.create_node(
            'eager',
            context=context,
            parameter_overrides=[Parameter('max_depth', value=20), Parameter('threads', value=65)],
            automatically_declare_parameters_from_overrides=True,
        )
        assert list(declare_parameters(node)) == ['threads']
        assert read_parameters(node) == DepthParameters(max_depth=20.0)
        assert not node.set_parameters([Parameter('max_depth', value=2000.0)])[0].successful
        node.destroy_node()


def test_several_wrong_overrides_are_put_right_one_by_one() -> None:
    wrong = {'fit': 'squash', 'output_size': 'big', 'min_depth': 30.0, 'max_depth': 20.0}
    with ros_context(free_domain()) as context:
        overrides = [Parameter(name, value=value) for name, value in wrong.items()]
        node = rclpy.create_node('wrong', context=context, parameter_overrides=overrides)
        assert declare_parameters(node) == {}
        for name, value in {'fit': 'crop', 'max_depth': 80.0, 'output_size': 'input'}.items():
            with pytest.raises(ConfigError, match='expected'):
                read_parameters(node)
            refused = node.set_parameters([Parameter('points_fields', value='uvw')])[0]
            assert refused.reason == "parameter points_fields: expected xyz or xyzrgb, found 'uvw'"
            assert node.set_parameters([Parameter(name, value=value)])[0].successful, name
        assert read_parameters(node).output_size == 'input'
        node.destroy_node()


def test_the_file_says_what_is_allowed_and_when_a_parameter_may_change() -> None:
    words = {When.NEVER: '(fixed)', When.INACTIVE: '(inactive)'}
    text = FILE.read_text().split('ros__parameters:')[1]
    for item in fields(DepthParameters):
        comment, _, text = text.partition(f'    {item.name}:')
        expected = words.get(item.metadata['when'])
        found = [word for word in words.values() if word in comment]
        assert found == ([expected] if expected else []), item.name
        allowed = item.metadata['allowed'] or ()
        if allowed and not isinstance(item.default, str):
            allowed = (f'{allowed[0]:g} to {allowed[1]:g}',)
        said = ' '.join(comment.replace('#', ' ').split())
        for word in allowed:
            assert re.search(rf'\b{word}\b', said), (item.name, word)

"""The launch files and what they name: structure always, their run where launch_ros is."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from importlib.util import module_from_spec
from importlib.util import spec_from_file_location
from pathlib import Path
from typing import Any

from depth_prune_ros.ros.outputs import TOPICS
import pytest
import yaml

ROOT = Path(__file__).parents[2]
LAUNCH = ROOT / 'launch'
PARAMETERS = yaml.safe_load((ROOT / 'config' / 'depth.param.yaml').read_text())['/**']


def _calls(path: Path, name: str) -> Iterator[dict[str, str]]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == name:
            yield {str(item.arg): ast.unparse(item.value) for item in node.keywords}


def _constant(path: Path, name: str) -> ast.expr:
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name:
            return node.value
    raise AssertionError(name)


@pytest.mark.parametrize('file', sorted(LAUNCH.glob('*.py')), ids=lambda path: path.name)
def test_a_launch_file_has_what_launch_calls(file: Path) -> None:
    functions = {
        n.name for n in ast.parse(file.read_text()).body if isinstance(n, ast.FunctionDef)
    }
    assert 'generate_launch_description' in functions
    assert file.name.endswith('.launch.py')


def test_it_starts_the_executable_that_exists() -> None:
    nodes = {
        call['executable'].strip("'"): call for call in _calls(LAUNCH / 'depth.launch.py', 'Node')
    }
    assert set(nodes) == {'depth_node', 'point_cloud_xyz_node', 'rviz2'}
    assert nodes['depth_node']['package'] == 'PACKAGE'
    assert 'condition' not in nodes['depth_node']
    assert 'rviz' in nodes['rviz2']['condition']
    assert (ROOT / 'scripts' / 'depth_node').stat().st_mode & 0o111


def test_every_topic_of_the_node_can_be_remapped() -> None:
    topics = ast.literal_eval(_constant(LAUNCH / 'depth.launch.py', 'TOPICS'))
    assert {here for here, _ in topics.values()} == {
        *('image', 'camera_info'),
        *(f'~/{name}' for name in TOPICS),
    }


def test_the_replay_includes_and_judges_what_exists() -> None:
    text = (LAUNCH / 'replay.launch.py').read_text()
    assert "'depth.launch.py'" in text
    assert "'depth-prune'" in text
    assert (ROOT / 'scripts' / 'depth-prune').stat().st_mode & 0o111
    ready = ast.literal_eval(_constant(LAUNCH / 'replay.launch.py', 'READY'))
    assert f"f'{ready}" in (ROOT / 'depth_prune_ros' / 'ros' / 'node.py').read_text()


def test_rviz_shows_what_the_node_publishes() -> None:
    config = yaml.safe_load((ROOT / 'config' / 'depth.rviz').read_text())
    displays = config['Visualization Manager']['Displays']
    topics = {d['Name']: d['Topic'] for d in displays if 'Topic' in d}
    shown = {name: topic['Value'] for name, topic in topics.items()}
    assert shown == {
        'Image': '/image',
        'Depth': '/depth_node/depth',
        'Preview': '/depth_node/preview',
        'Points': '/depth_node/points',
    }
    assert {display['Class'] for display in displays} >= {'rviz_default_plugins/TF'}
    # A camera may offer best effort alone; the node offers reliable.
    assert topics['Image']['Reliability Policy'] == 'Best Effort'


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that runs a launch file's declarations and makes its actions."""
    pytest.importorskip('launch_ros')
    from ament_index_python import packages
    from launch import LaunchContext
    from launch.actions import DeclareLaunchArgument
    from launch.actions import OpaqueFunction

    monkeypatch.setattr(packages, 'get_package_share_directory', lambda package: str(ROOT))
    monkeypatch.setattr(packages, 'get_package_prefix', lambda package: str(ROOT))

    def run(file: str, **arguments: str) -> list[Any]:
        spec = spec_from_file_location(file.partition('.')[0], LAUNCH / file)
        assert spec is not None
        assert spec.loader is not None
        module = module_from_spec(spec)
        spec.loader.exec_module(module)
        context = LaunchContext()
        context.launch_configurations.update(arguments)
        made: list[Any] = []
        for action in module.generate_launch_description().entities:
            if isinstance(action, DeclareLaunchArgument):
                action.execute(context)
            elif isinstance(action, OpaqueFunction):
                made.extend(action.execute(context) or [])
        return [action for action in made if action.condition is None or _holds(action, context)]

    return run


def _holds(action: Any, context: Any) -> bool:
    return bool(action.condition.evaluate(context))


def test_arguments_reach_the_nodes(launched: Any) -> None:
    (node,) = launched('depth.launch.py')
    assert node.node_executable == 'depth_node'
    names = [
        node.node_executable
        for node in launched('depth.launch.py', rviz='true', depth_image_proc='true')
    ]
    assert names == ['depth_node', 'point_cloud_xyz_node', 'rviz2']


def test_the_replay_makes_its_actions(launched: Any) -> None:
    actions = launched('replay.launch.py', bag='somewhere')
    assert [type(action).__name__ for action in actions] == [
        *['RegisterEventHandler'] * 3,
        'IncludeLaunchDescription',
    ]


def test_every_parameter_is_an_argument() -> None:
    text = (LAUNCH / 'depth.launch.py').read_text()
    assert "['/**']['ros__parameters']" in text
    arguments = _constant(LAUNCH / 'depth.launch.py', 'ARGUMENTS')
    assert isinstance(arguments, ast.Dict)
    own = {ast.literal_eval(key) for key in arguments.keys if key is not None}
    topics = ast.literal_eval(_constant(LAUNCH / 'depth.launch.py', 'TOPICS'))
    # An argument that has the name of a parameter would hide it.
    assert not (own | set(topics)) & set(PARAMETERS['ros__parameters'])


def test_nav2_takes_the_points_where_the_node_publishes_them() -> None:
    config = yaml.safe_load((ROOT / 'config' / 'nav2_voxel.param.yaml').read_text())
    layer = config['local_costmap']['local_costmap']['ros__parameters']['voxel_layer']
    source = layer[layer['observation_sources']]
    assert source['topic'] == '/depth_node/points'
    assert source['obstacle_max_range'] < source['raytrace_max_range']
    assert layer['origin_z'] + layer['z_voxels'] * layer['z_resolution'] == pytest.approx(1.6)

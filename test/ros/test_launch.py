"""The launch files, what they name and what the pages say of them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
import re
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


def test_every_parameter_is_an_argument() -> None:
    text = (LAUNCH / 'depth.launch.py').read_text()
    assert "['/**']['ros__parameters']" in text
    arguments = _constant(LAUNCH / 'depth.launch.py', 'ARGUMENTS')
    assert isinstance(arguments, ast.Dict)
    own = {ast.literal_eval(key) for key in arguments.keys if key is not None}
    topics = ast.literal_eval(_constant(LAUNCH / 'depth.launch.py', 'TOPICS'))
    # An argument that has the name of a parameter would hide it.
    assert not (own | set(topics)) & set(PARAMETERS['ros__parameters'])


def _voxel_layer() -> dict[str, Any]:
    config = yaml.safe_load((ROOT / 'config' / 'nav2_voxel.param.yaml').read_text())
    layer: dict[str, Any] = config['local_costmap']['local_costmap']['ros__parameters'][
        'voxel_layer'
    ]
    return layer


def test_nav2_takes_the_points_where_the_node_publishes_them() -> None:
    layer = _voxel_layer()
    for name in layer['observation_sources'].split():
        assert layer[name]['topic'] == '/depth_node/points'
        assert layer[name]['data_type'] == 'PointCloud2'
    assert layer['origin_z'] + layer['z_voxels'] * layer['z_resolution'] == pytest.approx(1.6)


def test_nav2_clears_with_points_that_it_does_not_mark() -> None:
    layer = _voxel_layer()
    marking, clearing = (layer[name] for name in layer['observation_sources'].split())
    assert (marking['marking'], marking['clearing']) == (True, False)
    assert (clearing['marking'], clearing['clearing']) == (False, True)
    # The floor, and what is above the voxels, is dropped by the one and taken by the other.
    assert clearing['min_obstacle_height'] < 0 < marking['min_obstacle_height']
    assert marking['max_obstacle_height'] <= 1.6 < clearing['max_obstacle_height']
    assert marking['obstacle_max_range'] < clearing['raytrace_max_range']
    page = (ROOT / 'docs' / 'nav2.md').read_text()
    ranges = re.findall(r'points_max_range:[= ]*([0-9.]+)', page)
    assert len(ranges) == 2
    assert len(set(ranges)) == 1
    assert float(ranges[0]) > 2 * clearing['raytrace_max_range']


def test_nav2_clears_in_the_open_too() -> None:
    """The sky, at any depth and height, has points, and nav2 takes them."""
    page = (ROOT / 'docs' / 'nav2.md').read_text()
    farthest = re.findall(r'(?:points_max_range|max_depth):[= ]*([0-9.]+)', page)
    assert [float(metres) for metres in farthest] == [1000.0] * 4
    clearing = _voxel_layer()['depth_clearing']
    # 30 degrees up, as far as the sky is seen by a network of 0.54 m that says 0.0006 of the width
    assert clearing['max_obstacle_height'] > 0.54 * 0.58 / 0.0006 * 0.5


def test_nav2_wants_two_voxels() -> None:
    # markVoxelInMap marks a cell that has more voxels than the threshold.
    assert _voxel_layer()['mark_threshold'] + 1 == 2
    page = (ROOT / 'docs' / 'nav2.md').read_text()
    assert '`mark_threshold: 1` wants two voxels' in page


def test_the_robot_page_installs_what_it_uses() -> None:
    page = (ROOT / 'docs' / 'robot.md').read_text()
    for package in ('rviz2', 'depth-image-proc', 'camera-calibration', 'image-proc'):
        assert re.search(rf'apt install.*(?:\\\n.*)*ros-jazzy-{package}\b', page)


def test_the_robot_page_asks_pip_for_a_protobuf_that_can_be_used() -> None:
    bound = re.search(r"'(protobuf>=[\d.]+)'", (ROOT / 'setup.py').read_text())
    assert bound is not None
    page = (ROOT / 'docs' / 'robot.md').read_text()
    assert re.search(rf"pip install .*'{re.escape(bound[1])}'", page)


def test_the_unit_starts_launch_again_and_at_boot() -> None:
    page = (ROOT / 'docs' / 'robot.md').read_text()
    unit = page.partition('```ini\n')[2].partition('```')[0]
    # launch ends with 0 when its node died.
    assert 'Restart=always\n' in unit
    assert '[Install]\nWantedBy=multi-user.target\n' in unit

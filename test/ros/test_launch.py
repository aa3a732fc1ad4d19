"""The launch file: its structure always, its run where launch_ros is installed."""

from __future__ import annotations

import ast
from importlib.util import module_from_spec
from importlib.util import spec_from_file_location
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILE = ROOT / 'launch' / 'depth.launch.py'


def test_it_starts_the_executable_that_exists() -> None:
    tree = ast.parse(FILE.read_text())
    assert 'generate_launch_description' in {
        node.name for node in tree.body if isinstance(node, ast.FunctionDef)
    }
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    node = next(call for call in calls if ast.unparse(call.func) == 'Node')
    given = {item.arg: ast.unparse(item.value) for item in node.keywords}
    assert given['package'] == 'PACKAGE'
    executable = ast.literal_eval(given['executable'])
    assert (ROOT / 'scripts' / executable).stat().st_mode & 0o111


def test_its_arguments_reach_the_node(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip('launch_ros')
    from launch import LaunchContext
    from launch.actions import DeclareLaunchArgument

    spec = spec_from_file_location('depth_launch', FILE)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, 'get_package_share_directory', lambda package: str(ROOT))
    description = module.generate_launch_description()
    context = LaunchContext()
    for action in description.entities:
        if isinstance(action, DeclareLaunchArgument):
            action.execute(context)
    assert (ROOT / 'config' / 'depth.param.yaml').samefile(
        context.launch_configurations['params_file']
    )
    (node,) = module.depth_node(context)
    assert node.node_executable == 'depth_node'

"""The package is one that ROS's build tool finds, builds and installs."""

from __future__ import annotations

from importlib import import_module
import os
from pathlib import Path
import re
import shutil
import subprocess
import sys

import pytest

ROOT = Path(__file__).resolve().parents[1]
NAME = 'depth_prune_ros'
PARTS = ('setup.py', 'setup.cfg', 'package.xml', 'resource', 'launch', 'config', 'models')
COLCON = Path(sys.executable).with_name('colcon')


@pytest.fixture(scope='module')
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copy what a build reads, so that it leaves nothing beside the sources."""
    folder = tmp_path_factory.mktemp('workspace')
    for name in (*PARTS, 'scripts', 'benchmarks/dense', NAME):
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / 'src' / name)
        else:
            (folder / 'src').mkdir(exist_ok=True)
            shutil.copy2(source, folder / 'src' / name)
    return folder


@pytest.fixture(scope='module')
def prefix(workspace: Path) -> Path:
    """Build with colcon."""
    _colcon(workspace, 'build', '--merge-install')
    return workspace / 'install'


def test_package_xml_is_valid() -> None:
    """The parser that colcon asks takes the manifest; a bad e-mail would not pass."""
    package = import_module('catkin_pkg.package').parse_package(str(ROOT / 'package.xml'))
    assert package.name == NAME
    assert package.package_format == 3
    assert package.get_build_type() == 'ament_python'
    licences = {str(one): one.file for one in package.licenses}
    assert licences == {'Apache-2.0': 'LICENSE', 'CC-BY-NC-SA-3.0': None}
    wanted = {'rclpy', 'sensor_msgs', 'diagnostic_msgs', 'lifecycle_msgs', 'launch_ros'}
    assert wanted <= {depend.name for depend in package.exec_depends}


def test_one_version_everywhere() -> None:
    """The manifest, setup.py and the newest entry of the changelog agree."""
    patterns = {
        'package.xml': r'<version>(.+)</version>',
        'setup.py': r"version='(.+)'",
        'CHANGELOG.rst': r'^(\d+\.\d+\.\d+) \(',
    }
    found = {}
    for file, pattern in patterns.items():
        match = re.search(pattern, (ROOT / file).read_text(encoding='utf-8'), re.MULTILINE)
        found[file] = match.group(1) if match else None
    assert None not in found.values(), found
    assert len(set(found.values())) == 1, found


def test_colcon_sees_an_ament_python_package(workspace: Path) -> None:
    """A manifest that colcon cannot read would silently make it a plain Python package."""
    listed = _colcon(workspace, 'list').split()
    assert listed == [NAME, 'src', '(ros.ament_python)']


def test_colcon_installs_what_ros_looks_for(prefix: Path) -> None:
    """Executables lie below lib, and launch files, parameters and models below share."""
    share = prefix / 'share' / NAME
    assert (prefix / 'share/ament_index/resource_index/packages' / NAME).is_file()
    assert (share / 'package.xml').read_bytes() == (ROOT / 'package.xml').read_bytes()
    for folder, ending in (('launch', '.launch.py'), ('config', '.yaml'), ('models', '.onnx')):
        wanted = {path.name for path in (ROOT / folder).glob(f'*{ending}')}
        assert wanted, f'{folder} holds no *{ending}'
        assert wanted <= {path.name for path in (share / folder).iterdir()}
    dense = {path.name: path.stat().st_size for path in (ROOT / 'benchmarks/dense').glob('*/*')}
    assert dense.keys() == {'checkpoint.json', 'weights.safetensors'}
    assert {path.name: path.stat().st_size for path in (share / 'dense').glob('*/*')} == dense
    for name in ('depth_node', 'depth-prune'):
        assert os.access(prefix / 'lib' / NAME / name, os.X_OK)


def test_installed_command_runs(prefix: Path, tmp_path: Path) -> None:
    """The executable that ros2 run starts finds the package in the installed tree."""
    (library,) = prefix.glob('lib/python*/site-packages')
    path = f'{Path(sys.executable).parent}{os.pathsep}{os.environ["PATH"]}'
    run = subprocess.run(
        [prefix / 'lib' / NAME / 'depth-prune', '--help'],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, 'PYTHONPATH': str(library), 'PATH': path},
    )
    assert run.returncode == 0, run.stderr
    assert 'evaluate' in run.stdout


def _colcon(workspace: Path, *arguments: str) -> str:
    """Run colcon, which is beside the Python at work or on the path."""
    command = COLCON if COLCON.exists() else shutil.which('colcon')
    assert command is not None, 'expected colcon, found none; run: make test'
    path = f'{Path(sys.executable).parent}{os.pathsep}{os.environ["PATH"]}'
    run = subprocess.run(
        [command, '--log-base', 'log', *arguments, '--base-paths', 'src'],
        capture_output=True,
        text=True,
        cwd=workspace,
        env={**os.environ, 'PATH': path},
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout

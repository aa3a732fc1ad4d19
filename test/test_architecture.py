"""The package keeps to its design; and each rule goes red on a bad example."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
import subprocess
import sys

import architecture
import pytest

HERE = Path(__file__).resolve().parent
PACKAGE = HERE.parent / 'depth_prune_ros'
HEAVY = ('torch', 'onnxruntime', 'rclpy')
OURS = architecture.PACKAGE
Check = Callable[[Path], 'list[str]']

DOC = '"""M."""\n'
LINE = '    x = 1\n'
FULL = 'def f(a: int) -> int:\n    """Do."""\n'
MANY = ', '.join(f'p{number}: int' for number in range(7))
TREE = '"""Errors.\n\n    A0Error\n    +-- B0Error   one\n    |   +-- C0Error   two\n"""\n'
CLASSES = 'class A0Error(Exception): ...\nclass B0Error(A0Error): ...\n'


@pytest.mark.parametrize(
    'check',
    [
        architecture.check_layers,
        architecture.check_cycles,
        architecture.check_sizes,
        architecture.check_mean,
        architecture.check_signatures,
        architecture.check_docstrings,
        architecture.check_error_tree,
    ],
)
def test_package_keeps_to_the_design(check: Check) -> None:
    """No rule finds a fault in the package."""
    assert check(PACKAGE) == []


def test_tests_stay_small() -> None:
    """Files and functions of the tests have the same budgets as the package's."""
    assert architecture.check_sizes(HERE) == []


@pytest.mark.parametrize(
    ('file', 'source', 'fault'),
    [
        ('core/a.py', 'import onnxruntime', 'core/a.py:1: core imports onnxruntime'),
        ('core/session.py', 'import onnxruntime', ''),
        ('core/a.py', 'def f():\n    import torch', 'core/a.py:2: core imports torch'),
        ('core/a.py', 'from depth_prune_ros.bags import b', 'core imports depth_prune_ros.bags.b'),
        ('bags/a.py', 'from depth_prune_ros.core.card import X\nimport rosbags', ''),
        ('bags/a.py', 'import depth_prune_ros.evaluation', 'bags imports depth_prune_ros.eval'),
        ('evaluation/a.py', 'import jinja2', 'evaluation imports jinja2'),
        ('evaluation/report.py', 'import jinja2\nimport cv2', ''),
        ('offline/networks/a.py', 'import torch.nn\nimport yaml', ''),
        ('offline/a.py', 'import rclpy', 'offline imports rclpy'),
        ('ros/a.py', 'import rclpy.node\nfrom sensor_msgs.msg import Image', ''),
        (
            'ros/a.py',
            'import depth_prune_ros.bags.write',
            'ros imports depth_prune_ros.bags.write',
        ),
        ('ros/play.py', 'import depth_prune_ros.bags.frames', ''),
        ('ros/a.py', 'import onnxruntime', 'ros imports onnxruntime'),
        ('core/a.py', 'from . import card', 'relative import'),
        ('ros/a.py', 'from depth_prune_ros import cli', 'imports cli'),
        ('demo.py', 'import depth_prune_ros.cli', 'imports cli'),
        ('other/a.py', 'import os', 'belongs to no layer'),
        ('loose.py', 'import os', 'belongs to no layer'),
        ('__init__.py', 'import os', 'the package imports something'),
        ('cli.py', 'import numpy', 'imports numpy before it is needed'),
        ('cli.py', 'import typer\ndef f():\n    import torch', ''),
        ('cli.py', 'from depth_prune_ros.core.errors import DepthPruneError', ''),
        ('cli.py', 'import depth_prune_ros.core.engine', 'before it is needed'),
        ('cli.py', 'if TYPE_CHECKING:\n    import torch', ''),
    ],
)
def test_layers(tmp_path: Path, file: str, source: str, fault: str) -> None:
    """The table of layers refuses what it should, and nothing else."""
    _write(tmp_path, file, source)
    _expect(architecture.check_layers(tmp_path), fault)


@pytest.mark.parametrize(
    ('first', 'second', 'fault'),
    [
        (f'from {OURS}.core import b', f'import {OURS}.core.a', 'core.a imports itself'),
        (f'import {OURS}.core.b', f'def f():\n    import {OURS}.core.a', 'core.b imports itself'),
        (f'from {OURS}.core.b import B', 'import os', ''),
    ],
)
def test_cycles(tmp_path: Path, first: str, second: str, fault: str) -> None:
    """A ring of two modules is found, however they import each other."""
    _write(tmp_path, 'core/a.py', first)
    _write(tmp_path, 'core/b.py', second)
    _expect(architecture.check_cycles(tmp_path), fault)


@pytest.mark.parametrize(
    ('check', 'source', 'fault'),
    [
        (architecture.check_sizes, 'x = 1\n' * 300, ''),
        (architecture.check_sizes, 'x = 1\n' * 301, 'a.py: 301 lines'),
        (architecture.check_sizes, FULL + LINE * 48, ''),
        (architecture.check_sizes, FULL + LINE * 49, 'f: 51 lines'),
        (architecture.check_mean, FULL + LINE * 13, ''),
        (architecture.check_mean, FULL + LINE * 14, '16.0 lines on average'),
        (architecture.check_signatures, FULL, ''),
        (architecture.check_signatures, 'def _f(a) -> None: ...', '_f: not fully typed'),
        (architecture.check_signatures, 'def f(a: int): ...', 'f: not fully typed'),
        (architecture.check_signatures, 'def f(*a) -> None: ...', 'f: not fully typed'),
        (architecture.check_signatures, f'def f({MANY}) -> None: ...', 'f: 7 parameters'),
        (architecture.check_signatures, f'def f({MANY[9:]}) -> None: ...', ''),
        (architecture.check_signatures, f'class C:\n    def f(self, {MANY[9:]}) -> None: ...', ''),
        (architecture.check_signatures, FULL + '    if a: ...\n' * 9, ''),
        (architecture.check_signatures, FULL + '    if a: ...\n' * 10, 'f: complexity 11'),
        (architecture.check_docstrings, 'x = 1', 'a.py: no docstring'),
        (architecture.check_docstrings, DOC + 'def f(): ...', 'f: no docstring'),
        (architecture.check_docstrings, DOC + 'def _f(): ...', ''),
        (architecture.check_docstrings, DOC + 'class C: ...', 'C: no docstring'),
        (architecture.check_docstrings, f'{DOC}class C:\n    {DOC}    def m(self): ...', 'm: no'),
        (architecture.check_error_tree, TREE + CLASSES + 'class C0Error(B0Error): ...', ''),
        (architecture.check_error_tree, TREE + CLASSES + 'class C0Error(A0Error): ...', 'C0Error'),
        (architecture.check_error_tree, TREE + CLASSES, 'C0Error: drawn below B0Error'),
    ],
)
def test_budgets(tmp_path: Path, check: Check, source: str, fault: str) -> None:
    """Each budget holds at its limit and goes red one beyond it."""
    _write(tmp_path, 'core/errors.py' if 'tree' in check.__name__ else 'a.py', source)
    _expect(check(tmp_path), fault)


def test_package_loads_nothing_heavy() -> None:
    """Importing the package alone costs nothing."""
    assert _loaded_by('import depth_prune_ros') == ''


def test_help_loads_nothing_heavy() -> None:
    """The command line's help loads no framework."""
    code = (
        "sys.argv = ['depth-prune', '--help']\n"
        'from depth_prune_ros import cli\n'
        'try:\n    cli.main()\nexcept SystemExit as stop:\n    assert not stop.code, stop.code'
    )
    assert _loaded_by(code) == ''


def _loaded_by(code: str) -> str:
    """Run code in a process of its own and name the heavy modules it loaded."""
    seen = f"print(*[name for name in {HEAVY} if name in sys.modules], file=sys.stderr, end='')"
    run = subprocess.run(
        [sys.executable, '-c', f'import sys\n{code}\n{seen}'],
        capture_output=True,
        text=True,
        cwd=PACKAGE.parent,
    )
    assert run.returncode == 0, run.stderr
    return run.stderr


def test_commands_may_have_more_options(tmp_path: Path) -> None:
    """A command's parameters have a limit of their own, one beyond it goes red too."""
    _write(tmp_path, 'cli_extra.py', f'def f({MANY}, p7: int, p8: int) -> None: ...')
    assert architecture.check_signatures(tmp_path) == []
    _write(tmp_path, 'cli_extra.py', f'def f({MANY}, p7: int, p8: int, p9: int) -> None: ...')
    _expect(architecture.check_signatures(tmp_path), 'f: 10 parameters')


def _write(root: Path, file: str, source: str) -> None:
    (root / file).parent.mkdir(parents=True, exist_ok=True)
    (root / file).write_text(source)


def _expect(faults: list[str], fault: str) -> None:
    """Want exactly the one fault, or none where it is empty."""
    assert bool(faults) == bool(fault), faults
    assert any(fault in found for found in faults) or not fault, faults

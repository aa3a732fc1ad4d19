"""What the standard library of Python 3.10 has, the oldest that setup.py takes."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NEWER = {
    'typing': {'Self', 'Never', 'LiteralString', 'NotRequired', 'Required', 'Unpack', 'override'}
    | {'TypeVarTuple', 'assert_never', 'assert_type', 'dataclass_transform', 'TypeAliasType'},
    'enum': {'StrEnum', 'verify', 'member', 'nonmember'},
    'datetime': {'UTC'},
    'itertools': {'batched'},
    'contextlib': {'chdir'},
    'hashlib': {'file_digest'},
    'asyncio': {'TaskGroup', 'timeout', 'Runner'},
}
MODULES = {'tomllib'}
BUILTINS = {'ExceptionGroup', 'BaseExceptionGroup'}


def newer_than_3_10(source: str) -> list[str]:
    """Return what a source takes from the standard library that came after Python 3.10."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module:
            found += [node.module] if node.module in MODULES else []
            newer = NEWER.get(node.module, set())
            found += [f'{node.module}.{a.name}' for a in node.names if a.name in newer]
        elif isinstance(node, ast.Import):
            found += [a.name for a in node.names if a.name in MODULES]
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if node.attr in NEWER.get(node.value.id, set()):
                found.append(f'{node.value.id}.{node.attr}')
        elif isinstance(node, ast.Name) and node.id in BUILTINS:
            found.append(node.id)
    return found


@pytest.mark.parametrize(
    ('source', 'wanted'),
    [
        ('from typing import Self', ['typing.Self']),
        ('import enum\nclass A(enum.StrEnum): ...', ['enum.StrEnum']),
        ('import tomllib', ['tomllib']),
        ('from typing import Any', []),
    ],
)
def test_what_is_found(source: str, wanted: list[str]) -> None:
    assert newer_than_3_10(source) == wanted


def test_the_package_runs_on_the_oldest_python() -> None:
    files = [
        path for folder in ('depth_prune_ros', 'launch') for path in (ROOT / folder).rglob('*.py')
    ]
    assert len(files) > 100
    found = {str(path.relative_to(ROOT)): newer_than_3_10(path.read_text()) for path in files}
    assert {path: names for path, names in found.items() if names} == {}

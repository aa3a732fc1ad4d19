"""A YAML file with the line of every key, and what pydantic finds wrong in it, in one line."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any
from typing import get_args

from depth_prune_ros.core.errors import ConfigError
from pydantic import BaseModel
from pydantic import ValidationError
import yaml

Key = tuple[str, ...]
Nodes = tuple[yaml.Node, ...]


@dataclass(frozen=True)
class ConfigFile:
    """
    What a configuration file says.

    :param values: as YAML gives them
    :param lines: key, from the outermost section on -> its line, from 1
    """

    values: dict[str, Any]
    lines: dict[Key, int]


def read_file(path: Path) -> ConfigFile:
    """
    Read a YAML file of keys and values.

    :raises ConfigError: no such file, not YAML, no keys and values, or a key that comes twice
    """
    try:
        loader = yaml.SafeLoader(path.read_text())
        node = loader.get_single_node()
        lines = _lines(node, path)
        values = {} if node is None else loader.construct_document(node) or {}
    except OSError as error:
        msg = f'{path}: expected a configuration file, found: {error.strerror}'
        raise ConfigError(msg) from error
    # RecursionError: thousands of brackets; ValueError: bytes that are no text
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        msg = f'{path}: expected YAML, found: {" ".join(str(error).split())}'
        raise ConfigError(msg) from error
    if not isinstance(values, dict):
        msg = f'{path}: expected keys and values, found {values!r}'
        raise ConfigError(msg)
    return ConfigFile(values, lines)


def explain(
    error: ValidationError, model: type[BaseModel], path: Path | None, lines: Mapping[Key, int]
) -> str:
    """
    Say of every fault its file, line and key, and of an unknown key the nearest valid one.

    :param path: the file; None where values come from options alone
    :param lines: of the file's keys; 0 where an option gave the value
    """
    found: dict[tuple[str, str], list[str]] = {}  # what is around the reasons
    for fault in error.errors():
        loc = tuple(map(str, fault['loc']))
        if fault['type'] == 'extra_forbidden':
            text = f'expected a known key, found {".".join(loc)}; nearest: {_nearest(model, loc)}'
            found[where(path, lines, loc) + text, ''] = []
            continue
        # alternatives (true, false or auto) are faults of their own behind the key
        key = next((loc[:n] for n in range(len(loc), 0, -1) if loc[:n] in lines), loc)
        place, value = f'{where(path, lines, key)}{".".join(key)}: ', f', found {fault["input"]!r}'
        found.setdefault((place, value), []).append(fault['msg'])
    return '; '.join(' or '.join(reasons).join(around) for around, reasons in found.items())


def where(path: Path | None, lines: Mapping[Key, int], *keys: Key) -> str:
    """Return where the first of keys that the file has stands, to begin an error with."""
    key = next((key for key in keys if key in lines), None)
    line = lines[key] if key is not None else 0
    return f'{path}:{line}: ' if path is not None and line else 'options: '


def _lines(node: yaml.Node | None, path: Path) -> dict[Key, int]:
    """Return the line of every key, and refuse what YAML reads and nobody means."""
    lines: dict[Key, int] = {}
    for key, line, values in _keys(node, ()):
        name = '.'.join(key)
        if key in lines:
            msg = f'{path}:{line}: expected each key once, found {name} in line {lines[key]}, too'
            raise ConfigError(msg)
        if values[-1] in values[:-1]:
            msg = f'{path}:{line}: {name}: expected a value, found an alias of what it stands in'
            raise ConfigError(msg)
        for scalar in _scalars(values[-1]):
            try:
                yaml.SafeLoader('').construct_document(scalar)
            except ValueError as error:
                found = f'found {scalar.value} ({error}); put it in quotes'
                msg = f'{path}:{line}: {name}: expected a value or a text, {found}'
                raise ConfigError(msg) from error
        lines[key] = line
    return lines


def _keys(
    node: yaml.Node | None, above: Key, *around: yaml.Node
) -> Iterator[tuple[Key, int, Nodes]]:
    """Yield every key, its line, and its value behind the values that it stands in."""
    if not isinstance(node, yaml.MappingNode):
        return
    for name, value in node.value:
        key = (*above, str(name.value))
        yield key, name.start_mark.line + 1, (*around, node, value)
        yield from _keys(value, key, *around, node)


def _scalars(node: yaml.Node) -> Iterator[yaml.ScalarNode]:
    items = node.value if isinstance(node, yaml.SequenceNode) else [node]
    yield from (item for item in items if isinstance(item, yaml.ScalarNode))


def _nearest(model: type[BaseModel], key: Key) -> str:
    """Return the valid key most like an unknown one: the same in another section goes first."""
    every = list(_valid(model, ()))
    elsewhere = [valid for valid in every if valid[-1] == key[-1]]
    if elsewhere:
        return '.'.join(elsewhere[0])
    beside = {valid[-1]: valid for valid in every if valid[:-1] == key[:-1]}
    (name,) = get_close_matches(key[-1], beside, 1, 0.0)
    return '.'.join(beside[name])


def _valid(model: type[BaseModel], above: Key) -> Iterator[Key]:
    for name, field in model.model_fields.items():
        yield (*above, name)
        # a section that may be left out has alternatives: it, or None
        for kind in (field.annotation, *get_args(field.annotation)):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                yield from _valid(kind, (*above, name))

"""Read a package's source (never run it) and report where it leaves the design."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path
import re
import sys

PACKAGE = 'depth_prune_ros'
FILE_LINES = 300
FUNCTION_LINES = 50
MEAN_FUNCTION_LINES = 15.0
COMPLEXITY = 10
PARAMETERS = 6
OPTIONS = 9  # of a command: its parameters are what a user may type, nobody calls it

Function = ast.FunctionDef | ast.AsyncFunctionDef
# What ruff counts (C901).
BRANCHES = (
    ast.If,
    ast.For,
    ast.AsyncFor,
    ast.While,
    ast.ExceptHandler,
    ast.match_case,
)
EVERYWHERE = {'numpy', 'cv2'} | set(sys.stdlib_module_names)
KINDS = ('diagnostic', 'geometry', 'lifecycle', 'rosgraph', 'sensor', 'std', 'stereo')
MESSAGES = {f'{kind}_msgs' for kind in KINDS} | {'builtin_interfaces', 'rcl_interfaces'}


@dataclass(frozen=True)
class Layer:
    """What one layer may import; the extras hold for single files only."""

    ours: set[str] = field(default_factory=set)
    others: set[str] = field(default_factory=set)
    extras: dict[str, set[str]] = field(default_factory=dict)


LAYERS = {
    'core': Layer(extras={'session.py': {'onnxruntime'}, 'sides.py': {'google'}}),
    # rosbags and mcap decompress with these, whole data only
    'bags': Layer({'core'}, {'rosbags', 'mcap'}, {'inflate.py': {'lz4', 'zstandard'}}),
    'evaluation': Layer({'core', 'bags'}, extras={'report.py': {'jinja2'}, 'view.py': {'rerun'}}),
    'offline': Layer(
        {'core', 'bags', 'evaluation'},
        {'torch', 'onnx', 'pydantic', 'yaml', 'safetensors'},
        # quantisation and measured latency are of onnxruntime itself
        {'int8.py': {'onnxruntime'}, 'latency.py': {'onnxruntime'}, 'inspect.py': {'matplotlib'}},
    ),
    'ros': Layer(
        {'core'},
        MESSAGES | {'rclpy', 'cv_bridge', 'ament_index_python'},
        {name: {'bags', 'rosbags'} for name in ('play.py', 'record.py', 'replay.py')},
    ),
}
CLI_PARTS = ('', '_average', '_bag', '_evaluate', '_offline', '_run', '_model', '_terminal')
CLI_FILES = {f'cli{part}.py' for part in CLI_PARTS} | {'demo.py'}
# The error classes import nothing, and the command line has to name them to catch them.
CLI_AT_START = {'typer', 'rich', f'{PACKAGE}.core.errors'} | {
    f'{PACKAGE}.{name[:-3]}' for name in CLI_FILES
}


@dataclass(frozen=True)
class Import:
    """One imported module: its full name, its line, and whether importing the file runs it."""

    name: str
    line: int
    at_start: bool
    level: int


def sources(root: Path) -> Iterator[tuple[Path, ast.Module]]:
    """Parse every Python file below a folder, in a fixed order."""
    for path in sorted(root.rglob('*.py')):
        yield path.relative_to(root), ast.parse(path.read_text(encoding='utf-8'))


def functions(tree: ast.AST) -> Iterator[Function]:
    """Every function and method of a module, nested ones too."""
    yield from (node for node in ast.walk(tree) if isinstance(node, Function))


def imports(tree: ast.Module) -> Iterator[Import]:
    """Every import of a module but those for the type checker alone."""

    def visit(node: ast.AST, at_start: bool) -> Iterator[Import]:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, node.lineno, at_start, 0)
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                name = f'{node.module or ""}.{alias.name}'
                yield Import(name, node.lineno, at_start, node.level)
        elif not _for_types_only(node):
            inner = at_start and not isinstance(node, Function | ast.Lambda)
            for child in ast.iter_child_nodes(node):
                yield from visit(child, inner)

    yield from visit(tree, True)


def _for_types_only(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) in (
        'TYPE_CHECKING',
        'typing.TYPE_CHECKING',
    )


def check_layers(root: Path) -> list[str]:
    """Compare every import with the table of layers; absolute ones only; nobody imports cli."""
    faults = []
    for path, tree in sources(root):
        for found in imports(tree):
            reason = _import_fault(path, found)
            if reason:
                faults.append(f'{path}:{found.line}: {reason}')
    return faults


def _import_fault(path: Path, found: Import) -> str:
    if found.level:
        return 'relative import'
    if _is_within(found.name, f'{PACKAGE}.cli'):
        return 'imports cli'
    if len(path.parts) == 1:
        return _root_fault(path.name, found)
    if path.parts[0] not in LAYERS:
        return 'belongs to no layer'
    layer = LAYERS[path.parts[0]]
    extras = layer.extras.get('/'.join(path.parts[1:]), set())
    parts = found.name.split('.')
    if parts[0] == PACKAGE:
        allowed = layer.ours | extras | {path.parts[0]}
        return '' if allowed.issuperset(parts[1:2]) else f'{path.parts[0]} imports {found.name}'
    allowed = EVERYWHERE | layer.others | extras
    return '' if parts[0] in allowed else f'{path.parts[0]} imports {found.name}'


def _root_fault(file: str, found: Import) -> str:
    if file == '__init__.py':
        return 'the package imports something'
    if file not in CLI_FILES:
        return 'belongs to no layer'
    cheap = CLI_AT_START | set(sys.stdlib_module_names)
    if found.at_start and not any(_is_within(found.name, name) for name in cheap):
        return f'imports {found.name} before it is needed'
    return ''


def _is_within(name: str, module: str) -> bool:
    return name == module or name.startswith(f'{module}.')


def check_cycles(root: Path) -> list[str]:
    """Find modules of ours that import each other in a ring."""
    edges = {}
    for path, tree in sources(root):
        parts = path.with_suffix('').parts
        name = '.'.join((PACKAGE, *parts)).removesuffix('.__init__')
        edges[name] = {found.name for found in imports(tree)}
    graph = {
        name: {to for to in edges if to != name and any(_names(to, seen) for seen in found)}
        for name, found in edges.items()
    }
    return [f'{name} imports itself' for name in graph if _reaches(graph, name)]


def _names(module: str, imported: str) -> bool:
    return imported == module or imported.rpartition('.')[0] == module


def _reaches(graph: dict[str, set[str]], start: str) -> bool:
    seen: set[str] = set()
    waiting = set(graph[start])
    while waiting:
        name = waiting.pop()
        if name == start:
            return True
        seen.add(name)
        waiting |= graph[name] - seen
    return False


def check_sizes(root: Path) -> list[str]:
    """Hold files and functions to their number of lines."""
    faults = []
    for path, tree in sources(root):
        lines = len((root / path).read_text(encoding='utf-8').splitlines())
        if lines > FILE_LINES:
            faults.append(f'{path}: {lines} lines, at most {FILE_LINES}')
        for function in functions(tree):
            if _length(function) > FUNCTION_LINES:
                faults.append(f'{_where(path, function)} {_length(function)} lines')
    return faults


def check_mean(root: Path) -> list[str]:
    """Hold the package's functions to a mean number of lines."""
    lengths = [_length(function) for _, tree in sources(root) for function in functions(tree)]
    mean = sum(lengths) / max(len(lengths), 1)
    return [f'functions have {mean:.1f} lines on average'] if mean > MEAN_FUNCTION_LINES else []


def check_signatures(root: Path) -> list[str]:
    """Hold functions to few parameters, full types and few branches."""
    faults = []
    for path, tree in sources(root):
        methods = _bound_methods(tree)
        for function in functions(tree):
            given = function.args
            names = [*given.posonlyargs, *given.args, *given.kwonlyargs]
            names = names[1:] if function in methods else names
            stars = [star for star in (given.vararg, given.kwarg) if star]
            if len(names) > (OPTIONS if path.name.startswith('cli') else PARAMETERS):
                faults.append(f'{_where(path, function)} {len(names)} parameters')
            if function.returns is None or any(n.annotation is None for n in names + stars):
                faults.append(f'{_where(path, function)} not fully typed')
            branches = sum(isinstance(node, BRANCHES) for node in ast.walk(function))
            if 1 + branches > COMPLEXITY:
                faults.append(f'{_where(path, function)} complexity {1 + branches}')
    return faults


def _bound_methods(tree: ast.Module) -> set[Function]:
    """Return the methods whose first parameter is self or cls."""
    return {
        node
        for owner in ast.walk(tree)
        if isinstance(owner, ast.ClassDef)
        for node in owner.body
        if isinstance(node, Function)
        and all(ast.unparse(mark) != 'staticmethod' for mark in node.decorator_list)
    }


def _length(function: Function) -> int:
    return (function.end_lineno or function.lineno) - function.lineno + 1


def _where(path: Path, function: Function) -> str:
    return f'{path}:{function.lineno}: {function.name}:'


def check_docstrings(root: Path) -> list[str]:
    """Want a docstring from every module and every public class, method and function."""
    faults = []
    for path, tree in sources(root):
        if ast.get_docstring(tree) is None:
            faults.append(f'{path}: no docstring')
        for node in _public(tree):
            if ast.get_docstring(node) is None:
                faults.append(f'{path}:{node.lineno}: {node.name}: no docstring')
    return faults


def _public(owner: ast.Module | ast.ClassDef) -> Iterator[ast.ClassDef | Function]:
    for node in owner.body:
        if isinstance(node, ast.ClassDef | Function) and not node.name.startswith('_'):
            yield node
            if isinstance(node, ast.ClassDef):
                yield from _public(node)


def check_error_tree(root: Path) -> list[str]:
    """Compare the tree drawn in the docstring of core/errors.py with its classes."""
    tree = ast.parse((root / 'core' / 'errors.py').read_text(encoding='utf-8'))
    drawn: dict[str, str] = {}
    above: list[tuple[int, str]] = [(-1, 'Exception')]
    for line in (ast.get_docstring(tree) or '').splitlines():
        match = re.match(r'(?P<lead>[\s|+-]*)(?P<name>[A-Z]\w*Error)\b', line)
        if match:
            above = [entry for entry in above if entry[0] < len(match['lead'])]
            drawn[match['name']] = above[-1][1]
            above.append((len(match['lead']), match['name']))
    real = {
        node.name: ast.unparse(node.bases[0]) if node.bases else ''
        for node in tree.body
        if isinstance(node, ast.ClassDef)
    }
    return [
        f'core/errors.py: {name}: drawn below {drawn.get(name)}, derives from {real.get(name)}'
        for name in sorted(drawn.keys() | real.keys())
        if drawn.get(name) != real.get(name)
    ]

"""Where the models that the package ships lie, and the checkpoint they were made from."""

from __future__ import annotations

import json
import os
from pathlib import Path
import re
import sys

from depth_prune_ros.core.errors import CheckpointError
from depth_prune_ros.core.errors import ModelError

PACKAGE = 'depth_prune_ros'
DEFAULT = 'depth_small'


def model_file(named: Path | None) -> Path:
    """
    Return the model file that a user names: a path, or the name of a shipped one.

    :param named: such as my.onnx or depth_tiny; None or an empty path: the default
    :raises ModelError: no shipped model of this name
    """
    if named is None or named == Path():
        return shipped_model()
    bare = named.name == str(named) and not named.suffix
    return shipped_model(named.name) if bare and not named.is_file() else named


def parameter_text(path: Path) -> str:
    """Return a path as a ROS parameter's value: in quotes where YAML would read something else."""
    text = str(path)
    return text if re.fullmatch(r'/[\w/.+@-]*', text) else json.dumps(text, ensure_ascii=False)


def shipped_model(name: str = DEFAULT) -> Path:
    """
    Find a model file that the package ships.

    Looks beside the sources first (a checkout runs its own models), then in the share directory
    of every ament prefix, then in that of this Python.

    :return: the file, absolute
    :raises ModelError: none of this name
    """
    folders = _folders('models', 'models')
    for folder in folders:
        if (folder / f'{name}.onnx').is_file():
            return folder / f'{name}.onnx'
    shipped = sorted({file.stem for folder in folders for file in folder.glob('*.onnx')})
    places = ', '.join(str(folder) for folder in folders)
    msg = (
        f'expected the model {name} among the shipped ones in {places}, found '
        f'{", ".join(shipped) or "none"}; name one of them or a model file'
    )
    raise ModelError(msg)


def shipped_checkpoint() -> Path:
    """
    Find the dense checkpoint that trainings start from, as :func:`shipped_model`.

    :return: the run's folder, absolute
    :raises CheckpointError: none found
    """
    folders = _folders('benchmarks/dense', 'dense')
    for folder in folders:
        if any(folder.glob('*/checkpoint.json')):
            return folder
    places = ', '.join(str(folder) for folder in folders)
    msg = f'expected the shipped checkpoint in {places}, found none; name a checkpoint'
    raise CheckpointError(msg)


def _folders(in_checkout: str, in_share: str) -> list[Path]:
    folders: list[Path] = []
    checkout = Path(__file__).resolve().parents[2]
    # Without this check an installed package would take a stranger's site-packages/models.
    if (checkout / 'package.xml').is_file():
        folders.append(checkout / in_checkout)
    prefixes = os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep)
    for prefix in [*filter(None, prefixes), sys.prefix]:
        folders.append(Path(prefix) / 'share' / PACKAGE / in_share)
    return list(dict.fromkeys(folders))

"""Where the model that the package ships lies, and the checkpoint it was made from."""

from __future__ import annotations

import os
from pathlib import Path
import sys

from depth_prune_ros.core.errors import CheckpointError
from depth_prune_ros.core.errors import ModelError

PACKAGE = 'depth_prune_ros'


def default_model() -> Path:
    """
    Find the one model file the package ships.

    Looks beside the sources first (a checkout runs its own model), then in the share directory
    of every ament prefix, then in that of this Python.

    :return: the file, absolute
    :raises ModelError: none found, or several in one folder
    """
    folders = _folders('models', 'models')
    for folder in folders:
        found = sorted(folder.glob('*.onnx'))
        if len(found) == 1:
            return found[0]
        if found:
            names = ', '.join(path.name for path in found)
            msg = f'{folder}: expected one shipped model, found {names}; name one'
            raise ModelError(msg)
    places = ', '.join(str(folder) for folder in folders)
    msg = f'expected the shipped model (*.onnx) in {places}, found none; name a model file'
    raise ModelError(msg)


def shipped_checkpoint() -> Path:
    """
    Find the dense checkpoint that the shipped model was pruned from, as :func:`default_model`.

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

"""Where the model the package ships lies."""

from __future__ import annotations

import os
from pathlib import Path
import sys

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
    folders = _model_folders()
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


def _model_folders() -> list[Path]:
    folders: list[Path] = []
    checkout = Path(__file__).resolve().parents[2]
    # Without this check an installed package would take a stranger's site-packages/models.
    if (checkout / 'package.xml').is_file():
        folders.append(checkout / 'models')
    prefixes = os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep)
    for prefix in [*filter(None, prefixes), sys.prefix]:
        folders.append(Path(prefix) / 'share' / PACKAGE / 'models')
    return list(dict.fromkeys(folders))

"""A model file with its card inside: written whole or not at all."""

from __future__ import annotations

from pathlib import Path

from depth_prune_ros.core.card import METADATA_KEY
from depth_prune_ros.core.card import ModelCard
from depth_prune_ros.core.errors import ModelError
from depth_prune_ros.core.files import write_whole
import onnx


def check_file(path: Path) -> None:
    """
    Refuse a path that no model file can be written to.

    :raises ModelError: it is a folder
    """
    if path.is_dir():
        msg = f'{path}: expected the name of a file to be written, found a folder'
        raise ModelError(msg)


def save(model: onnx.ModelProto, card: ModelCard, path: Path) -> None:
    """
    Write a model with its card, and nothing else in its metadata.

    :raises ModelError: it cannot be written; what was there before stays
    """
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, {METADATA_KEY: card.to_json()})
    onnx.checker.check_model(model)
    try:
        write_whole(path, model.SerializeToString())
    except OSError as error:
        msg = f'{path}: expected to write a model file, found: {error.strerror or error}'
        raise ModelError(msg) from error


def set_card(path: Path, card: ModelCard) -> None:
    """
    Give a model file another card.

    :raises ModelError: as :func:`save`
    """
    save(onnx.load(path), card, path)

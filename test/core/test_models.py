"""Where the shipped model is looked for."""

from __future__ import annotations

from pathlib import Path
import sys

from depth_prune_ros.core import models
from depth_prune_ros.core.errors import ModelError
import pytest


@pytest.fixture
def share(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the models folder of an ament prefix, of a package installed elsewhere."""
    installed = tmp_path / 'site-packages' / 'depth_prune_ros' / 'core' / 'models.py'
    monkeypatch.setattr(models, '__file__', str(installed))
    monkeypatch.setattr(sys, 'prefix', str(tmp_path / 'python'))
    monkeypatch.setenv('AMENT_PREFIX_PATH', f'{tmp_path / "empty"}:{tmp_path / "robot"}')
    folder = tmp_path / 'robot' / 'share' / 'depth_prune_ros' / 'models'
    folder.mkdir(parents=True)
    return folder


def test_the_share_directory_is_searched(share: Path) -> None:
    (share / 'README.md').touch()
    (share / 'pruned.onnx').touch()
    assert models.default_model() == share / 'pruned.onnx'


def test_a_checkout_runs_its_own_model(share: Path, tmp_path: Path) -> None:
    (share / 'pruned.onnx').touch()
    ours = tmp_path / 'site-packages' / 'models' / 'ours.onnx'
    ours.parent.mkdir(parents=True)
    ours.touch()
    assert models.default_model() == share / 'pruned.onnx'
    (tmp_path / 'site-packages' / 'package.xml').touch()
    assert models.default_model() == ours


def test_none_and_several_are_refused(share: Path) -> None:
    with pytest.raises(ModelError, match=f'{share}.*found none; name a model file'):
        models.default_model()
    for name in ('b.onnx', 'a.onnx'):
        (share / name).touch()
    with pytest.raises(ModelError, match='expected one shipped model, found a.onnx, b.onnx'):
        models.default_model()

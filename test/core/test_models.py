"""Where the shipped model is looked for."""

from __future__ import annotations

from pathlib import Path
import sys

from depth_prune_ros.core import models
from depth_prune_ros.core.errors import ModelError
import pytest
import yaml


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
    (share / 'depth_small.onnx').touch()
    assert models.shipped_model() == share / 'depth_small.onnx'


def test_a_checkout_runs_its_own_models(share: Path, tmp_path: Path) -> None:
    (share / 'depth_small.onnx').touch()
    (share / 'depth_tiny.onnx').touch()
    ours = tmp_path / 'site-packages' / 'models' / 'depth_small.onnx'
    ours.parent.mkdir(parents=True)
    ours.touch()
    assert models.shipped_model() == share / 'depth_small.onnx'
    (tmp_path / 'site-packages' / 'package.xml').touch()
    assert models.shipped_model() == ours
    assert models.shipped_model('depth_tiny') == share / 'depth_tiny.onnx'


def test_a_shipped_model_that_is_none(share: Path) -> None:
    with pytest.raises(ModelError, match=rf'depth_small among .*{share}.*, found none; name'):
        models.shipped_model()
    for name in ('b.onnx', 'a.onnx'):
        (share / name).touch()
    with pytest.raises(ModelError, match='expected the model c among .*, found a, b; name one'):
        models.shipped_model('c')


def test_what_a_user_names(share: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (share / 'depth_small.onnx').touch()
    (share / 'depth_tiny.onnx').touch()
    for nothing in (None, Path(), Path()):
        assert models.model_file(nothing) == share / 'depth_small.onnx'
    assert models.model_file(Path('depth_tiny')) == share / 'depth_tiny.onnx'
    # paths are left alone, also those of files that are not there
    for path in (Path('depth_tiny.onnx'), Path('runs/depth_tiny'), Path('/depth_tiny')):
        assert models.model_file(path) == path
    monkeypatch.chdir(tmp_path)
    Path('depth_tiny').mkdir()
    assert models.model_file(Path('depth_tiny')) == share / 'depth_tiny.onnx'
    Path('depth_tiny').rmdir()
    Path('depth_tiny').touch()
    assert models.model_file(Path('depth_tiny')) == Path('depth_tiny')
    with pytest.raises(ModelError, match='expected the model depth_huge among'):
        models.model_file(Path('depth_huge'))


@pytest.mark.parametrize(
    'path', ['/a/m.onnx', '/a b/m.onnx', '/a #b/m.onnx', '/a: b/m.onnx', '/ä/"m".onnx']
)
def test_a_path_is_the_same_as_a_parameter(path: str) -> None:
    assert yaml.safe_load(f'model: {models.parameter_text(Path(path))}') == {'model': path}

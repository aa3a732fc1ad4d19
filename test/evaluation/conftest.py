"""The small model file, loaded once."""

from __future__ import annotations

from pathlib import Path

from depth_prune_ros.core.engine import DepthEngine
from evaluation_scenes import write_red_model
import pytest


@pytest.fixture(scope='session')
def red_engine(tmp_path_factory: pytest.TempPathFactory) -> DepthEngine:
    """Return an engine whose disparity is a tenth of the red channel."""
    path: Path = tmp_path_factory.mktemp('model') / 'red.onnx'
    return DepthEngine.load(write_red_model(path), threads=1)

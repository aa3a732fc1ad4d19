"""ROS's own docstring settings find nothing."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PLACES = ('depth_prune_ros', 'test', 'launch', 'benchmarks', 'setup.py')


@pytest.mark.filterwarnings('ignore::DeprecationWarning')
def test_pep257(capsys: pytest.CaptureFixture[str]) -> None:
    """Check docstrings as the ROS build farm does."""
    ament_pep257 = import_module('ament_pep257.main')
    places = [str(ROOT / place) for place in PLACES if (ROOT / place).exists()]
    code = ament_pep257.main(argv=places)
    assert code == 0, capsys.readouterr().err

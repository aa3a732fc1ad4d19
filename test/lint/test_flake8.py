"""ROS's own flake8 settings find nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PLACES = ('depth_prune_ros', 'test', 'launch', 'benchmarks', 'setup.py')


@pytest.mark.filterwarnings('ignore::DeprecationWarning', 'ignore::UserWarning')
def test_flake8() -> None:
    """Lint as the ROS build farm does."""
    ament_flake8 = pytest.importorskip('ament_flake8.main')
    places = [str(ROOT / place) for place in PLACES if (ROOT / place).exists()]
    code, errors = ament_flake8.main_with_errors(argv=places)
    assert code == 0, '\n'.join(errors)

"""ROS's own flake8 settings find nothing."""

from __future__ import annotations

import configparser
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PLACES = ('depth_prune_ros', 'test', 'launch', 'benchmarks', 'setup.py')
# E203 takes the space that the formatter puts into a[x + 1 : y] for a fault. A005 takes a module
# inside a package for one that shadows the standard library's; imports are absolute here.
EXTRA = 'E203,A005'


@pytest.mark.filterwarnings('ignore::DeprecationWarning', 'ignore::UserWarning')
def test_flake8(tmp_path: Path) -> None:
    """Lint as the ROS build farm does."""
    ament_flake8 = import_module('ament_flake8.main')
    settings = configparser.ConfigParser()
    settings.read(Path(ament_flake8.__file__).parent / 'configuration' / 'ament_flake8.ini')
    settings['flake8']['extend-ignore'] += f',{EXTRA}'
    # Its workers would be forked from this process, whose other threads may hold locks for ever.
    settings['flake8']['jobs'] = '1'
    config = tmp_path / 'flake8.ini'
    with config.open('w') as file:
        settings.write(file)
    places = [str(ROOT / place) for place in PLACES if (ROOT / place).exists()]
    code, errors = ament_flake8.main_with_errors(argv=['--config', str(config), *places])
    assert code == 0, '\n'.join(errors)

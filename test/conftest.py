"""Fixtures that every part of the tests shares."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope='session')
def kitti() -> Path:
    """Return the folder of real KITTI frames (DEPTH_PRUNE_KITTI or ../shared/kitti), or skip."""
    beside = Path(__file__).resolve().parents[2] / 'shared' / 'kitti'
    folder = Path(os.environ.get('DEPTH_PRUNE_KITTI', beside))
    if not (folder / 'raw').is_dir():
        pytest.skip('real KITTI frames are not here (set DEPTH_PRUNE_KITTI)')
    return folder

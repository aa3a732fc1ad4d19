"""Fixtures that every part of the tests shares."""

from __future__ import annotations

from collections.abc import Iterator
import os
from pathlib import Path

from hypothesis import settings
import pytest

settings.register_profile('busy computers', deadline=None)
settings.load_profile('busy computers')


@pytest.fixture(scope='session', autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep what the tests cache (decoded frames, latency tables) out of the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('XDG_CACHE_HOME', str(tmp_path_factory.mktemp('cache')))
        yield


@pytest.fixture(scope='session')
def kitti() -> Path:
    """Return the folder of real KITTI frames (DEPTH_PRUNE_KITTI or ../shared/kitti), or skip."""
    beside = Path(__file__).resolve().parents[2] / 'shared' / 'kitti'
    folder = Path(os.environ.get('DEPTH_PRUNE_KITTI', beside))
    if not (folder / 'raw').is_dir():
        pytest.skip('real KITTI frames are not here (set DEPTH_PRUNE_KITTI)')
    return folder

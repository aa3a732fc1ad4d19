"""The fingerprint of the data: of what was decoded, whatever code decoded it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
import shutil

from depth_prune_ros.bags.street import Street
from depth_prune_ros.bags.street import street_to_bag
from depth_prune_ros.offline import cache
from depth_prune_ros.offline.samples import load_samples
import pytest


def _fingerprint(bag: Path, folder: Path, baseline_m: float = 0.54) -> str:
    return cache.cached_samples(bag, (32, 64), baseline_m, lambda _: None, folder).fingerprint


def test_newer_code_that_decodes_the_same_has_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So a run that was interrupted is gone on with after an update of the package."""
    bag, folder = tmp_path / 'street', tmp_path / 'cache'
    street_to_bag(bag, Street(seed=1, frames=2, width=96, height=48))
    first = _fingerprint(bag, folder)
    assert _fingerprint(bag, folder) == first
    assert _fingerprint(bag, folder, 0.3) != first
    package = tmp_path / 'package'
    shutil.copytree(cache._PACKAGE, package, ignore=shutil.ignore_patterns('__pycache__'))
    monkeypatch.setattr(cache, '_PACKAGE', package)
    with (package / 'bags' / 'frames.py').open('a') as file:
        file.write('# changed\n')
    assert _fingerprint(bag, folder) == first
    assert len(list(folder.glob('street-*'))) == 3
    # code that decodes otherwise never finds a cache of the code before it, and is told apart
    with (package / 'bags' / 'frames.py').open('a') as file:
        file.write('# changed again\n')
    monkeypatch.setattr(
        cache,
        'load_samples',
        lambda *given, **also: (
            replace(s, stamp_ns=s.stamp_ns + 1) for s in load_samples(*given, **also)
        ),
    )
    assert _fingerprint(bag, folder) != first

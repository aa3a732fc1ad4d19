"""The cache of decoded frames: the same data, never stale, never half, made once."""

from __future__ import annotations

import json
import os
from pathlib import Path
import shutil
import signal
import subprocess
import sys
import time
from typing import Any

from depth_prune_ros.bags.frames import read_frames
from depth_prune_ros.bags.street import Street
from depth_prune_ros.bags.street import street_to_bag
from depth_prune_ros.bags.topics import name_topics
from depth_prune_ros.core.errors import BagError
from depth_prune_ros.core.errors import TrainingError
from depth_prune_ros.offline import cache
from depth_prune_ros.offline.cache import cached_samples
from depth_prune_ros.offline.config import AugmentConfig
from depth_prune_ros.offline.dataset import Dataset
from depth_prune_ros.offline.sample_file import CachedSamples
from depth_prune_ros.offline.samples import load_samples
from full_disk import files_of_at_most
import numpy as np
import pytest
import torch

SIZE, BASELINE_M = (32, 64), 0.54
FRAMES = 4
READ = """
from pathlib import Path
import sys
from depth_prune_ros.offline.cache import cached_samples
bag, folder = map(Path, sys.argv[1:3])
seen = []
found = cached_samples(bag, (32, 64), 0.54, seen.append, folder)
print(len(found), len(seen), found[1].left.sum())
"""


@pytest.fixture(scope='module')
def street(tmp_path_factory: pytest.TempPathFactory) -> Path:
    bag = tmp_path_factory.mktemp('bags') / 'street'
    street_to_bag(bag, Street(seed=1, frames=FRAMES, width=96, height=48))
    return bag


@pytest.fixture
def bag(street: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(street, tmp_path / 'street'))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / 'cache'


def _read(bag: Path, folder: Path, **changes: object) -> tuple[CachedSamples, list[int]]:
    """Return the samples and what the progress was told: each frame when they are decoded."""
    seen: list[int] = []
    options: dict[str, Any] = {'size': SIZE, 'baseline_m': BASELINE_M, **changes}
    return cached_samples(bag, progress=seen.append, folder=folder, **options), seen


def _caches(folder: Path) -> list[str]:
    return sorted(
        p.name for p in folder.iterdir() if not p.name.startswith('.') and p.name != 'digests'
    )


def test_the_data_is_what_it_is_without_a_cache(bag: Path, folder: Path) -> None:
    plain = list(load_samples(read_frames(bag), SIZE, BASELINE_M))
    for found in (_read(bag, folder)[0], _read(bag, folder)[0]):
        assert len(found) == len(plain) == FRAMES
        for a, b in zip(found, plain, strict=True):
            assert a.right is not None
            assert b.right is not None
            for one, other in ((a.left, b.left), (a.right, b.right), (a.points, b.points)):
                assert one.dtype == other.dtype
                np.testing.assert_array_equal(one, other)
            for name in ('fx_over_width', 'fy_over_height', 'baseline_m', 'stamp_ns'):
                assert getattr(a, name) == getattr(b, name)
        batches = [
            Dataset({'b': samples}, {}, SIZE, BASELINE_M, AugmentConfig()).batch(3, 2, 1)
            for samples in (found, plain)
        ]
        for name in ('image', 'left', 'right', 'disparity'):
            one, other = (getattr(batch, name) for batch in batches)
            torch.testing.assert_close(one, other, rtol=0, atol=0, equal_nan=True)


def test_frames_without_a_right_image(
    street: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Any mix is kept: every second frame has measured depth alone."""
    whole = list(load_samples(read_frames(street), SIZE, BASELINE_M))
    mixed = [
        s if i % 2 else type(s)(**{**vars(s), 'right': None, 'points': s.points[: 7 + i]})
        for i, s in enumerate(whole)
    ]
    monkeypatch.setattr(cache, 'load_samples', lambda *_, **__: iter(mixed))
    found, _ = _read(street, folder)
    for a, b in zip(found, mixed, strict=True):
        assert (a.right is None) == (b.right is None)
        np.testing.assert_array_equal(a.left, b.left)
        np.testing.assert_array_equal(a.points, b.points)


def test_samples_lie_in_the_map(bag: Path, folder: Path) -> None:
    """Nothing is copied: the arrays are views of one read-only map."""
    found = _read(bag, folder)[0]
    first, again = found[0], found[0]
    assert np.shares_memory(first.left, again.left)
    for view in (first.left, first.right, first.points):
        assert view is not None
        assert not view.flags.writeable
        assert not view.flags.owndata


def test_it_is_decoded_once(bag: Path, folder: Path, tmp_path: Path) -> None:
    assert _read(bag, folder)[1] == [1, 2, 3, 4]
    assert _read(bag, folder)[1] == [4]
    assert len(_caches(folder)) == 1
    # the same bag elsewhere is the same bag
    (tmp_path / 'other').mkdir()
    moved = bag.rename(tmp_path / 'other' / 'street')
    assert _read(moved, folder)[1] == [4]


@pytest.mark.parametrize('changes', [{'size': (64, 64)}, {'baseline_m': 0.3}])
def test_another_option_is_another_cache(
    changes: dict[str, object], bag: Path, folder: Path
) -> None:
    first = _read(bag, folder)[0]
    other, seen = _read(bag, folder, **changes)
    assert seen == [1, 2, 3, 4]
    assert other.fingerprint != first.fingerprint
    assert len(_caches(folder)) == 2


def test_named_topics_are_another_cache(bag: Path, folder: Path) -> None:
    first = _read(bag, folder)[0]
    try:
        name_topics(right='none')
        other, seen = _read(bag, folder)
    finally:
        name_topics()
    assert (seen, other[0].right) == ([1, 2, 3, 4], None)
    assert first[0].right is not None
    assert other.fingerprint != first.fingerprint


def test_a_changed_bag_is_decoded_anew(bag: Path, folder: Path) -> None:
    """Even where the size and the modification time are what they were."""
    first = _read(bag, folder)[0]
    (file,) = bag.glob('*.mcap')
    before = file.stat()
    content = bytearray(file.read_bytes())
    at = content.index(first[0].left.tobytes()[:1], len(content) // 2)
    content[at] ^= 1
    file.write_bytes(content)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert file.stat().st_size == before.st_size
    try:
        found, seen = _read(bag, folder)
    except BagError:  # the byte was one that the format checks
        return
    assert seen == [1, 2, 3, 4]
    assert found.fingerprint != first.fingerprint


def test_other_decoding_code_is_another_cache(
    bag: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _read(bag, folder)
    package = folder.parent / 'package'
    shutil.copytree(cache._PACKAGE, package, ignore=shutil.ignore_patterns('__pycache__'))
    monkeypatch.setattr(cache, '_PACKAGE', package)
    assert _read(bag, folder)[1] == [4]
    for name in ('bags/frames.py', 'core/images.py', 'core/camera.py', 'offline/samples.py'):
        with (package / name).open('a') as file:
            file.write('# changed\n')
        assert _read(bag, folder)[1] == [1, 2, 3, 4]


@pytest.mark.parametrize('name', ['samples.bin', 'index.npy', 'about.json'])
@pytest.mark.parametrize('missing', [True, False])
def test_a_damaged_one_is_made_anew(name: str, missing: bool, bag: Path, folder: Path) -> None:
    _read(bag, folder)
    (file,) = folder.glob(f'*/{name}')
    if missing:
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:-5])
    found, seen = _read(bag, folder)
    assert seen == [1, 2, 3, 4]
    assert len(found) == FRAMES
    assert len(_caches(folder)) == 1


def test_a_bag_that_changes_meanwhile_leaves_no_cache(bag: Path, folder: Path) -> None:
    def touch(frames: int) -> None:
        if frames == 2:
            text = (bag / 'metadata.yaml').read_text()
            (bag / 'metadata.yaml').write_text(text + '\n')

    with pytest.raises(BagError, match='street: expected a bag at rest, found it changed'):
        cached_samples(bag, SIZE, BASELINE_M, touch, folder)
    assert _caches(folder) == []
    assert _read(bag, folder)[1] == [1, 2, 3, 4]


def _start(bag: Path, folder: Path, script: str = READ) -> subprocess.Popen[str]:
    command = [sys.executable, '-c', script, str(bag), str(folder)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_killed_build_leaves_nothing_that_looks_whole(bag: Path, folder: Path) -> None:
    bag = bag.rename(bag.with_name('run[1]'))
    """SIGKILL while the third frame is decoded; the next process starts anew and cleans up."""
    slow = READ.replace('seen.append', 'lambda n: time.sleep(60 if n == 2 else 0)')
    process = _start(bag, folder, 'import time\n' + slow)
    while not list(folder.glob('.*.partial/samples.bin')) and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert _caches(folder) == []
    assert _read(bag, folder)[1] == [1, 2, 3, 4]
    assert list(folder.glob('.*.partial')) == []


def test_two_processes_make_one_cache(bag: Path, folder: Path) -> None:
    """Of three that start at once, one decodes; all read the same."""
    started = [_start(bag, folder) for _ in range(3)]
    out = [process.communicate() for process in started]
    assert [process.returncode for process in started] == [0, 0, 0], out
    lines = [text.split() for text, _ in out]
    assert sorted(int(line[1]) for line in lines) == [1, 1, FRAMES]
    assert len({(line[0], line[2]) for line in lines}) == 1
    assert len(_caches(folder)) == 1


SMALL = """
set -e
mkdir -p "$1"
mount -t tmpfs -o size=48k none "$1"
code=0
"$2" -m depth_prune_ros.cli train --bags "$3" --out "$4" --config "$5" || code=$?
ls -A "$1" | grep -v -e digests -e lock >&2 || true
exit $code
"""


def test_a_full_disk_is_one_line(bag: Path, tmp_path: Path) -> None:
    """On a real file system of 48 kB."""
    unshare = shutil.which('unshare')
    probe = [unshare or 'false', '-rm', 'sh', '-c', 'mount -t tmpfs none /mnt']
    if subprocess.run(probe, check=False, capture_output=True).returncode:
        pytest.skip('mounting a small file system is not allowed here')
    config = tmp_path / 'train.yaml'
    small = tmp_path / 'small'
    config.write_text(f'height: 32\nwidth: 64\nimagenet: false\ncache: {small}\n')
    arguments = [str(small), sys.executable, str(bag), str(tmp_path / 'run'), str(config)]
    command = [*probe[:4], SMALL, 'sh', *arguments]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr.count('\n')) == (1, 1), done.stderr
    assert f'error: {small}: expected ' in done.stderr
    assert f'bytes for the frames of {bag}, found' in done.stderr
    assert 'name a folder on another disk' in done.stderr


def test_a_write_that_fails_half_way_leaves_nothing(bag: Path, folder: Path) -> None:
    each = _read(bag, folder)[0]
    needed = json.loads(next(folder.glob('*/about.json')).read_text())['bytes']
    shutil.rmtree(folder)
    with files_of_at_most(needed // 2), pytest.raises(TrainingError) as caught:
        _read(bag, folder)
    message = str(caught.value)
    assert message.startswith(f'{folder}: expected ')
    assert f' bytes for the frames of {bag}, found ' in message
    assert int(message.split()[2]) == pytest.approx(needed, rel=0.01)
    assert '\n' not in message
    assert _caches(folder) == []
    assert len(_read(bag, folder)[0]) == len(each)


def test_a_folder_that_cannot_be_made(bag: Path, tmp_path: Path) -> None:
    (tmp_path / 'file').write_text('')
    with pytest.raises(TrainingError, match='expected to write decoded frames there, found'):
        _read(bag, tmp_path / 'file' / 'cache')


def test_what_is_no_bag(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(BagError, match='expected a bag, found nothing there'):
        _read(tmp_path / 'nowhere', folder)

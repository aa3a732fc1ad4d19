"""Damaged bags give what is whole, and say what is not."""

from __future__ import annotations

import logging
from pathlib import Path
import sqlite3

from depth_prune_ros.bags.frames import read_frames
from depth_prune_ros.bags.losses import collect_findings
from depth_prune_ros.core.errors import BagError
from depth_prune_ros.core.errors import DepthPruneError
from mcap.writer import CompressionType
from noise_bags import camera
from noise_bags import CHUNK
from noise_bags import COMPRESSED
from noise_bags import flip
from noise_bags import FRAMES
from noise_bags import in_sqlite
from noise_bags import KINDS
from noise_bags import PIXELS
from noise_bags import read
from noise_bags import UNCOMPRESSED
import numpy as np
import pytest
from robot_bags import SECOND
from robot_bags import START_NS
from rosbags.rosbag2 import CompressionMode
from rosbags.rosbag2 import StoragePlugin


@pytest.mark.parametrize('share', [0.3, 0.5, 0.85])
@pytest.mark.parametrize('kind', UNCOMPRESSED)
def test_a_cut_file_gives_every_image_before_the_cut(
    tmp_path: Path, kind: str, share: float
) -> None:
    path = UNCOMPRESSED[kind](tmp_path)
    data = path.read_bytes()
    left = data[: int(share * len(data))]
    path.write_bytes(left)
    numbers, loss = read(path)
    assert numbers == [i for i in range(FRAMES) if PIXELS[i].tobytes() in left]
    assert 0 < len(numbers) <= FRAMES
    assert loss is not None
    assert loss.frames_read == len(numbers)
    assert f'{path}: ' in str(loss)
    assert str(loss).endswith(f', frames read: {len(numbers)}')
    assert loss.bag_bytes == len(left)


@pytest.mark.parametrize('kind', ['mcap', 'ros1'])
def test_the_bytes_lost_are_those_behind_the_last_whole_message(tmp_path: Path, kind: str) -> None:
    path = UNCOMPRESSED[kind](tmp_path)
    data = path.read_bytes()
    end = data.index(PIXELS[20].tobytes()) + PIXELS[20].size
    for extra in (0, 1, 7):
        path.write_bytes(data[: end + extra])
        numbers, loss = read(path)
        assert numbers == list(range(21))
        assert loss is not None
        assert loss.bytes_lost == extra
        assert loss.damages[0].offset == end


@pytest.mark.parametrize('share', [0.3, 0.9])
@pytest.mark.parametrize('kind', COMPRESSED)
def test_a_cut_file_with_compressed_chunks(tmp_path: Path, kind: str, share: float) -> None:
    path = COMPRESSED[kind](tmp_path)
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    numbers, loss = read(path)
    assert numbers == list(range(len(numbers)))
    assert loss is not None
    assert loss.bytes_lost is not None
    assert abs(len(numbers) - share * FRAMES) < 7


def test_a_flipped_byte_costs_its_chunk_and_no_other(tmp_path: Path) -> None:
    path = UNCOMPRESSED['mcap'](tmp_path)
    whole, _ = read(path)
    assert whole == list(range(FRAMES))
    flip(path, path.read_bytes().index(PIXELS[30].tobytes()) + 100)
    numbers, loss = read(path)
    gone = sorted(set(whole) - set(numbers))
    assert 30 in gone
    assert 1 < len(gone) < 8
    assert gone == list(range(gone[0], gone[-1] + 1))
    assert loss is not None
    assert loss.damages[0].reason == 'Chunk checksum mismatch'
    assert CHUNK <= (loss.bytes_lost or 0) < 1.5 * CHUNK


# rosbags writes LZ4 into ROS 1 bags without a checksum: what is changed there goes unnoticed.
@pytest.mark.parametrize('kind', sorted(COMPRESSED.keys() - {'ros1-lz4'}))
def test_a_damaged_compressed_chunk_is_left_out(tmp_path: Path, kind: str) -> None:
    path = COMPRESSED[kind](tmp_path)
    flip(path, path.stat().st_size // 2)
    numbers, loss = read(path)
    assert FRAMES - 8 < len(numbers) < FRAMES
    assert loss is not None
    assert loss.frames_read == len(numbers)


def test_a_damaged_index_costs_nothing(tmp_path: Path) -> None:
    path = UNCOMPRESSED['mcap'](tmp_path)
    flip(path, path.stat().st_size - 200)
    assert read(path) == (list(range(FRAMES)), None)


def test_a_recorder_of_ros_1_that_was_killed(tmp_path: Path) -> None:
    path = UNCOMPRESSED['ros1'](tmp_path)
    data = bytearray(path.read_bytes())
    end = data.index(PIXELS[40].tobytes())
    # No index yet, and no size of the chunk that is being written.
    index_at = data.index(b'index_pos=') + len('index_pos=')
    data[index_at : index_at + 8] = bytes(8)
    size_at = data.index(b'size=', data.rindex(b'compression=', 0, end)) + len('size=') + 4
    assert data[size_at : size_at + 4] != bytes(4)
    data[size_at : size_at + 4] = bytes(4)
    path.write_bytes(data[:end])
    numbers, loss = read(path)
    assert numbers == list(range(40))
    assert loss is not None


def test_a_ros_1_bag_without_index_is_read_whole(tmp_path: Path) -> None:
    path = UNCOMPRESSED['ros1'](tmp_path)
    data = bytearray(path.read_bytes())
    at = data.index(b'index_pos=') + len('index_pos=')
    data[at : at + 8] = bytes(8)
    path.write_bytes(data)
    assert read(path) == (list(range(FRAMES)), None)


def test_a_database_whose_pages_are_unhinged_gives_its_rows(tmp_path: Path) -> None:
    path = in_sqlite(tmp_path)
    with sqlite3.connect(path, isolation_level=None) as base:
        # Rows of 1800 bytes go on in other pages.
        base.execute('PRAGMA page_size = 1024')
        base.execute('VACUUM')
        query = "SELECT rootpage FROM sqlite_master WHERE name = 'messages'"
        (root,) = base.execute(query).fetchone()
        (size,) = base.execute('PRAGMA page_size').fetchone()
    base.close()
    data = bytearray(path.read_bytes())
    data[(root - 1) * size : root * size] = bytes(size)
    path.write_bytes(data)
    numbers, loss = read(path)
    assert numbers == list(range(FRAMES))
    assert loss is not None
    assert f'{2 * FRAMES} messages found' in str(loss)


def test_a_log_that_is_not_in_the_database_yet_is_told(tmp_path: Path) -> None:
    path = in_sqlite(tmp_path)
    (path.parent / f'{path.name}-wal').write_bytes(b'x' * 100)
    numbers, loss = read(path)
    assert numbers == list(range(FRAMES))
    assert loss is not None
    assert loss.bytes_lost == 100
    assert 'wal_checkpoint' in str(loss)


def test_a_missing_and_an_empty_file_of_a_split_bag(tmp_path: Path) -> None:
    bag = camera().write(tmp_path / 'bag')
    metadata = bag / 'metadata.yaml'
    names = '- bag.mcap\n  - bag_1.mcap\n  - bag_2.mcap'
    metadata.write_text(metadata.read_text().replace('- bag.mcap', names))
    (bag / 'bag_1.mcap').touch()
    numbers, loss = read(bag)
    assert numbers == list(range(FRAMES))
    assert loss is not None
    assert [(d.file.name, d.size) for d in loss.damages] == [
        ('bag_2.mcap', None),
        ('bag_1.mcap', 0),
    ]
    assert 'bag_2.mcap: is missing, and 1 more place' in str(loss)


@pytest.mark.parametrize('storage', StoragePlugin)
def test_a_cut_file_that_is_compressed_as_a_whole(tmp_path: Path, storage: StoragePlugin) -> None:
    robot = camera()
    rng = np.random.default_rng(0)
    # More than the 128 KB that zstd packs at once.
    for number in range(FRAMES):
        robot.image('/mask', START_NS + number * SECOND)
        robot.messages[-1][3].data = rng.integers(0, 256, 20_000, np.uint8)
    bag = robot.write(tmp_path / 'bag', storage, CompressionMode.FILE)
    (file,) = bag.glob('*.zstd')
    file.write_bytes(file.read_bytes()[: file.stat().st_size * 2 // 3])
    numbers, loss = read(bag)
    assert FRAMES // 3 < len(numbers) < FRAMES
    assert numbers == list(range(len(numbers)))
    assert loss is not None
    assert loss.damages[0].file == file


def test_strict_reading_raises(tmp_path: Path) -> None:
    path = UNCOMPRESSED['mcap'](tmp_path)
    flip(path, path.read_bytes().index(PIXELS[30].tobytes()))
    frames = read_frames(path, strict=True)
    assert next(frames).stamp_ns == START_NS
    with pytest.raises(BagError, match=r'a.mcap: Chunk checksum mismatch at byte .*copy it again'):
        list(frames)
    UNCOMPRESSED['mcap'](tmp_path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(BagError, match='cut short'):
        next(read_frames(path, strict=True))


def test_a_later_file_is_not_touched_before_its_time(tmp_path: Path) -> None:
    whole = tmp_path / 'whole'
    whole.mkdir()
    for part in (0, 1):
        bag = camera()
        bag.messages = bag.messages[part * FRAMES : (part + 1) * FRAMES]
        bag.write_mcap(whole / f'{part}.mcap', compression=CompressionType.NONE)
    flip(whole / '1.mcap', (whole / '1.mcap').read_bytes().index(PIXELS[FRAMES // 2].tobytes()))
    frames = read_frames(whole, strict=True)
    assert [next(frames).stamp_ns for _ in range(5)][-1] == START_NS + 4 * SECOND
    with pytest.raises(BagError, match='1.mcap: Chunk checksum mismatch'):
        list(frames)


def test_without_a_collector_the_logger_hears_of_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = UNCOMPRESSED['mcap'](tmp_path)
    path.write_bytes(path.read_bytes()[:30_000])
    with caplog.at_level(logging.WARNING):
        frames = read_frames(path)
        next(frames)
        frames.close()  # type: ignore[attr-defined]
    assert [record.name for record in caplog.records] == ['depth_prune_ros.bags.losses']
    assert 'frames read: 1' in caplog.text


@pytest.mark.parametrize('kind', KINDS)
def test_garbage_anywhere_is_survived(tmp_path: Path, kind: str) -> None:
    """Whatever is broken, there are frames or one line; never another exception."""
    path = KINDS[kind](tmp_path)
    data = path.read_bytes()
    rng = np.random.default_rng(1)
    for _ in range(15):
        broken = bytearray(data)
        # Half of them in the headers at the beginning and the index at the end.
        at = int(rng.choice([rng.integers(len(data)), rng.integers(500), len(data) - 300]))
        broken[at : at + 40] = rng.bytes(40)
        path.write_bytes(broken[: len(data)])
        with collect_findings():
            try:
                stamps = [frame.stamp_ns for frame in read_frames(path)]
            except DepthPruneError as error:
                assert '\n' not in str(error)
            else:
                assert len(stamps) <= FRAMES

"""Every storage and compression that bags come in gives the same frames."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
from pathlib import Path
import shutil

from depth_prune_ros.bags.bag_files import bag_name
from depth_prune_ros.bags.frames import read_frames
from depth_prune_ros.bags.losses import collect_findings
from mcap.writer import CompressionType
from mcap.writer import IndexType
import numpy as np
import pytest
from robot_bags import RobotBag
from robot_bags import SECOND
from robot_bags import START_NS
from rosbags.rosbag1 import Writer as Writer1
from rosbags.rosbag2 import CompressionMode
from rosbags.rosbag2 import StoragePlugin
import zstandard

FRAMES = 12
Write = Callable[[Path], Path]

FOLDERS: dict[str, Write] = {
    f'{storage.name}-{mode.name}': lambda path, s=storage, m=mode: robot().write(path, s, m)
    for storage, mode in [
        *((StoragePlugin.MCAP, mode) for mode in CompressionMode),
        (StoragePlugin.SQLITE3, CompressionMode.NONE),
        (StoragePlugin.SQLITE3, CompressionMode.MESSAGE),
        (StoragePlugin.SQLITE3, CompressionMode.FILE),
    ]
}
OPTIONS = {
    'lz4': {'compression': CompressionType.LZ4, 'chunk_size': 500},
    'zstd': {'compression': CompressionType.ZSTD, 'chunk_size': 500},
    'none': {'compression': CompressionType.NONE, 'chunk_size': 500},
    'no-chunks': {'use_chunking': False},
    'no-index': {'index_types': IndexType.NONE, 'chunk_size': 500},
    'no-summary': {
        'index_types': IndexType.NONE,
        'repeat_channels': False,
        'repeat_schemas': False,
        'use_statistics': False,
        'use_summary_offsets': False,
    },
}
FILES: dict[str, Write] = {
    **{
        f'mcap-{name}': lambda path, o=options: robot().write_mcap(path.with_suffix('.mcap'), **o)
        for name, options in OPTIONS.items()
    },
    **{
        f'ros1-{kind.name if kind else "none"}': lambda path, k=kind: robot(ros1=True).write(
            path.with_suffix('.bag'), compression=k
        )
        for kind in (None, *Writer1.CompressionFormat)
    },
}


def robot(numbers: range = range(FRAMES), *, ros1: bool = False) -> RobotBag:
    """Make a stereo camera and a lidar; what they see says which frame it is."""
    bag = RobotBag(ros1=ros1)
    bag.tf(START_NS, 'cam', 'lidar', (0, 0, 0), (0, 0, 0, 1))
    for number in numbers:
        stamp_ns = START_NS + number * SECOND
        for side, tx in (('left', 0.0), ('right', -5.0)):
            bag.info(f'/{side}/camera_info', stamp_ns, tx=tx)
            bag.image(f'/{side}/image_raw', stamp_ns, level=number + 100 * (side == 'right'))
        points = np.zeros((1, 1), [(name, '<f4') for name in 'xyz'])
        points['z'] = 10 + number
        bag.cloud('/lidar', stamp_ns, points)
    return bag


def check(path: Path) -> None:
    """Compare every value with what the robot wrote; nothing may be reported."""
    with collect_findings() as findings:
        frames = list(read_frames(path))
    assert (findings.losses, findings.warnings) == ({}, [])
    assert [frame.stamp_ns for frame in frames] == [START_NS + i * SECOND for i in range(FRAMES)]
    for number, frame in enumerate(frames):
        assert (frame.left == number).all()
        assert frame.right is not None
        assert (frame.right == 100 + number).all()
        assert frame.baseline_m == 0.5
        assert frame.depth is not None
        assert frame.depth[np.isfinite(frame.depth)].tolist() == [10 + number]
        assert (frame.camera.fx, frame.camera.cx) == (10, 3.5)


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return a folder for bags."""
    yield tmp_path_factory.mktemp('bags')


@pytest.mark.parametrize('kind', FOLDERS)
def test_a_folder_with_and_without_metadata_and_its_file(folder: Path, kind: str) -> None:
    bag = FOLDERS[kind](folder / kind)
    (file,) = (path for path in bag.iterdir() if path.name != 'metadata.yaml')
    assert (file.suffix == '.zstd') == kind.endswith('FILE')
    check(bag)
    check(file)
    (bag / 'metadata.yaml').unlink()
    check(bag)


@pytest.mark.parametrize('kind', FILES)
def test_a_file(folder: Path, kind: str) -> None:
    check(FILES[kind](folder / kind))


@pytest.mark.parametrize('storage', StoragePlugin)
@pytest.mark.parametrize('mode', [CompressionMode.NONE, CompressionMode.FILE])
def test_a_split_bag(tmp_path: Path, storage: StoragePlugin, mode: CompressionMode) -> None:
    whole = tmp_path / 'whole'
    whole.mkdir()
    for part in range(3):
        numbers = range(4 * part, 4 * part + 4)
        # The latched transform is in the first file alone.
        bag = robot(numbers)
        bag.messages = [m for m in bag.messages if part == 0 or m[1] != '/tf_static']
        path = bag.write(tmp_path / f'part_{2 - part}', storage, mode)
        for file in path.glob('part_*'):
            shutil.copy(file, whole)
    check(whole)
    names = ''.join(f'  - {path.name}\n' for path in sorted(whole.iterdir()))
    (whole / 'metadata.yaml').write_text(f'relative_file_paths:\n{names}')
    shutil.copy(next(whole.glob('part_0*')), whole / ('copy_' + next(whole.glob('part_0*')).name))
    check(whole)


def test_recorders_that_ran_beside_each_other_are_one_bag(tmp_path: Path) -> None:
    whole = tmp_path / 'whole'
    whole.mkdir()
    for name in ('/left', '/right', '/lidar', '/tf_static'):
        bag = robot()
        bag.messages = [message for message in bag.messages if message[1].startswith(name)]
        bag.write_mcap(whole / f'{name[1:]}.mcap')
    check(whole)


def test_messages_outside_of_chunks_may_be_out_of_order(tmp_path: Path) -> None:
    bag = robot()
    ordered = sorted(bag.messages, key=lambda message: message[0] ^ 1 << 30)
    bag.ordered = lambda: ordered  # type: ignore[method-assign]
    stamps = [message[0] for message in bag.ordered()]
    assert stamps != sorted(stamps)
    path = bag.write_mcap(tmp_path / 'a.mcap', use_chunking=False)
    with collect_findings() as findings:
        frames = list(read_frames(path))
    assert not findings.losses
    assert sorted(frame.stamp_ns for frame in frames) == [
        START_NS + i * SECOND for i in range(FRAMES)
    ]


def test_a_file_that_was_compressed_in_pieces(tmp_path: Path) -> None:
    data = robot().write_mcap(tmp_path / 'a.mcap').read_bytes()
    packer = zstandard.ZstdCompressor()
    pieces = [packer.compress(data[:1000]), packer.compress(data[1000:])]
    (tmp_path / 'b.mcap.zstd').write_bytes(b''.join(pieces))
    check(tmp_path / 'b.mcap.zstd')


@pytest.mark.parametrize(
    ('path', 'name'),
    [
        ('a/drive_0001', 'drive_0001'),
        ('a/x.mcap', 'x'),
        ('a/y.bag', 'y'),
        ('a/z.db3.zstd', 'z'),
        ('a/v1.2', 'v1.2'),
        ('a/v1.zstd', 'v1.zstd'),
    ],
)
def test_bag_names(path: str, name: str) -> None:
    assert bag_name(Path(path)) == name

"""The folders KITTI comes in: which files they hold, their stamps and their calibration."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from datetime import timezone
from pathlib import Path

from depth_prune_ros.core.errors import BagError
import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]

# KITTI's camera numbers, and how kitti2bag calls them.
CAMERA_NAMES = {
    0: 'camera_gray_left',
    1: 'camera_gray_right',
    2: 'camera_color_left',
    3: 'camera_color_right',
}
# Recordings without timestamps.txt start here (2011-09-26 01:20:00 UTC) and run at 10 Hz.
EPOCH_NS = 1_317_000_000 * 10**9
PERIOD_NS = 10**8
_CALIBRATION = 'calib_cam_to_cam.txt'
_SUFFIXES = ('.png', '.jpg', '.jpeg')


@dataclass(frozen=True)
class Calibration:
    """
    What KITTI says about its rectified cameras.

    :param projections: camera number -> P_rect [3, 4]
    :param cam_T_velo: [4, 4] R_rect_00 * Tr, takes velodyne points to the rectified camera 0
    :param velo_T_imu: [4, 4] takes points of the IMU to the velodyne
    """

    projections: Mapping[int, Matrix]
    cam_T_velo: Matrix | None = None
    velo_T_imu: Matrix | None = None


@dataclass(frozen=True)
class Stream:
    """Files of one sensor by frame number, and their stamps in nanoseconds."""

    files: Mapping[int, Path]
    stamps_ns: Mapping[int, int]


@dataclass(frozen=True)
class Recording:
    """One KITTI folder. The calibration of a frame is calibration(frame number)."""

    cameras: Mapping[int, Stream]
    calibration: Callable[[int], Calibration]
    lidar: Stream | None = None
    depth: Stream | None = None


def read_layout(source: Path, annotated: Path | None = None) -> Recording:
    """
    Find out what a KITTI folder is and list what it holds.

    :param source: a raw drive, an odometry sequence, or an object set's training folder
    :param annotated: folder of the raw drive's official depth, or the data_depth_annotated above
    :raises BagError: a folder that is none of these, or lacks calibration or images
    """
    if not source.is_dir():
        msg = f'{source}: expected a KITTI folder, found none; give the path of a drive'
        raise BagError(msg)
    if (source / 'image_00').is_dir() or any(source.glob('image_0?/data')):
        return _raw(source, annotated)
    if (source / 'calib.txt').is_file():
        return _odometry(source)
    if (source / 'calib').is_dir():
        return _object(source)
    msg = (
        f'{source}: expected a raw drive (image_02/data), an odometry sequence (calib.txt, '
        f'image_0) or an object set (image_2, calib), found {_some_names(source)}'
    )
    raise BagError(msg)


def _raw(source: Path, annotated: Path | None) -> Recording:
    cameras = {}
    for number in CAMERA_NAMES:
        files = _numbered(source / f'image_{number:02d}' / 'data')
        if files:
            stamps = _stamps(source / f'image_{number:02d}' / 'timestamps.txt', files)
            cameras[number] = Stream(files, stamps)
    if not cameras:
        msg = f'{source}: expected .png or .jpg images in image_00..03/data, found none'
        raise BagError(msg)
    scans = _numbered(source / 'velodyne_points' / 'data', ('.bin',))
    ways = source.absolute(), source.resolve()
    drive = next((way for way in ways if (way.parent / _CALIBRATION).is_file()), ways[0])
    calibration = _raw_calibration(drive.parent, cameras, lidar=bool(scans))
    stamps = _stamps(source / 'velodyne_points' / 'timestamps.txt', scans)
    return Recording(
        cameras=cameras,
        calibration=lambda _: calibration,
        lidar=Stream(scans, stamps) if scans else None,
        depth=_annotated_depth(drive, annotated),
    )


def _raw_calibration(folder: Path, cameras: Iterable[int], *, lidar: bool) -> Calibration:
    path = folder / _CALIBRATION
    values = _read_table(path)
    projections = {i: _take(path, values, f'P_rect_{i:02d}', (3, 4)) for i in cameras}
    cam_T_velo = velo_T_imu = None
    if lidar or (folder / 'calib_velo_to_cam.txt').is_file():
        rectify = _rigid(_take(path, values, 'R_rect_00', (3, 3)))
        cam_T_velo = rectify @ _raw_transform(folder / 'calib_velo_to_cam.txt')
    if (folder / 'calib_imu_to_velo.txt').is_file():
        velo_T_imu = _raw_transform(folder / 'calib_imu_to_velo.txt')
    return Calibration(projections, cam_T_velo, velo_T_imu)


def _raw_transform(path: Path) -> Matrix:
    values = _read_table(path)
    return _rigid(_take(path, values, 'R', (3, 3)), _take(path, values, 'T', (3,)))


def _annotated_depth(source: Path, annotated: Path | None) -> Stream | None:
    if annotated is None:
        roots = [parent / 'data_depth_annotated' for parent in source.parents[:3]]
    else:
        roots = [annotated, annotated.parent]
    folders = [root / part / source.name for root in roots for part in ('', 'train', 'val')]
    for folder in folders:
        files = _numbered(folder / 'proj_depth' / 'groundtruth' / 'image_02')
        if files:
            stamps = _stamps(source / 'image_02' / 'timestamps.txt', files)
            return Stream(files, stamps)
    if annotated is not None:
        msg = (
            f'{annotated}: expected {source.name}/proj_depth/groundtruth/image_02/*.png in it, '
            f'found {_some_names(annotated)}'
        )
        raise BagError(msg)
    return None


def _odometry(source: Path) -> Recording:
    cameras = _short_cameras(source)
    scans = _numbered(source / 'velodyne', ('.bin',))
    path = source / 'calib.txt'
    values = _read_table(path)
    knows = bool(scans) or 'Tr' in values
    cam_T_velo = _rigid(_take(path, values, 'Tr', (3, 4))) if knows else None
    projections = {i: _take(path, values, f'P{i}', (3, 4)) for i in cameras}
    calibration = Calibration(projections, cam_T_velo)
    stamps = _odometry_stamps(source)
    return Recording(
        cameras={i: Stream(files, stamps(files)) for i, files in cameras.items()},
        calibration=lambda _: calibration,
        lidar=Stream(scans, stamps(scans)) if scans else None,
    )


def _odometry_stamps(source: Path) -> Callable[[Mapping[int, Path]], dict[int, int]]:
    path = source / 'times.txt'
    if not path.is_file():
        return _regular
    words = path.read_text('utf-8', 'replace').split()
    stamps = {i: EPOCH_NS + _seconds_as_ns(path, word) for i, word in enumerate(words)}
    return lambda files: _chosen(path, stamps, files)


def _seconds_as_ns(path: Path, word: str) -> int:
    try:
        return round(float(word) * 1e9)
    except (ValueError, OverflowError):
        msg = f'{path}: expected seconds like 1.037e-01, found {word!r}; copy the file again'
        raise BagError(msg) from None


def _object(source: Path) -> Recording:
    cameras = _short_cameras(source)
    scans = _numbered(source / 'velodyne', ('.bin',))

    def calibration(number: int) -> Calibration:
        path = source / 'calib' / f'{number:06d}.txt'
        values = _read_table(path)
        rectify = _rigid(_take(path, values, 'R0_rect', (3, 3)))
        imu = 'Tr_imu_to_velo'
        return Calibration(
            projections={i: _take(path, values, f'P{i}', (3, 4)) for i in cameras},
            cam_T_velo=rectify @ _rigid(_take(path, values, 'Tr_velo_to_cam', (3, 4))),
            velo_T_imu=_rigid(_take(path, values, imu, (3, 4))) if imu in values else None,
        )

    lidar = Stream(scans, _regular(scans)) if scans else None
    streams = {i: Stream(files, _regular(files)) for i, files in cameras.items()}
    return Recording(cameras=streams, calibration=calibration, lidar=lidar)


def _short_cameras(source: Path) -> dict[int, dict[int, Path]]:
    found = {number: _numbered(source / f'image_{number}') for number in CAMERA_NAMES}
    if not any(found.values()):
        msg = f'{source}: expected .png or .jpg images in image_0..3, found {_some_names(source)}'
        raise BagError(msg)
    return {i: files for i, files in found.items() if files}


def _numbered(folder: Path, suffixes: tuple[str, ...] = _SUFFIXES) -> dict[int, Path]:
    if not folder.is_dir():
        return {}
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in suffixes)
    return {int(path.stem): path for path in files if path.stem.isdecimal()}


def _regular(numbers: Mapping[int, Path]) -> dict[int, int]:
    return {number: EPOCH_NS + number * PERIOD_NS for number in numbers}


def _stamps(path: Path, files: Mapping[int, Path]) -> dict[int, int]:
    """Read KITTI's timestamps.txt (UTC) for the files there are; without one another's serves."""
    known = [path, *sorted(path.parents[1].glob('*/timestamps.txt'))]
    path = next(filter(Path.is_file, known), path)
    if not path.is_file():
        return _regular(files)
    lines = path.read_text('utf-8', 'replace').splitlines()
    # A line is left empty where the sensor skipped a frame.
    stamps = {i: _nanoseconds(path, line) for i, line in enumerate(lines) if line.strip()}
    return _chosen(path, stamps, files)


def _chosen(path: Path, stamps: Mapping[int, int], files: Mapping[int, Path]) -> dict[int, int]:
    missing = sorted(set(files) - set(stamps))
    if missing:
        msg = f'{path}: expected a stamp for frame {missing[0]}, found {len(stamps)} stamps'
        raise BagError(msg)
    return {number: stamps[number] for number in files}


def _nanoseconds(path: Path, line: str) -> int:
    whole, _, fraction = line.strip().partition('.')
    try:
        moment = datetime.strptime(whole, '%Y-%m-%d %H:%M:%S').replace(tzinfo=timezone.utc)
        return int(moment.timestamp()) * 10**9 + int(fraction[:9].ljust(9, '0'))
    except ValueError:
        msg = f'{path}: expected a time like 2011-09-26 13:02:44.327963904, found {line!r}'
        raise BagError(msg) from None


def _read_table(path: Path) -> dict[str, Matrix]:
    """Read lines 'name: numbers'; lines of anything else are KITTI's remarks."""
    if not path.is_file():
        msg = f'{path}: expected this calibration file, found none; KITTI ships it separately'
        raise BagError(msg)
    table = {}
    for number, line in enumerate(path.read_text('utf-8', 'replace').splitlines()):
        name, colon, text = line.rpartition(':')
        # Copies of the odometry files exist whose lines are P0 to P3 without saying so.
        name = name.strip() if colon else f'P{number}'
        try:
            table[name] = np.array([float(word) for word in text.split()])
        except ValueError:
            continue
    return table


def _take(path: Path, table: dict[str, Matrix], name: str, shape: tuple[int, ...]) -> Matrix:
    count = int(np.prod(shape))
    found = table.get(name)
    if found is None or found.size != count:
        what = 'no such line' if found is None else f'{found.size} numbers'
        msg = f'{path}: expected {name} with {count} numbers, found {what}'
        raise BagError(msg)
    matrix = found.reshape(shape)
    finite = np.isfinite(matrix).all()
    if not finite or (len(shape) > 1 and np.linalg.matrix_rank(matrix[:, :3]) < 3):
        msg = (
            f'{path}: expected {name} of numbers that can be inverted, found {found.tolist()}; '
            'take the calibration that KITTI ships'
        )
        raise BagError(msg)
    return matrix


def _rigid(rotation: Matrix, translation: Matrix | None = None) -> Matrix:
    """Make a 4x4 matrix of [3, 3] and an optional [3], or of [3, 4]."""
    matrix = np.eye(4)
    matrix[:3, : rotation.shape[1]] = rotation
    if translation is not None:
        matrix[:3, 3] = translation
    return matrix


def _some_names(folder: Path) -> str:
    names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    return ', '.join(names[:8]) or 'nothing'

"""Small folders laid out as KITTI's, with numbers like KITTI's."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

WIDTH, HEIGHT = 48, 20
DRIVE = '2011_09_26_drive_0099_sync'
# P_rect: the same K, the last column as KITTI's, third row included.
LAST_COLUMNS = {
    0: (0.0, 0.0, 0.0),
    1: (-15.5, 0.0, 0.0),
    2: (1.79, 0.0087, 0.0027),
    3: (-13.58, 0.088, 0.0027),
}


def projection(camera: int, fx: float = 28.86) -> NDArray[np.float64]:
    matrix = np.array([[fx, 0, 23.4, 0], [0, fx, 9.2, 0], [0, 0, 1, 0]])
    matrix[:, 3] = LAST_COLUMNS[camera]
    return matrix


def rotation(*angles: float) -> NDArray[np.float64]:
    """Turn about x, y and z, as a matrix of 7 digits, as the calibration files have it."""
    matrix = np.eye(3)
    for axis, angle in enumerate(angles):
        turn = np.eye(3)
        i, j = [k for k in range(3) if k != axis]
        turn[i, i] = turn[j, j] = np.cos(angle)
        turn[i, j], turn[j, i] = -np.sin(angle), np.sin(angle)
        matrix = matrix @ turn
    return np.round(matrix, 7)


RECTIFY = rotation(0.004, -0.0075, -0.0098)
# x forward, y left, z up (velodyne) to x right, y down, z forward, and a little off.
VELO_TO_CAM = np.round(
    np.array([[0, -1.0, 0], [0, 0, -1], [1, 0, 0]]) @ rotation(0.015, 0.007, 0.0006), 7
)
VELO_SHIFT = np.array([-0.004, -0.0763, -0.2718])


def lidar_shift(fx: float) -> NDArray[np.float64]:
    """Return Tr's translation; the camera of another fx has its lidar at another place."""
    return VELO_SHIFT if fx == 28.86 else VELO_SHIFT + [0.4, 0.1, -0.3]


def to_camera(points: NDArray[np.float32], camera: int, fx: float = 28.86) -> NDArray[np.float64]:
    """Return u, v, depth [N, 3] by KITTI's own rule: P_rect * R_rect * Tr * X."""
    xyz = points[:, :3].astype(np.float64)
    rectified = (xyz @ VELO_TO_CAM.T + lidar_shift(fx)) @ RECTIFY.T
    p = projection(camera, fx)
    uvw = rectified @ p[:, :3].T + p[:, 3]
    return np.column_stack([uvw[:, :2] / uvw[:, 2:], uvw[:, 2]])


def picture(camera: int, number: int) -> NDArray[np.uint8]:
    """Return a smooth RGB (grey for cameras 0 and 1) picture that tells camera and frame."""
    v, u = np.indices((HEIGHT, WIDTH))
    red = (u * 3 + number * 20) % 256
    if camera < 2:
        return (red + camera).astype(np.uint8)
    return np.stack([red, v * 9, np.full_like(u, 40 + 60 * (camera - 2))], -1).astype(np.uint8)


def scan(number: int) -> NDArray[np.float32]:
    random = np.random.default_rng(number)
    low, high = [4, -6, -1.5, 0], [40, 6, 1.0, 1]
    return random.uniform(low, high, (200, 4)).astype(np.float32)


def write_picture(path: Path, image: NDArray[np.uint8]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), image if image.ndim == 2 else image[..., ::-1])


def write_scan(path: Path, number: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    scan(number).tofile(path)


def line(name: str, values: NDArray[np.float64]) -> str:
    return f'{name}: ' + ' '.join(f'{value:.12e}' for value in values.ravel()) + '\n'


def raw_drive(
    folder: Path,
    *,
    cameras: Iterable[int] = (2, 3),
    frames: Iterable[int] = (0, 1, 2),
    lidar: bool = True,
    stamps: bool = True,
) -> Path:
    """Write a raw drive and the calibration above it; returns the drive."""
    day = folder / 'raw' / '2011_09_26'
    drive = day / DRIVE
    for camera in cameras:
        for number in frames:
            name = f'image_{camera:02d}/data/{number:010d}.png'
            write_picture(drive / name, picture(camera, number))
        if stamps:
            write_stamps(drive / f'image_{camera:02d}', camera * 600_001)
    if lidar:
        for number in frames:
            write_scan(drive / 'velodyne_points' / 'data' / f'{number:010d}.bin', number)
        if stamps:
            write_stamps(drive / 'velodyne_points', -10_000_007)
    text = 'calib_time: 09-Jan-2012 13:57:47\n' + line('R_rect_00', RECTIFY)
    text += ''.join(line(f'P_rect_{i:02d}', projection(i)) for i in range(4))
    (day / 'calib_cam_to_cam.txt').write_text(text)
    velo = line('R', VELO_TO_CAM) + line('T', VELO_SHIFT)
    (day / 'calib_velo_to_cam.txt').write_text(velo)
    imu = line('R', rotation(0.01, 0.002, 0.0008)) + line('T', np.array([-0.8, 0.32, -0.8]))
    (day / 'calib_imu_to_velo.txt').write_text(imu)
    return drive


def stamp_ns(number: int, offset_ns: int) -> int:
    """Return the stamp that write_stamps gives a frame: 2011-09-26 13:02:44.3 and so on, UTC."""
    return 1_317_042_164_300_000_000 + number * 103_140_530 + offset_ns


def write_stamps(folder: Path, offset_ns: int) -> None:
    lines = []
    for number in range(6):
        sec, nanosec = divmod(stamp_ns(number, offset_ns), 10**9)
        lines.append(f'2011-09-26 13:02:{sec - 1_317_042_120:02d}.{nanosec:09d}\n')
    (folder / 'timestamps.txt').write_text(''.join(lines))


def odometry(folder: Path, *, times: bool = False, names: bool = True) -> Path:
    """Write frames 0 and 3 of a grey odometry sequence."""
    for camera in (0, 1):
        for number in (0, 3):
            path = folder / f'image_{camera}' / f'{number:06d}.png'
            write_picture(path, picture(camera, number))
    rows = [line(f'P{i}', projection(i)) for i in range(4)]
    text = ''.join(row if names else row.partition(': ')[2] for row in rows)
    (folder / 'calib.txt').write_text(text)
    if times:
        (folder / 'times.txt').write_text('0.000000e+00\n1.0e-01\n2.1e-01\n3.125e-01\n')
    return folder


def object_set(folder: Path) -> Path:
    """Write three scenes of an object set: one with a right image, one of another camera."""
    for number, fx in ((0, 28.86), (1, 28.86), (7, 27.5)):
        write_picture(folder / 'image_2' / f'{number:06d}.png', picture(2, number))
        write_scan(folder / 'velodyne' / f'{number:06d}.bin', number)
        text = ''.join(line(f'P{i}', projection(i, fx)) for i in range(4))
        velo = np.column_stack([VELO_TO_CAM, lidar_shift(fx)])
        text += line('R0_rect', RECTIFY) + line('Tr_velo_to_cam', velo)
        (folder / 'calib').mkdir(exist_ok=True)
        (folder / 'calib' / f'{number:06d}.txt').write_text(text)
    write_picture(folder / 'image_3' / '000001.png', picture(3, 1))
    return folder


def annotated_depth(folder: Path, numbers: Iterable[int]) -> NDArray[np.uint16]:
    """Write official depth images (metres * 256) of the raw drive; returns the last one."""
    depth = np.zeros((HEIGHT, WIDTH), np.uint16)
    for number in numbers:
        depth[5, 7] = 256 * 10 + 64 + number
        path = folder / DRIVE / 'proj_depth' / 'groundtruth' / 'image_02' / f'{number:010d}.png'
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), depth)
    return depth

"""
KITTI folders to bags, with the topics and frames of kitti2bag.

/tf_static is imu_link -> velo_link -> camera_*. A camera_* frame is the rectified optical frame of
that very camera: its offset from camera 0 (K^-1 times the last column of P_rect) is in the
transform, so that K alone projects what tf brings there, and gives KITTI's P_rect * R_rect * Tr.
CameraInfo.P of the left camera of a pair has Tx = 0, of the right one -fx * baseline.
Where the calibration changes between frames (object set), /tf_static is written anew at the
stamp of the first frame that it holds for: the latest one up to a frame's stamp counts.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
from depth_prune_ros.bags.layouts import Calibration
from depth_prune_ros.bags.layouts import CAMERA_NAMES
from depth_prune_ros.bags.layouts import Matrix
from depth_prune_ros.bags.layouts import read_layout
from depth_prune_ros.bags.layouts import Recording
from depth_prune_ros.bags.layouts import Stream
from depth_prune_ros.bags.transforms import Transform
from depth_prune_ros.bags.write import BagWriter
from depth_prune_ros.core.camera import Intrinsics
from depth_prune_ros.core.errors import BagError
from depth_prune_ros.core.images import is_whole
import numpy as np
from numpy.typing import NDArray

LIDAR_TOPIC = '/kitti/velo/pointcloud'
DEPTH_TOPIC = '/kitti/camera_color_left/depth'
_GREY = (0, 1)
_LEFT_OF = {1: 0, 3: 2}
_OFF_CENTRE = 0.1  # of the width, where KITTI's own are within 0.02


@dataclass(frozen=True)
class _Item:
    """One file to be written; sensor is a camera number, 'lidar' or 'depth'."""

    stamp_ns: int
    sensor: int | str
    number: int
    path: Path


def kitti_to_bag(
    source: Path,
    bag: Path,
    *,
    storage: str = 'mcap',
    images: str = 'raw',
    annotated: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """
    Write a KITTI folder as a bag.

    :param source: a raw drive (2011_09_26_drive_0005_sync; its calibration lies in the folder
        above), an odometry sequence (calib.txt, image_0) or an object set (training)
    :param bag: folder to make
    :param storage: 'mcap' or 'sqlite3'
    :param images: 'raw', 'jpeg' or 'png'
    :param annotated: official accumulated depth of the raw drive; by default looked for in
        data_depth_annotated beside the raw folder
    :param progress: called with (files done, files in total)
    :raises BagError: missing calibration or images, a damaged file; no bag is left then
    """
    recording = read_layout(source, annotated)
    items = sorted(_items(recording), key=lambda item: item.stamp_ns)
    with BagWriter(bag, storage=storage, images=images) as writer:
        known: Calibration | None = None
        for done, item in enumerate(items, start=1):
            calibration = recording.calibration(item.number)
            if known is None or not _same_transforms(calibration, known):
                writer.tf_static(item.stamp_ns, _transforms(calibration))
            known = calibration
            _write(writer, item, calibration)
            if progress is not None:
                progress(done, len(items))


def read_png(path: Path) -> NDArray[np.float32]:
    """
    Read KITTI's depth or disparity, a PNG of 16 bits.

    :return: float32 [H, W] metres, or pixels of disparity; NaN = none
    :raises BagError: something else
    """
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if image is None or image.dtype != np.uint16 or image.ndim != 2:
        what = 'no image' if image is None else f'{image.dtype} of shape {image.shape}'
        msg = f'{path}: expected a grey PNG of 16 bits (value * 256), found {what}'
        raise BagError(msg)
    values = image.astype(np.float32) / np.float32(256)
    values[image == 0] = np.nan
    return values


def _items(recording: Recording) -> Iterator[_Item]:
    streams: list[tuple[int | str, Stream | None]] = [
        *recording.cameras.items(),
        ('lidar', recording.lidar),
        ('depth', recording.depth),
    ]
    for sensor, stream in streams:
        if stream is not None:
            for number, path in stream.files.items():
                yield _Item(stream.stamps_ns[number], sensor, number, path)


def _write(writer: BagWriter, item: _Item, calibration: Calibration) -> None:
    if item.sensor == 'lidar':
        writer.points(LIDAR_TOPIC, item.stamp_ns, 'velo_link', _read_scan(item.path))
    elif item.sensor == 'depth':
        depth = read_png(item.path)
        writer.image(DEPTH_TOPIC, item.stamp_ns, CAMERA_NAMES[2], depth)
    else:
        _write_image(writer, item, calibration)


def _write_image(writer: BagWriter, item: _Item, calibration: Calibration) -> None:
    camera = int(item.sensor)
    frame = CAMERA_NAMES[camera]
    image = _read_image(item.path, grey=camera in _GREY)
    info = _intrinsics(calibration.projections[camera], image, item.path)
    tx = _right_tx(calibration.projections, camera)
    writer.camera_info(f'/kitti/{frame}/camera_info', item.stamp_ns, frame, info, tx)
    topic = f'/kitti/{frame}/image_raw'
    if writer.images == 'jpeg' and item.path.suffix.lower() in ('.jpg', '.jpeg'):
        # Encoding a jpeg again would only lose.
        writer.encoded_image(topic, item.stamp_ns, frame, item.path.read_bytes(), 'jpeg')
    else:
        writer.image(topic, item.stamp_ns, frame, image)


def _intrinsics(projection: Matrix, image: NDArray[np.uint8], path: Path) -> Intrinsics:
    height, width = image.shape[:2]
    fx, fy = float(projection[0, 0]), float(projection[1, 1])
    cx, cy = float(projection[0, 2]), float(projection[1, 2])
    if abs(cx / width - 0.5) > _OFF_CENTRE:
        msg = (
            f'{path}: expected an image about {2 * cx:.0f} wide, as its calibration has the '
            f"middle at {cx:.0f}, found {width}x{height}; take KITTI's own images"
        )
        raise BagError(msg)
    return Intrinsics(width=width, height=height, fx=fx, fy=fy, cx=cx, cy=cy)


def _right_tx(projections: Mapping[int, Matrix], camera: int) -> float:
    """Return P[0, 3] relative to the left camera of the pair: -fx * baseline, 0 for a left one."""
    left = projections.get(_LEFT_OF.get(camera, -1))
    if left is None:
        return 0.0
    return float(projections[camera][0, 3] - left[0, 3])


def _transforms(calibration: Calibration) -> list[Transform]:
    offsets = {}
    for camera, projection in calibration.projections.items():
        offset = np.eye(4)
        offset[:3, 3] = np.linalg.solve(projection[:, :3], projection[:, 3])
        offsets[camera] = offset
    transforms = []
    if calibration.cam_T_velo is None:
        # Without a lidar the first camera is the root.
        root, *others = offsets
        for camera in others:
            pose = offsets[root] @ _inverse(offsets[camera])
            transforms.append(Transform(CAMERA_NAMES[root], CAMERA_NAMES[camera], pose))
        return transforms
    if calibration.velo_T_imu is not None:
        pose = _inverse(calibration.velo_T_imu)
        transforms.append(Transform('imu_link', 'velo_link', pose))
    for camera, offset in offsets.items():
        pose = _inverse(offset @ calibration.cam_T_velo)
        transforms.append(Transform('velo_link', CAMERA_NAMES[camera], pose))
    return transforms


def _inverse(matrix: Matrix) -> Matrix:
    return np.asarray(np.linalg.inv(matrix), np.float64)


def _same_transforms(one: Calibration, other: Calibration) -> bool:
    if one is other:
        return True
    ours, theirs = _transforms(one), _transforms(other)
    return len(ours) == len(theirs) and all(
        np.array_equal(a.parent_T_child, b.parent_T_child)
        for a, b in zip(ours, theirs, strict=True)
    )


def _read_image(path: Path, *, grey: bool) -> NDArray[np.uint8]:
    data = np.fromfile(path, np.uint8)
    flags = cv2.IMREAD_GRAYSCALE if grey else cv2.IMREAD_COLOR
    image = cv2.imdecode(data, flags) if is_whole(data) else None
    if image is None:
        msg = f'{path}: expected a png or jpg image, found a file that does not decode whole'
        raise BagError(msg)
    return np.asarray(image if grey else cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)


def _read_scan(path: Path) -> NDArray[np.float32]:
    data = path.read_bytes()
    if not data or len(data) % 16:
        msg = (
            f'{path}: expected points of 16 bytes (x, y, z, reflectance as float32), found '
            f'{len(data)} bytes; the file is cut short, copy it again'
        )
        raise BagError(msg)
    return np.frombuffer(data, '<f4').reshape(-1, 4)

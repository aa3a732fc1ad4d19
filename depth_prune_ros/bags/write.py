"""The one writer for every bag the package makes."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
import shutil
import sqlite3
import tempfile
from types import TracebackType
from typing import Any
from typing import Final

import cv2
from depth_prune_ros.bags.transforms import quaternion
from depth_prune_ros.core.camera import Intrinsics
from depth_prune_ros.core.errors import BagError
import numpy as np
from numpy.typing import NDArray
from rosbags.interfaces import Connection
from rosbags.interfaces import Qos
from rosbags.interfaces import QosDurability
from rosbags.interfaces import QosHistory
from rosbags.interfaces import QosLiveliness
from rosbags.interfaces import QosReliability
from rosbags.interfaces import QosTime
from rosbags.rosbag2 import StoragePlugin
from rosbags.rosbag2 import Writer
from rosbags.typesys import get_typestore
from rosbags.typesys import Stores

STORAGES = {'mcap': StoragePlugin.MCAP, 'sqlite3': StoragePlugin.SQLITE3}
IMAGES = ('raw', 'jpeg', 'png')
# What jazzy's rosbag2 writes itself.
_METADATA_VERSION: Final = 9
_UNSET = QosTime(0, 0)


@dataclass(frozen=True)
class Transform:
    """
    A fixed transform of the robot.

    :param parent: frame that the result is in
    :param child: frame that the points are in
    :param parent_T_child: [4, 4] rigid, takes points of child to parent, metres
    """

    parent: str
    child: str
    parent_T_child: NDArray[np.float64]


class BagWriter:
    """
    Writes a ROS 2 bag that exists whole or not at all.

    A context manager. Everything goes into a hidden folder beside the bag, which gets the bag's
    name at success and is removed at any exception. A message's time in the bag is its header
    stamp. The same calls give the same bytes.
    """

    def __init__(self, path: Path, *, storage: str = 'mcap', images: str = 'raw') -> None:
        """
        Prepare to write a bag; nothing is written before the with statement.

        :param path: folder to make; must not exist
        :param storage: 'mcap' or 'sqlite3'
        :param images: 'raw', or 'jpeg' or 'png' for CompressedImage on topic + '/compressed'
        :raises BagError: an existing path, an unknown storage or kind of images
        """
        if storage not in STORAGES:
            msg = f'expected storage {" or ".join(STORAGES)}, found {storage!r}'
            raise BagError(msg)
        if images not in IMAGES:
            msg = f'expected images {", ".join(IMAGES)}, found {images!r}'
            raise BagError(msg)
        self.path = path.absolute()
        self.images = images
        self._storage = STORAGES[storage]
        self._typestore = get_typestore(Stores.ROS2_JAZZY)
        self._connections: dict[str, Connection] = {}
        self._folder: Path | None = None
        self._writer: Writer | None = None
        self._refuse_existing()

    def __enter__(self) -> BagWriter:
        """Make the hidden folder and open the bag in it."""
        self._refuse_existing()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        folder = tempfile.mkdtemp(prefix=f'.{self.path.name}.partial-', dir=self.path.parent)
        self._folder = Path(folder)
        # The storage file inside is named after the folder it is opened in.
        inside = self._folder / self.path.name
        self._writer = Writer(inside, version=_METADATA_VERSION, storage_plugin=self._storage)
        try:
            with _one_line(self.path):
                self._writer.open()
        except BagError:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give the finished bag its name, or remove what was written."""
        writer, folder = self._writer, self._folder
        self._writer = self._folder = None
        if writer is None or folder is None:
            return
        try:
            with _one_line(self.path):
                writer.__exit__(kind, error, trace)
                if kind is None:
                    self._refuse_existing()
                    (folder / self.path.name).rename(self.path)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def tf_static(self, stamp_ns: int, transforms: Sequence[Transform]) -> None:
        """Write fixed transforms to /tf_static, marked transient local."""
        types = self._typestore.types
        stamped = []
        for transform in transforms:
            x, y, z = (float(value) for value in transform.parent_T_child[:3, 3])
            qx, qy, qz, qw = quaternion(transform.parent_T_child[:3, :3])
            pose = types['geometry_msgs/msg/Transform'](
                translation=types['geometry_msgs/msg/Vector3'](x=x, y=y, z=z),
                rotation=types['geometry_msgs/msg/Quaternion'](x=qx, y=qy, z=qz, w=qw),
            )
            stamped.append(
                types['geometry_msgs/msg/TransformStamped'](
                    header=self._header(stamp_ns, transform.parent),
                    child_frame_id=transform.child,
                    transform=pose,
                )
            )
        msg = types['tf2_msgs/msg/TFMessage'](transforms=stamped)
        self._write('/tf_static', 'tf2_msgs/msg/TFMessage', stamp_ns, msg)

    def image(self, topic: str, stamp_ns: int, frame_id: str, image: NDArray[Any]) -> None:
        """
        Write an image: uint8 [H, W, 3] as rgb8, uint8 [H, W] as mono8, float32 [H, W] as 32FC1.

        :param topic: topic of the raw image; a compressed one goes to topic + '/compressed'
        :raises BagError: an array of any other kind
        """
        kinds = {('uint8', 3): 'rgb8', ('uint8', 2): 'mono8', ('float32', 2): '32FC1'}
        encoding = kinds.get((image.dtype.name, image.ndim))
        if encoding is None or (image.ndim == 3 and image.shape[2] != 3):
            text = (
                f'{topic}: expected uint8 [H, W, 3], uint8 [H, W] or float32 [H, W], found '
                f'{image.dtype.name} {list(image.shape)}'
            )
            raise BagError(text)
        if self.images != 'raw' and image.dtype == np.uint8:
            data = _encode(image, self.images)
            self.encoded_image(topic, stamp_ns, frame_id, data, self.images)
            return
        rows = np.ascontiguousarray(image).reshape(image.shape[0], -1)
        msg = self._typestore.types['sensor_msgs/msg/Image'](
            header=self._header(stamp_ns, frame_id),
            height=image.shape[0],
            width=image.shape[1],
            encoding=encoding,
            is_bigendian=0,
            step=rows.shape[1] * rows.itemsize,
            data=rows.astype(rows.dtype.newbyteorder('<'), copy=False).view(np.uint8).reshape(-1),
        )
        self._write(topic, 'sensor_msgs/msg/Image', stamp_ns, msg)

    def encoded_image(
        self, topic: str, stamp_ns: int, frame_id: str, data: bytes, kind: str
    ) -> None:
        """Write an image that is a jpeg or png already, to topic + '/compressed'."""
        msg = self._typestore.types['sensor_msgs/msg/CompressedImage'](
            header=self._header(stamp_ns, frame_id),
            format=kind,
            data=np.frombuffer(data, np.uint8),
        )
        self._write(f'{topic}/compressed', 'sensor_msgs/msg/CompressedImage', stamp_ns, msg)

    def camera_info(
        self, topic: str, stamp_ns: int, frame_id: str, camera: Intrinsics, tx: float = 0.0
    ) -> None:
        """
        Write the CameraInfo of a rectified camera: plumb_bob, no distortion, P = [K | tx, 0, 0].

        :param tx: P[0, 3] in pixels times metres: -fx * baseline for a right camera
        """
        k = [camera.fx, 0.0, camera.cx, 0.0, camera.fy, camera.cy, 0.0, 0.0, 1.0]
        p = [*k[:3], tx, *k[3:6], 0.0, *k[6:], 0.0]
        types = self._typestore.types
        msg = types['sensor_msgs/msg/CameraInfo'](
            header=self._header(stamp_ns, frame_id),
            height=camera.height,
            width=camera.width,
            distortion_model='plumb_bob',
            d=np.zeros(5),
            k=np.array(k),
            r=np.eye(3).reshape(-1),
            p=np.array(p),
            binning_x=0,
            binning_y=0,
            roi=types['sensor_msgs/msg/RegionOfInterest'](
                x_offset=0, y_offset=0, height=0, width=0, do_rectify=False
            ),
        )
        self._write(topic, 'sensor_msgs/msg/CameraInfo', stamp_ns, msg)

    def points(
        self, topic: str, stamp_ns: int, frame_id: str, points: NDArray[np.float32]
    ) -> None:
        """Write a cloud [N, 4] of x, y, z (metres, in frame_id) and intensity."""
        if points.ndim != 2 or points.shape[1] != 4:
            text = f'{topic}: expected points [N, 4], found {list(points.shape)}'
            raise BagError(text)
        types = self._typestore.types
        fields = [
            types['sensor_msgs/msg/PointField'](name=name, offset=4 * i, datatype=7, count=1)
            for i, name in enumerate(('x', 'y', 'z', 'intensity'))
        ]
        data = np.ascontiguousarray(points, '<f4')
        msg = types['sensor_msgs/msg/PointCloud2'](
            header=self._header(stamp_ns, frame_id),
            height=1,
            width=len(data),
            fields=fields,
            is_bigendian=False,
            point_step=16,
            row_step=16 * len(data),
            data=data.view(np.uint8).reshape(-1),
            is_dense=bool(np.isfinite(data).all()),
        )
        self._write(topic, 'sensor_msgs/msg/PointCloud2', stamp_ns, msg)

    def _refuse_existing(self) -> None:
        if self.path.exists() or self.path.is_symlink():
            msg = f'{self.path}: exists already and is not overwritten; remove it or name another'
            raise BagError(msg)

    def _header(self, stamp_ns: int, frame_id: str) -> Any:
        types = self._typestore.types
        sec, nanosec = divmod(stamp_ns, 10**9)
        stamp = types['builtin_interfaces/msg/Time'](sec=sec, nanosec=nanosec)
        return types['std_msgs/msg/Header'](stamp=stamp, frame_id=frame_id)

    def _write(self, topic: str, msgtype: str, stamp_ns: int, msg: object) -> None:
        if self._writer is None:
            text = f'{self.path}: expected an open bag; write inside "with BagWriter(...) as bag"'
            raise BagError(text)
        if topic not in self._connections:
            qos = [_qos(topic)]
            self._connections[topic] = self._writer.add_connection(
                topic, msgtype, typestore=self._typestore, offered_qos_profiles=qos
            )
        data = self._typestore.serialize_cdr(msg, msgtype)
        with _one_line(self.path):
            self._writer.write(self._connections[topic], stamp_ns, data)


@contextmanager
def _one_line(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, sqlite3.Error) as error:
        reason = getattr(error, 'strerror', None) or error
        msg = f'{path}: expected to write the bag, found: {reason}; free space, or name another'
        raise BagError(msg) from error


def _encode(image: NDArray[np.uint8], kind: str) -> bytes:
    bgr = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    done, data = cv2.imencode(f'.{kind}', bgr)
    if not done:
        msg = f'OpenCV does not encode {list(image.shape)} as {kind}'
        raise BagError(msg)
    return data.tobytes()


def _qos(topic: str) -> Qos:
    static = topic == '/tf_static'
    return Qos(
        history=QosHistory.KEEP_LAST,
        depth=100 if static else 10,
        reliability=QosReliability.RELIABLE,
        durability=QosDurability.TRANSIENT_LOCAL if static else QosDurability.VOLATILE,
        deadline=_UNSET,
        lifespan=_UNSET,
        liveliness=QosLiveliness.AUTOMATIC,
        liveliness_lease_duration=_UNSET,
        avoid_ros_namespace_conventions=False,
    )

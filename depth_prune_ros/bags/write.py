"""The one writer for every bag the package makes."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Sequence
from contextlib import contextmanager
from pathlib import Path
import shutil
import sqlite3
import tempfile
from types import TracebackType
from typing import Any
from typing import Final

import cv2
from depth_prune_ros.bags import compose
from depth_prune_ros.bags.compose import TYPESTORE
from depth_prune_ros.bags.transforms import Transform
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

STORAGES = {'mcap': StoragePlugin.MCAP, 'sqlite3': StoragePlugin.SQLITE3}
IMAGES = ('raw', 'jpeg', 'png')
# What jazzy's rosbag2 writes itself.
_METADATA_VERSION: Final = 9
_UNSET = QosTime(0, 0)


class BagWriter:
    """
    Writes a ROS 2 bag that exists whole or not at all.

    A context manager. Everything goes into a hidden folder beside the bag, of this writer alone,
    which gets the bag's name at success and is removed at any exception. A message's time in the
    bag is its header stamp, but for :meth:`raw`. The same calls give the same bytes.
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
        self._connections: dict[str, Connection] = {}
        self._folder: Path | None = None
        self._writer: Writer | None = None
        self._refuse_existing()

    def __enter__(self) -> BagWriter:
        """Make the hidden folder and open the bag in it."""
        self._refuse_existing()
        with _one_line(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            prefix = f'.{self.path.name}.partial-'
            folder = Path(tempfile.mkdtemp(prefix=prefix, dir=self.path.parent))
            # The storage file inside is named after the folder it is opened in.
            inside = folder / self.path.name
            writer = Writer(inside, version=_METADATA_VERSION, storage_plugin=self._storage)
            try:
                writer.open()
            except BaseException:
                shutil.rmtree(folder, ignore_errors=True)
                raise
        self._folder, self._writer = folder, writer
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
        self._write('/tf_static', stamp_ns, compose.tf_message(stamp_ns, transforms))

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
        self._write(topic, stamp_ns, compose.image(stamp_ns, frame_id, encoding, image))

    def encoded_image(
        self, topic: str, stamp_ns: int, frame_id: str, data: bytes, kind: str
    ) -> None:
        """Write an image that is a jpeg or png already, to topic + '/compressed'."""
        msg = compose.compressed_image(stamp_ns, frame_id, kind, data)
        self._write(f'{topic}/compressed', stamp_ns, msg)

    def camera_info(
        self, topic: str, stamp_ns: int, frame_id: str, camera: Intrinsics, tx: float = 0.0
    ) -> None:
        """
        Write the CameraInfo of a rectified camera: plumb_bob, no distortion, P = [K | tx, 0, 0].

        :param tx: P[0, 3] in pixels times metres: -fx * baseline for a right camera
        """
        self._write(topic, stamp_ns, compose.camera_info(stamp_ns, frame_id, camera, tx))

    def points(
        self, topic: str, stamp_ns: int, frame_id: str, points: NDArray[np.float32]
    ) -> None:
        """Write a cloud [N, 4] of x, y, z (metres, in frame_id) and intensity."""
        if points.ndim != 2 or points.shape[1] != 4:
            text = f'{topic}: expected points [N, 4], found {list(points.shape)}'
            raise BagError(text)
        self._write(topic, stamp_ns, compose.cloud(stamp_ns, frame_id, points))

    def raw(self, topic: str, msgtype: str, stamp_ns: int, cdr: bytes | memoryview) -> None:
        """
        Write a message that is serialised already.

        :param msgtype: one of jazzy's; the same for all messages of a topic
        :param stamp_ns: its time in the bag
        """
        writer = self._open_writer()
        with _one_line(self.path):
            if topic not in self._connections:
                self._connections[topic] = writer.add_connection(
                    topic, msgtype, typestore=TYPESTORE, offered_qos_profiles=[_qos(topic)]
                )
            writer.write(self._connections[topic], stamp_ns, cdr)

    def note(self, key: str, text: str) -> None:
        """Leave a remark in the bag's metadata (custom_data)."""
        self._open_writer().set_custom_data(key, text)

    def _refuse_existing(self) -> None:
        if self.path.exists() or self.path.is_symlink():
            msg = f'{self.path}: exists already and is not overwritten; remove it or name another'
            raise BagError(msg)

    def _open_writer(self) -> Writer:
        if self._writer is None:
            text = f'{self.path}: expected an open bag; write inside "with BagWriter(...) as bag"'
            raise BagError(text)
        return self._writer

    def _write(self, topic: str, stamp_ns: int, msg: Any) -> None:
        msgtype = msg.__msgtype__
        self.raw(topic, msgtype, stamp_ns, TYPESTORE.serialize_cdr(msg, msgtype))


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

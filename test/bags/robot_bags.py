"""Bags as other people record them: any topics, stamps, distributions and storages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mcap.writer import Writer as McapWriter
import numpy as np
from numpy.typing import NDArray
from rosbags.rosbag1 import Writer as Writer1
from rosbags.rosbag2 import CompressionFormat
from rosbags.rosbag2 import CompressionMode
from rosbags.rosbag2 import StoragePlugin
from rosbags.rosbag2 import Writer as Writer2
from rosbags.typesys import get_types_from_msg
from rosbags.typesys import get_typestore
from rosbags.typesys import Stores

TF = 'tf2_msgs/msg/TFMessage'
WIDTH, HEIGHT = 8, 6
SECOND = 10**9
START_NS = 1_700_000_000 * SECOND


class RobotBag:
    """Collects messages of ROS 1 or ROS 2 and writes them, the earliest first."""

    def __init__(self, *, ros1: bool = False) -> None:
        self.ros1 = ros1
        self.chunk_bytes = 1 << 20
        self.store = get_typestore(Stores.ROS1_NOETIC if ros1 else Stores.ROS2_JAZZY)
        if ros1:
            tf = get_types_from_msg('geometry_msgs/TransformStamped[] transforms', TF)
            self.store.register(tf)
        self.messages: list[tuple[int, str, str, Any]] = []

    def make(self, kind: str, **fields: Any) -> Any:
        return self.store.types[kind](**fields)

    def header(self, stamp_ns: int, frame_id: str) -> Any:
        sec, nanosec = divmod(stamp_ns, SECOND)
        stamp = self.make('builtin_interfaces/msg/Time', sec=sec, nanosec=nanosec)
        extra = {'seq': 0} if self.ros1 else {}
        return self.make('std_msgs/msg/Header', stamp=stamp, frame_id=frame_id, **extra)

    def add(self, topic: str, kind: str, bag_ns: int, **fields: Any) -> None:
        self.messages.append((bag_ns, topic, kind, self.make(kind, **fields)))

    def image(
        self, topic: str, stamp_ns: int, frame: str = 'cam', level: int = 0, late_ns: int = 0
    ) -> None:
        """Add a mono8 image of one level, recorded late_ns after its stamp."""
        self.add(
            topic,
            'sensor_msgs/msg/Image',
            stamp_ns + late_ns,
            header=self.header(stamp_ns, frame),
            height=HEIGHT,
            width=WIDTH,
            encoding='mono8',
            is_bigendian=0,
            step=WIDTH,
            data=np.full(WIDTH * HEIGHT, level, np.uint8),
        )

    def depth(self, topic: str, stamp_ns: int, values: NDArray[Any], frame: str = 'cam') -> None:
        encoding = {'float32': '32FC1', 'uint16': '16UC1'}[values.dtype.name]
        self.add(
            topic,
            'sensor_msgs/msg/Image',
            stamp_ns,
            header=self.header(stamp_ns, frame),
            height=values.shape[0],
            width=values.shape[1],
            encoding=encoding,
            is_bigendian=0,
            step=values.shape[1] * values.itemsize,
            data=values.view(np.uint8).ravel(),
        )

    def disparity(self, topic: str, stamp_ns: int, values: NDArray[np.float32]) -> None:
        """Add a DisparityImage of 32FC1 with f 100 and baseline 0.5."""
        self.depth(topic, stamp_ns, values)
        *_, image = self.messages.pop()
        self.add(
            topic,
            'stereo_msgs/msg/DisparityImage',
            stamp_ns,
            header=image.header,
            image=image,
            f=100.0,
            t=0.5,
            valid_window=self.whole_image(),
            min_disparity=1.0,
            max_disparity=64.0,
            delta_d=0.125,
        )

    def whole_image(self) -> Any:
        """Return a region of interest that is none."""
        return self.make(
            'sensor_msgs/msg/RegionOfInterest',
            x_offset=0,
            y_offset=0,
            height=0,
            width=0,
            do_rectify=False,
        )

    def info(
        self, topic: str, stamp_ns: int, fx: float = 10, tx: float = 0, *, empty_p: bool = False
    ) -> None:
        """Add a camera_info with cx 3.5, cy 2.5, and a K that P does not repeat (cx 3.25)."""
        k = [fx, 0, 3.25, 0, fx, 2.5, 0, 0, 1]
        p = [0.0] * 12 if empty_p else [fx, 0, 3.5, tx, 0, fx, 2.5, 0, 0, 0, 1, 0]
        names = 'DKRP' if self.ros1 else 'dkrp'
        values = [np.zeros(5), np.array(k, float), np.eye(3).ravel(), np.array(p, float)]
        self.add(
            topic,
            'sensor_msgs/msg/CameraInfo',
            stamp_ns,
            header=self.header(stamp_ns, 'cam'),
            height=HEIGHT,
            width=WIDTH,
            distortion_model='plumb_bob',
            binning_x=0,
            binning_y=0,
            roi=self.whole_image(),
            **dict(zip(names, values, strict=True)),
        )

    def cloud(self, topic: str, stamp_ns: int, points: NDArray[Any], frame: str = 'lidar') -> None:
        """Add a cloud of a structured array [H, W] whose fields are the cloud's."""
        numbers = {'f4': 7, 'f8': 8, 'u2': 4, 'u4': 6}
        fields: dict[str, Any] = dict(points.dtype.fields or {})
        described = [
            self.make(
                'sensor_msgs/msg/PointField',
                name=name,
                offset=fields[name][1],
                datatype=numbers[fields[name][0].str[1:]],
                count=1,
            )
            for name in fields
        ]
        rows = [row.tobytes() + b'\xa5\xa5\xa5' for row in points]
        self.add(
            topic,
            'sensor_msgs/msg/PointCloud2',
            stamp_ns,
            header=self.header(stamp_ns, frame),
            height=points.shape[0],
            width=points.shape[1],
            fields=described,
            is_bigendian=points.dtype['x'].str.startswith('>'),
            point_step=points.itemsize,
            row_step=points.shape[1] * points.itemsize + 3,
            data=np.frombuffer(b''.join(rows), np.uint8),
            is_dense=False,
        )

    def tf(
        self, bag_ns: int, parent: str, child: str, xyz: tuple[float, float, float], turn: Any
    ) -> None:
        """Add one edge to /tf_static; turn is the quaternion x, y, z, w."""
        x, y, z = xyz
        qx, qy, qz, qw = turn
        pose = self.make(
            'geometry_msgs/msg/Transform',
            translation=self.make('geometry_msgs/msg/Vector3', x=x, y=y, z=z),
            rotation=self.make('geometry_msgs/msg/Quaternion', x=qx, y=qy, z=qz, w=qw),
        )
        stamped = self.make(
            'geometry_msgs/msg/TransformStamped',
            header=self.header(bag_ns, parent),
            child_frame_id=child,
            transform=pose,
        )
        self.add('/tf_static', TF, bag_ns, transforms=[stamped])

    def write(
        self,
        path: Path,
        storage: StoragePlugin = StoragePlugin.MCAP,
        compression: CompressionMode | Writer1.CompressionFormat | None = None,
    ) -> Path:
        """Write a .bag file (ROS 1) or a folder (ROS 2); returns its path."""
        writer: Any = (
            Writer1(path) if self.ros1 else Writer2(path, version=9, storage_plugin=storage)
        )
        if self.ros1:
            writer.chunk_threshold = self.chunk_bytes
        if compression is not None:
            writer.set_compression(compression, *([] if self.ros1 else [CompressionFormat.ZSTD]))
        serialize = self.store.serialize_ros1 if self.ros1 else self.store.serialize_cdr
        connections: dict[str, Any] = {}
        with writer:
            for bag_ns, topic, name, message in self.ordered():
                if topic not in connections:
                    connections[topic] = writer.add_connection(topic, name, typestore=self.store)
                writer.write(connections[topic], bag_ns, serialize(message, name))
        return path

    def write_mcap(self, path: Path, **options: Any) -> Path:
        """Write a bare .mcap file as mcap's own writer does, with its options."""
        with path.open('wb') as file:
            writer = McapWriter(file, **options)
            writer.start('ros2')
            channels: dict[str, int] = {}
            for bag_ns, topic, name, message in self.ordered():
                if topic not in channels:
                    text = self.store.generate_msgdef(name, ros_version=2)[0].encode()
                    schema = writer.register_schema(name, 'ros2msg', text)
                    channels[topic] = writer.register_channel(topic, 'cdr', schema)
                data = bytes(self.store.serialize_cdr(message, name))
                writer.add_message(channels[topic], bag_ns, data, bag_ns)
            writer.finish()
        return path

    def ordered(self) -> list[tuple[int, str, str, Any]]:
        """Return the messages in the order of recording."""
        return sorted(self.messages, key=lambda message: message[0])

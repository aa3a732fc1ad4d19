"""ROS 2 messages from stamps, frames and arrays, as jazzy defines them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from typing import Final

from depth_prune_ros.bags.transforms import quaternion
from depth_prune_ros.bags.transforms import Transform
from depth_prune_ros.core.camera import Intrinsics
import numpy as np
from numpy.typing import NDArray
from rosbags.typesys import get_typestore
from rosbags.typesys import Stores

TYPESTORE: Final = get_typestore(Stores.ROS2_JAZZY)
_TYPES: Final = TYPESTORE.types


def header(stamp_ns: int, frame_id: str) -> Any:
    """Compose the header of a message."""
    sec, nanosec = divmod(stamp_ns, 10**9)
    stamp = _TYPES['builtin_interfaces/msg/Time'](sec=sec, nanosec=nanosec)
    return _TYPES['std_msgs/msg/Header'](stamp=stamp, frame_id=frame_id)


def tf_message(stamp_ns: int, transforms: Sequence[Transform]) -> Any:
    """Compose a TFMessage."""
    stamped = []
    for transform in transforms:
        x, y, z = (float(value) for value in transform.parent_T_child[:3, 3])
        qx, qy, qz, qw = quaternion(transform.parent_T_child[:3, :3])
        pose = _TYPES['geometry_msgs/msg/Transform'](
            translation=_TYPES['geometry_msgs/msg/Vector3'](x=x, y=y, z=z),
            rotation=_TYPES['geometry_msgs/msg/Quaternion'](x=qx, y=qy, z=qz, w=qw),
        )
        stamped.append(
            _TYPES['geometry_msgs/msg/TransformStamped'](
                header=header(stamp_ns, transform.parent),
                child_frame_id=transform.child,
                transform=pose,
            )
        )
    return _TYPES['tf2_msgs/msg/TFMessage'](transforms=stamped)


def image(stamp_ns: int, frame_id: str, encoding: str, pixels: NDArray[Any]) -> Any:
    """Compose an Image of pixels [H, W] or [H, W, channels] that are of this encoding."""
    rows = np.ascontiguousarray(pixels).reshape(pixels.shape[0], -1)
    return _TYPES['sensor_msgs/msg/Image'](
        header=header(stamp_ns, frame_id),
        height=pixels.shape[0],
        width=pixels.shape[1],
        encoding=encoding,
        is_bigendian=0,
        step=rows.shape[1] * rows.itemsize,
        data=rows.astype(rows.dtype.newbyteorder('<'), copy=False).view(np.uint8).reshape(-1),
    )


def compressed_image(stamp_ns: int, frame_id: str, kind: str, data: bytes) -> Any:
    """Compose a CompressedImage of a file's content; the kind is 'jpeg' or 'png'."""
    return _TYPES['sensor_msgs/msg/CompressedImage'](
        header=header(stamp_ns, frame_id), format=kind, data=np.frombuffer(data, np.uint8)
    )


def camera_info(stamp_ns: int, frame_id: str, camera: Intrinsics, tx: float) -> Any:
    """Compose the CameraInfo of a rectified camera; tx is P[0, 3] in pixels times metres."""
    k = [camera.fx, 0.0, camera.cx, 0.0, camera.fy, camera.cy, 0.0, 0.0, 1.0]
    p = [*k[:3], tx, *k[3:6], 0.0, *k[6:], 0.0]
    return _TYPES['sensor_msgs/msg/CameraInfo'](
        header=header(stamp_ns, frame_id),
        height=camera.height,
        width=camera.width,
        distortion_model='plumb_bob',
        d=np.zeros(5),
        k=np.array(k),
        r=np.eye(3).reshape(-1),
        p=np.array(p),
        binning_x=0,
        binning_y=0,
        roi=_TYPES['sensor_msgs/msg/RegionOfInterest'](
            x_offset=0, y_offset=0, height=0, width=0, do_rectify=False
        ),
    )


def cloud(stamp_ns: int, frame_id: str, points: NDArray[np.float32]) -> Any:
    """Compose a PointCloud2 of points [N, 4]: x, y, z (metres, in frame_id) and intensity."""
    fields = [
        _TYPES['sensor_msgs/msg/PointField'](name=name, offset=4 * i, datatype=7, count=1)
        for i, name in enumerate(('x', 'y', 'z', 'intensity'))
    ]
    data = np.ascontiguousarray(points, '<f4')
    return _TYPES['sensor_msgs/msg/PointCloud2'](
        header=header(stamp_ns, frame_id),
        height=1,
        width=len(data),
        fields=fields,
        is_bigendian=False,
        point_step=16,
        row_step=16 * len(data),
        data=data.view(np.uint8).reshape(-1),
        is_dense=bool(np.isfinite(data).all()),
    )

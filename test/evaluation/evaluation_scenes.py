"""Small frames, a small real model file and a small bag for the evaluation's tests."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from depth_prune_ros.bags.frames import Frame
from depth_prune_ros.core.camera import depth_from_disparity
from depth_prune_ros.core.camera import Intrinsics
from depth_prune_ros.core.card import METADATA_KEY
from depth_prune_ros.core.card import ModelCard
from depth_prune_ros.core.metrics import PLAIN
from depth_prune_ros.evaluation.predictions import recorded_predictor
import numpy as np
from numpy.typing import NDArray
import onnx
from onnx import helper
from onnx import TensorProto
from rosbags.rosbag2 import StoragePlugin
from rosbags.rosbag2 import Writer
from rosbags.typesys import get_typestore
from rosbags.typesys import Stores

Float = NDArray[np.float32]
BASELINE_M = 0.5
FX_OVER_WIDTH = 0.6
WIDTH, HEIGHT = 40, 20
START_NS = 1_316_000_000_123_456_789

CARD = ModelCard('red', 'red', 8, 16, BASELINE_M, 0.9, parameters=1_230_000, macs=450_000_000)


def frame(
    index: int,
    red: int = 51,
    depth_m: float | None = 10.0,
    baseline_m: float | None = None,
) -> Frame:
    """Make a frame whose red is what the red model reads; ground truth is flat."""
    left = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    left[..., 0] = red
    depth = None if depth_m is None else np.full((HEIGHT, WIDTH), depth_m, np.float32)
    fx = FX_OVER_WIDTH * WIDTH
    return Frame(
        stamp_ns=START_NS + index * 100_000_000,
        left=left,
        camera=Intrinsics(WIDTH, HEIGHT, fx, fx, WIDTH / 2, HEIGHT / 2),
        baseline_m=baseline_m,
        depth=depth,
        depth_source=None if depth is None else 'depth',
    )


def depth_of(red: int) -> float:
    """Return the depth that the red model sees in an image of this red."""
    return BASELINE_M * FX_OVER_WIDTH / (red / 255 * 0.1)


def write_red_model(path: Path) -> Path:
    """Write a model file whose disparity is a tenth of the red channel."""
    height, width = CARD.input_height, CARD.input_width
    nodes = [
        helper.make_node('Cast', ['image'], ['float'], to=TensorProto.FLOAT),
        helper.make_node('Gather', ['float', 'zero'], ['red'], axis=3),
        helper.make_node('Mul', ['red', 'scale'], ['disparity']),
    ]
    graph = helper.make_graph(
        nodes,
        'red',
        [helper.make_tensor_value_info('image', TensorProto.UINT8, [1, height, width, 3])],
        [helper.make_tensor_value_info('disparity', TensorProto.FLOAT, [1, height, width])],
        [
            helper.make_tensor('zero', TensorProto.INT64, [], [0]),
            helper.make_tensor('scale', TensorProto.FLOAT, [], [0.1 / 255]),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)], ir_version=8)
    helper.set_model_props(model, {METADATA_KEY: CARD.to_json()})
    onnx.save(model, str(path))
    return path


def write_depth_bag(path: Path, depths: Mapping[int, NDArray[np.float32]]) -> Path:
    """Write a bag with /depth (32FC1) and a /words topic of strings."""
    store = get_typestore(Stores.ROS2_JAZZY)
    kinds = store.types
    with Writer(path, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        topic = writer.add_connection('/depth', 'sensor_msgs/msg/Image', typestore=store)
        words = writer.add_connection('/words', 'std_msgs/msg/String', typestore=store)
        text = kinds['std_msgs/msg/String']('a word')
        writer.write(words, START_NS, store.serialize_cdr(text, 'std_msgs/msg/String'))
        for stamp_ns, depth in depths.items():
            stamp = kinds['builtin_interfaces/msg/Time'](*divmod(stamp_ns, 10**9))
            image = kinds['sensor_msgs/msg/Image'](
                kinds['std_msgs/msg/Header'](stamp, 'camera'),
                depth.shape[0],
                depth.shape[1],
                '32FC1',
                0,
                depth.shape[1] * 4,
                np.frombuffer(depth.tobytes(), np.uint8),
            )
            raw = store.serialize_cdr(image, 'sensor_msgs/msg/Image')
            writer.write(topic, stamp_ns + 7_000_000, raw)
    return path


def write_bag(path: Path, topics: Mapping[str, tuple[str, Sequence[tuple[int, Any]]]]) -> Path:
    """
    Write messages into a bag, in the order of their recording.

    :param topics: topic -> (type, [(stamp in nanoseconds, message)])
    """
    store = get_typestore(Stores.ROS2_JAZZY)
    with Writer(path, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        links = {
            topic: writer.add_connection(topic, kind, typestore=store)
            for topic, (kind, _) in topics.items()
        }
        everything = [
            (order, topic, kind, stamp_ns, message)
            for topic, (kind, messages) in topics.items()
            for order, (stamp_ns, message) in enumerate(messages)
        ]
        for at, (_, topic, kind, _, message) in enumerate(sorted(everything, key=lambda e: e[0])):
            writer.write(links[topic], START_NS + at, store.serialize_cdr(message, kind))
    return path


def recorded_depth(bag: Path, topic: str, frames: Iterable[Frame]) -> dict[int, Float]:
    """Return by stamp the depth that is judged where frames are judged by a recorded topic."""
    predictor, found = recorded_predictor(bag, topic, PLAIN), {}
    with closing(predictor):
        for one in frames:
            said = predictor.predict(one)
            if said is not None:
                fx_over_width = one.camera.fx_over_width
                depth = depth_from_disparity(said.disparity, said.baseline_m, fx_over_width)
                found[one.stamp_ns] = depth
    return found


def header(stamp_ns: int, frame_id: str = 'camera') -> Any:
    """Make a std_msgs/Header."""
    kinds = get_typestore(Stores.ROS2_JAZZY).types
    stamp = kinds['builtin_interfaces/msg/Time'](*divmod(stamp_ns, 10**9))
    return kinds['std_msgs/msg/Header'](stamp, frame_id)


def image_message(stamp_ns: int, pixels: NDArray[Any], encoding: str) -> Any:
    """Make a sensor_msgs/Image."""
    kinds = get_typestore(Stores.ROS2_JAZZY).types
    return kinds['sensor_msgs/msg/Image'](
        header(stamp_ns),
        pixels.shape[0],
        pixels.shape[1],
        encoding,
        0,
        pixels.strides[0],
        np.frombuffer(np.ascontiguousarray(pixels).tobytes(), np.uint8),
    )


def info_message(stamp_ns: int, width: int, height: int, fx: float, tx: float = 0.0) -> Any:
    """Make a sensor_msgs/CameraInfo whose P has fx and Tx = -fx * baseline."""
    kinds = get_typestore(Stores.ROS2_JAZZY).types
    k = np.array([fx, 0, width / 2, 0, fx, height / 2, 0, 0, 1])
    p = np.array([fx, 0, width / 2, tx, 0, fx, height / 2, 0, 0, 0, 1, 0])
    roi = kinds['sensor_msgs/msg/RegionOfInterest'](0, 0, 0, 0, False)
    return kinds['sensor_msgs/msg/CameraInfo'](
        header(stamp_ns),
        height,
        width,
        'plumb_bob',
        np.zeros(5),
        k,
        np.eye(3).ravel(),
        p,
        0,
        0,
        roi,
    )


def disparity_message(stamp_ns: int, disparity: NDArray[np.float32], f: float, t: float) -> Any:
    """Make a stereo_msgs/DisparityImage; pixels below 1 are invalid."""
    kinds = get_typestore(Stores.ROS2_JAZZY).types
    roi = kinds['sensor_msgs/msg/RegionOfInterest'](0, 0, 0, 0, False)
    image = image_message(stamp_ns, disparity, '32FC1')
    return kinds['stereo_msgs/msg/DisparityImage'](
        header(stamp_ns), image, f, t, roi, 1.0, 64.0, 0.125
    )


IMAGE, INFO = 'sensor_msgs/msg/Image', 'sensor_msgs/msg/CameraInfo'
DISPARITY = 'stereo_msgs/msg/DisparityImage'
FX = FX_OVER_WIDTH * WIDTH
Stream = tuple[str, Sequence[tuple[int, Any]]]


def stamp_of(index: int) -> int:
    """Return the stamp of a frame."""
    return START_NS + index * 100_000_000


def camera_topics(
    stamps: Sequence[int], *, red: int = 51, right: tuple[int, int] | None = None
) -> dict[str, Stream]:
    """
    Make a camera's topics, /left and its camera_info, for :func:`write_bag`.

    :param right: size of a right camera's camera_info, 5 m to the right; None = one camera
    """
    pixels = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    pixels[..., 0] = red
    topics: dict[str, Stream] = {
        '/left/image': (IMAGE, [(s, image_message(s, pixels, 'rgb8')) for s in stamps]),
        '/left/camera_info': (INFO, [(s, info_message(s, WIDTH, HEIGHT, FX)) for s in stamps]),
    }
    if right is not None:
        width, height = right
        other = np.zeros((height, width, 3), np.uint8)
        topics['/right/image'] = (IMAGE, [(s, image_message(s, other, 'rgb8')) for s in stamps])
        infos = [(s, info_message(s, width, height, FX, -FX * 5)) for s in stamps]
        topics['/right/camera_info'] = (INFO, infos)
    return topics


def depth_stream(stamps: Sequence[int], depth_m: float) -> Stream:
    """Make a topic of flat depth images."""
    depth = np.full((HEIGHT, WIDTH), depth_m, np.float32)
    return IMAGE, [(s, image_message(s, depth, '32FC1')) for s in stamps]

"""Small frames, a small real model file and a small bag for the evaluation's tests."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from depth_prune_ros.bags.frames import Frame
from depth_prune_ros.core.camera import Intrinsics
from depth_prune_ros.core.card import METADATA_KEY
from depth_prune_ros.core.card import ModelCard
import numpy as np
from numpy.typing import NDArray
import onnx
from onnx import helper
from onnx import TensorProto
from rosbags.rosbag2 import StoragePlugin
from rosbags.rosbag2 import Writer
from rosbags.typesys import get_typestore
from rosbags.typesys import Stores

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

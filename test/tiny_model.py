"""A model whose depth is known by hand: disparity = 0.01 + 0.2 * mean(r, g, b) / 255."""

from __future__ import annotations

from pathlib import Path

from depth_prune_ros.core.card import METADATA_KEY
from depth_prune_ros.core.card import ModelCard
import numpy as np
from numpy.typing import NDArray
import onnx
from onnx import helper
from onnx import TensorProto

WIDTH, HEIGHT = 64, 32
BASELINE_M = 0.5
CARD_FX_OVER_WIDTH = 0.6
OFFSET, SLOPE = 0.01, 0.2

CARD = ModelCard(
    name='tiny',
    network='mean of the channels',
    input_height=HEIGHT,
    input_width=WIDTH,
    baseline_m=BASELINE_M,
    fx_over_width=CARD_FX_OVER_WIDTH,
    parameters=2,
    macs=WIDTH * HEIGHT,
)


def write_tiny_model(path: Path, card: ModelCard | None = CARD) -> Path:
    """
    Write the model.

    :param path: the file to be made
    :param card: None leaves the card out
    :return: path
    """
    nodes = [
        helper.make_node('Cast', ['image'], ['pixels'], to=TensorProto.FLOAT),
        helper.make_node('ReduceMean', ['pixels'], ['grey'], axes=[3], keepdims=0),
        helper.make_node('Mul', ['grey', 'slope'], ['scaled']),
        helper.make_node('Add', ['scaled', 'offset'], ['disparity']),
    ]
    graph = helper.make_graph(
        nodes,
        'tiny',
        [helper.make_tensor_value_info('image', TensorProto.UINT8, [1, HEIGHT, WIDTH, 3])],
        [helper.make_tensor_value_info('disparity', TensorProto.FLOAT, [1, HEIGHT, WIDTH])],
        [
            helper.make_tensor('slope', TensorProto.FLOAT, [], [SLOPE / 255.0]),
            helper.make_tensor('offset', TensorProto.FLOAT, [], [OFFSET]),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 13)], ir_version=8)
    if card is not None:
        helper.set_model_props(model, {METADATA_KEY: card.to_json()})
    onnx.save(model, str(path))
    return path


def tiny_depth(image: NDArray[np.uint8], fx_over_width: float) -> NDArray[np.float64]:
    """Return the depth of an image of the model's own size, in metres, by the closed form."""
    disparity = OFFSET + SLOPE * np.asarray(image.mean(axis=2), np.float64) / 255.0
    return np.divide(BASELINE_M * fx_over_width, disparity)

"""
A float model with any of its layers in 8-bit integers, by onnxruntime's static quantisation.

Layers are convolutions, sums and concatenations. Activations and resizing follow the layer before
them; normalisation and the sigmoids of the disparities stay float. The file has QuantizeLinear and
DequantizeLinear around each layer (QDQ), which onnxruntime turns into QLinearConv and its like.

Activations have 8 bits unsigned, weights a scale per filter. Weights use 7 of their 8 bits, as
onnxruntime advises for x86 processors without VNNI: these add up pairs of products in 16 bits,
which full 8 bits can overflow, so that figures of one computer might not hold on another.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Collection
from collections.abc import Iterator
from collections.abc import Sequence
import copy
from dataclasses import dataclass
import math
from pathlib import Path
import tempfile
from typing import Any

from depth_prune_ros.core.errors import ModelError
from depth_prune_ros.core.session import LEVELS
from depth_prune_ros.core.session import session_options
import numpy as np
from numpy.typing import NDArray
import onnx
from onnx.shape_inference import infer_shapes
import onnxruntime as ort
from onnxruntime.quantization import create_calibrator
from onnxruntime.quantization import QDQQuantizer
from onnxruntime.quantization import quant_pre_process
from onnxruntime.quantization import QuantType

Bytes = NDArray[np.uint8]
Float = NDArray[np.float32]
Progress = Callable[[int, int], None]

_LAYERS = ('Conv', 'Add', 'Concat')
_FOLLOWERS = ('Clip', 'Relu', 'MaxPool', 'Resize')
_INTEGER = {'QuantizeLinear', 'DequantizeLinear', 'QLinearConv', 'ConvInteger'}
_TINY = 1e-6


@dataclass(frozen=True)
class Calibrated:
    """
    A float model and the ranges of its tensors.

    :param model: constants folded, shapes known
    :param ranges: onnxruntime's TensorsData
    :param layers: names of the nodes that can be quantised, in the graph's order
    :param macs: multiply-accumulates of each convolution among them
    """

    model: onnx.ModelProto
    ranges: Any
    layers: tuple[str, ...]
    macs: dict[str, int]

    def int8_share(self, kept_float: Collection[str]) -> float:
        """Return the share of the multiply-accumulates that int8 layers do."""
        left = sum(macs for name, macs in self.macs.items() if name not in kept_float)
        return left / sum(self.macs.values())


def check_float(path: Path) -> None:
    """
    Refuse a model that cannot be quantised.

    :raises ModelError: int8 already, or without a convolution
    """
    operators = {node.op_type for node in onnx.load(path).graph.node}
    if operators & _INTEGER:
        msg = f'{path}: expected a float model, found an int8 one; give the file it was made from'
        raise ModelError(msg)
    if 'Conv' not in operators:
        msg = f'{path}: expected convolutions to quantise, found none'
        raise ModelError(msg)


def calibrate(path: Path, images: Sequence[Bytes], progress: Progress) -> Calibrated:
    """
    Run a float model on images and note the lowest and highest value of every tensor.

    :param path: a model that :func:`check_float` lets pass
    :param images: uint8 [H, W, 3] RGB, of the model's size
    :param progress: called with (done, total) images
    :raises ModelError: no room for the files in between
    """
    with tempfile.TemporaryDirectory() as folder:
        prepared = Path(folder) / 'prepared.onnx'
        try:
            quant_pre_process(str(path), str(prepared), skip_symbolic_shape=True)
            model = _named(onnx.load(prepared))
        except Exception as error:  # protobuf has its own, where a full disk cut a file short
            found = ' '.join(str(error).split())
            msg = (
                f'{path}: expected to prepare it in {folder}, found: {found}; where that is full, '
                'TMPDIR names another folder'
            )
            raise ModelError(msg) from error
        augmented = str(Path(folder) / 'augmented.onnx')
        calibrator = create_calibrator(prepared, _LAYERS + _FOLLOWERS, augmented)
        calibrator.collect_data(_Reader(model.graph.input[0].name, images, progress))
        ranges = calibrator.compute_data()
    layers = tuple(node.name for node in model.graph.node if node.op_type in _LAYERS)
    return Calibrated(model, ranges, layers, _macs(model))


def quantised(calibrated: Calibrated, kept_float: Collection[str]) -> onnx.ModelProto:
    """Return the model with every layer in int8, but for those that are named."""
    quantizer = QDQQuantizer(
        copy.deepcopy(calibrated.model),
        per_channel=True,
        reduce_range=True,
        weight_qType=QuantType.QInt8,
        activation_qType=QuantType.QUInt8,
        tensors_range=calibrated.ranges,
        nodes_to_quantize=[],
        nodes_to_exclude=list(kept_float),
        op_types_to_quantize=_LAYERS + _FOLLOWERS,
        extra_options={},
    )
    quantizer.quantize_model()
    quantizer.model.topological_sort()
    model: onnx.ModelProto = quantizer.model.model
    used = {node.domain for node in model.graph.node}
    opsets = [opset for opset in model.opset_import if opset.domain in used]
    del model.opset_import[:]
    model.opset_import.extend(opsets)
    return model


def harms(calibrated: Calibrated, images: Sequence[Bytes], progress: Progress) -> dict[str, float]:
    """
    Measure what each layer does to the depth when it alone is int8.

    :param images: as for :func:`calibrate`
    :param progress: called with (done, total) layers
    :return: layer to the root mean square difference of the log disparity to the float model's
    """
    wanted = _log_disparity(calibrated.model, images)
    found = {}
    for done, layer in enumerate(calibrated.layers, start=1):
        alone = quantised(calibrated, set(calibrated.layers) - {layer})
        difference = _log_disparity(alone, images) - wanted
        found[layer] = float(np.sqrt(np.mean(difference**2)))
        progress(done, len(calibrated.layers))
    return found


def _log_disparity(model: onnx.ModelProto, images: Sequence[Bytes]) -> Float:
    options = session_options(0, LEVELS[0])
    session = ort.InferenceSession(
        model.SerializeToString(), sess_options=options, providers=['CPUExecutionProvider']
    )
    name = session.get_inputs()[0].name
    found = np.stack([session.run(None, {name: image[None]})[0][0] for image in images])
    logs: Float = np.log(np.maximum(found, _TINY))
    return logs


class _Reader:
    """Images the way onnxruntime's calibrators ask for them."""

    def __init__(self, name: str, images: Sequence[Bytes], progress: Progress) -> None:
        self._feeds = self._all(name, images, progress)

    def get_next(self) -> dict[str, Bytes] | None:
        """Return the next input, None after the last."""
        return next(self._feeds, None)

    @staticmethod
    def _all(name: str, images: Sequence[Bytes], progress: Progress) -> Iterator[dict[str, Bytes]]:
        for done, image in enumerate(images, start=1):
            yield {name: image[None]}
            progress(done, len(images))


def _named(model: onnx.ModelProto) -> onnx.ModelProto:
    """Give nodes without a name one: layers are chosen by name."""
    for index, node in enumerate(model.graph.node):
        node.name = node.name or f'{node.op_type}_{index}'
    return model


def _macs(model: onnx.ModelProto) -> dict[str, int]:
    graph = infer_shapes(model).graph
    shapes = {
        value.name: [size.dim_value for size in value.type.tensor_type.shape.dim]
        for value in (*graph.value_info, *graph.output)
    }
    weights = {tensor.name: tensor.dims for tensor in graph.initializer}
    return {
        node.name: math.prod(weights[node.input[1]]) * math.prod(shapes[node.output[0]][2:])
        for node in graph.node
        if node.op_type == 'Conv'
    }

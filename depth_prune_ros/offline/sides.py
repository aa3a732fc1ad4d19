"""Height and width of a model file's image: of any length, or fixed."""

from __future__ import annotations

from depth_prune_ros.core.session import HEIGHT
from depth_prune_ros.core.session import WIDTH
import onnx


def free_sides(model: onnx.ModelProto) -> None:
    """Have a fully convolutional model take and give images of any height and width."""
    for dims in _sides(model):
        for dim, name in zip(dims, (HEIGHT, WIDTH), strict=True):
            dim.dim_param = name


def fix_sides(model: onnx.ModelProto, height: int, width: int) -> None:
    """Have a model take and give images of one size, so that every tensor's shape is known."""
    for dims in _sides(model):
        for dim, side in zip(dims, (height, width), strict=True):
            dim.dim_value = side


def _sides(model: onnx.ModelProto) -> list[list[onnx.TensorShapeProto.Dimension]]:
    """Return [height, width] of input and output; forget the shapes between, of other sizes."""
    del model.graph.value_info[:]
    ends = (*model.graph.input, *model.graph.output)
    return [list(end.type.tensor_type.shape.dim)[1:3] for end in ends]

"""Another image size for a model file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from depth_prune_ros.core.sides import with_sides
import onnx
from tiny_model import CARD
from tiny_model import HEIGHT
from tiny_model import WIDTH
from tiny_model import write_tiny_model


def test_nothing_but_the_sizes_changes(tmp_path: Path) -> None:
    file = write_tiny_model(tmp_path / 'm.onnx', replace(CARD, size_multiple=8))
    before = onnx.load(file)
    inner = onnx.helper.make_tensor_value_info('grey', onnx.TensorProto.FLOAT, [1, HEIGHT, WIDTH])
    before.graph.value_info.append(inner)
    after = onnx.load_from_string(with_sides(before.SerializeToString(), 40, 24))
    sizes = [
        [dim.dim_value for dim in end.type.tensor_type.shape.dim]
        for end in (*after.graph.input, *after.graph.output)
    ]
    assert sizes == [[1, 24, 40, 3], [1, 24, 40]]
    assert not after.graph.value_info
    back = onnx.load_from_string(with_sides(after.SerializeToString(), WIDTH, HEIGHT))
    del before.graph.value_info[:]
    assert back == before

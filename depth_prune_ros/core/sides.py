"""
Another image size for a fully convolutional model file.

A file says one size, for whoever runs it as it is; its operators would do with any. Only the few
fields of ONNX's format (onnx.proto) that hold the sizes are declared here: protobuf, which comes
with onnxruntime, keeps what it does not know.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from google.protobuf.descriptor_pb2 import FieldDescriptorProto
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

# message -> (field, its number, its message; '' is an int64)
_FORMAT = {
    'Model': [('graph', 7, 'Graph')],
    'Graph': [('input', 11, 'Value'), ('output', 12, 'Value'), ('value_info', 13, 'Value')],
    'Value': [('type', 2, 'Type')],
    'Type': [('tensor', 1, 'Tensor')],
    'Tensor': [('shape', 2, 'Shape')],
    'Shape': [('dim', 1, 'Dimension')],
    'Dimension': [('value', 1, '')],
}
_REPEATED = ('input', 'output', 'value_info', 'dim')


def with_sides(model: bytes, width: int, height: int) -> bytes:
    """
    Return a model file for images of another size.

    :param model: an ONNX file with one input [1, H, W, 3] and one output [1, H, W]
    """
    parsed = _model_class()()
    parsed.ParseFromString(model)
    graph = parsed.graph
    for end in (*graph.input, *graph.output):
        dims = end.type.tensor.shape.dim
        dims[1].value, dims[2].value = height, width
    # what lies between had its size of the old one
    del graph.value_info[:]
    changed: bytes = parsed.SerializeToString()
    return changed


@cache
def _model_class() -> Any:
    file = FileDescriptorProto(name='depth_prune_ros/sides.proto', syntax='proto2')
    for name, fields in _FORMAT.items():
        message = file.message_type.add(name=name)
        for field, number, kind in fields:
            repeated = field in _REPEATED
            message.field.add(
                name=field,
                number=number,
                label=FieldDescriptorProto.LABEL_REPEATED
                if repeated
                else FieldDescriptorProto.LABEL_OPTIONAL,
                type=FieldDescriptorProto.TYPE_MESSAGE
                if kind
                else FieldDescriptorProto.TYPE_INT64,
                type_name=kind or None,
            )
    pool = DescriptorPool()
    pool.Add(file)
    return GetMessageClass(pool.FindMessageTypeByName('Model'))

"""Definitions of messages as bags carry them: of either format, whole or not."""

from __future__ import annotations

from depth_prune_ros.bags.definitions import types_of
import pytest
from rosbags.interfaces import Connection
from rosbags.interfaces import ConnectionExtRosbag2
from rosbags.interfaces import MessageDefinition
from rosbags.interfaces import MessageDefinitionFormat
from rosbags.typesys import get_typestore
from rosbags.typesys import Stores

COMMON = get_typestore(Stores.ROS2_HUMBLE)
RULE = '=' * 80 + '\n'
OUTER = 'module our { module msg { struct Outer { our::msg::Inner inner; long count; }; }; };\n'
INNER = 'module our { module msg { struct Inner { double x; }; }; };\n'
MSG = f'our/Inner inner\nint32 count\n{RULE}MSG: our/Inner\nfloat64 x\n'
KINDS = {
    'msg': (MessageDefinitionFormat.MSG, MSG),
    'idl': (
        MessageDefinitionFormat.IDL,
        f'{RULE}IDL: our/msg/Outer\n{OUTER}{RULE}IDL: our/msg/Inner\n{INNER}',
    ),
    'idl without a header': (MessageDefinitionFormat.IDL, INNER + OUTER),
}


def connection(form: MessageDefinitionFormat, text: str, digest: str = '') -> Connection:
    ext = ConnectionExtRosbag2('cdr', [])
    return Connection(
        1, '/x', 'our/msg/Outer', MessageDefinition(form, text), digest, 1, ext, None
    )


@pytest.mark.parametrize('kind', KINDS)
def test_types_of_either_format(kind: str) -> None:
    store = types_of([connection(*KINDS[kind])], COMMON, ros2=True)
    fields = {
        name: [field[0] for field in store.fielddefs[name][1]]
        for name in store.fielddefs
        if name.startswith('our/')
    }
    assert fields == {'our/msg/Outer': ['inner', 'count'], 'our/msg/Inner': ['x']}


def test_a_hash_is_compared() -> None:
    whole = types_of([connection(*KINDS['msg'])], COMMON, ros2=True)
    digest = whole.hash_rihs01('our/msg/Outer')
    assert (
        'our/msg/Outer' in types_of([connection(*KINDS['msg'], digest)], COMMON, ros2=True).types
    )
    other = types_of([connection(*KINDS['msg'], digest[:-1] + 'x')], COMMON, ros2=True)
    assert 'our/msg/Outer' not in other.types
    assert 'sensor_msgs/msg/Image' in other.types


def test_without_definitions_the_common_types_are_known() -> None:
    store = types_of([connection(MessageDefinitionFormat.NONE, '')], COMMON, ros2=True)
    assert store.fielddefs.keys() == COMMON.fielddefs.keys()

"""The message definitions that a bag carries; one that cannot be read costs its topics alone."""

from __future__ import annotations

from collections.abc import Iterable

from rosbags.interfaces import Connection
from rosbags.interfaces import MessageDefinitionFormat
from rosbags.interfaces.typing import Typesdict
from rosbags.typesys import get_types_from_idl
from rosbags.typesys import get_types_from_msg
from rosbags.typesys import get_typestore
from rosbags.typesys import Stores
from rosbags.typesys.store import Typestore

_RULE = '=' * 80 + '\n'
_IDL = 'IDL: '


def types_of(connections: Iterable[Connection], common: Typestore, *, ros2: bool) -> Typestore:
    """
    Return the types of a bag's messages.

    :param connections: of the bag, with its definitions
    :param common: types that are known without: taken where the bag has no definition, or one
        that cannot be read or has another hash than the bag says
    """
    found: Typesdict = {}
    whole = True
    for connection in {(c.msgtype, c.msgdef, c.digest): c for c in connections}.values():
        try:
            found.update(_parsed(connection, ros2=ros2))
        except Exception:  # noqa: BLE001 - a definition may be anything
            whole = False
    store = get_typestore(Stores.EMPTY)
    store.register(found if whole else {**common.fielddefs, **found})
    return store


def _parsed(connection: Connection, *, ros2: bool) -> Typesdict:
    kind, form, text = connection.msgtype, *connection.msgdef
    if form == MessageDefinitionFormat.NONE:
        msg = f'expected a definition of {kind}, found none'
        raise ValueError(msg)
    if form == MessageDefinitionFormat.MSG:
        found = get_types_from_msg(text, kind)
    else:
        parts = text.split(_RULE)[1:] if text.startswith(_RULE + _IDL) else [text]
        found = {}
        for part in parts:
            _, _, idl = part.partition('\n') if part.startswith(_IDL) else ('', '', part)
            found.update(get_types_from_idl(idl))
    store = get_typestore(Stores.EMPTY)
    store.register(found)
    digest = store.hash_rihs01(kind) if ros2 else store.generate_msgdef(kind)[1]
    if connection.digest not in ('', digest):
        msg = f'expected {kind} of hash {connection.digest}, found {digest}'
        raise ValueError(msg)
    return found

"""Operations as lines of the native JSON wire format, for a server or a file."""

from __future__ import annotations

from typing import Any

import orjson

from ralex_core.model.money import decimal_text
from ralex_core.model.operation import Operation, Pricing

_SERVER_FILLS = frozenset(Pricing._fields) | {"door"}
_SENT = tuple((position, name) for position, name in enumerate(Operation._fields) if name not in _SERVER_FILLS)
_DEFAULTS = Operation._field_defaults


def as_line(operation: Operation) -> bytes:
    """One operation as a JSON line, newline included: what a sender may say, without fields at their defaults."""
    record: dict[str, Any] = {
        name: operation[position]
        for position, name in _SENT
        if name not in _DEFAULTS or operation[position] != _DEFAULTS[name]
    }
    if operation.attributes is not None:
        record["attributes"] = orjson.Fragment(operation.attributes)
    return orjson.dumps(record, default=decimal_text, option=orjson.OPT_APPEND_NEWLINE)

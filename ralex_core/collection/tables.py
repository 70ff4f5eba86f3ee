"""Operations that are alike as one line of NDJSON: what they have in common once, and a short row for each.

    {"common": {"kind": "db", …}, "trace_prefix": "…", "columns": ["trace_id", …], "rows": [[…], …]}

A sender of thousands of alike operations spares most of their text, and of the time it takes to write it. A receiver
reads every row as the operation it stands for. docs/api.md describes the form for senders.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, cast

import orjson

ROWS = "rows"
"""The key that no operation has, and every table."""
ATTRIBUTE = "attributes."
"""Begins the name of a column whose values go into the attributes."""
MAX_EXPANDED_BYTES = 64 * 1024 * 1024
"""What the common part of a table may come to when it is repeated in each row."""

_KEYS = frozenset(("common", "trace_prefix", "columns", ROWS))
_TRACE, _SPAN = 2, 3
_PLACES = {"trace_id": _TRACE, "span_id": _SPAN, "parent_span_id": _SPAN}
MAX_PREFIX = 100
_START = b'{"common":'


def head(common: Mapping[str, Any], trace_prefix: str, columns: Sequence[str]) -> bytes:
    """A table's line up to its rows, which follow as a JSON array, and then `}` and a newline."""
    told = {"common": common, "trace_prefix": trace_prefix, "columns": columns}
    return orjson.dumps(told)[:-1] + b',"rows":'


def is_table(value: Mapping[str, Any]) -> bool:
    """Whether a JSON object is a table and not an operation."""
    return ROWS in value


class Table(NamedTuple):
    """A table that was read: what its rows have in common, and of each row its own fields."""

    common: dict[str, Any]
    rows: Iterator[dict[str, Any]]
    """`attributes`, where a row has any of its own, are those in common too."""


def read(value: Mapping[str, Any]) -> Table:
    """A JSON object as a table. Raises ValueError with what is wrong with it."""
    if unknown := value.keys() - _KEYS:
        raise ValueError(f"{min(unknown)[:100]}: no part of a table; those are common, trace_prefix, columns and rows")
    common: Any = value.get("common", {})
    columns: Any = value.get("columns")
    rows: Any = value[ROWS]
    prefix: Any = value.get("trace_prefix", "")
    if not isinstance(common, dict) or not isinstance(cast("Any", common).get("attributes") or {}, dict):
        raise ValueError("common: must be an object with fields of an operation")
    if not isinstance(columns, list) or not all(isinstance(column, str) for column in cast("list[Any]", columns)):
        raise ValueError("columns: must be an array of names of fields")
    if "attributes" in columns:
        raise ValueError(f"columns: an attribute has a column of its own, named {ATTRIBUTE} and its name")
    width = len(cast("list[Any]", columns))
    if not isinstance(rows, list) or not all(
        isinstance(row, list) and len(cast("list[Any]", row)) == width for row in cast("list[Any]", rows)
    ):
        raise ValueError(f"rows: must be an array of arrays of {width} values, one for each of the columns")
    if not isinstance(prefix, str) or len(prefix) > MAX_PREFIX:
        raise ValueError(f"trace_prefix: must be a text of at most {MAX_PREFIX} characters")
    known = cast("dict[str, Any]", common)
    return Table(known, _rows(known, cast("list[str]", columns), cast("list[list[Any]]", rows), prefix))


def _rows(common: dict[str, Any], columns: list[str], rows: list[list[Any]], prefix: str) -> Iterator[dict[str, Any]]:
    names = [column.removeprefix(ATTRIBUTE) for column in columns]
    places = [_PLACES.get(column, column.startswith(ATTRIBUTE)) for column in columns]
    attributes = cast("dict[str, Any]", common.get("attributes") or {})
    for row in rows:
        record: dict[str, Any] = {}
        own: dict[str, Any] = {}
        for name, place, value in zip(names, places, row, strict=True):
            if value is None:
                continue
            if place is True:
                own[name] = value
            elif place and value.__class__ is int and 0 <= value < 1 << 64:
                record[name] = f"{prefix}{value:016x}" if place == _TRACE else f"{value:016x}"
            else:
                record[name] = value
        if own:
            record["attributes"] = {**attributes, **own}
        if "operation_id" not in record:
            trace, span = record.get("trace_id"), record.get("span_id")
            if trace.__class__ is str and span.__class__ is str:
                record["operation_id"] = f"{trace:.16}{span}"
        yield record


def expanded_bytes(table: Mapping[str, Any]) -> int:
    """What the common part comes to when it is repeated in each row."""
    rows = table[ROWS]
    return len(orjson.dumps(table.get("common"))) * len(cast("list[Any]", rows)) if isinstance(rows, list) else 0


def count(payload: bytes) -> int:
    """The operations in lines that this package wrote; a damaged line is one."""
    lines = payload.count(b"\n")
    if _START in payload:
        lines += sum(sum(1 for _ in table.rows) - 1 for line in payload.split(b"\n") if (table := _written(line)))
    return lines


def lines(payload: bytes) -> list[bytes]:
    """Lines that this package wrote with one operation each, newlines included; a damaged line as it is."""
    found: list[bytes] = []
    for line in payload.splitlines(keepends=True):
        if table := _written(line):
            common, rows = table
            found += (orjson.dumps({**common, **row}, option=orjson.OPT_APPEND_NEWLINE) for row in rows)
        else:
            found.append(line)
    return found


def _written(line: bytes) -> Table | None:
    """The table in a line, if it is one."""
    if not line.startswith(_START):
        return None
    try:
        value: Any = orjson.loads(line)
        return read(value) if is_table(value) else None
    except ValueError:
        return None

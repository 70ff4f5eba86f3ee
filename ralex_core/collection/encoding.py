"""Finished operations as lines of the native JSON wire format (docs/api.md). Runs in the background thread only."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from decimal import Decimal
from typing import Any, cast

import orjson

from ralex_core.collection.ids import LOW_64, PREFIX, SCATTER, span_text, trace_text
from ralex_core.collection.prepared import Prepared, steady
from ralex_core.collection.recorder import Values
from ralex_core.collection.tables import ATTRIBUTE, head
from ralex_core.model.operation import Operation, Pricing

SENDER_FIELDS = frozenset(Operation._fields) - frozenset(Pricing._fields) - {"door", "attributes"}
"""What a sender may say about an operation; every other keyword becomes an attribute."""

MAX_LINE_BYTES = 64 * 1024
"""A longer line loses its largest attributes: one careless payload must not crowd a thousand operations out."""

MAX_NAME = 500
"""Characters kept of an operation's name; the server takes no longer one."""

MAX_TEXT = 4096
"""Characters kept of a value that JSON has no form for."""


def encode(values: Sequence[Any], constants: Mapping[str, Any]) -> bytes:
    """One operation (`recorder.Values`) as a JSON line, newline included.

    `constants` are what `configure` said of the whole process.
    Never raises for what the host put in: values without a JSON form become text.
    """
    name, kind, fields, attributes, trace_number, span_number, parent, started_ns, start_ns, end_ns, defaults = values
    if name.__class__ is Prepared:
        name, kind, fields, attributes = name.in_full(fields)
    if not started_ns:
        started_ns = start_ns + wall_minus_steady()
    trace, span = trace_text(trace_number), span_text(span_number)
    record: dict[str, Any] = {
        "operation_id": trace[:16] + span,
        "trace_id": trace,
        "span_id": span,
        "name": str(name)[:MAX_NAME],
        "kind": kind,
        "started_at": started_ns // 1000,
        "duration_ms": (end_ns - start_ns) / 1e6,
        **constants,
    }
    if parent is not None:
        record["parent_span_id"] = span_text(parent)
    # Copies of both: the host may go on setting fields, and attributes, while they are read here.
    fields = fields.copy() if defaults is None else {**defaults, **fields}
    attributes = attributes.copy() if attributes else None
    unknown: dict[str, Any] = {}
    for key, value in fields.items():
        if key not in SENDER_FIELDS:
            unknown[key] = value
        elif value.__class__ is Decimal:
            record[key] = format(value, "f")
        else:
            record[key] = value
    if unknown:
        attributes = {**attributes, **unknown} if attributes else unknown
    if attributes:
        record["attributes"] = attributes
    try:
        # No `default=` hook: it would let the host's threads change a value while orjson walks through it.
        line = orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE)
    except (TypeError, ValueError, RecursionError):
        line = orjson.dumps(plain(record), option=orjson.OPT_APPEND_NEWLINE)
    return line if len(line) <= MAX_LINE_BYTES else _shortened(line)


_offset: tuple[int, int] = (0, 0)
"""When it was taken, and how far the wall clock was ahead of the steady one."""
_OFFSET_FOR_NS = 50_000_000


def wall_minus_steady() -> int:
    """To be added to a steady time of the last moments, in which the clocks drift apart by less than a microsecond."""
    global _offset
    taken, offset = _offset
    now = steady()
    if now - taken > _OFFSET_FOR_NS:
        offset = time.time_ns() - now
        _offset = now, offset
    return offset


_COLUMNS = ("trace_id", "span_id", "parent_span_id", "started_at", "duration_ms")
Row = tuple[int | str, int, int | str | None, int, float, int | None]
"""The `_COLUMNS` and the count of an operation that is `Prepared`."""


def set_in_rows(operations: Iterable[Values], rows: MutableMapping[Prepared, list[Row]]) -> list[Values]:
    """Add those that are `Prepared`, without defaults, to their `rows`; returns the others.

    Everything of one loop, spelled out: a row costs a fifth of a line.
    """
    others: list[Values] = []
    offset_ns = wall_minus_steady()
    number = trace_id = -1  # the work of one request comes one after the other
    for values in operations:
        prepared, _, count, _, trace, span, parent, started_ns, start_ns, end_ns, defaults = values
        if prepared.__class__ is not Prepared or defaults is not None:
            others.append(values)
            continue
        if isinstance(trace, int) and trace != number:
            number, trace_id = trace, trace * SCATTER & LOW_64
        # The number of a trace is that of its first span, and their ids end alike.
        if parent == number:
            parent = trace_id
        elif isinstance(parent, int):
            parent = parent * SCATTER & LOW_64
        rows[prepared].append(
            (
                trace_id if trace == number else trace,
                trace_id if span == number else span * SCATTER & LOW_64,
                parent,
                (started_ns or start_ns + offset_ns) // 1000,
                (end_ns - start_ns) / 1e6,
                count,
            )
        )
    return others


def table(prepared: Prepared, rows: list[Row], constants: Mapping[str, Any]) -> bytes:
    """The line of operations that were prepared as one."""
    return table_of(prepared, orjson.dumps(rows), constants)


def table_of(prepared: Prepared, rows: bytes, constants: Mapping[str, Any]) -> bytes:
    """The same of rows that are a JSON array already."""
    made_for, start = prepared.made
    if made_for is not constants:
        known = {"name": prepared.name[:MAX_NAME], "kind": prepared.kind, **constants, **prepared.fields}
        common = plain(known | {"attributes": prepared.attributes})
        start = head(common, PREFIX, (*_COLUMNS, ATTRIBUTE + prepared.count_name))
        prepared.made = constants, start
    return start + rows + b"}\n"


def _as_text(value: object) -> str:
    """What orjson has no form for: exact decimals, and everything else as its text."""
    if isinstance(value, Decimal):
        return format(value, "f")
    return _clean(str(value))


def _clean(text: str) -> str:
    return text[:MAX_TEXT].encode("utf-8", "replace").decode()


def plain(value: Any, depth: int = 6) -> Any:
    """The same value as JSON has it: text keys, valid UTF-8, 64-bit integers, at most `depth` levels."""
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, int):
        return int(value) if -(1 << 63) <= value < 1 << 63 else str(value)
    if isinstance(value, str):
        # No cut here: what is too long in total is shortened once, largest first.
        return value.encode("utf-8", "replace").decode()
    try:
        return _plain_container(value, depth) if depth else _as_text(value)
    except Exception:  # the host's own __str__ or mapping failed
        return f"<{type(value).__name__}>"


def _plain_container(value: object, depth: int) -> Any:
    if isinstance(value, Mapping):
        items = list(cast("Mapping[Any, Any]", value).items())
        return {_clean(str(key)): plain(item, depth - 1) for key, item in items}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item, depth - 1) for item in list(cast("list[Any]", value))]
    return _as_text(value)


def _shortened(line: bytes) -> bytes:
    """The line within `MAX_LINE_BYTES`: largest attributes go first, their names are kept in `attributes_dropped`."""
    record: dict[str, Any] = orjson.loads(line)
    attributes: dict[str, Any] = record.get("attributes") or {}
    by_size = sorted(attributes, key=lambda key: len(orjson.dumps(attributes[key])) + len(key), reverse=True)
    excess = len(line) - MAX_LINE_BYTES
    dropped: list[str] = []
    for key in by_size:
        if excess <= 0:
            break
        excess -= len(orjson.dumps(attributes.pop(key))) + len(key) - min(len(key), 40)
        dropped.append(key[:40])
    if dropped:
        attributes["attributes_dropped"] = dropped[:20]
        record["attributes"] = attributes
    for key, value in record.items():
        if isinstance(value, str) and len(value) > MAX_TEXT:
            record[key] = value[:MAX_TEXT]
    return orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE)

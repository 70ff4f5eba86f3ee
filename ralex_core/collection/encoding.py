"""Finished operations as lines of the native JSON wire format (docs/sdk.md). Runs in the background thread only."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, cast

import orjson

from ralex_core.collection.ids import span_text, trace_text
from ralex_core.collection.prepared import Prepared, steady
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
        if defaults is None:
            return _filled_in(name, fields, trace_number, span_number, parent, started_ns, start_ns, end_ns, constants)
        name, kind, fields, attributes = name.in_full(fields)
    if not started_ns:
        started_ns = start_ns + _wall_minus_steady()
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


_last: tuple[int, str] = (-1, "")
"""Trace and its text of the line before: the work of one request comes one after the other."""
_offset: tuple[int, int] = (0, 0)
"""When it was taken, and how far the wall clock was ahead of the steady one."""
_OFFSET_FOR_NS = 50_000_000


def _wall_minus_steady() -> int:
    """To be added to a steady time of the last moments, in which the clocks drift apart by less than a microsecond."""
    global _offset
    taken, offset = _offset
    now = steady()
    if now - taken > _OFFSET_FOR_NS:
        offset = time.time_ns() - now
        _offset = now, offset
    return offset


def _filled_in(
    prepared: Prepared,
    count: int | None,
    trace_number: int | str,
    span_number: int,
    parent: int | str | None,
    started_ns: int,
    start_ns: int,
    end_ns: int,
    constants: Mapping[str, Any],
) -> bytes:
    """The line of an operation of which all but ids, times and one count is known before. A third of the cost."""
    global _last
    made_for, template = prepared.made
    if made_for is not constants:
        template = _template(prepared, constants)
    number, trace = _last
    if trace_number.__class__ is str:
        number, trace = -1, cast("str", trace_number)
    elif trace_number != number:
        number, trace = cast("int", trace_number), trace_text(trace_number)
        _last = number, trace
    # The number of a trace is that of its first span, and their texts end alike.
    span = trace[16:] if span_number == number else span_text(span_number)
    above = "" if parent is None else f'"parent_span_id":"{trace[16:] if parent == number else span_text(parent)}",'
    if not started_ns:
        started_ns = start_ns + _wall_minus_steady()
    counted = "" if count is None else prepared.counted % count
    duration_ms = (end_ns - start_ns) / 1e6
    return (template % (trace[:16], span, trace, span, above, started_ns // 1000, duration_ms, counted)).encode()


def _template(prepared: Prepared, constants: Mapping[str, Any]) -> str:
    """The line with places for what varies; made once per operation prepared and destination."""
    known = {"name": prepared.name[:MAX_NAME], "kind": prepared.kind, **constants, **prepared.fields}
    head = orjson.dumps(plain(known)).decode()[:-1].replace("%", "%%")
    attributes = orjson.dumps(plain(prepared.attributes)).decode()[:-1].replace("%", "%%")
    template = (
        head + ',"operation_id":"%s%s","trace_id":"%s","span_id":"%s",%s"started_at":%d,"duration_ms":%.6f,'
        '"attributes":' + attributes + "%s}}\n"
    )
    prepared.made = constants, template
    return template


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

"""The native JSON wire format into operations: one object, an array, or NDJSON, tables of alike operations among them.
A bad record never stops the rest.
"""

from __future__ import annotations

import difflib
import math
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple, cast

import orjson

from ralex_core.collection import tables
from ralex_core.model.money import parse_usd
from ralex_core.model.operation import KINDS, OUTCOMES, STATUSES, Operation, Pricing

JSON = "application/json"
NDJSON = "application/x-ndjson"
CONTENT_TYPES = (JSON, NDJSON, "application/jsonl", "application/ndjson")
"""Media types the parser takes; a door answers 415 to others."""

MAX_TEXT = 1024
MAX_NAME = 500
MAX_ID = 128
MAX_ATTRIBUTES_BYTES = 256 * 1024
"""The intake shortens long attributes; more than this is a mistake."""
MAX_NESTING = 250
"""Levels that JSON can be written in. The intake keeps the outer ones."""
MAX_RECORDS = 100_000
"""Of one request."""
MAX_HINTS = 100
MAX_FIELD = 100
"""Characters of an unknown field's name that are looked at."""
MAX_COUNT = 2**53 - 1
MAX_TOKENS = 10**12
"""More than any model reads in a year; sums of what is beyond it would not fit the rollups."""
"""The largest integer every JSON writer gets right."""
MAX_DURATION_MS = 1e11
"""Three years: a longer duration is in the wrong unit."""
FIRST_US = 946_684_800_000_000
"""2000-01-01: an earlier integer is in seconds or milliseconds."""
LAST_US = 4_102_444_800_000_000
"""2100-01-01: a later one is in nanoseconds."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_FIELDS = Operation._fields
_SERVER_FIELDS = frozenset(Pricing._fields) | {"door"}

_new_id = random.SystemRandom().getrandbits


class Parsed(NamedTuple):
    """Operations, and for each record that is none its index (from 0, blank lines not counted) and the reason."""

    operations: list[Operation]
    rejected: list[tuple[int, str]]


class TooManyRecords(Exception):
    """A request with more records than are read of one. The message says what to do."""


class _Wrong(Exception):
    """Why a value is not taken; the field's name is put before it."""


class _UnknownField(_Wrong):
    """A field that is none. What may be meant takes long to find, so it is only said for the first of a request."""

    def reason(self, *, hint: bool) -> str:
        field = str(self)
        return _unknown(field) if hint else f"{field[:MAX_FIELD]}: unknown field"


def parse_operations(body: bytes | bytearray, content_type: str, now_us: int, door: str) -> Parsed:
    """Read every record of a decompressed request body. Costs about 5 µs per operation.

    `content_type` may carry parameters. A JSON body that is not one value is read line by line, so that NDJSON under
    `application/json` works. An empty body gives nothing at all.
    Raises:
        TooManyRecords: there are more than `MAX_RECORDS`. For nothing else that the body holds.
    """
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type in ("", JSON):
        try:
            value: Any = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            if b"\n" not in body.strip():
                return Parsed([], [(0, f"not valid JSON: {error}")] if body.strip() else [])
        else:
            records = cast("list[Any]", value) if isinstance(value, list) else [value]
            return _parse_values(records, now_us, door)
    return _parse_lines(body, now_us, door)


def _parse_values(values: list[Any], now_us: int, door: str) -> Parsed:
    if len(values) > MAX_RECORDS:
        raise too_many_records()
    parsed = _Parsing(now_us, door)
    for value in values:
        parsed.take(value)
    return parsed.done()


def _parse_lines(body: bytes | bytearray, now_us: int, door: str) -> Parsed:
    if body.count(b"\n") > MAX_RECORDS:
        raise too_many_records()
    parsed = _Parsing(now_us, door)
    for number, line in enumerate(body.split(b"\n"), 1):
        if not line or line.isspace():
            continue
        try:
            value = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            parsed.refuse(f"line {number} is not valid JSON: {error}")
        else:
            parsed.take(value)
    return parsed.done()


def too_many_records() -> TooManyRecords:
    return TooManyRecords(f"The request has more than {MAX_RECORDS:,} records. Send smaller batches.")


class _Parsing:
    """Records read one after the other; every row of a table is one."""

    def __init__(self, now_us: int, door: str) -> None:
        self._now_us = now_us
        self._blank = _DEFAULTS.copy()
        self._blank[_DOOR] = door
        self._operations: list[Operation] = []
        self._rejected: list[tuple[int, str]] = []
        self._room = tables.MAX_EXPANDED_BYTES

    def take(self, value: Any) -> None:
        if value.__class__ is dict and tables.is_table(value):
            self._take_table(value)
        else:
            self._take_operation(value, self._blank)

    def _take_operation(self, value: Any, known: list[Any]) -> None:
        try:
            self._operations.append(_operation(value, known, self._now_us))
        except _UnknownField as problem:
            self.refuse(problem.reason(hint=len(self._rejected) < MAX_HINTS))
        except _Wrong as reason:
            self.refuse(str(reason))

    def _take_table(self, value: dict[str, Any]) -> None:
        self._room -= tables.expanded_bytes(value)
        if self._room < 0:
            self.refuse("the tables of one request have too much in common to be repeated in each row; send fewer rows")
            return
        try:
            common, rows = tables.read(value)
        except ValueError as reason:
            self.refuse(str(reason))
            return
        if len(value[tables.ROWS]) + len(self._operations) + len(self._rejected) > MAX_RECORDS:
            raise too_many_records()
        try:
            known = _filled(self._blank, common)
        except _UnknownField as problem:
            reason = problem.reason(hint=True)
            for _ in rows:
                self.refuse(reason)
            return
        except _Wrong as reason:
            for _ in rows:
                self.refuse(str(reason))
            return
        for row in rows:
            self._take_operation(row, known)

    def refuse(self, reason: str) -> None:
        self._rejected.append((len(self._operations) + len(self._rejected), reason))

    def done(self) -> Parsed:
        return Parsed(self._operations, self._rejected)


def _operation(record: Any, known: list[Any], now_us: int) -> Operation:
    """One JSON value as an operation, of which some values may be known before. Raises _Wrong."""
    if not isinstance(record, dict):
        raise _Wrong(f"an operation is a JSON object, not {_type_name(record)}")
    values = _filled(known, cast("dict[str, Any]", record))
    if values[_NAME] is None:
        raise _Wrong("name: required, what the operation is called")
    if values[_STARTED] is None:
        if values[_ID] is not None:
            # the store looks for an id around its time: with a new one each time, sending again would store it again
            raise _Wrong("started_at: required beside operation_id, and the same whenever the operation is sent")
        values[_STARTED] = now_us
    if values[_ID] is None:
        values[_ID] = f"{_new_id(128):032x}"
    operation = Operation._make(values)
    _check_parts(operation)
    return operation


def _filled(known: list[Any], record: dict[str, Any]) -> list[Any]:
    """The values of an operation: those known before, and those of a JSON object. Raises _Wrong."""
    values = known.copy()
    field = ""
    try:
        for field, value in record.items():
            position, limit, read = _READERS[field]
            if value.__class__ is str and len(value) <= limit:  # most fields: `read`, spelled out
                values[position] = value or None
            elif value is not None:
                values[position] = read(value)
    except KeyError:
        raise _UnknownField(field) from None
    except (_Wrong, ValueError) as reason:
        raise _Wrong(f"{field}: {reason}") from None
    return values


def _check_parts(operation: Operation) -> None:
    """Totals include their parts (docs/sdk.md); a sender that counts otherwise would be priced wrongly."""
    total = operation.input_tokens
    cached = (operation.cache_read_tokens or 0) + (operation.cache_write_tokens or 0)
    if total is not None and cached > total:
        raise _Wrong(
            f"input_tokens: {total} is less than the cached parts ({cached}); it counts all input, "
            "cache_read_tokens and cache_write_tokens included"
        )
    written_1h = operation.cache_write_1h_tokens
    if written_1h is not None and written_1h > (operation.cache_write_tokens or 0):
        raise _Wrong("cache_write_1h_tokens: more than cache_write_tokens, of which it is a part")
    reasoning, output = operation.reasoning_tokens, operation.output_tokens
    if reasoning is not None and output is not None and reasoning > output:
        raise _Wrong(
            f"output_tokens: {output} is less than reasoning_tokens ({reasoning}); "
            "it counts all output, reasoning included"
        )


def _unknown(field: str) -> str:
    if field in _SERVER_FIELDS:
        return f"{field}: filled in by the server; leave it out (claims are reported_usd and billed_usd)"
    close = difflib.get_close_matches(field[:MAX_FIELD], _READERS, n=1, cutoff=0.75)
    hint = f"did you mean {close[0]}?" if close else "put what has no field of its own into attributes"
    return f"{field[:MAX_FIELD]}: unknown field; {hint}"


# One reader per type of field: gives the value an Operation holds, or raises _Wrong or ValueError with the reason.


def _type_name(value: object) -> str:
    names: dict[type, str] = {
        bool: "a boolean",
        int: "a number",
        float: "a number",
        str: "a text",
        list: "an array",
        dict: "an object",
    }
    return names.get(type(value), "null")


def _text(limit: int) -> Callable[[Any], str | None]:
    def read(value: Any) -> str | None:
        if type(value) is not str:
            raise _Wrong(f"must be a text, not {_type_name(value)}")
        if len(value) > limit:
            raise _Wrong(f"longer than {limit} characters")
        return value or None

    return read


def _one_of(words: tuple[str, ...]) -> Callable[[Any], str]:
    known = frozenset(words)

    def read(value: Any) -> str:
        if type(value) is not str or value not in known:
            shown = repr(value[:40]) if isinstance(value, str) else _type_name(value)
            raise _Wrong(f"must be one of {', '.join(words)}, not {shown}")
        return value

    return read


def _integer(low: int, high: int = MAX_COUNT) -> Callable[[Any], int]:
    def read(value: Any) -> int:
        if type(value) is float and value.is_integer():
            value = int(value)  # some writers put 12.0 for 12
        if type(value) is not int:
            raise _Wrong(f"must be a whole number, not {value if type(value) is float else _type_name(value)}")
        if not low <= value <= high:
            raise _Wrong(f"must be between {low} and {high}, not {value}")
        return value

    return read


def _milliseconds(value: Any) -> float:
    if type(value) is not float and type(value) is not int:
        raise _Wrong(f"must be a number of milliseconds, not {_type_name(value)}")
    if not 0 <= value <= MAX_DURATION_MS or math.isnan(value):
        raise _Wrong(f"must be between 0 and {MAX_DURATION_MS:.0f} milliseconds, not {value}")
    return float(value)


def _instant(value: Any) -> int:
    if type(value) is int:
        if not FIRST_US <= value < LAST_US:
            raise _Wrong(f"{value} is not in microseconds since 1970 (a time between 2000 and 2100)")
        return value
    if type(value) is not str:
        raise _Wrong(f"must be ISO-8601 text or integer microseconds since 1970, not {_type_name(value)}")
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise _Wrong(f"{value[:40]!r} is not an ISO-8601 time such as 2026-11-05T12:00:00Z") from None
    if moment.tzinfo is None:
        raise _Wrong(f"{value[:40]!r} names no time zone; end it with Z or an offset such as +02:00")
    return _instant((moment - _EPOCH) // _MICROSECOND)


def _usd(value: Any) -> Decimal:
    return parse_usd(value)


def _attributes(value: Any) -> str | None:
    if type(value) is not dict:
        raise _Wrong(f"must be a JSON object, not {_type_name(value)}")
    if not value:
        return None
    try:
        text = orjson.dumps(value)
    except TypeError:
        raise _Wrong(f"nested more than {MAX_NESTING} levels deep; send flat names such as a.b.c") from None
    if len(text) > MAX_ATTRIBUTES_BYTES:
        raise _Wrong(f"{len(text)} bytes of JSON; at most {MAX_ATTRIBUTES_BYTES} are kept")
    return text.decode()


_count = _integer(0, MAX_TOKENS - 1)
_SPECIAL: dict[str, Callable[[Any], Any]] = {
    "kind": _one_of(KINDS),
    "started_at": _instant,
    "duration_ms": _milliseconds,
    "ttft_ms": _milliseconds,
    "status": _one_of(STATUSES),
    "outcome": _one_of(OUTCOMES),
    "http_status": _integer(100, 599),
    "attempt": _integer(1, 1_000_000),
    "revision": _integer(0),
    "input_tokens": _count,
    "cache_read_tokens": _count,
    "cache_write_tokens": _count,
    "cache_write_1h_tokens": _count,
    "output_tokens": _count,
    "reasoning_tokens": _count,
    "reported_usd": _usd,
    "billed_usd": _usd,
    "value_usd": _usd,
    "attributes": _attributes,
}
_TEXT_LIMITS = {
    "name": MAX_NAME,
    "operation_id": MAX_ID,
    "trace_id": MAX_ID,
    "span_id": MAX_ID,
    "parent_span_id": MAX_ID,
}
_READERS: dict[str, tuple[int, int, Callable[[Any], Any]]] = {}
"""Of each field a sender may fill: its place in an Operation, the characters a text may have (-1: it is no text), and
what reads any other value."""
for _position, _field in enumerate(_FIELDS):
    if _field in _SPECIAL:
        _READERS[_field] = _position, -1, _SPECIAL[_field]
    elif _field not in _SERVER_FIELDS:
        _limit = _TEXT_LIMITS.get(_field, MAX_TEXT)
        _READERS[_field] = _position, _limit, _text(_limit)
_ID, _NAME, _STARTED, _DOOR = (_FIELDS.index(field) for field in ("operation_id", "name", "started_at", "door"))
_DEFAULTS: list[Any] = list(
    Operation(operation_id=None, kind="task", name=None, started_at=None)  # type: ignore[arg-type]
)

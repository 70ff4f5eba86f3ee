"""Reading single values out of log records: every mistake becomes an `InvalidOperation` that names the field."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Mapping
from datetime import UTC, datetime, tzinfo
from decimal import Decimal
from typing import Any, NoReturn, cast

import orjson

from ralex_core.errors import InvalidOperation
from ralex_core.model.money import decimal_text, parse_usd
from ralex_core.model.operation import Operation, derived_id

MAX_TEXT = 500
"""Characters kept of a name, model or path, as many as the native door takes of a name."""
MAX_ID = 128
MAX_COUNT = 10**12
EARLIEST_US = 946_684_800_000_000  # 2000: an epoch in other units than assumed lands before it
LATEST_US = 4_102_444_800_000_000  # 2100


UNNAMED = ("REDACTED", "None")
"""What Aider writes instead of the name of a model it does not publish."""


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


# Made once: the module functions make a new one on every call that is given an option.
_exact = json.JSONDecoder(parse_float=Decimal, parse_constant=_no_constant)
_spelled_out = json.JSONEncoder(sort_keys=True, separators=(",", ":"), default=str)


def json_object(raw: bytes, *, exact: bool = True) -> dict[str, Any]:
    """A line as a JSON object. `exact` reads fractions as `Decimal`, digit for digit; otherwise as floats, faster."""
    try:
        value: Any = _exact.decode(raw.decode()) if exact else orjson.loads(raw)
    except RecursionError:
        raise InvalidOperation("not readable JSON: nested too deeply") from None
    except ValueError as error:
        raise InvalidOperation(f"not valid JSON: {error}") from None
    if not isinstance(value, dict):
        raise InvalidOperation(f"not a JSON object but {type(value).__name__}")
    return cast(dict[str, Any], value)


def canonical(record: Mapping[str, Any]) -> str:
    """The record as text that does not depend on key order or spacing, for ids."""
    try:
        return orjson.dumps(record, default=str, option=orjson.OPT_SORT_KEYS).decode()
    except TypeError:
        return _spelled_out.encode(record)  # numbers beyond 64 bits and lone surrogates


def clean_text(value: str) -> str:
    """At most `MAX_TEXT` characters that every store can keep: no NUL, no lone surrogates."""
    if value.isprintable() and value.isascii() and len(value) <= MAX_TEXT:
        return value  # almost always
    cut = value[:MAX_TEXT].replace("\x00", "")
    return cut if cut.isascii() else cut.encode("utf-8", "replace").decode()


def text(record: Mapping[str, Any], key: str) -> str | None:
    """A string, stripped; absent, null and empty are None."""
    value = record.get(key)
    if value is None:
        return None
    if not isinstance(value, str):
        raise InvalidOperation(f"{key} must be text, not {type(value).__name__}")
    return clean_text(value.strip()) or None


def identifier(value: str) -> str:
    """An id that every door takes: a longer one is replaced by its digest."""
    return value if len(value) <= MAX_ID else derived_id(value)


def http_status(value: object, name: str) -> int | None:
    """A status code; what is none is None."""
    code = whole(value, name)
    return code if code is not None and 100 <= code <= 599 else None


def count(record: Mapping[str, Any], key: str) -> int | None:
    """A whole number ≥ 0; absent and null are None."""
    return whole(record.get(key), key)


def whole(value: object, name: str) -> int | None:
    if value is None:
        return None
    if type(value) is int and 0 <= value <= MAX_COUNT:
        return value
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool) and 0 <= value <= MAX_COUNT:
        number = int(value)
        if number == value:
            return number
    raise InvalidOperation(f"{name} must be a whole number from 0 to 10^15, got {str(value)[:40]!r}")


def money(value: object, name: str) -> Decimal | None:
    """An amount of dollars; None stays None."""
    if value is None:
        return None
    try:
        return parse_usd(value)
    except ValueError as error:
        raise InvalidOperation(f"{name}: {error}") from None


def split_model(named: str | None) -> tuple[str | None, str | None]:
    """Provider and model of LiteLLM's `provider/model` names; a bare name tells no provider, a hidden one no model."""
    if named is None or named in UNNAMED:
        return None, None
    provider, slash, model = named.partition("/")
    if not slash:
        return None, named
    return provider, None if model in UNNAMED else model


def nested(record: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """A JSON object; absent and null are empty."""
    value = record.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InvalidOperation(f"{key} must be an object, not {type(value).__name__}")
    return cast(dict[str, Any], value)


def time_us(value: object, name: str, zone: tzinfo | None) -> int:
    """UTC microseconds of an ISO-8601 text (without an offset it is in `zone`) or of an epoch in s, ms, µs or ns."""
    if isinstance(value, str):
        stripped = value.strip()
        try:
            moment = datetime.fromisoformat(stripped)
        except ValueError:
            number = _number(stripped)
            if number is None:
                raise InvalidOperation(f"{name} is not a time: {value[:40]!r}") from None
            return _epoch_us(number, name)
        return moment_us(moment, name, zone)
    if type(value) is int:
        return _epoch_us(value, name)
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        return _epoch_us(Decimal(str(value)), name)
    if value is None:
        raise InvalidOperation(f"{name} is missing")
    raise InvalidOperation(f"{name} is not a time but {type(value).__name__}")


def moment_us(moment: datetime, name: str, zone: tzinfo | None) -> int:
    """UTC microseconds of a datetime; one without an offset is in `zone` (None: the machine's)."""
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=zone) if zone is not None else moment
    try:
        # Whole seconds and microseconds apart: a float has no room for both.
        utc = moment.astimezone(UTC)
    except (OverflowError, ValueError, OSError):
        raise InvalidOperation(f"{name} is out of range: {moment!s:.40}") from None
    return _in_range(int(utc.replace(microsecond=0).timestamp()) * 1_000_000 + utc.microsecond, name)


def _number(value: str) -> Decimal | None:
    try:
        return Decimal(value)
    except ArithmeticError:
        return None


def _epoch_us(value: Decimal | int, name: str) -> int:
    if isinstance(value, Decimal) and not value.is_finite():
        raise InvalidOperation(f"{name} is not a time: {value}")
    # Seconds until 2100 stay below 5·10^9, and each finer unit is a thousand times larger.
    size = abs(value)
    for limit, factor in ((10**10, 1_000_000), (10**13, 1000), (10**16, 1)):
        if size < limit:
            return _in_range(int(value * factor), name)
    return _in_range(int(value // 1000) if size < 10**20 else LATEST_US + 1, name)


def _in_range(moment: int, name: str) -> int:
    if not EARLIEST_US <= moment < LATEST_US:
        raise InvalidOperation(f"{name} lies outside the years 2000 to 2100")
    return moment


def attributes(**values: Any) -> str | None:
    """A JSON object of what is known; None when nothing is."""
    known = {key: value for key, value in values.items() if value is not None}
    if not known:
        return None
    try:
        return orjson.dumps(known, default=str).decode()
    except TypeError as error:
        if "recursion" in str(error).lower():
            raise InvalidOperation("attributes: nested too deeply") from None
        # numbers beyond 64 bits, and lone surrogates, which no store can keep
        text = json.dumps(known, ensure_ascii=False, separators=(",", ":"), default=str)
        return text.encode(errors="replace").decode()


def span_ms(start_us: int, end_us: int) -> float | None:
    """Milliseconds from start to end; None when the end is not after the start."""
    return (end_us - start_us) / 1000 if end_us > start_us else None


class Ordinals:
    """Numbers identical records, so that two of them are two operations and one read twice is one.

    Keeps the last `size` different records; identical ones farther apart than that count as the same record.
    """

    def __init__(self, size: int, saved: Mapping[str, int] | None = None) -> None:
        self._size = size
        self._seen: OrderedDict[str, int] = OrderedDict(saved or {})

    def next(self, record: str) -> str:
        """The record's number among identical ones, from "0"."""
        key = derived_id(record)[:16]
        number = self._seen.pop(key, -1) + 1
        self._seen[key] = number
        if len(self._seen) > self._size:
            self._seen.popitem(last=False)
        return str(number)

    def save(self) -> dict[str, int]:
        return dict(self._seen)


_MONEY_FIELDS = ("reported_usd", "billed_usd", "value_usd")
_DEFAULTS = Operation("", "task", "", 0)._asdict()


def pack(operation: Operation) -> dict[str, Any]:
    """An unpriced operation as JSON values, defaults left out."""
    packed: dict[str, Any] = {
        name: value
        for name, value in operation._asdict().items()
        if value != _DEFAULTS[name] or name in ("operation_id", "kind", "name", "started_at")
    }
    for name in _MONEY_FIELDS:
        if name in packed:
            packed[name] = decimal_text(packed[name])
    return packed


def unpack(packed: Mapping[str, Any]) -> Operation:
    """What `pack` packed."""
    amounts: dict[str, Any] = {name: Decimal(packed[name]) for name in _MONEY_FIELDS if name in packed}
    return Operation(**{**packed, **amounts})

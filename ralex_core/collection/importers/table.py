"""From the columns of a table to the fields of an operation: which column is which field, and how values are read."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, tzinfo
from decimal import Decimal
from decimal import InvalidOperation as NotDecimal
from typing import Any, cast

from ralex_core.collection.importers import fields
from ralex_core.errors import ConfigError, InvalidOperation
from ralex_core.model.operation import KINDS, OUTCOMES, TASK_PREFIX, Operation, Pricing, derived_id

NAME = "files"
MAX_ATTRIBUTE_TEXT = 128
"""Longer texts of columns that stand for no field are prose, and left out."""
REMEMBERED_ROWS = 1000
MAX_DURATION = 10**8
"""Seconds; a longer duration, three years, is in another unit."""

WELL_KNOWN: Mapping[str, tuple[str, ...]] = {
    "operation_id": ("operation_id", "id", "request_id", "generation_id"),
    "started_at": (
        *("started_at", "timestamp", "start_time", "starttime", "time"),
        *("created_at", "datetime", "date", "ts"),
    ),
    "ended_at": ("ended_at", "end_time", "endtime", "finished_at"),
    "duration_ms": ("duration_ms", "latency_ms", "response_time_ms", "generation_time_ms"),
    "duration_s": ("duration_s", "duration_seconds", "latency_s", "latency_seconds"),
    "ttft_ms": ("ttft_ms", "time_to_first_token_ms"),
    "kind": ("kind",),
    "name": ("name", "operation_name", "operation", "event", "call_type", "task"),
    "status": ("status",),
    "succeeded": ("succeeded", "success", "resolved"),
    "error_type": ("error_type", "error_code"),
    "http_status": ("http_status", "status_code"),
    "provider": ("provider", "provider_name", "custom_llm_provider"),
    "model": ("model", "model_name", "model_permaslug"),
    "requested_model": ("requested_model", "model_group"),
    "input_tokens": (
        *("input_tokens", "prompt_tokens", "tokens_prompt", "tokens_in", "tokens_sent"),
        *("context_tokens", "contexttokens"),
    ),
    "output_tokens": (
        *("output_tokens", "completion_tokens", "tokens_completion", "tokens_out", "tokens_received"),
        *("generated_tokens", "generatedtokens"),
    ),
    "cache_read_tokens": ("cache_read_tokens", "cached_tokens", "cache_read_input_tokens"),
    "cache_write_tokens": ("cache_write_tokens", "cache_creation_input_tokens"),
    "reasoning_tokens": ("reasoning_tokens",),
    "reported_usd": ("reported_usd", "cost_usd", "cost", "spend", "total_cost", "cost_total", "price_usd"),
    "billed_usd": ("billed_usd",),
    "value_usd": ("value_usd",),
    "outcome": ("outcome",),
    "service": ("service", "service_name"),
    "project": ("project", "repository", "repo"),
    "client": ("client", "app", "app_name"),
    "user_id": ("user_id", "user", "user_email", "end_user"),
    "session_id": ("session_id", "session", "conversation_id"),
    "feature": ("feature",),
    "workflow": ("workflow",),
    "trace_id": ("trace_id",),
}
"""Field → names of columns that mean it, the first one present counts. Compared in lower case, words joined by `_`."""

_DERIVED = ("ended_at", "duration_s", "succeeded", "task")
"""Not fields of an operation, but what some are computed from."""

_NOT_SETTABLE = {*Pricing._fields, "door", "source", "revision", "attributes"}
FIELDS = tuple(name for name in (*Operation._fields, *_DERIVED) if name not in _NOT_SETTABLE)
"""What a column can be mapped to."""

_STATUS = {
    **dict.fromkeys(("ok", "success", "succeeded", "completed", "true", "1", "200"), "ok"),
    **dict.fromkeys(("error", "failure", "failed", "false", "0"), "error"),
    **dict.fromkeys(("cancelled", "canceled", "aborted"), "cancelled"),
}
_OUTCOMES = {
    **{outcome: outcome for outcome in OUTCOMES},
    **dict.fromkeys(("1", "true", "yes", "y", "t", "resolved", "passed", "success"), "accepted"),
    **dict.fromkeys(("0", "false", "no", "n", "f", "unresolved"), "failed"),
}
_GUESSED = ("kind", "status", "outcome", "succeeded")
"""Words with many meanings: a value that is none of ours is not a mistake unless the column was named by the user."""

_TRUE = ("true", "t", "yes", "y", "1")
_FALSE = ("false", "f", "no", "n", "0")

_WORD_BREAK = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|[^A-Za-z0-9]+")


class Mapper:
    """Turns rows, as mappings from column to value, into operations.

    Raises:
        ConfigError: a field that cannot be mapped is named, or a constant cannot be read.
    """

    def __init__(
        self,
        columns: Mapping[str, str],
        constants: Mapping[str, str],
        zone: tzinfo | None,
        seen: Mapping[str, int] | None = None,
    ) -> None:
        unknown = [name for name in (*columns, *constants) if name not in FIELDS]
        if unknown:
            raise ConfigError(f"A column cannot be mapped to {unknown[0]!r}. Fields are: {', '.join(FIELDS)}.")
        self._given = columns
        self._zone = zone
        self._ordinals = fields.Ordinals(REMEMBERED_ROWS, seen)
        self._layouts: dict[tuple[str, ...], dict[str, str]] = {}
        try:
            self._constants = {name: self._value(name, text) for name, text in constants.items()}
        except InvalidOperation as error:
            raise ConfigError(f"A constant cannot be used: {error}.") from error

    def save(self) -> dict[str, int]:
        return self._ordinals.save()

    def layout(self, columns: Iterable[str]) -> dict[str, str]:
        """Field → column, for rows of these columns: what was given, else what is well known.

        Raises:
            ConfigError: nothing says when operations started, or a given column is not there.
        """
        columns = tuple(columns)
        missing = [column for column in self._given.values() if not {column, column.partition(".")[0]} & set(columns)]
        if missing:
            raise ConfigError(f"There is no column {missing[0]!r}. Columns are: {', '.join(columns)}.")
        layout = self._assign(columns)
        if "started_at" not in layout and "started_at" not in self._constants:
            raise ConfigError(
                "No column says when operations started. Name it with --column started_at=COLUMN; "
                f"columns are: {', '.join(columns)}."
            )
        return layout

    def _assign(self, columns: tuple[str, ...]) -> dict[str, str]:
        layout = dict(self._given)
        taken = set(layout.values())
        plain = {_plain(column): column for column in reversed(columns) if column not in taken}
        for field, names in WELL_KNOWN.items():
            if field in layout or field in self._constants:
                continue
            column = next((plain[name] for name in names if name in plain), None)
            if column is not None:
                layout[field] = column
        return layout

    def operation(self, row: Mapping[str, Any]) -> Operation:
        """The operation a row stands for.

        Raises:
            InvalidOperation: a value cannot be read; the field and column are named.
        """
        shape = tuple(row)
        layout = self._layouts.get(shape)
        if layout is None:
            layout = self._layouts[shape] = self._assign(shape)
            if len(self._layouts) > REMEMBERED_ROWS:
                self._layouts.clear()
        values = dict(self._constants)
        for field, column in layout.items():
            try:
                value = self._value(field, _look_up(row, column))
            except InvalidOperation as error:
                if field in _GUESSED and field not in self._given:
                    continue  # a column that only happens to be called so
                raise InvalidOperation(f"column {column}: {error}") from None
            if value is not None:
                values[field] = value
        if "started_at" not in values:
            raise InvalidOperation(f"column {layout.get('started_at', 'started_at')}: there is no time")
        self._derive(values)
        _check_parts(values)
        content = fields.canonical(row)
        values.setdefault("operation_id", derived_id(NAME, content, self._ordinals.next(content)))
        mapped = {column if column in row else column.partition(".")[0] for column in layout.values()}
        rest = {column: _kept(value) for column, value in row.items() if column not in mapped}
        return Operation(**values, door="importer", source=NAME, attributes=fields.attributes(**rest))

    def _derive(self, values: dict[str, Any]) -> None:
        """Fill fields that follow from others, and what has to be there."""
        ended_at, seconds = values.pop("ended_at", None), values.pop("duration_s", None)
        if "duration_ms" not in values:
            if seconds is not None:
                values["duration_ms"] = seconds * 1000
            elif ended_at is not None:
                values["duration_ms"] = fields.span_ms(values["started_at"], ended_at)
        task = values.pop("task", None)
        if task is not None:
            values.setdefault("workflow", f"{TASK_PREFIX}{task}")
        succeeded = values.pop("succeeded", None)
        if succeeded is not None:
            values.setdefault("outcome", "accepted" if succeeded else "failed")
        uses_model = any(name in values for name in ("model", "input_tokens", "output_tokens"))
        values.setdefault("kind", "llm" if uses_model else "task")
        values.setdefault("name", "imported")
        if values["kind"] == "llm":
            values.setdefault("requested_model", values.get("model"))

    def _value(self, field: str, value: object) -> Any:
        if value is None or value == "" or (isinstance(value, float) and math.isnan(value)):
            return None
        if isinstance(value, str):
            value = value.strip()
            if not value:
                return None
        if field in ("started_at", "ended_at"):
            if isinstance(value, datetime):
                return fields.moment_us(value, field, self._zone)
            return fields.time_us(value, field, self._zone)
        return _READERS.get(field, _read_text)(value, field)


def _plain(column: str) -> str:
    """A column's name as in `WELL_KNOWN`: `ContextTokens` and `Context Tokens` are `context_tokens`."""
    return "_".join(part for part in _WORD_BREAK.split(column.strip()) if part).lower()


def _look_up(row: Mapping[str, Any], column: str) -> object:
    """The value of a column; `a.b` is `b` within `a` when there is no column of that name."""
    if column in row or "." not in column:
        return row.get(column)
    value: Any = row
    for part in column.split("."):
        value = cast(dict[str, Any], value).get(part) if isinstance(value, dict) else None
    return value


def _kept(value: object) -> object:
    """What is kept of a column that stands for no field: numbers, and texts too short for prose."""
    if isinstance(value, bool | int):
        return value
    if isinstance(value, float | Decimal):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, str):
        if value.isdecimal() and value.isascii() and not value.startswith("0") and len(value) < 16:
            return int(value)
        return fields.clean_text(value) if 0 < len(value) <= MAX_ATTRIBUTE_TEXT else None
    return str(value) if isinstance(value, datetime) else None


def _check_parts(values: Mapping[str, Any]) -> None:
    total = values.get("input_tokens")
    parts = (values.get("cache_read_tokens") or 0) + (values.get("cache_write_tokens") or 0)
    if total is not None and parts > total:
        raise InvalidOperation(f"input_tokens {total} must include the cached parts, which are {parts}")
    reasoning, output = values.get("reasoning_tokens"), values.get("output_tokens")
    if reasoning is not None and output is not None and reasoning > output:
        raise InvalidOperation(f"output_tokens {output} must include reasoning_tokens, which are {reasoning}")
    written = values.get("cache_write_1h_tokens")
    if written is not None and written > (values.get("cache_write_tokens") or 0):
        raise InvalidOperation("cache_write_1h_tokens must be a part of cache_write_tokens")


def _decimal(value: object, field: str) -> Decimal:
    if isinstance(value, str):
        value = value.removeprefix("$").replace(",", "") if field.endswith("_usd") else value
    elif isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise InvalidOperation(f"{field} must be a number, not {type(value).__name__}")
    try:
        return Decimal(str(value))
    except NotDecimal:
        raise InvalidOperation(f"{field} must be a number, got {str(value)[:40]!r}") from None


def _read_count(value: object, field: str) -> int | None:
    return fields.whole(_finite(value, field), field)


def _read_real(value: object, field: str, limit: int = MAX_DURATION) -> float:
    number = _finite(value, field)
    if not 0 <= number <= limit:
        raise InvalidOperation(f"{field} must be from 0 to {limit}, got {number}")
    return float(number)


def _finite(value: object, field: str) -> Decimal:
    number = _decimal(value, field)
    if not number.is_finite():
        raise InvalidOperation(f"{field} must be finite")
    return number


def _read_milliseconds(value: object, field: str) -> float:
    return _read_real(value, field, MAX_DURATION * 1000)


def _read_attempt(value: object, field: str) -> int | None:
    return _read_count(value, field) or 1


def _read_http_status(value: object, field: str) -> int | None:
    return fields.http_status(_finite(value, field), field)


def _read_id(value: object, field: str) -> str | None:
    text = str(value).strip()
    return fields.clean_text(fields.identifier(text)) or None


def _read_money(value: object, field: str) -> Decimal | None:
    return fields.money(_finite(value, field), field)


def _read_text(value: object, field: str) -> str | None:
    return fields.clean_text(str(value).strip()) or None


def _read_flag(value: object, field: str) -> bool:
    text = str(value).strip().lower()
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    raise InvalidOperation(f"{field} must be true or false, got {text[:40]!r}")


def _one_of(known: Mapping[str, str]) -> Callable[[object, str], str]:
    def read(value: object, field: str) -> str:
        text = str(value).strip().lower()
        if text not in known:
            raise InvalidOperation(f"{field} must be one of {', '.join(known)}; got {text[:40]!r}")
        return known[text]

    return read


_READERS: Mapping[str, Callable[[object, str], Any]] = {
    **{name: _read_count for name in FIELDS if name.endswith("_tokens")},
    **{name: _read_money for name in FIELDS if name.endswith("_usd")},
    **dict.fromkeys(("operation_id", "trace_id", "span_id", "parent_span_id"), _read_id),
    "duration_ms": _read_milliseconds,
    "duration_s": _read_real,
    "ttft_ms": _read_milliseconds,
    "http_status": _read_http_status,
    "attempt": _read_attempt,
    "succeeded": _read_flag,
    "status": _one_of(_STATUS),
    "kind": _one_of({kind: kind for kind in KINDS}),
    "outcome": _one_of(_OUTCOMES),
}

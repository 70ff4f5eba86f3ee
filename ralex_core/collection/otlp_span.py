"""One span becomes one operation, whatever encoding it came in."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple, cast

import orjson

from ralex_core.collection import semconv
from ralex_core.collection.native import FIRST_US, LAST_US, MAX_DURATION_MS
from ralex_core.collection.otlp_database import statement_name
from ralex_core.collection.otlp_usage import NO_USAGE, count_of, milliseconds_of, usage_of, usd_of
from ralex_core.errors import InvalidOperation
from ralex_core.model.operation import OUTCOMES, Operation, Pricing

Attribute = tuple[int, int, bool, str, Any]
"""An attribute in its place (see `semconv.Place`): slot, rank, whether it stays an attribute, name, value."""

MAX_TEXT = 256
"""Characters of a name, an id or a model. Longer text in such a field is a mistake, and would widen every page."""
MAX_MESSAGE = 500
MAX_ATTEMPT = 1_000_000
FIRST_NS, LAST_NS, LONGEST_NS = FIRST_US * 1000, LAST_US * 1000, round(MAX_DURATION_MS * 1e6)
"""The native door's limits: what lies outside is in the wrong unit, and would stretch every page about all time."""
STATUS_OK, STATUS_ERROR = 1, 2
SPAN_KIND_SERVER = 2

_EMPTY_VALUES: list[Any] = [None] * len(semconv.SLOTS)
_SLOT = {name: slot for slot, name in enumerate(semconv.SLOTS)}
_FIRST_NUMBER = semconv.FIRST_NUMBER
_UNMAPPED, _CONTENT = semconv.UNMAPPED, semconv.CONTENT
_FIRST_OF_CALL, _LAST_OF_CALL = semconv.FIRST_OF_MODEL_CALL, semconv.LAST_OF_MODEL_CALL
_PLACES, _find_place = semconv.PLACES, semconv.place

_FIRST_OF_IDENTITY, _AFTER_IDENTITY = _SLOT["service"], _SLOT["workflow"] + 1
"""These slots are fields of `Operation`, in its order."""
_ERROR_TYPE, _OUTCOME, _VALUE = _SLOT["error_type"], _SLOT["outcome"], _SLOT["value_usd"]
_OPERATION, _HINT, _TOOL, _DATABASE = _SLOT["operation"], _SLOT["hint"], _SLOT["tool"], _SLOT["database"]
_MCP, _RPC, _METHOD, _ROUTE = _SLOT["mcp_method"], _SLOT["rpc"], _SLOT["http_method"], _SLOT["http_route"]
_SERVER, _SUCCEEDED, _BROADCAST = _SLOT["server"], _SLOT["succeeded"], _SLOT["broadcast"]
_PROVIDER, _REQUESTED, _MODEL = _SLOT["provider"], _SLOT["requested_model"], _SLOT["model"]
_SERVICE_TIER, _REQUEST_ID = _SLOT["service_tier"], _SLOT["provider_request_id"]
_FIRST_TOKEN_AT, _TTFT_S, _TTFT_MS = _SLOT["first_token_at"], _SLOT["ttft_s"], _SLOT["ttft_ms"]
_HTTP_STATUS, _ATTEMPT, _COST = _SLOT["http_status"], _SLOT["attempt"], _SLOT["cost_usd"]
_NO_CALL = (None,) * (Operation._fields.index("billed_usd") + 1 - Operation._fields.index("provider"))
_NOTHING_MORE = [None] * (len(semconv.SLOTS) - _VALUE)
_NOT_PRICED = (None,) * len(Pricing._fields)

_INPUT, _OUTPUT, _AFTER_USAGE = _SLOT["input_tokens"], _SLOT["output_tokens"], _SLOT["cost_usd"]

_new_operation: Callable[[type[Operation], tuple[Any, ...]], Operation] = tuple[Any, ...].__new__
"""A third of the cost of `Operation(...)`; the order of the fields is checked by a test."""
_ERROR_CLASS = re.compile(r"[A-Za-z_][\w.]*(?:Error|Exception|Timeout|Exceeded|Interrupt)\b")


class Event(NamedTuple):
    """A moment in a span. Attributes are read only for exceptions."""

    name: str
    time_ns: int
    attributes: Mapping[str, Any]


class Span(NamedTuple):
    """A span as it was received, apart from its attributes. Ids are lower-case hex, absent parents are empty."""

    trace_id: str
    span_id: str
    parent_span_id: str
    name: str
    kind: int
    start_ns: int
    end_ns: int
    status_code: int
    status_message: str
    events: Callable[[], Sequence[Event]] | None


class Origin:
    """What the spans of one resource and scope share, worked out once."""

    __slots__ = ("attributes", "source", "values")

    def __init__(self, resource: Iterable[Attribute], scope_name: str) -> None:
        self.values = _EMPTY_VALUES.copy()
        self.source = scope_name[:MAX_TEXT] or None
        kept: dict[str, Any] = {}
        _assign((_of_everybody(attribute) for attribute in resource), self.values, {}, kept)
        kept = {
            f"resource.{key}": value
            for key, value in kept.items()
            if key in semconv.RESOURCE_KEPT or not key.startswith(semconv.RESOURCE_NOISE)
        }
        self.attributes = orjson.dumps(kept).decode()[1:-1] if kept else ""


def _of_everybody(attribute: Attribute) -> Attribute:
    """A resource says who and where; what single spans did and used it cannot say for them."""
    slot, _, _, key, value = attribute
    return attribute if slot < _AFTER_IDENTITY else (_UNMAPPED, 0, True, key, value)


def operation_of(origin: Origin, span: Span, attributes: Iterable[Attribute]) -> Operation:
    """The operation a span describes.

    Raises:
        InvalidOperation: times that cannot be; the message names the span and the reason.
    """
    trace_id, span_id, parent_span_id, name, span_kind, start_ns, end_ns, status_code, _, events = span
    if not FIRST_NS <= start_ns <= end_ns <= LAST_NS or end_ns - start_ns > LONGEST_NS:
        raise InvalidOperation(_time_problem(name, start_ns, end_ns))

    values = origin.values.copy()
    owners: dict[int, str] = {}
    kept: dict[str, Any] = {}
    _assign(attributes, values, owners, kept)

    kind = _kind(name, span_kind, values)
    duration_ms = (end_ns - start_ns) / 1e6
    ttft_ms = request_id = None
    call = _NO_CALL
    if kind == "llm":
        call = _model_call(name, status_code, values, owners, kept)
        ttft_ms = _time_to_first_token(values, events, start_ns, duration_ms)
        request_id = values[_REQUEST_ID]
    else:
        for slot, key in owners.items():
            if _FIRST_OF_CALL <= slot <= _LAST_OF_CALL:
                kept[key] = values[slot]
        if kind == "api" and values[_ROUTE] is not None:
            name = f"{values[_METHOD]} {values[_ROUTE]}" if values[_METHOD] else values[_ROUTE]
        elif kind == "db":
            name = statement_name(name, values[_DATABASE], duration_ms, kept)

    http_status, attempt, value_usd, outcome = None, 1, None, "unknown"
    if values[_VALUE:] != _NOTHING_MORE:
        http_status, attempt, value_usd = _numbers(values)
    if values[_OUTCOME] is not None and values[_OUTCOME] in OUTCOMES:
        outcome = values[_OUTCOME]
    status, error_type = "ok", values[_ERROR_TYPE]
    if status_code == STATUS_ERROR or error_type is not None or values[_SUCCEEDED] is not None:
        status, error_type = _status(span, values, http_status, kept)

    shared = origin.attributes
    if kept:
        stored = orjson.dumps(kept).decode()
        if shared:
            stored = f"{{{shared},{stored[1:]}"
    else:
        stored = f"{{{shared}}}" if shared else None

    return _new_operation(
        Operation,
        (
            trace_id[:16] + span_id,
            kind,
            name[:MAX_TEXT] or values[_OPERATION] or kind,
            start_ns // 1000,
            duration_ms,
            status,
            trace_id,
            span_id,
            parent_span_id or None,
            ttft_ms,
            error_type,
            http_status,
            attempt,
            *values[_FIRST_OF_IDENTITY:_AFTER_IDENTITY],
            *call,
            *_NOT_PRICED,
            outcome,
            value_usd,
            "otlp",
            origin.source,
            request_id,
            0,
            stored,
        ),
    )


def _model_call(
    name: str, status_code: int, values: list[Any], owners: dict[int, str], kept: dict[str, Any]
) -> tuple[Any, ...]:
    """The fields of `Operation` from `provider` to `billed_usd`, in their order."""
    usage = usage_of(values[_INPUT:_AFTER_USAGE], exclusive_input=name.startswith(semconv.EXCLUSIVE_INPUT_SPANS))
    if not usage.input_tokens and not usage.output_tokens and status_code != STATUS_ERROR:
        usage = NO_USAGE  # a call that went through has read something: 0 and 0 is how some say "not counted"
    provider = semconv.provider_of(values[_PROVIDER], values[_SERVER])
    reported = billed = None
    if values[_COST] is not None:
        reported = usd_of(values[_COST])
        if reported is None:
            kept[owners[_COST]] = values[_COST]  # not an amount of money: shown, not counted
    if values[_BROADCAST] is not None:
        provider, reported, billed = semconv.BROADCAST_PROVIDER, None, reported
    requested = values[_REQUESTED]
    return (
        provider,
        requested,
        values[_MODEL] or requested,
        values[_SERVICE_TIER],
        *usage,
        reported,
        billed,
    )


def attribute_of(key: str, value: Any, *, keep_content: bool = False) -> Attribute:
    """The place of an attribute, with its value as the place wants it.

    `value` is plain: text, number, bool, list, dict, or None for one that is not set. Absent and empty values, and
    content unless `keep_content`, come out with slot `semconv.CONTENT`: nothing of them is stored.
    """
    if value is None or value == "":
        return _CONTENT, 0, False, key, None
    slot, rank, stays = _PLACES.get(key) or _find_place(key)
    if slot < 0:
        return (_UNMAPPED if keep_content else slot), rank, stays, key, value
    if isinstance(value, list | dict):
        return _UNMAPPED, 0, True, key, cast(Any, value)
    if type(value) is not str:
        if slot < _FIRST_NUMBER:
            value = ("true" if value else "false") if type(value) is bool else str(value)
    elif len(value) > MAX_TEXT:
        value = value[:MAX_TEXT]
    return slot, rank, stays, key, value


def _assign(attributes: Iterable[Attribute], values: list[Any], owners: dict[int, str], kept: dict[str, Any]) -> None:
    """Sort attributes into slots (the best name wins) and those that stay attributes.

    A worse name that says the same as the best one is dropped; one that says something else stays an attribute.
    """
    for slot, rank, stays, key, value in attributes:
        if slot < 0:
            if slot == _UNMAPPED:
                kept[key] = value
            continue
        if stays:
            kept[key] = value
        if slot not in owners:
            owners[slot] = key
            values[slot] = value
            continue
        owner = owners[slot]
        if rank < _find_place(owner).rank:
            key, value, values[slot], owners[slot] = owner, values[slot], value, key
        if value != values[slot]:
            kept[key] = value


def _kind(name: str, span_kind: int, values: list[Any]) -> str:
    if name in semconv.KIND_OF_SPAN:
        return semconv.KIND_OF_SPAN[name]
    operation = values[_OPERATION]
    if operation is not None:
        kind = semconv.KIND_OF_OPERATION.get(operation)
        if kind is not None:
            return kind
    if values[_HINT] is not None:
        kind = semconv.KIND_OF_HINT.get(values[_HINT].lower())
        if kind is not None:
            return kind
    if values[_MCP] is not None:
        return semconv.KIND_OF_MCP_METHOD.get(values[_MCP], "task")
    if values[_DATABASE] is not None:
        return "db"
    if values[_TOOL] is not None:
        return "tool"
    if (
        (values[_MODEL] is not None or values[_REQUESTED] is not None)
        and (values[_PROVIDER] is not None or values[_INPUT] is not None or values[_OUTPUT] is not None)
        and not name.startswith(semconv.NOT_A_BROADCAST_CALL)
    ):
        return "llm"
    if values[_METHOD] is not None or values[_ROUTE] is not None or values[_RPC] is not None:
        return "api"
    return "api" if span_kind == SPAN_KIND_SERVER else "task"


def _time_to_first_token(
    values: list[Any], events: Callable[[], Sequence[Event]] | None, start_ns: int, duration_ms: float
) -> float | None:
    """Milliseconds from the start to the first token; what cannot be (longer than the call itself) is not known."""
    found: float | None = None
    if values[_TTFT_MS] is not None:
        found = milliseconds_of(values[_TTFT_MS])
    elif values[_TTFT_S] is not None:
        found = milliseconds_of(values[_TTFT_S])
        # The conventions say seconds; a "second" longer than the whole call was a millisecond.
        if found is not None and found * 1000 <= duration_ms:
            found *= 1000
    elif values[_FIRST_TOKEN_AT] is not None:
        found = _milliseconds_since(start_ns, values[_FIRST_TOKEN_AT])
    elif events is not None:
        for event in events():
            if event.name in semconv.FIRST_TOKEN_EVENTS:
                found = (event.time_ns - start_ns) / 1e6
                break
    return found if found is not None and 0 <= found <= duration_ms else None


def _milliseconds_since(start_ns: int, moment: str) -> float | None:
    try:
        at = datetime.fromisoformat(moment.strip('"'))
    except ValueError:
        return None
    return at.timestamp() * 1000 - start_ns / 1e6 if at.tzinfo is not None else None


def _status(span: Span, values: list[Any], http_status: int | None, kept: dict[str, Any]) -> tuple[str, str | None]:
    """Status and error type of a span that shows a sign of failure."""
    error_type = values[_ERROR_TYPE]
    failed = span.status_code == STATUS_ERROR or (error_type is not None and span.status_code != STATUS_OK)
    if span.name.startswith("claude_code.") and values[_SUCCEEDED] == "false":
        failed = True
    if not failed:
        if error_type is not None:
            kept["error.type"] = error_type
        return "ok", None
    for event in span.events() if span.events is not None else ():
        if event.name == "exception":
            detail = event.attributes
            error_type = error_type or _text(detail.get("exception.type"))
            if detail.get("exception.message"):
                kept["exception.message"] = str(detail["exception.message"])[:MAX_MESSAGE]
    if span.status_message:
        kept["status.message"] = span.status_message[:MAX_MESSAGE]
    if error_type is None:
        named = _ERROR_CLASS.match(span.status_message)
        error_type = named[0] if named else str(http_status) if http_status is not None else "error"
    if error_type.lower() in semconv.CANCELLED_ERRORS:
        return "cancelled", error_type
    return "error", error_type


def _numbers(values: list[Any]) -> tuple[int | None, int, Decimal | None]:
    """HTTP status, attempt and value, where they are possible."""
    code, attempt, value = count_of(values[_HTTP_STATUS]), count_of(values[_ATTEMPT]), values[_VALUE]
    return (
        code if code is not None and 100 <= code <= 599 else None,
        min(attempt or 1, MAX_ATTEMPT),
        usd_of(value) if value is not None else None,
    )


def _text(value: Any) -> str | None:
    return str(value)[:MAX_TEXT] if value else None


def _time_problem(name: str, start_ns: int, end_ns: int) -> str:
    label = f"span {name[:60]!r}"
    if start_ns <= 0:
        return f"{label} has no start time"
    if end_ns <= 0:
        return f"{label} has no end time: it never ended"
    if end_ns < start_ns:
        return f"{label} ends before it starts"
    if end_ns - start_ns > LONGEST_NS:
        return f"{label} lasts longer than three years"
    return f"{label} is not between the years 2000 and 2100: times are nanoseconds since 1970"

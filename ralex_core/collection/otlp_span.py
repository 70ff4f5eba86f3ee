"""One span becomes one operation, whatever encoding it came in."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from itertools import compress
from typing import Any, NamedTuple

from ralex_core.collection import semconv
from ralex_core.collection.native import FIRST_US, LAST_US, MAX_DURATION_MS
from ralex_core.collection.otlp_attributes import MAX_TEXT, NOTHING, Attribute, Shape, attribute_of, shape_of
from ralex_core.collection.otlp_database import statement_name
from ralex_core.collection.otlp_usage import NO_USAGE, count_of, milliseconds_of, usage_of, usd_of
from ralex_core.collection.redaction import MAX_ATTRIBUTES_BYTES, Redaction
from ralex_core.errors import InvalidOperation
from ralex_core.model.operation import OUTCOMES, Operation, Pricing

MAX_MESSAGE = 500
MAX_ATTEMPT = 1_000_000
FIRST_NS, LAST_NS, LONGEST_NS = FIRST_US * 1000, LAST_US * 1000, round(MAX_DURATION_MS * 1e6)
"""The native door's limits: what lies outside is in the wrong unit, and would stretch every page about all time."""
STATUS_OK, STATUS_ERROR = 1, 2
SPAN_KIND_SERVER = 2

_SLOT = {name: slot for slot, name in enumerate(semconv.SLOTS)}
_FIRST_OF_IDENTITY, _AFTER_IDENTITY = _SLOT["service"], _SLOT["workflow"] + 1
"""These slots are fields of `Operation`, in its order."""
_ERROR_TYPE, _OUTCOME, _VALUE = _SLOT["error_type"], _SLOT["outcome"], _SLOT["value_usd"]
_OPERATION, _HINT, _TOOL, _DATABASE = _SLOT["operation"], _SLOT["hint"], _SLOT["tool"], _SLOT["database"]
_MCP, _RPC, _METHOD, _ROUTE = _SLOT["mcp_method"], _SLOT["rpc"], _SLOT["http_method"], _SLOT["http_route"]
_SERVER, _SUCCEEDED = _SLOT["server"], _SLOT["succeeded"]
_BROADCAST, _STATEMENT = _SLOT["broadcast"], _SLOT["statement"]
_PROVIDER, _REQUESTED, _MODEL = _SLOT["provider"], _SLOT["requested_model"], _SLOT["model"]
_SERVICE_TIER, _REQUEST_ID = _SLOT["service_tier"], _SLOT["provider_request_id"]
_FIRST_TOKEN_AT, _TTFT_S, _TTFT_MS = _SLOT["first_token_at"], _SLOT["ttft_s"], _SLOT["ttft_ms"]
_HTTP_STATUS, _ATTEMPT, _COST = _SLOT["http_status"], _SLOT["attempt"], _SLOT["cost_usd"]
_NO_CALL = (None,) * (Operation._fields.index("billed_usd") + 1 - Operation._fields.index("provider"))
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


_new_span: Callable[[type[Span], tuple[Any, ...]], Span] = tuple[Any, ...].__new__


def quick_span(*values: Any) -> Span:
    """The same as `Span(...)` at a third of its cost."""
    return _new_span(Span, values)


class Origin:
    """What the spans of one resource and scope share, worked out once. `resource` are its attributes, name → value."""

    __slots__ = ("attributes", "redaction", "source", "values")

    def __init__(self, resource: Iterable[tuple[str, Any]], scope_name: str, *, redaction: Redaction) -> None:
        self.source = scope_name[:MAX_TEXT] or None
        self.redaction = redaction
        attributes = [_of_everybody(key, value) for key, value in resource]
        names, given, _ = zip(*attributes, strict=True) if attributes else _NO_COLUMNS
        shape = shape_of(names)
        self.values: list[Any] = [None] * len(semconv.SLOTS)
        """By slot, for spans that do not say otherwise."""
        for slot, at in shape.best:
            self.values[slot] = given[at]
        told = {f"resource.{key}": given[at] for key, at in shape.named.items() if _is_told(key)}
        told |= {f"resource.{names[at]}": given[at] for at, best in shape.rivals if given[at] != given[best]}
        self.attributes = ",".join(_members_of(told, redaction))


_NO_COLUMNS: tuple[tuple[Any, ...], tuple[Any, ...], tuple[Any, ...]] = ((), (), ())


def _of_everybody(key: str, value: Any) -> Attribute:
    """A resource says who and where; what single spans did and used it cannot say for them."""
    attribute = attribute_of(key, value)
    stays = attribute is NOTHING or not isinstance(attribute[0], str) or semconv.place(key).slot < _AFTER_IDENTITY
    return attribute if stays else ((key,), attribute[1], None)


def _is_told(key: str) -> bool:
    return key in semconv.RESOURCE_KEPT or not key.startswith(semconv.RESOURCE_NOISE)


def _members_of(told: Mapping[str, Any], redaction: Redaction) -> list[str]:
    """As members of a JSON object what of these attributes may be stored."""
    members = (redaction.member(key, value) for key, value in told.items())
    return [member for member in members if member is not None]


def operation_of(origin: Origin, span: Span, attributes: Sequence[Attribute]) -> Operation:
    """The operation a span describes, without content (unless the origin keeps it) and secrets.

    Raises:
        InvalidOperation: times that cannot be; the message names the span and the reason.
    """
    trace_id, span_id, parent_span_id, name, span_kind, start_ns, end_ns, status_code, _, events = span
    if not FIRST_NS <= start_ns <= end_ns <= LAST_NS or end_ns - start_ns > LONGEST_NS:
        raise InvalidOperation(_time_problem(name, start_ns, end_ns))

    names, given, members = zip(*attributes, strict=True) if attributes else _NO_COLUMNS
    shape = shape_of(names)
    values = origin.values.copy()
    for slot, at in shape.best:
        values[slot] = given[at]
    more: dict[str, Any] = {}  # what stays an attribute besides those that always do
    told: dict[str, Any] | None = None  # all of them, when a statement among them is to be put in other words
    for worse, best in shape.rivals:
        if given[worse] != given[best]:
            more[names[worse]] = given[worse]

    kind = _kind(name, span_kind, values)
    duration_ms = (end_ns - start_ns) / 1e6
    ttft_ms = request_id = None
    call = _NO_CALL
    if kind == "llm":
        call = _model_call(name, status_code, values, shape, more)
        ttft_ms = _time_to_first_token(values, events, start_ns, duration_ms)
        request_id = values[_REQUEST_ID]
    else:
        for at in shape.of_call:
            more[names[at]] = given[at]
        if kind == "api" and values[_ROUTE] is not None:
            name = f"{values[_METHOD]} {values[_ROUTE]}" if values[_METHOD] else values[_ROUTE]
        elif kind == "db" and values[_STATEMENT] is not None:
            told = {key: given[at] for key, at in shape.named.items()}
            name = statement_name(name, values[_DATABASE], duration_ms, values[_STATEMENT], told)

    http_status, attempt, value_usd, outcome = None, 1, None, "unknown"
    if shape.has_numbers_of_any:
        http_status, attempt, value_usd = _numbers(values)
    if values[_OUTCOME] is not None and values[_OUTCOME] in OUTCOMES:
        outcome = values[_OUTCOME]
    status, error_type = "ok", values[_ERROR_TYPE]
    if status_code == STATUS_ERROR or error_type is not None or values[_SUCCEEDED] is not None:
        status, error_type = _status(span, values, http_status, more)

    if told is None and not more:
        stored = _stored(origin, compress(members, shape.kept))
    else:
        if told is None:
            told = {key: given[at] for key, at in shape.named.items()}
        stored = _stored(origin, _members_of(told | more, origin.redaction))

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


def _stored(origin: Origin, members: Iterable[str]) -> str | None:
    """The attributes of an operation: those of its origin and these."""
    own, shared = ",".join(members), origin.attributes
    if not (own or shared):
        return None
    stored = f"{{{shared},{own}}}" if own and shared else f"{{{own or shared}}}"
    if len(stored) > MAX_ATTRIBUTES_BYTES:
        return origin.redaction.attributes(stored)
    return stored


def _model_call(name: str, status_code: int, values: list[Any], shape: Shape, more: dict[str, Any]) -> tuple[Any, ...]:
    """The fields of `Operation` from `provider` to `billed_usd`, in their order."""
    usage = usage_of(values[_INPUT:_AFTER_USAGE], exclusive_input=name.startswith(semconv.EXCLUSIVE_INPUT_SPANS))
    if not usage.input_tokens and not usage.output_tokens and status_code != STATUS_ERROR:
        usage = NO_USAGE  # a call that went through has read something: 0 and 0 is how some say "not counted"
    provider = semconv.provider_of(values[_PROVIDER], values[_SERVER])
    reported = billed = None
    if values[_COST] is not None:
        reported = usd_of(values[_COST])
        if reported is None:
            more[shape.name_of(_COST)] = values[_COST]  # not an amount of money: shown, not counted
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


def _status(span: Span, values: list[Any], http_status: int | None, more: dict[str, Any]) -> tuple[str, str | None]:
    """Status and error type of a span that shows a sign of failure."""
    error_type = values[_ERROR_TYPE]
    failed = span.status_code == STATUS_ERROR or (error_type is not None and span.status_code != STATUS_OK)
    if span.name.startswith("claude_code.") and values[_SUCCEEDED] == "false":
        failed = True
    if not failed:
        if error_type is not None:
            more["error.type"] = error_type
        return "ok", None
    for event in span.events() if span.events is not None else ():
        if event.name == "exception":
            detail = event.attributes
            error_type = error_type or _text(detail.get("exception.type"))
            if detail.get("exception.message"):
                more["exception.message"] = str(detail["exception.message"])[:MAX_MESSAGE]
    if span.status_message:
        more["status.message"] = span.status_message[:MAX_MESSAGE]
    if error_type is None:
        named = _ERROR_CLASS.match(span.status_message)
        error_type = named[0] if named else str(http_status) if http_status is not None else "error"
    return "cancelled" if error_type.lower() in semconv.CANCELLED_ERRORS else "error", error_type


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

"""OTLP logs: the events of coding assistants become operations; other log records are counted and not used."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, NamedTuple, cast

import orjson
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from ralex_core.collection import otlp_events as table
from ralex_core.collection import semconv
from ralex_core.collection.attribute_names import FINGERPRINTED
from ralex_core.collection.otlp import SPAN_ID_BYTES, TRACE_ID_BYTES, Decoded, UnreadableRequest
from ralex_core.collection.otlp_events import Assistant, EventRule
from ralex_core.collection.otlp_records import Source, attributes_of, json_groups, parsed, plain, text_of
from ralex_core.collection.otlp_span import FIRST_NS, LAST_NS, LONGEST_NS, MAX_ATTEMPT, MAX_MESSAGE, MAX_TEXT
from ralex_core.collection.otlp_usage import NO_USAGE, Usage, count_of, milliseconds_of, usage_of, usd_of
from ralex_core.collection.redaction import WITHOUT_TEXT, Redaction
from ralex_core.errors import InvalidOperation
from ralex_core.model.operation import Operation, derived_id

SOURCE = "otlp-events"
"""The `source` of operations that were made of events."""
_NO_TRACE, _NO_SPAN = bytes(TRACE_ID_BYTES), bytes(SPAN_ID_BYTES)


class Event(NamedTuple):
    """One event of an assistant. Attributes are the record's own and, behind them, the resource's."""

    name: str
    assistant: Assistant
    time_ns: int
    trace_id: str | None
    span_id: str | None
    own: Mapping[str, Any]
    attributes: Mapping[str, Any]


def decode_logs(body: bytes, *, redaction: Redaction = WITHOUT_TEXT) -> Decoded:
    """Operations of a protobuf request, in its order.

    Raises:
        UnreadableRequest: the body is not an `ExportLogsServiceRequest`.
    """
    try:
        request = ExportLogsServiceRequest.FromString(body)
    except DecodeError as error:
        raise UnreadableRequest(f"the body is not an ExportLogsServiceRequest: {error}") from error
    decoded = Decoded(redacted=True)
    for resource_logs in request.resource_logs:
        resource = attributes_of(resource_logs.resource.attributes)
        for scope_logs in resource_logs.scope_logs:
            _take(decoded, Source(resource, scope_logs.scope.name), scope_logs.log_records, redaction)
    return decoded


def decode_json_logs(body: bytes, *, redaction: Redaction = WITHOUT_TEXT) -> Decoded:
    """Operations of a JSON request, in its order.

    Raises:
        UnreadableRequest: the body is not JSON, or not an export request.
    """
    decoded = Decoded(redacted=True)
    for group in json_groups(body, "resourceLogs", "scopeLogs", "logRecords"):
        records: list[LogRecord] = []
        for found in group.records:
            try:
                records.append(parsed(found, LogRecord()))
            except InvalidOperation as error:
                decoded.reject(str(error))
        _take(decoded, group.source, records, redaction)
    return decoded


def _take(decoded: Decoded, source: Source, records: Iterable[LogRecord], redaction: Redaction) -> None:
    for record in records:
        try:
            event = _event(record, source)
            operation = None if event is None else _operation(event, source, redaction)
        except InvalidOperation as error:
            decoded.reject(str(error))
            continue
        if operation is None:
            decoded.unused += 1
        else:
            decoded.operations.append(operation)


# --- which event ------------------------------------------------------------------------------------------------


def _event(record: LogRecord, source: Source) -> Event | None:
    """The event a record reports; None when it is none that is used."""
    own = attributes_of(record.attributes)
    name = _name(record, own, source.scope)
    if name is None:
        return None
    assistant = next(found for prefix, found in table.ASSISTANTS.items() if name.startswith(prefix))
    attributes = {**source.resource, **own}
    if str(attributes.get("service.name", "")).lower().startswith(table.SAYS_THE_SAME.get(name, ("\0",))):
        return None
    trace_id, span_id = bytes(record.trace_id), bytes(record.span_id)
    in_trace = len(trace_id) == TRACE_ID_BYTES and trace_id != _NO_TRACE
    in_span = in_trace and len(span_id) == SPAN_ID_BYTES and span_id != _NO_SPAN
    return Event(
        name,
        assistant,
        _time(record, attributes, name),
        trace_id.hex() if in_trace else None,
        span_id.hex() if in_span else None,
        own,
        attributes,
    )


def _name(record: LogRecord, own: Mapping[str, Any], scope: str) -> str | None:
    """The event's name as the table spells it: the record's own field, the attribute, or the body says it."""
    body = plain(record.body) if record.HasField("body") else None
    prefix = table.PREFIX_OF_SCOPE.get(scope, "")
    for said in (record.event_name, own.get("event.name"), body):
        if isinstance(said, str):
            for name in (said, prefix + said):
                if name in table.EVENTS:
                    return name
    return None


def _time(record: LogRecord, attributes: Mapping[str, Any], name: str) -> int:
    """When it happened, nanoseconds since 1970.

    Raises:
        InvalidOperation: nobody says, or it is out of the limits every door has.
    """
    time_ns = record.time_unix_nano
    if not time_ns:
        said = text_of(attributes, *table.FIELDS["time"])
        time_ns = (_instant_ns(said) if said else 0) or record.observed_time_unix_nano
    if not time_ns:
        raise InvalidOperation(f"event {name!r} has no time")
    if not FIRST_NS <= time_ns <= LAST_NS:
        raise InvalidOperation(f"event {name!r} is not between the years 2000 and 2100: times are nanoseconds")
    return time_ns


def _instant_ns(said: str) -> int:
    try:
        at = datetime.fromisoformat(said)
    except ValueError:
        return 0
    return round(at.timestamp() * 1e6) * 1000 if at.tzinfo is not None else 0


# --- what it becomes --------------------------------------------------------------------------------------------


def _operation(event: Event, source: Source, redaction: Redaction) -> Operation | None:
    """The operation an event describes; None when no rule takes it."""
    rule = next((found for found in table.EVENTS[event.name] if _holds(found, event)), None)
    if rule is None:
        return None
    attributes = event.attributes
    kept = _kept(event, source, redaction)
    http_status = count_of(_value(attributes, "http_status"))
    http_status = http_status if http_status is not None and 100 <= http_status <= 599 else None
    status, error_type = _status(rule, attributes, http_status, kept)
    kind = rule.kind_when_failed if status == "error" and rule.kind_when_failed else rule.kind
    duration_ms, started_at = _timing(event, rule)
    session = _text(attributes, "session_id")
    identity = _identity(event, rule, session)
    refused = kind == "tool" and status == "cancelled"
    operation = Operation(
        operation_id=identity,
        kind=kind,
        name=(text_of(attributes, *rule.named_by) or rule.name)[:MAX_TEXT],
        started_at=started_at,
        duration_ms=duration_ms,
        status=status,
        trace_id=event.trace_id or _prompt_trace(event.assistant, session, _text(attributes, "prompt")),
        span_id=identity[:16],
        parent_span_id=event.span_id,
        error_type=error_type,
        http_status=http_status,
        attempt=max(1, min(count_of(_value(attributes, "attempt")) or 1, MAX_ATTEMPT)),
        service=(text_of(attributes, "service.name") or event.assistant.service)[:MAX_TEXT],
        project=project_of(attributes),
        client=client_of(attributes, event.assistant.client),
        user_id=_text(attributes, "user_id"),
        session_id=session,
        feature=_text(attributes, "feature"),
        workflow=_text(attributes, "workflow"),
        outcome="rejected" if refused else "failed" if status == "error" and kind in ("llm", "tool") else "unknown",
        door="otlp",
        source=SOURCE,
    )
    if kind == "llm":
        operation = _model_call(operation, rule, attributes, duration_ms)
    return operation._replace(attributes=redaction.attributes(orjson.dumps(kept).decode()) if kept else None)


def _holds(rule: EventRule, event: Event) -> bool:
    own = event.own
    if rule.unseen_by_span and event.span_id is not None:
        return False
    if rule.needs and not any(name in own for name in rule.needs):
        return False
    return all(str(own.get(name, "")).lower() in values for name, values in rule.only)


def _model_call(
    operation: Operation, rule: EventRule, attributes: Mapping[str, Any], duration_ms: float | None
) -> Operation:
    usage = usage_by(rule.usage, attributes)
    if operation.status == "ok" and not usage.input_tokens and not usage.output_tokens:
        usage = NO_USAGE  # a call that went through has read something
    ttft_ms = milliseconds_of(_value(attributes, "ttft_ms"))
    model = _text(attributes, "model")
    usual = rule.provider if model is None or model.startswith(rule.models) else None
    return operation._replace(
        ttft_ms=ttft_ms if ttft_ms is not None and (duration_ms is None or ttft_ms <= duration_ms) else None,
        provider=semconv.provider_of(_text(attributes, "provider") or usual, None),
        requested_model=model,
        model=model,
        service_tier=table.SERVICE_TIERS.get(str(attributes.get("speed", ""))),
        reported_usd=usd_of(_value(attributes, "cost_usd")) or None,  # 0 is what is said when no price is known
        provider_request_id=_text(attributes, "provider_request_id"),
        **usage._asdict(),
    )


def usage_by(style: table.UsageStyle, attributes: Mapping[str, Any]) -> Usage:
    """Tokens as an assistant counts them, brought to one meaning (see `otlp_usage.usage_of`)."""
    numbers = [_first(attributes, names) for names in table.USAGE[style]]
    return usage_of(numbers, exclusive_input=style in table.CACHE_APART)


def _status(
    rule: EventRule, attributes: Mapping[str, Any], http_status: int | None, kept: dict[str, Any]
) -> tuple[str, str | None]:
    decision = str(_value(attributes, "decision") or "").lower()
    if rule.kind == "tool" and decision in table.REFUSALS:
        return "cancelled", "refused_by_user"
    succeeded, told = _text(attributes, "succeeded"), _text(attributes, "error_text")
    state = (_text(attributes, "state") or "").lower()
    failed = (
        rule.failed
        or succeeded in ("false", "False")
        or _text(attributes, "failed") == "true"
        or state in table.FAILED_STATES
        or (rule.kind in ("llm", "api") and told is not None and succeeded is None)
        or (http_status is not None and http_status >= 400)
    )
    if not failed:
        return "ok", None
    if told is not None and rule.kind != "tool":  # what a tool says of its failure quotes its output
        kept["status.message"] = told[:MAX_MESSAGE]
    error_type = _text(attributes, "error_type") or (str(http_status) if http_status is not None else None)
    if error_type is None:
        error_type = told if told is not None and rule.kind != "tool" and told.isidentifier() else f"{rule.kind}_error"
    return ("cancelled" if error_type.lower() in semconv.CANCELLED_ERRORS else "error"), error_type


def _timing(event: Event, rule: EventRule) -> tuple[float | None, int]:
    """Duration and start: an event comes when its work ends. What cannot be a duration is not known."""
    duration_ms = milliseconds_of(_first(event.attributes, rule.duration))
    if duration_ms is not None:
        start_ns = event.time_ns - round(duration_ms * 1e6)
        if start_ns >= FIRST_NS and duration_ms * 1e6 <= LONGEST_NS:
            return duration_ms, start_ns // 1000
    return None, event.time_ns // 1000


def _identity(event: Event, rule: EventRule, session: str | None) -> str:
    """The operation's id: the same whenever the event is sent, and of no other event.

    Best is what the assistant itself calls the call or tool use; then the record's place in its session; else
    everything the record says.
    """
    own = event.own
    named = text_of(own, *rule.identity)
    if named is not None:
        attempt = str(own.get("attempt", "")) if rule.kind == "llm" else ""
        return derived_id(SOURCE, event.name, session or "", named, attempt)
    place = text_of(own, "message.uuid", "event.sequence") or orjson.dumps(
        own, default=str, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS
    ).decode(errors="replace")
    return derived_id(SOURCE, event.name, session or "", str(event.time_ns), place)


def _prompt_trace(assistant: Assistant, session: str | None, prompt: str | None) -> str | None:
    """One prompt and everything done for it is one trace."""
    return derived_id(assistant.service, "prompt", session or "", prompt) if prompt else None


def _kept(event: Event, source: Source, redaction: Redaction) -> dict[str, Any]:
    kept = {
        key: value
        for key, value in event.own.items()
        if redaction.keep_text or key in table.KEPT or key in FINGERPRINTED
    }
    kept["event.name"] = event.name
    for key, value in source.resource.items():
        if key not in event.own and resource_stays(key):
            kept[f"resource.{key}"] = value
    return kept


def resource_stays(key: str) -> bool:
    """Whether an attribute of a resource is kept: not what is a field already, describes the machine, or is content."""
    if key in semconv.RESOURCE_KEPT:
        return True
    return not (key in _MAPPED or key.startswith(semconv.RESOURCE_NOISE))


_MAPPED = frozenset({"service.name", *(name for names in table.FIELDS.values() for name in names)})


# --- attributes -------------------------------------------------------------------------------------------------


def client_of(attributes: Mapping[str, Any], default: str | None) -> str | None:
    """Where a person works with the assistant: what it was started as, else the kind of terminal it runs in."""
    said = text_of(attributes, "ralex.client")
    if said is not None:
        return said[:MAX_TEXT]
    for name in ("app.entrypoint", "originator"):
        client = table.CLIENTS.get(text_of(attributes, name) or "")
        if client is not None and client != "terminal":
            return client
    terminal = (text_of(attributes, "terminal.type") or "").lower()
    editor = next((editor for editor in table.EDITORS if terminal.startswith(editor)), None)
    return editor or ("terminal" if terminal else default)


def project_of(attributes: Mapping[str, Any]) -> str | None:
    """The project as it is named, else the last part of the first workspace path."""
    named = _text(attributes, "project")
    if named is not None:
        return named
    paths: Any = attributes.get("workspace.host_paths")
    if isinstance(paths, list) and paths:
        paths = cast(list[Any], paths)[0]
    if not isinstance(paths, str):
        return None
    return paths.replace("\\", "/").rstrip("/").rpartition("/")[2][:MAX_TEXT] or None


def _value(attributes: Mapping[str, Any], name: str) -> Any:
    return _first(attributes, table.FIELDS[name])


def _text(attributes: Mapping[str, Any], name: str) -> str | None:
    found = text_of(attributes, *table.FIELDS[name])
    return found[:MAX_TEXT] if found is not None else None


def _first(attributes: Mapping[str, Any], names: Iterable[str]) -> Any:
    return next((attributes[name] for name in names if name in attributes), None)

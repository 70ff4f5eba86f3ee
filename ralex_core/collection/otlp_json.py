"""OTLP traces in JSON: the same operations as from protobuf, without going through it.

OTLP's JSON is not plain protobuf JSON: ids are hex, enums integers, 64-bit integers come as text or number, and
unknown fields are ignored.
"""

from __future__ import annotations

from typing import Any, cast

import orjson

from ralex_core.collection.otlp import MAX_DEPTH, SPAN_ID_BYTES, TRACE_ID_BYTES, Decoded, UnreadableRequest
from ralex_core.collection.otlp_attributes import MAX_ATTRIBUTES, attribute_of
from ralex_core.collection.otlp_span import Event, Origin, Span, operation_of
from ralex_core.collection.redaction import WITHOUT_TEXT, Redaction
from ralex_core.errors import InvalidOperation
from ralex_core.model.operation import Operation

JsonObject = dict[str, Any]

_INT64 = 2**63
_STATUS_CODES = {"STATUS_CODE_UNSET": 0, "STATUS_CODE_OK": 1, "STATUS_CODE_ERROR": 2}
_SPAN_KINDS = {
    f"SPAN_KIND_{name}": number
    for number, name in enumerate(("UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER"))
}
_NO_OBJECT: JsonObject = {}


def decode_json_traces(body: bytes, *, redaction: Redaction = WITHOUT_TEXT) -> Decoded:
    """Operations of a JSON request, in its order. A span that cannot be one is counted with a reason, the others are
    taken.

    `redaction` says what of them may be stored.

    Raises:
        UnreadableRequest: the body is not JSON, or not an export request.
    """
    try:
        request = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise UnreadableRequest(f"the body is not JSON: {error}") from error
    decoded = Decoded(redacted=True)
    for resource_spans in _objects(_object(request, "the request"), "resourceSpans"):
        resource = _pairs(_member(resource_spans, "resource"))
        for scope_spans in _objects(resource_spans, "scopeSpans"):
            name = _member(scope_spans, "scope").get("name")
            origin = Origin(resource, name if isinstance(name, str) else "", redaction=redaction)
            for span in _objects(scope_spans, "spans"):
                try:
                    decoded.operations.append(_operation(origin, span, redaction))
                except InvalidOperation as error:
                    decoded.reject(str(error))
    return decoded


def _operation(origin: Origin, span: JsonObject, redaction: Redaction) -> Operation:
    name = span.get("name")
    if not isinstance(name, str):
        name = ""
    status = _member(span, "status")
    message = status.get("message")
    events = span.get("events")
    try:
        attributes = [attribute_of(key, value, redaction=redaction) for key, value in _pairs(span)[:MAX_ATTRIBUTES]]
    except UnreadableRequest as error:
        raise InvalidOperation(f"span {name[:60]!r}: {error}") from error
    return operation_of(
        origin,
        Span(
            _identifier(span.get("traceId"), TRACE_ID_BYTES, name, "trace id"),
            _identifier(span.get("spanId"), SPAN_ID_BYTES, name, "span id"),
            _parent(span.get("parentSpanId"), name),
            name,
            _enum(span.get("kind"), _SPAN_KINDS),
            _nanoseconds(span.get("startTimeUnixNano")),
            _nanoseconds(span.get("endTimeUnixNano")),
            _enum(status.get("code"), _STATUS_CODES),
            message if isinstance(message, str) else "",
            (lambda: _events(events)) if events else None,
        ),
        attributes,
    )


def _events(events: Any) -> list[Event]:
    found: list[Event] = []
    for event in _dicts(events):
        name, detail = event.get("name"), dict[str, Any]()
        if name == "exception":  # other events carry prompts and answers, they are not looked into
            detail = {str(pair.get("key")): _plain(pair.get("value")) for pair in _dicts(event.get("attributes"))}
        found.append(Event(name if isinstance(name, str) else "", _nanoseconds(event.get("timeUnixNano")), detail))
    return found


def _pairs(holder: JsonObject) -> list[tuple[str, Any]]:
    """The attributes of an object, name and value."""
    found: list[tuple[str, Any]] = []
    for pair in _objects(holder, "attributes"):
        key, value = pair.get("key"), pair.get("value")
        if type(key) is not str:
            continue
        text: Any = cast(JsonObject, value).get("stringValue") if type(value) is dict else None
        found.append((key, text if type(text) is str else _plain(value)))
    return found


def _plain(value: Any, depth: int = 0) -> Any:
    """An `AnyValue` as Python holds it; None when it is not set or not readable. Bytes stay base64 text."""
    if not isinstance(value, dict):
        return None
    for kind, content in cast(JsonObject, value).items():
        match kind:
            case "stringValue" | "bytesValue":
                return content if isinstance(content, str) else None
            case "intValue":
                return _integer(content)
            case "doubleValue":
                return _double(content)
            case "boolValue":
                return content if isinstance(content, bool) else None
            case "arrayValue" | "kvlistValue" if depth >= MAX_DEPTH:
                return None
            case "arrayValue":
                items = _member(cast(JsonObject, value), kind).get("values")
                return [_plain(item, depth + 1) for item in _list(items)]
            case "kvlistValue":
                pairs = _dicts(_member(cast(JsonObject, value), kind).get("values"))
                return {str(pair.get("key")): _plain(pair.get("value"), depth + 1) for pair in pairs}
            case _:
                continue
    return None


def _list(value: Any) -> list[Any]:
    return cast(list[Any], value) if isinstance(value, list) else []


def _dicts(value: Any) -> list[JsonObject]:
    """The objects in a list; whatever else is in it is passed over."""
    return [cast(JsonObject, item) for item in _list(value) if isinstance(item, dict)]


def _integer(content: Any) -> int | None:
    if isinstance(content, float) and not content.is_integer():
        return None
    try:
        number = int(content)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if -_INT64 <= number < _INT64 else None


def _double(content: Any) -> float | None:
    try:
        return float(content)
    except (TypeError, ValueError, OverflowError):
        return None


def _nanoseconds(content: Any) -> int:
    """A moment; 0, which no span may have, when it is absent or unreadable."""
    return _integer(content) or 0


def _enum(content: Any, names: dict[str, int]) -> int:
    if isinstance(content, int):
        return content
    return names.get(content, 0) if isinstance(content, str) else 0


def _identifier(content: Any, size: int, name: str, what: str) -> str:
    try:
        identifier = bytes.fromhex(content)
    except (TypeError, ValueError):
        identifier = b""
    if len(identifier) != size or not any(identifier):
        raise InvalidOperation(f"span {name[:60]!r} has no valid {what} ({2 * size} hex digits, not all zero)")
    return identifier.hex()


def _parent(content: Any, name: str) -> str:
    if not content or content == "0" * (2 * SPAN_ID_BYTES):
        return ""
    return _identifier(content, SPAN_ID_BYTES, name, "parent span id")


def _object(value: Any, what: str) -> JsonObject:
    if not isinstance(value, dict):
        raise UnreadableRequest(f"{what} is not a JSON object")
    return cast(JsonObject, value)


def _objects(holder: JsonObject, field: str) -> list[JsonObject]:
    """The objects in a repeated field; absent and null are none."""
    values = holder.get(field)
    if values is None:
        return []
    if not isinstance(values, list):
        raise UnreadableRequest(f"{field} is not a JSON array")
    for value in cast(list[Any], values):
        if not isinstance(value, dict):
            raise UnreadableRequest(f"{field} holds something that is not a JSON object")
    return cast(list[JsonObject], values)


def _member(holder: JsonObject, field: str) -> JsonObject:
    """The object in a field; absent, null and anything else is an empty one."""
    value = holder.get(field)
    return cast(JsonObject, value) if isinstance(value, dict) else _NO_OBJECT

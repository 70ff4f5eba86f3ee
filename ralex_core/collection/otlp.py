"""OTLP traces in protobuf: an export request becomes operations."""

from __future__ import annotations

import base64
import struct
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from google.protobuf.message import DecodeError
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span as OtlpSpan
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from ralex_core.collection import semconv
from ralex_core.collection.otlp_attributes import MAX_ATTRIBUTES, NOTHING, Attribute, attribute_of
from ralex_core.collection.otlp_span import Event, Origin, operation_of, quick_span
from ralex_core.collection.otlp_wire import WireSpan, read_request
from ralex_core.collection.redaction import WITHOUT_TEXT, Redaction
from ralex_core.errors import InvalidOperation
from ralex_core.model.operation import Operation

MAX_REASONS = 3
"""Reasons given back to the sender; a broken exporter repeats the same one for every span."""
MAX_DEPTH = 16
"""Nesting of attribute values that is followed."""
TRACE_ID_BYTES, SPAN_ID_BYTES = 16, 8
_NO_TRACE, _NO_SPAN = bytes(TRACE_ID_BYTES), bytes(SPAN_ID_BYTES)


@dataclass(slots=True)
class Decoded:
    """What a request holds: operations to store, how many items could not become one, with the first reasons, and how
    many were fine but say nothing that is used."""

    operations: list[Operation] = field(default_factory=list[Operation])
    rejected: int = 0
    reasons: list[str] = field(default_factory=list[str])
    unused: int = 0
    redacted: bool = False
    """Whether content and secrets are taken out already."""

    @property
    def received(self) -> int:
        """Items of the request."""
        return len(self.operations) + self.rejected + self.unused

    def reject(self, reason: str) -> None:
        """Count an item that is not taken."""
        self.rejected += 1
        if len(self.reasons) < MAX_REASONS and reason not in self.reasons:
            self.reasons.append(reason)


class UnreadableRequest(ValueError):
    """The body is not an export request; the message says what is wrong with it."""


class _Attributes(dict[bytes, Attribute]):
    """Encoded attribute → the attribute as it is stored; each distinct one of a request is decoded once."""

    def __init__(self, redaction: Redaction) -> None:
        super().__init__()
        self._redaction = redaction

    def __missing__(self, encoded: bytes) -> Attribute:
        found = _short(encoded, self._redaction) or self._any(encoded)
        self[encoded] = found
        return found

    def _any(self, encoded: bytes) -> Attribute:
        pair = KeyValue.FromString(encoded)
        value = pair.value
        return attribute_of(pair.key, value.string_value or _plain(value), redaction=self._redaction)


def _short(encoded: bytes, redaction: Redaction) -> Attribute | None:
    """The attribute when name and value are short scalars, as nearly all are; None leaves it to protobuf.

    Reads `KeyValue{1: key, 2: AnyValue{1: text | 3: int | 4: double}}` in a few comparisons, at a fifth of the cost of
    two messages and their fields. Anything out of the ordinary, broken bytes included, is left to protobuf.
    """
    size = len(encoded)
    if size < 7:
        return None
    start = encoded[1] + 3
    head = encoded[:start]
    known = _KEYS.get(head) or _remember(head)
    rest = size - start
    if known is None or not 3 <= rest < _LONGEST:
        return None
    name, is_text, stays = known
    kind = encoded[start : start + 2]
    if kind == _TEXT[rest]:
        if encoded[start + 2] != rest - 3 or rest == 3:
            return None
        try:
            value = encoded[start + 3 :].decode()
        except UnicodeDecodeError:
            return None
    else:
        if kind == _WHOLE[rest]:
            value = encoded[-1]
            if value > 0x7F:
                return None
            for byte in encoded[-2 : start + 1 : -1]:
                if byte < 0x80:
                    return None
                value = value << 7 | byte & 0x7F
        elif kind == _DOUBLE and rest == 10:
            (value,) = _unpack_double(encoded, start + 2)
        else:
            return None
        if is_text:
            value = str(value)
    if not stays:
        return name, value, None
    member = redaction.member(name, value)
    return NOTHING if member is None else (name, value, member)


_LONGEST = 129
_LONGEST_NUMBER = 7
"""The length of a value, its kind and up to five bytes of a varint: no sign to care about."""
_TEXT = [bytes((max(rest - 1, 0), 0x0A)) for rest in range(_LONGEST)]
_WHOLE = [bytes((rest - 1, 0x18)) if 3 <= rest <= _LONGEST_NUMBER else b"" for rest in range(_LONGEST)]
_DOUBLE = bytes((9, 0x21))
"""How an `AnyValue` begins whose encoding, with its length, takes so many bytes."""
_unpack_double = struct.Struct("<d").unpack_from
_FIRST_NUMBER = semconv.FIRST_NUMBER
_KEYS: dict[bytes, tuple[str, bool, bool]] = {}
"""What comes before the value, name included → what `_remember` says of it."""


def _remember(head: bytes) -> tuple[str, bool, bool] | None:
    """The name in front of a value, whether its value becomes text, and whether it stays an attribute.

    None for names with content and what is no short name: the long way knows what to do.
    """
    if head[0] != 0x0A or head[1] > 0x7F or head[-1] != 0x12 or len(head) != head[1] + 3:
        return None
    try:
        name = head[2:-1].decode()
    except UnicodeDecodeError:
        return None
    found = semconv.place(name)
    if found.slot == semconv.CONTENT:
        return None
    known = (name, 0 <= found.slot < _FIRST_NUMBER, found.kept)
    if len(_KEYS) < semconv.MAX_REMEMBERED_KEYS:
        _KEYS[head] = known
    return known


def decode_traces(body: bytes, *, redaction: Redaction = WITHOUT_TEXT) -> Decoded:
    """Operations of a protobuf request, in its order. A span that cannot be one is counted with a reason, the others
    are taken.

    `redaction` says what of them may be stored.

    Raises:
        UnreadableRequest: the body is not an `ExportTraceServiceRequest`.
    """
    decoded = Decoded(redacted=True)
    append = decoded.operations.append
    attributes = _Attributes(redaction)
    try:
        for resource_spans in read_request(body).resource_spans:
            resource = [
                (pair.key, pair.value.string_value or _plain(pair.value))
                for pair in Resource.FromString(resource_spans.resource).attributes
            ]
            for scope_spans in resource_spans.scope_spans:
                origin = Origin(resource, InstrumentationScope.FromString(scope_spans.scope).name, redaction=redaction)
                for span in scope_spans.spans:
                    try:
                        append(_operation(origin, span, attributes))
                    except InvalidOperation as error:
                        decoded.reject(str(error))
    except DecodeError as error:
        raise UnreadableRequest(f"the body is not an ExportTraceServiceRequest: {error}") from error
    return decoded


def _operation(origin: Origin, span: WireSpan, attributes: _Attributes) -> Operation:
    trace_id, span_id, parent_id, name = span.trace_id, span.span_id, span.parent_span_id, span.name
    if len(trace_id) != TRACE_ID_BYTES or trace_id == _NO_TRACE:
        raise InvalidOperation(f"span {name[:60]!r} has no valid trace id (16 bytes, not all zero)")
    if len(span_id) != SPAN_ID_BYTES or span_id == _NO_SPAN:
        raise InvalidOperation(f"span {name[:60]!r} has no valid span id (8 bytes, not all zero)")
    if parent_id:
        if len(parent_id) != SPAN_ID_BYTES:
            raise InvalidOperation(f"span {name[:60]!r} has a parent span id that is not 8 bytes long")
        if parent_id == _NO_SPAN:
            parent_id = b""
    code, message = 0, ""
    if encoded := span.status:
        status = Status.FromString(encoded)
        code, message = status.code, status.message
    return operation_of(
        origin,
        quick_span(
            trace_id.hex(),
            span_id.hex(),
            parent_id.hex(),
            name,
            span.kind,
            span.start_time_unix_nano,
            span.end_time_unix_nano,
            code,
            message,
            partial(_events, span) if span.events else None,
        ),
        [attributes[encoded] for encoded in span.attributes[:MAX_ATTRIBUTES]],
    )


def _events(span: WireSpan) -> list[Event]:
    events: list[Event] = []
    for encoded in span.events:
        event = OtlpSpan.Event.FromString(encoded)
        # Only exceptions are looked into: other events carry prompts and answers.
        detail = {pair.key: _plain(pair.value) for pair in event.attributes} if event.name == "exception" else {}
        events.append(Event(event.name, event.time_unix_nano, detail))
    return events


def _plain(value: AnyValue, depth: int = 0) -> Any:
    """A value as Python holds it. None when it is not set; bytes become base64 text, as in JSON."""
    which = value.WhichOneof("value")
    if which == "int_value":
        return value.int_value
    if which == "double_value":
        return value.double_value
    if which == "bool_value":
        return value.bool_value
    if which == "string_value":
        return value.string_value
    if which == "bytes_value":
        return base64.b64encode(value.bytes_value).decode()
    if depth >= MAX_DEPTH:
        return None
    if which == "array_value":
        return [_plain(item, depth + 1) for item in value.array_value.values]
    if which == "kvlist_value":
        return {item.key: _plain(item.value, depth + 1) for item in value.kvlist_value.values}
    return None

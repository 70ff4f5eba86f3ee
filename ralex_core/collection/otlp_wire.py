"""The OTLP trace request, read only as deep as needed: attributes, events and status stay encoded.

The same attribute comes hundreds of times in a request (a session, a model, a provider), so decoding each distinct
one once is the difference between 9 and 4 µs a span (`bench/otlp_decode.py`). Field numbers are those of
opentelemetry-proto's `trace_service.proto` and `trace.proto`; a submessage declared as `bytes` reads the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, cast

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_Field = descriptor_pb2.FieldDescriptorProto
_PACKAGE = "ralex.otlp"


class WireSpan(Protocol):
    """A span whose attributes (`KeyValue`), events (`Span.Event`) and status (`Status`) are still encoded."""

    trace_id: bytes
    span_id: bytes
    parent_span_id: bytes
    name: str
    kind: int
    start_time_unix_nano: int
    end_time_unix_nano: int
    attributes: Sequence[bytes]
    events: Sequence[bytes]
    status: bytes


class WireScopeSpans(Protocol):
    """Spans of one instrumentation scope (encoded)."""

    scope: bytes
    spans: Sequence[WireSpan]


class WireResourceSpans(Protocol):
    """Spans of one resource (encoded)."""

    resource: bytes
    scope_spans: Sequence[WireScopeSpans]


class WireRequest(Protocol):
    """An export request."""

    resource_spans: Sequence[WireResourceSpans]


_MESSAGES: dict[str, tuple[tuple[str, int, str], ...]] = {
    "Request": (("resource_spans", 1, "*ResourceSpans"),),
    "ResourceSpans": (("resource", 1, "bytes"), ("scope_spans", 2, "*ScopeSpans")),
    "ScopeSpans": (("scope", 1, "bytes"), ("spans", 2, "*Span")),
    "Span": (
        ("trace_id", 1, "bytes"),
        ("span_id", 2, "bytes"),
        ("parent_span_id", 4, "bytes"),
        ("name", 5, "string"),
        ("kind", 6, "int32"),
        ("start_time_unix_nano", 7, "fixed64"),
        ("end_time_unix_nano", 8, "fixed64"),
        ("attributes", 9, "*bytes"),
        ("events", 11, "*bytes"),
        ("status", 15, "bytes"),
    ),
}
"""Message → (field, number, type); `*` repeats."""

_SCALARS = {
    "bytes": _Field.TYPE_BYTES,
    "string": _Field.TYPE_STRING,
    "int32": _Field.TYPE_INT32,
    "fixed64": _Field.TYPE_FIXED64,
}


class _RequestClass(Protocol):
    def FromString(self, body: bytes) -> WireRequest: ...


def _request_class() -> _RequestClass:
    file = descriptor_pb2.FileDescriptorProto(name="ralex/otlp.proto", package=_PACKAGE, syntax="proto3")
    for message, fields in _MESSAGES.items():
        described = file.message_type.add(name=message)
        for name, number, kind in fields:
            field = described.field.add(name=name, number=number)
            field.label = _Field.LABEL_REPEATED if kind.startswith("*") else _Field.LABEL_OPTIONAL
            kind = kind.removeprefix("*")
            if kind in _SCALARS:
                field.type = _SCALARS[kind]
            else:
                field.type = _Field.TYPE_MESSAGE
                field.type_name = f".{_PACKAGE}.{kind}"
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return cast(_RequestClass, message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.Request")))


_Request = _request_class()


def read_request(body: bytes) -> WireRequest:
    """The request in a protobuf body.

    Raises:
        google.protobuf.message.DecodeError: the bytes are not one.
    """
    return _Request.FromString(body)

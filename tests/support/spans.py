"""OTLP export requests to send, in both encodings, from plain Python values."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any

from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

START_NS = 1_767_225_600_000_000_000
"""2026-01-01T00:00:00Z."""
TRACE_ID = bytes.fromhex("5b8efff798038103d269b633813fc60c")
SPAN_ID = bytes.fromhex("eee19b7ec3c1b174")


def make_span(
    name: str = "chat gpt-4o",
    attributes: Mapping[str, Any] | None = None,
    *,
    trace_id: bytes = TRACE_ID,
    span_id: bytes = SPAN_ID,
    parent_span_id: bytes = b"",
    kind: int = 1,
    start_ns: int = START_NS,
    duration_ms: float = 1500,
    end_ns: int | None = None,
    status: int = 0,
    message: str = "",
    events: Sequence[tuple[str, float, Mapping[str, Any]]] = (),
) -> Span:
    """A span. `events` are (name, milliseconds after the start, attributes)."""
    span = Span(
        trace_id=trace_id,
        span_id=span_id,
        parent_span_id=parent_span_id,
        name=name,
        kind=kind,  # type: ignore[arg-type]
        start_time_unix_nano=start_ns,
        end_time_unix_nano=start_ns + round(duration_ms * 1e6) if end_ns is None else end_ns,
        attributes=key_values(attributes or {}),
    )
    if status or message:
        span.status.code = status  # type: ignore[assignment]
        span.status.message = message
    for event_name, after_ms, event_attributes in events:
        span.events.add(
            name=event_name,
            time_unix_nano=start_ns + round(after_ms * 1e6),
            attributes=key_values(event_attributes),
        )
    return span


def make_request(*spans: Span, resource: Mapping[str, Any] | None = None, scope: str = "") -> ExportTraceServiceRequest:
    request = ExportTraceServiceRequest()
    resource_spans = request.resource_spans.add()
    resource_spans.resource.attributes.extend(key_values(resource or {}))
    scope_spans = resource_spans.scope_spans.add()
    scope_spans.scope.name = scope
    scope_spans.spans.extend(spans)
    return request


def to_json(request: ExportTraceServiceRequest) -> dict[str, Any]:
    """The request as OTLP's JSON: lowerCamelCase, hex ids, enums as integers, 64-bit integers as text."""
    document = MessageToDict(request, use_integers_for_enums=True)
    for resource_spans in document.get("resourceSpans", []):
        for scope_spans in resource_spans.get("scopeSpans", []):
            for span in scope_spans.get("spans", []):
                for field in ("traceId", "spanId", "parentSpanId"):
                    if field in span:
                        span[field] = base64.b64decode(span[field]).hex()
    return document


def json_bytes(request: ExportTraceServiceRequest) -> bytes:
    return json.dumps(to_json(request)).encode()


def key_values(attributes: Mapping[str, Any]) -> list[KeyValue]:
    return [KeyValue(key=key, value=any_value(value)) for key, value in attributes.items()]


def any_value(value: Any) -> AnyValue:
    """None is a value that is not set."""
    found = AnyValue()
    if isinstance(value, str):
        found.string_value = value
    elif isinstance(value, bool):
        found.bool_value = value
    elif isinstance(value, int):
        found.int_value = value
    elif isinstance(value, float):
        found.double_value = value
    elif isinstance(value, bytes):
        found.bytes_value = value
    elif isinstance(value, list):
        found.array_value.values.extend(any_value(item) for item in value)
        found.array_value.SetInParent()
    elif isinstance(value, dict):
        found.kvlist_value.values.extend(key_values(value))
        found.kvlist_value.SetInParent()
    return found

"""OTLP log exports to send, in both encodings, from plain Python values."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from ralex_core.collection.otlp import Decoded
from ralex_core.collection.otlp_logs import decode_json_logs, decode_logs
from ralex_core.model.operation import Operation
from tests.support.spans import any_value, key_values

AT_NS = 1_790_000_000_000_000_000
CLAUDE_SCOPE = "com.anthropic.claude_code.events"

CLAUDE: dict[str, Any] = {
    "session.id": "0b7a1f0e-session",
    "user.id": "a1b2-installation",
    "user.email": "ada@example.org",
    "user.account_uuid": "uuid-ada",
    "organization.id": "org",
    "app.version": "2.1.161",
    "terminal.type": "iTerm.app",
    "prompt.id": "prompt-1",
    "event.timestamp": "2026-09-21T14:13:20.000Z",
}
CODEX: dict[str, Any] = {
    "conversation.id": "019a-conversation",
    "app.version": "0.137.0",
    "auth_mode": "ApiKey",
    "originator": "codex_cli_rs",
    "user.account_id": "acc",
    "user.email": "ada@example.org",
    "terminal.type": "vscode/1.99",
    "model": "gpt-5-codex",
    "slug": "gpt-5-codex",
    "event.timestamp": "2026-09-21T14:13:20.250Z",
}
GEMINI: dict[str, Any] = {
    "session.id": "gemini-session",
    "installation.id": "inst",
    "user.email": "ada@example.org",
    "active_approval_mode": "default",
    "event.timestamp": "2026-09-21T14:13:20.500Z",
}


def make_record(
    body: str | None,
    attributes: Mapping[str, Any],
    *,
    at_ns: int = AT_NS,
    observed_ns: int = 0,
    event_name: str = "",
    trace_id: bytes = b"",
    span_id: bytes = b"",
) -> LogRecord:
    record = LogRecord(
        time_unix_nano=at_ns,
        observed_time_unix_nano=observed_ns,
        event_name=event_name,
        trace_id=trace_id,
        span_id=span_id,
        attributes=key_values(attributes),
    )
    if body is not None:
        record.body.CopyFrom(any_value(body))
    return record


def claude(event: str, attributes: Mapping[str, Any], **changes: Any) -> LogRecord:
    """An event as Claude Code writes it: the short name in an attribute, the long one in the body."""
    return make_record(f"claude_code.{event}", {**CLAUDE, "event.name": event, **attributes}, **changes)


def codex(event: str, attributes: Mapping[str, Any], **changes: Any) -> LogRecord:
    """An event as Codex writes it: the name in an attribute, no time of its own."""
    return make_record(None, {**CODEX, "event.name": f"codex.{event}", **attributes}, **{"at_ns": 0, **changes})


def gemini(event: str, attributes: Mapping[str, Any], **changes: Any) -> LogRecord:
    """An event as Gemini CLI writes it: the body is a sentence."""
    return make_record("A sentence.", {**GEMINI, "event.name": f"gemini_cli.{event}", **attributes}, **changes)


def logs_request(
    *records: LogRecord, resource: Mapping[str, Any] | None = None, scope: str = CLAUDE_SCOPE
) -> ExportLogsServiceRequest:
    request = ExportLogsServiceRequest()
    resource_logs = request.resource_logs.add()
    resource_logs.resource.attributes.extend(key_values(resource or {}))
    scope_logs = resource_logs.scope_logs.add()
    scope_logs.scope.name = scope
    scope_logs.log_records.extend(records)
    return request


def logs_json(request: ExportLogsServiceRequest) -> dict[str, Any]:
    """The request as OTLP's JSON: hex ids, 64-bit integers as text."""
    document = MessageToDict(request, use_integers_for_enums=True)
    for resource_logs in document.get("resourceLogs", []):
        for scope_logs in resource_logs.get("scopeLogs", []):
            for record in scope_logs.get("logRecords", []):
                for field in ("traceId", "spanId"):
                    if field in record:
                        record[field] = base64.b64decode(record[field]).hex()
    return document


def decoded(*records: LogRecord, resource: Mapping[str, Any] | None = None, scope: str = CLAUDE_SCOPE) -> Decoded:
    """What both encodings of the request give; they must not differ."""
    request = logs_request(*records, resource=resource, scope=scope)
    found = decode_logs(request.SerializeToString())
    assert decode_json_logs(json.dumps(logs_json(request)).encode()) == found
    return found


def read(record: LogRecord, **around: Any) -> Operation:
    """The one operation a record becomes."""
    found = decoded(record, **around)
    assert (found.rejected, found.unused) == (0, 0), found
    (operation,) = found.operations
    return operation

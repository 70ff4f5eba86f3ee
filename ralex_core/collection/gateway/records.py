"""What is kept of one call that went through the gateway, and the operation made of it. Made off the path of bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, cast

import orjson

from ralex_core.collection.gateway.reading import BodyReader, EventReader, Unpacked
from ralex_core.collection.gateway.request import NO_FACTS, Facts
from ralex_core.collection.gateway.routes import Route, Target
from ralex_core.collection.instrument.model_call import CUT
from ralex_core.collection.llm_answer import Answer
from ralex_core.model.operation import Operation

CANCELLED = "client_closed"
"""`error_type` of a call whose caller went away."""
PAYMENT = "payment_required"
"""… whose provider wants to be paid first (402): an outcome of its own, nobody failed."""
REFUSED = "budget_exceeded"
"""… that a budget had no room for."""
OF_UPSTREAM: Mapping[str, str] = {
    "unreachable": "upstream_unreachable",
    "timeout": "upstream_timeout",
    "closed": "upstream_closed",
    "bad_answer": "upstream_bad_answer",
    "client_gone": CANCELLED,
}
"""What kept an answer from coming whole → `error_type`."""
_NOTHING_USED = {"input_tokens": 0, "output_tokens": 0}
_LABEL_DIGITS = 8


def key_label(key: bytes) -> str:
    """What is kept of a provider's key: the first eight hex digits of its SHA-256."""
    return hashlib.sha256(key).hexdigest()[:_LABEL_DIGITS]


class CallRecord:
    """One call while it passes, and after. Filled by the gateway, read once by `operation_of`."""

    __slots__ = (
        "answer",
        "attempt",
        "attributes",
        "began_at",
        "error_type",
        "facts",
        "fields",
        "http_status",
        "key",
        "never_sent",
        "operation_id",
        "parent_span_id",
        "reader",
        "route",
        "span_id",
        "started_us",
        "streamed",
        "target",
        "took_s",
        "trace_id",
        "trouble",
        "ttft_s",
    )

    def __init__(self, route: Route, target: Target, started_us: int, began_at: float) -> None:
        self.route = route
        self.target = target
        self.started_us = started_us
        self.began_at = began_at
        """By `perf_counter`."""
        self.took_s = 0.0
        self.ttft_s: float | None = None
        self.facts: Facts = NO_FACTS
        self.fields: dict[str, str] = {}
        """Fields of `Operation` that headers and path give."""
        self.attributes: dict[str, Any] = {}
        self.key: str | None = None
        self.attempt = 1
        self.trace_id: str | None = None
        self.span_id: str | None = None
        self.parent_span_id: str | None = None
        self.operation_id = ""
        self.http_status: int | None = None
        self.streamed = False
        self.answer: Answer | None = None
        self.reader: EventReader | BodyReader | Unpacked | None = None
        self.trouble: str | None = None
        """Why the answer did not come whole (`connection.Trouble`); None: it did, as far as HTTP can tell."""
        self.never_sent = True
        """Whether the provider has not seen the request."""
        self.error_type: str | None = None
        """Said by the gateway itself; unless it failed on the way back, nothing was asked of the upstream."""


def operation_of(record: CallRecord) -> Operation:
    """The operation a finished call is recorded as. Never raises for what an upstream sent."""
    target, facts = record.target, record.facts
    provider = target.provider
    outcome = _read_answer(record)
    known: dict[str, Any] = {} if record.answer is None else record.answer.fields(provider)
    if record.error_type is not None:
        refused = record.never_sent and record.route.call.kind == "llm"
        known = dict(_NOTHING_USED) if refused else {}  # what failed after it was sent may be billed
    elif (record.http_status or 0) >= 400:
        known = {name: known[name] for name in ("provider_request_id",) if name in known}
    status, error_type = outcome
    fields: dict[str, Any] = {"user_id": facts.user_id, "session_id": facts.session_id}
    fields.update(record.fields)
    attributes = _attributes(record)
    name = fields.pop("operation", None) or record.route.call.name
    model = known.pop("model", None)
    return Operation(
        operation_id=record.operation_id,
        kind=record.route.call.kind,
        name=name,
        started_at=record.started_us,
        duration_ms=record.took_s * 1e3,
        status=status,
        trace_id=record.trace_id,
        span_id=record.span_id,
        parent_span_id=record.parent_span_id,
        ttft_ms=None if record.ttft_s is None else record.ttft_s * 1e3,
        error_type=error_type,
        http_status=record.http_status,
        attempt=record.attempt,
        provider=provider,
        requested_model=facts.model,
        model=model,
        door="gateway",
        source="gateway",
        attributes=orjson.dumps(attributes).decode(),
        **{name: value for name, value in fields.items() if value},
        **known,
    )


def _read_answer(record: CallRecord) -> tuple[str, str | None]:
    """Read to the end what came, and tell status and error type."""
    answer, reader = record.answer, record.reader
    if record.error_type is not None:
        return "error", record.error_type
    failed = (record.http_status or 0) >= 400
    if reader is not None and (record.trouble is None or record.streamed):
        inner = reader.reader if isinstance(reader, Unpacked) else reader
        if failed and isinstance(inner, BodyReader):
            return "error", _error_of(inner.start, record)
        reader.end()
    if record.trouble is not None and not (record.streamed and answer is not None and answer.is_complete):
        error_type = OF_UPSTREAM[record.trouble]
        if record.trouble == "closed" and record.http_status is not None:
            error_type = CUT
        return ("cancelled" if record.trouble == "client_gone" else "error"), error_type
    if failed:
        return "error", PAYMENT if record.http_status == 402 else f"http_{record.http_status}"
    if answer is not None and answer.failure is not None:
        return "error", answer.failure
    if answer is not None and record.streamed and not answer.is_complete:
        return "error", CUT
    return "ok", None


def _error_of(body: bytes, record: CallRecord) -> str:
    """The provider's type of an error, and its code among the attributes. Its message may quote the prompt."""
    try:
        parsed: Any = orjson.loads(body)
    except orjson.JSONDecodeError:
        parsed = None
    error: Any = cast("dict[str, Any]", parsed).get("error") if isinstance(parsed, dict) else None
    kind: Any = None
    if isinstance(error, dict):
        said = cast("dict[str, Any]", error)
        kind, code = said.get("type"), said.get("code")
        for name, value in (("error.type", kind), ("error.code", code)):
            if isinstance(value, str | int) and value:
                record.attributes[name] = str(value)[:64]
        kind = kind if isinstance(kind, str) and kind else code if isinstance(code, str) and code else None
    if record.http_status == 402:
        return PAYMENT
    return str(kind)[:64] if kind else f"http_{record.http_status}"


def _attributes(record: CallRecord) -> dict[str, Any]:
    found: dict[str, Any] = {
        "upstream": record.target.name,
        "server.address": record.target.host,
        "gen_ai.request.stream": record.facts.stream,
    }
    if record.key is not None:
        found["gateway_key"] = record.key
    if record.facts.max_tokens is not None:
        found["gen_ai.request.max_tokens"] = record.facts.max_tokens
    if record.answer is not None:
        found.update(record.answer.attributes())
    found.update(record.attributes)
    return found

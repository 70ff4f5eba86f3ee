"""The OTLP/HTTP doors `/v1/traces`, `/v1/logs` and `/v1/metrics`: what they acknowledge is committed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

import anyio.to_thread
import orjson
from anyio import CapacityLimiter
from fastapi import APIRouter, Request, Response

from ralex_core.collection.metric_usage import MetricUsage, Plan
from ralex_core.collection.otlp import Decoded, UnreadableRequest, decode_traces
from ralex_core.collection.otlp_json import decode_json_traces
from ralex_core.collection.otlp_logs import decode_json_logs, decode_logs
from ralex_core.collection.otlp_metrics import DecodedMetrics, decode_json_metrics, decode_metrics
from ralex_core.collection.protobuf_size import check_protobuf
from ralex_core.collection.redaction import Redaction
from ralex_core.collection.request_body import (
    BODIES_AT_ONCE,
    BodyBudget,
    BodyProblem,
    check_values,
    content_encoding,
    decoding,
    decompressed,
    read_body,
)
from ralex_core.config import Settings
from ralex_core.errors import IntakeFull, RalexError
from ralex_core.model.operation import Operation
from ralex_core.selfmetrics import SelfMetrics
from ralex_core.storage.telemetry import Store, WriteResult

PROTOBUF, JSON = "application/x-protobuf", "application/json"
DECODERS = 1
"""Threads that decode. A second one waits for the interpreter lock and takes the caches from the first."""
STORE_RETRY_AFTER_S = 5
_RPC_CODES = {400: 3, 413: 3, 415: 3, 503: 14}
"""HTTP status → google.rpc.Code: INVALID_ARGUMENT, UNAVAILABLE."""


Coming = AbstractContextManager[object]
"""A submission that is announced, until the end of the block, which more than one thread may come to."""


class TakesOperations(Protocol):
    """The part of the intake the door needs (see `collection.intake.Intake`)."""

    def submit(self, operations: Sequence[Operation], *, redacted: bool = False) -> Future[WriteResult]: ...

    def expecting(self) -> Coming: ...

    @property
    def redaction(self) -> Redaction: ...


class Decodes(Protocol):
    """Reads the body of a request.

    Raises:
        UnreadableRequest: it is not one.
    """

    def __call__(self, body: bytes, *, redaction: Redaction) -> Decoded: ...


@dataclass(frozen=True, slots=True)
class Signal:
    """One kind of telemetry: where it comes in, who reads it, and how its answers and counters are called."""

    path: str
    items: str
    """What a request is made of, in the plural, for sentences."""
    counted: str
    """Counter of the items that came; with `_rejected` and `_unused` before `_total` those of what became of them."""
    rejected_field: str
    """JSON field of the partial success; in protobuf it is field 1."""
    request: str
    """Name of the message, for the description of the route."""
    json_field: str
    decode: Decodes
    decode_json: Decodes


TRACES = Signal(
    "/v1/traces",
    "spans",
    "otlp_spans",
    "rejectedSpans",
    "ExportTraceServiceRequest",
    "resourceSpans",
    decode_traces,
    decode_json_traces,
)
LOGS = Signal(
    "/v1/logs",
    "log records",
    "otlp_log_records",
    "rejectedLogRecords",
    "ExportLogsServiceRequest",
    "resourceLogs",
    decode_logs,
    decode_json_logs,
)
METRICS = Signal(
    "/v1/metrics",
    "data points",
    "otlp_data_points",
    "rejectedDataPoints",
    "ExportMetricsServiceRequest",
    "resourceMetrics",
    decode_metrics,
    decode_json_metrics,
)


def otlp_router(
    get_intake: Callable[[], TakesOperations],
    settings: Settings,
    metrics: SelfMetrics,
    get_store: Callable[[], Store] | None = None,
    *,
    bodies: BodyBudget | None = None,
) -> APIRouter:
    """Routes of the OTLP/HTTP receiver, for the server to include. `get_intake` is asked on every request.

    `get_store` gives the store the intake writes to; without it there is no door for metrics, which have to be
    compared with what was counted before. `bodies` is the room for requests, when other doors share it.
    """
    router = APIRouter(tags=["OTLP"])
    reading = _Reading(settings, bodies)
    traces = _Door(TRACES, reading, get_intake, metrics)
    logs = _Door(LOGS, reading, get_intake, metrics)

    async def export_traces(request: Request) -> Response:
        """Take spans as an OpenTelemetry exporter sends them.

        The answer comes after the commit: what a 200 acknowledges survives a crash and is in every query. Spans that
        cannot be taken are counted in `partial_success`, with reasons; the others of the request are stored. Sending
        a request again stores nothing twice.
        """
        return await traces.receive(request)

    async def export_logs(request: Request) -> Response:
        """Take the events of coding assistants, as an OpenTelemetry exporter sends them.

        Events of Claude Code, Codex and Gemini CLI about calls, tools and prompts become operations; other log
        records are counted at `/metrics` and not used. The answer comes after the commit. Sending a request again
        stores nothing twice.
        """
        return await logs.receive(request)

    routes = [(TRACES, export_traces, "OTLP traces"), (LOGS, export_logs, "OTLP logs")]
    if get_store is not None:
        usage = MetricUsage(get_store, settings.retention_days)
        counters = _MetricsDoor(METRICS, reading, get_intake, metrics, usage)

        async def export_metrics(request: Request) -> Response:
            """Take the usage counters of coding assistants, as an OpenTelemetry exporter sends them.

            Tokens and cost of sessions whose calls do not come in one by one become operations; other metrics are
            counted at `/metrics` and not used. The answer comes after the commit. Sending a request again, in any
            order and after a restart, counts nothing twice.
            """
            return await counters.receive(request)

        routes.append((METRICS, export_metrics, "OTLP metrics"))
    for signal, route, summary in routes:
        router.add_api_route(
            signal.path,
            route,
            methods=["POST"],
            response_class=Response,
            summary=summary,
            responses=_RESPONSES,
            openapi_extra={"requestBody": _request_body(signal)},
        )
    return router


class _Reading:
    """What the doors share: memory for bodies and the thread that decodes them."""

    def __init__(self, settings: Settings, bodies: BodyBudget | None) -> None:
        self.max_bytes = settings.max_body_mb << 20
        self.budget = bodies or BodyBudget(BODIES_AT_ONCE * self.max_bytes)
        self.decoders = CapacityLimiter(DECODERS)


class _Door:
    """One request after the other: read, unpack, decode, submit, wait for the commit, answer."""

    def __init__(
        self,
        signal: Signal,
        reading: _Reading,
        get_intake: Callable[[], TakesOperations],
        metrics: SelfMetrics,
    ) -> None:
        self._signal = signal
        self._reading = reading
        self._get_intake = get_intake
        self._metrics = metrics

    async def receive(self, request: Request) -> Response:
        self._metrics.add("otlp_requests_total")
        content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        try:
            if content_type not in (PROTOBUF, JSON):
                raise BodyProblem(
                    415, f"Content-Type {content_type[:60]!r} is not understood. Send {PROTOBUF} or {JSON}."
                )
            decoded, result = await self._take(request, content_type, content_encoding(request))
        except BodyProblem as problem:
            return self._refusal(content_type, problem.status, str(problem))
        except UnreadableRequest as error:
            return self._refusal(content_type, 400, f"The request cannot be read: {error}.")
        except IntakeFull as error:
            return self._refusal(content_type, 503, str(error), error.retry_after_s)
        except RalexError as error:
            return self._refusal(content_type, 503, f"Nothing was stored: {error}", STORE_RETRY_AFTER_S)
        return self._answer(content_type, decoded, result)

    async def _take(self, request: Request, content_type: str, encoding: str) -> tuple[Decoded, WriteResult]:
        reading = self._reading
        body = await read_body(request, max_bytes=reading.max_bytes, budget=reading.budget)
        return await self._store(body, content_type, encoding)

    async def _store(self, body: bytes, content_type: str, encoding: str) -> tuple[Decoded, WriteResult]:
        """Decode, submit and wait for the commit; gives back what the body holds of the budget."""
        size = len(body)
        intake = self._get_intake()
        expected = intake.expecting()
        try:
            with expected:
                decoded, future = await anyio.to_thread.run_sync(
                    self._submit, intake, expected, body, content_type, encoding, limiter=self._reading.decoders
                )
            del body
            return decoded, await asyncio.wrap_future(future)
        finally:
            self._reading.budget.give_back(size)

    def _submit(
        self,
        intake: TakesOperations,
        expected: Coming,
        body: bytes,
        content_type: str,
        encoding: str,
    ) -> tuple[Decoded, Future[WriteResult]]:
        """On a worker thread, so that pages and other doors stay quick while a large batch is decoded and priced."""
        what = f"a request to {self._signal.path} of {len(body):,} bytes"
        with expected, self._metrics.vitals.working("decode", what):
            decoded = self._decoded(body, content_type, encoding, intake.redaction)
            return decoded, intake.submit(decoded.operations, redacted=decoded.redacted)

    def _decoded(self, body: bytes, content_type: str, encoding: str, redaction: Redaction) -> Decoded:
        content = decompressed(body, encoding, max_bytes=self._reading.max_bytes)
        with decoding(content):
            if content_type == JSON:
                check_values(content)
                return self._signal.decode_json(content, redaction=redaction)
            check_protobuf(content)
            return self._signal.decode(content, redaction=redaction)

    def _answer(self, content_type: str, decoded: Decoded, result: WriteResult) -> Response:
        signal, received = self._signal, decoded.received
        rejected = decoded.rejected + result.expired
        reasons = list(decoded.reasons)
        if result.expired:
            reasons.append(f"{result.expired} started before what is kept (retention_days)")
        self._metrics.add(f"{signal.counted}_total", received)
        if decoded.unused:
            self._metrics.add(f"{signal.counted}_unused_total", decoded.unused)
        if not rejected:
            return Response(b"{}" if content_type == JSON else b"", media_type=content_type)
        self._metrics.add(f"{signal.counted}_rejected_total", rejected)
        message = f"{rejected} of {received} {signal.items} were not stored: {'; '.join(reasons)}."
        if content_type == JSON:
            partial = {signal.rejected_field: str(rejected), "errorMessage": message}
            return Response(orjson.dumps({"partialSuccess": partial}), media_type=JSON)
        return Response(_partial_success(rejected, message), media_type=PROTOBUF)

    def _refusal(self, content_type: str, status: int, message: str, retry_after_s: int | None = None) -> Response:
        """A `google.rpc.Status`, in the encoding of the request (JSON when that is neither of the two)."""
        self._metrics.add("otlp_refused_requests_total")
        headers = {"Retry-After": str(retry_after_s or 1)} if status == 503 else None
        code = _RPC_CODES[status]
        if content_type == PROTOBUF:
            return Response(_rpc_status(code, message), status, headers, PROTOBUF)
        return Response(orjson.dumps({"code": code, "message": message}), status, headers, JSON)


class _MetricsDoor(_Door):
    """Requests one after the other: what one counts, the next must know. Assistants send one a minute."""

    def __init__(
        self,
        signal: Signal,
        reading: _Reading,
        get_intake: Callable[[], TakesOperations],
        metrics: SelfMetrics,
        usage: MetricUsage,
    ) -> None:
        super().__init__(signal, reading, get_intake, metrics)
        self._usage = usage
        self._plan: Plan | None = None
        self._turn = asyncio.Lock()

    async def _store(self, body: bytes, content_type: str, encoding: str) -> tuple[Decoded, WriteResult]:
        async with self._turn:
            self._plan = None
            try:
                taken = await super()._store(body, content_type, encoding)
            except BaseException:
                if self._plan is not None:
                    self._usage.forget(self._plan)
                raise
            if self._plan is not None:
                self._usage.keep(self._plan)
            return taken

    def _decoded(self, body: bytes, content_type: str, encoding: str, redaction: Redaction) -> Decoded:
        decoded = super()._decoded(body, content_type, encoding, redaction)
        if isinstance(decoded, DecodedMetrics):
            self._plan = self._usage.plan(decoded)
        return decoded


def _rpc_status(code: int, message: str) -> bytes:
    """`google.rpc.Status{1: code, 2: message}`; two fields are not worth a dependency."""
    text = message.encode()
    return bytes((0x08, code, 0x12)) + _varint(len(text)) + text


def _partial_success(rejected: int, message: str) -> bytes:
    """`Export…ServiceResponse{1: partial_success{1: rejected, 2: message}}`, the same for every signal."""
    text = message.encode()
    partial = b"\x08" + _varint(rejected) + b"\x12" + _varint(len(text)) + text
    return b"\x0a" + _varint(len(partial)) + partial


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


_BINARY: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}}


def _request_body(signal: Signal) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "object", "properties": {signal.json_field: {"type": "array", "items": {}}}}
    return {
        "required": True,
        "description": f"An {signal.request}, optionally with Content-Encoding: gzip.",
        "content": {PROTOBUF: _BINARY, JSON: {"schema": schema}},
    }


_STATUS: dict[str, Any] = {
    "content": {
        PROTOBUF: _BINARY,
        JSON: {
            "schema": {
                "type": "object",
                "properties": {"code": {"type": "integer"}, "message": {"type": "string"}},
            }
        },
    }
}
_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Committed. An Export…ServiceResponse; `partial_success` only when something was rejected.",
        "content": {PROTOBUF: _BINARY, JSON: {"schema": {"type": "object"}}},
    },
    400: {"description": "The body cannot be decoded. Do not send it again.", **_STATUS},
    413: {"description": "The body is larger than `max_body_mb`, before or after decompression.", **_STATUS},
    415: {"description": "Content-Type or Content-Encoding is not understood.", **_STATUS},
    503: {
        "description": "The queue is full or the store cannot be written. Send again after `Retry-After` seconds.",
        "headers": {"Retry-After": {"schema": {"type": "integer"}}},
        **_STATUS,
    },
}

"""The OTLP/HTTP door: `POST /v1/traces`, acknowledged only after what was sent is committed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, Protocol

import anyio.to_thread
import orjson
from anyio import CapacityLimiter
from fastapi import APIRouter, Request, Response
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from ralex_core.collection.otlp import Decoded, UnreadableRequest, decode_traces
from ralex_core.collection.otlp_json import decode_json_traces
from ralex_core.collection.request_body import (
    BodyBudget,
    BodyProblem,
    content_encoding,
    decompressed,
    read_body,
)
from ralex_core.config import Settings
from ralex_core.errors import IntakeFull, RalexError
from ralex_core.model.operation import Operation
from ralex_core.selfmetrics import SelfMetrics
from ralex_core.storage.telemetry import WriteResult

PROTOBUF, JSON = "application/x-protobuf", "application/json"
DECODERS = 2
"""Threads that decode: one more than the interpreter can run at once, so that unpacking gzip overlaps decoding."""
BODIES_AT_ONCE = 4
"""Bodies of the largest size that may be in memory together."""
STORE_RETRY_AFTER_S = 5
_RPC_CODES = {400: 3, 413: 3, 415: 3, 503: 14}
"""HTTP status → google.rpc.Code: INVALID_ARGUMENT, UNAVAILABLE."""


class TakesOperations(Protocol):
    """The part of the intake the door needs (see `collection.intake.Intake`)."""

    def submit(self, operations: Sequence[Operation]) -> Future[WriteResult]: ...


def otlp_router(get_intake: Callable[[], TakesOperations], settings: Settings, metrics: SelfMetrics) -> APIRouter:
    """Routes of the OTLP/HTTP receiver, for the server to include. `get_intake` is asked on every request."""
    router = APIRouter(tags=["OTLP"])
    door = _TracesDoor(get_intake, settings, metrics)

    async def export_traces(request: Request) -> Response:
        """Take spans as an OpenTelemetry exporter sends them.

        The answer comes after the commit: what a 200 acknowledges survives a crash and is in every query. Spans that
        cannot be taken are counted in `partial_success`, with reasons; the others of the request are stored. Sending
        a request again stores nothing twice.
        """
        return await door.receive(request)

    router.add_api_route(
        "/v1/traces",
        export_traces,
        methods=["POST"],
        response_class=Response,
        summary="OTLP traces",
        responses=_RESPONSES,
        openapi_extra={"requestBody": _REQUEST_BODY},
    )
    return router


class _TracesDoor:
    """One request after the other: read, unpack, decode, submit, wait for the commit, answer."""

    def __init__(self, get_intake: Callable[[], TakesOperations], settings: Settings, metrics: SelfMetrics) -> None:
        self._get_intake = get_intake
        self._metrics = metrics
        self._keep_content = settings.store_content
        self._max_bytes = settings.max_body_mb << 20
        self._budget = BodyBudget(BODIES_AT_ONCE * self._max_bytes)
        self._decoders = CapacityLimiter(DECODERS)

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
        body = await read_body(request, max_bytes=self._max_bytes, budget=self._budget)
        size = len(body)
        try:
            decoded, future = await anyio.to_thread.run_sync(
                self._submit, body, content_type, encoding, limiter=self._decoders
            )
        finally:
            self._budget.give_back(size)
        return decoded, await asyncio.wrap_future(future)

    def _submit(self, body: bytes, content_type: str, encoding: str) -> tuple[Decoded, Future[WriteResult]]:
        """On a worker thread, so that pages and other doors stay quick while a large batch is decoded and priced."""
        content = decompressed(body, encoding, max_bytes=self._max_bytes)
        decode = decode_json_traces if content_type == JSON else decode_traces
        decoded = decode(content, keep_content=self._keep_content)
        return decoded, self._get_intake().submit(decoded.operations)

    def _answer(self, content_type: str, decoded: Decoded, result: WriteResult) -> Response:
        taken = len(decoded.operations)
        rejected = decoded.rejected + result.expired
        reasons = list(decoded.reasons)
        if result.expired:
            reasons.append(f"{result.expired} started before what is kept (retention_days)")
        self._metrics.add("otlp_spans_total", taken + decoded.rejected)
        if not rejected:
            return Response(b"{}" if content_type == JSON else b"", media_type=content_type)
        self._metrics.add("otlp_spans_rejected_total", rejected)
        message = f"{rejected} of {taken + decoded.rejected} spans were not stored: {'; '.join(reasons)}."
        if content_type == JSON:
            partial = {"rejectedSpans": str(rejected), "errorMessage": message}
            return Response(orjson.dumps({"partialSuccess": partial}), media_type=JSON)
        response = ExportTraceServiceResponse()
        response.partial_success.rejected_spans = rejected
        response.partial_success.error_message = message
        return Response(response.SerializeToString(), media_type=PROTOBUF)

    def _refusal(self, content_type: str, status: int, message: str, retry_after_s: int | None = None) -> Response:
        """A `google.rpc.Status`, in the encoding of the request (JSON when that is neither of the two)."""
        self._metrics.add("otlp_refused_requests_total")
        headers = {"Retry-After": str(retry_after_s or 1)} if status == 503 else None
        code = _RPC_CODES[status]
        if content_type == PROTOBUF:
            return Response(_rpc_status(code, message), status, headers, PROTOBUF)
        return Response(orjson.dumps({"code": code, "message": message}), status, headers, JSON)


def _rpc_status(code: int, message: str) -> bytes:
    """`google.rpc.Status{1: code, 2: message}`; two fields are not worth a dependency."""
    text = message.encode()
    return bytes((0x08, code, 0x12)) + _varint(len(text)) + text


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


_BINARY: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}}
_REQUEST_BODY: dict[str, Any] = {
    "required": True,
    "description": "An ExportTraceServiceRequest, optionally with Content-Encoding: gzip.",
    "content": {
        PROTOBUF: _BINARY,
        JSON: {"schema": {"type": "object", "properties": {"resourceSpans": {"type": "array", "items": {}}}}},
    },
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
        "description": "Committed. An ExportTraceServiceResponse; `partial_success` only when spans were rejected.",
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

"""The native JSON door: `POST /api/v1/operations`, acknowledged only after what was sent is committed."""

from __future__ import annotations

import asyncio
import types
import typing
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import anyio.to_thread
from anyio import CapacityLimiter
from fastapi import APIRouter, Request, Response

from ralex_core.collection.litellm_log import parse_litellm
from ralex_core.collection.native import CONTENT_TYPES, JSON, NDJSON, Parsed, TooManyRecords, parse_operations
from ralex_core.collection.request_body import (
    BodyBudget,
    BodyProblem,
    check_values,
    content_encoding,
    decoding,
    decompressed,
    read_body,
)
from ralex_core.dashboard.api.described import described
from ralex_core.dashboard.envelope import Envelope, answer
from ralex_core.dashboard.problems import RequestProblem
from ralex_core.dashboard.site import Site
from ralex_core.model.operation import KINDS, OUTCOMES, STATUSES, Operation, Pricing
from ralex_core.storage.telemetry import WriteResult

PARSERS = 2
"""Threads that parse and price; more would only take turns."""
OWN_DOORS = ("sdk", "importer")
"""What the package's own senders may call themselves, in the header `X-Ralex-Door`."""
REASONS_TOLD = 100
"""Rejected records listed in an answer; a client that gets everything wrong needs no more."""
_CODES = {400: "unreadable_body", 413: "too_large", 415: "unsupported_content", 503: "busy"}


@dataclass(frozen=True, slots=True)
class Rejected:
    """A record that was not taken: its place in the request, from 0, and why."""

    index: int
    reason: str


@dataclass(frozen=True, slots=True)
class Taken:
    """`accepted` were stored by this request; `duplicates` were stored already, and changed nothing.

    `not_stored` counts the others; `rejected` names the first hundred of them, each with the reason.
    """

    accepted: int
    duplicates: int
    not_stored: int
    rejected: list[Rejected]


def door_router(site: Site, bodies: BodyBudget) -> APIRouter:
    """Routes of the native doors. `bodies` is the room for requests, shared with the other doors."""
    router = APIRouter(tags=["Operations"])
    door = _JsonDoor(site, bodies, parse_operations)
    litellm = _JsonDoor(site, bodies, _from_litellm)

    @router.post(
        "/operations",
        openapi_extra={**described(Envelope[Taken]), "requestBody": request_body()},
        summary="Send operations",
    )
    async def receive(request: Request) -> Response:
        """Store one operation, an array of them, or NDJSON; gzip is understood.

        The answer comes after the commit: what a 200 acknowledges survives a crash. A record that cannot be taken is
        named with its reason, the others are stored. Sending the same `operation_id` again changes nothing, unless
        its `revision` is higher.
        """
        return await door.receive(request)

    @router.post(
        "/litellm",
        openapi_extra={**described(Envelope[Taken]), "requestBody": _LITELLM_BODY},
        summary="Send calls of a LiteLLM proxy",
    )
    async def receive_litellm(request: Request) -> Response:
        """Store what LiteLLM's `generic_api` callback sends, of calls that succeeded and that failed.

        An array of payloads (`json_array`), one to a line (`ndjson`) or a single one. A cost of 0, or one that LiteLLM
        could not work out, is unknown and not free. The answer comes after the commit; sending again changes nothing.
        """
        return await litellm.receive(request)

    return router


def _from_litellm(body: bytes | bytearray, content_type: str, now_us: int, door: str) -> Parsed:
    return parse_litellm(body)


_LITELLM_BODY: dict[str, Any] = {
    "required": True,
    "description": "LiteLLM's StandardLoggingPayload, one, an array, or one per line.",
    "content": {JSON: {"schema": {"oneOf": [{"type": "object"}, {"type": "array", "items": {"type": "object"}}]}}},
}


class _JsonDoor:
    """One request after the other: read, unpack, parse, submit, wait for the commit, answer."""

    def __init__(
        self, site: Site, bodies: BodyBudget, parse: Callable[[bytes | bytearray, str, int, str], Parsed]
    ) -> None:
        self._host = site.host
        self._parse = parse
        self._max_bytes = site.host.settings.max_body_mb << 20
        self._budget = bodies
        self._parsers = CapacityLimiter(PARSERS)

    async def receive(self, request: Request) -> Response:
        try:
            parsed, result = await self._take(request)
        except BodyProblem as problem:
            retry = 1 if problem.status == 503 else None
            raise RequestProblem(problem.status, _CODES[problem.status], str(problem), retry) from problem
        self._host.metrics.add("native_records_rejected_total", len(parsed.rejected) + result.expired)
        return answer(_taken(parsed, result))

    async def _take(self, request: Request) -> tuple[Parsed, WriteResult]:
        content_type = request.headers.get("content-type", "")
        media_type = content_type.partition(";")[0].strip().lower()
        if media_type and media_type not in CONTENT_TYPES:
            raise BodyProblem(415, f"Content-Type {media_type[:60]!r} is not understood. Send {JSON} or {NDJSON}.")
        encoding = content_encoding(request)
        named = request.headers.get("x-ralex-door", "").lower()
        door = named if named in OWN_DOORS else "api"
        body = await read_body(request, max_bytes=self._max_bytes, budget=self._budget)
        size = len(body)
        try:
            parsed, future = await anyio.to_thread.run_sync(
                self._submit, body, encoding, content_type, door, limiter=self._parsers
            )
            del body
            return parsed, await asyncio.wrap_future(future)
        finally:
            self._budget.give_back(size)

    def _submit(self, body: bytes, encoding: str, content_type: str, door: str) -> tuple[Parsed, Future[WriteResult]]:
        """On a worker thread, so that pages stay quick while a large batch is parsed and priced."""
        with self._host.metrics.vitals.working("decode", f"operations of {len(body):,} bytes"):
            content = decompressed(body, encoding, max_bytes=self._max_bytes)
            with decoding(content):
                check_values(content)
                try:
                    parsed = self._parse(content, content_type, self._host.clock.now_us(), door)
                except TooManyRecords as problem:
                    raise BodyProblem(413, str(problem)) from None
            if not parsed.operations and parsed.rejected:
                index, reason = parsed.rejected[0]
                raise RequestProblem(
                    400,
                    "invalid_operations",
                    f"None of the {len(parsed.rejected)} records can be stored. Record {index}: {reason}.",
                )
            return parsed, self._host.intake.submit(parsed.operations)


def _taken(parsed: Parsed, result: WriteResult) -> Taken:
    rejected = [Rejected(index, reason) for index, reason in parsed.rejected]
    if result.expired:
        refused = {index for index, _ in parsed.rejected}
        places = (index for index in range(len(parsed.operations) + len(refused)) if index not in refused)
        rejected += [
            Rejected(place, "started_at: it is older than what is kept (retention_days)")
            for place, operation in zip(places, parsed.operations, strict=False)
            if operation.operation_id in result.expired_ids
        ]
    return Taken(result.inserted + result.replaced, result.duplicates, len(rejected), rejected[:REASONS_TOLD])


def request_body() -> dict[str, Any]:
    """The body as OpenAPI describes it, from the fields of `Operation`."""
    record = operation_schema()
    one = {"oneOf": [record, _TABLE]}
    many = {"oneOf": [record, _TABLE, {"type": "array", "items": one}]}
    return {
        "required": True,
        "description": "One operation, an array, or one per line; a table holds many. Fields not listed are refused.",
        "content": {JSON: {"schema": many}, NDJSON: {"schema": one}},
    }


_TABLE: dict[str, Any] = {
    "type": "object",
    "description": "Alike operations: every row is one, with the fields in common and the values of its columns.",
    "required": ["columns", "rows"],
    "additionalProperties": False,
    "properties": {
        "common": {"type": "object", "description": "Fields of all of them."},
        "trace_prefix": {"type": "string", "description": "Before a trace_id that is a whole number."},
        "columns": {
            "type": "array",
            "items": {"type": "string"},
            "description": "Names of fields; attributes.NAME is an attribute. Ids may be whole numbers: 16 hex digits.",
        },
        "rows": {
            "type": "array",
            "items": {"type": "array"},
            "description": "As many values as columns; null is not known. Each counts as a record.",
        },
    },
}


_WORDS = {"kind": KINDS, "status": STATUSES, "outcome": OUTCOMES}
_DESCRIBED = {
    "operation_id": "Names the operation for ever; random when absent. The same id again changes nothing.",
    "started_at": "ISO-8601 with an offset, or UTC microseconds since the epoch; by default now.",
    "duration_ms": "Milliseconds.",
    "ttft_ms": "Milliseconds to the first token.",
    "input_tokens": "All input, cached parts included.",
    "output_tokens": "All output, reasoning included.",
    "reported_usd": "What the client claims it cost, a number or a decimal string.",
    "billed_usd": "What the provider charged, a number or a decimal string.",
    "value_usd": "What the result is worth, a number or a decimal string.",
    "attributes": "Anything else; prompts and answers are dropped unless store_content is on.",
    "revision": "A higher revision replaces what was sent before under the same id.",
    "attempt": "1 for the first try, 2 for its first repetition.",
}


def operation_schema() -> dict[str, Any]:
    """The JSON schema of one operation as a client sends it."""
    hints = typing.get_type_hints(Operation)
    sent = [name for name in Operation._fields if name not in {*Pricing._fields, "door"}]
    properties = {name: _property(name, hints[name]) for name in sent}
    return {"type": "object", "required": ["name"], "additionalProperties": False, "properties": properties}


def _property(name: str, hint: Any) -> dict[str, Any]:
    kinds = [kind for kind in typing.get_args(hint) if kind is not types.NoneType] or [hint]
    schema: dict[str, Any]
    if name == "attributes":
        schema = {"type": "object"}
    elif name == "started_at" or Decimal in kinds:
        schema = {"type": ["string", "number"]}
    else:
        schema = {"type": {str: "string", int: "integer", float: "number"}[kinds[0]]}
    if name in _WORDS:
        schema["enum"] = list(_WORDS[name])
    if name in _DESCRIBED:
        schema["description"] = _DESCRIBED[name]
    return schema

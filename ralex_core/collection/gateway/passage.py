"""One request on its way through the gateway, from its first byte to its record."""

from __future__ import annotations

import asyncio
import logging
from time import perf_counter
from typing import TYPE_CHECKING

from starlette.types import Receive, Scope, Send

from ralex_core.collection import ids
from ralex_core.collection.gateway.answers import Refusal, error_body
from ralex_core.collection.gateway.connection import UpstreamConnection, UpstreamProblem
from ralex_core.collection.gateway.gate import Held
from ralex_core.collection.gateway.headers import (
    Passed,
    answer_headers,
    attempt_of,
    request_head,
    said_of_caller,
    sorted_out,
)
from ralex_core.collection.gateway.keys import label_of, with_key
from ralex_core.collection.gateway.pool import UpstreamPool
from ralex_core.collection.gateway.reading import BodyReader, EventReader, Unpacked, WithoutAddedUsage
from ralex_core.collection.gateway.records import CallRecord, operation_of
from ralex_core.collection.gateway.request import asking_usage, read_facts, with_model
from ralex_core.collection.gateway.routes import Route, Target
from ralex_core.collection.request_body import BodyProblem
from ralex_core.model.operation import Operation

if TYPE_CHECKING:
    from ralex_core.collection.gateway.app import Gateway

logger = logging.getLogger(__name__)

METHODS = frozenset({"GET", "POST", "DELETE"})
WATCH_AFTER_S = 0.02
"""How long an answer may take before the caller is watched for going away; nearly none of a model is quicker."""
_TROUBLE_STATUS = {"unreachable": 502, "timeout": 504, "closed": 502, "bad_answer": 502}


def _gone() -> UpstreamProblem:
    return UpstreamProblem("client_gone", "The caller went away.")


class Passage:
    """Made for one request; `run` answers it, whatever happens."""

    __slots__ = (
        "_asked_usage",
        "_body",
        "_connection",
        "_edited",
        "_extra",
        "_gateway",
        "_held",
        "_held_room",
        "_is_gone",
        "_is_over",
        "_is_written",
        "_loop",
        "_receive",
        "_scope",
        "_send",
        "_started",
        "_watcher",
        "record",
    )

    def __init__(self, gateway: Gateway, scope: Scope, receive: Receive, send: Send) -> None:
        self._gateway = gateway
        self._scope = scope
        self._receive = receive
        self._send = send
        self._loop = asyncio.get_running_loop()
        self._body = b""
        self._held = 0
        self._edited: bytes | None = None
        self._asked_usage = False
        self._held_room: Held | None = None
        self._extra: list[tuple[bytes, bytes]] = []
        self._connection: UpstreamConnection | None = None
        self._watcher: asyncio.TimerHandle | asyncio.Task[None] | None = None
        self._started = self._is_over = self._is_gone = self._is_written = False
        self.record: CallRecord | None = None

    async def run(self) -> None:
        gateway = self._gateway
        flavour = None
        try:
            path = self._scope.get("raw_path") or self._scope["path"].encode()
            route = gateway.routes.read(path.decode("latin-1"))
            passed = sorted_out(self._scope["headers"])
            token_is_key = gateway.admits(self._scope["method"], passed.own)
            if isinstance(route, str):
                raise Refusal(404, "not_found", route)
            target = gateway.target(passed.own.get(b"x-ralex-upstream", b"").decode("latin-1") or route.upstream)
            flavour = route.call.flavour or target.flavour
            await self._pass_on(route, target, passed, token_is_key=token_is_key)
        except Refusal as refusal:
            await self._refuse(refusal, flavour or "openai")
        except UpstreamProblem as problem:
            await self._troubled(problem, flavour or "openai")
        except asyncio.CancelledError:
            if self.record is not None:
                self.record.trouble = "closed"  # the monitor is stopping
            raise
        except Exception:
            logger.exception("The gateway failed at a request")
            gateway.metrics.add("gateway_failures_total")
            await self._refuse(
                Refusal(500, "gateway_failed", "The monitor's gateway failed; its log has the details."),
                flavour or "openai",
            )
        finally:
            self._end()

    # On the way to the upstream

    async def _pass_on(self, route: Route, target: Target, passed: Passed, *, token_is_key: bool) -> None:
        method = self._scope["method"]
        if method not in METHODS:
            raise Refusal(405, "method_not_allowed", f"The gateway passes on {', '.join(sorted(METHODS))} only.")
        if method == "POST":
            self._begin_record(route, target, passed)
        elif b"traceparent" in passed.own:
            self._extra = [(b"traceparent", passed.own[b"traceparent"])]
        await self._read_body(passed)
        if token_is_key:
            passed = with_key(passed, target)
        record = self.record
        if record is not None:
            record.key = label_of(passed.own)
            if not passed.encoded:
                record.facts = read_facts(self._body, route.call.limit_fields)
            self._hold(record)
            if not passed.encoded:
                self._ask_usage(record, target)
        path = target.base + b"/" + route.tail.encode("latin-1")
        query = self._scope["query_string"]
        if query:
            path += b"?" + query
        await self._exchange(target, path, passed)

    def _begin_record(self, route: Route, target: Target, passed: Passed) -> None:
        gateway = self._gateway
        record = self.record = CallRecord(route, target, gateway.now_us(), perf_counter())
        own = passed.own
        record.span_id = ids.span_text(next(gateway.numbers))
        named = own.get(b"traceparent")
        parent = ids.parse_traceparent(named.decode("latin-1")) if named is not None else None
        if parent is None:
            record.trace_id = ids.PREFIX + record.span_id
        else:
            record.trace_id, record.parent_span_id = parent
            self._extra = [(b"traceparent", f"00-{parent[0]}-{record.span_id}-01".encode("ascii"))]
        record.operation_id = ids.PREFIX + record.span_id
        record.fields = {**said_of_caller(own), **route.tags}
        record.attempt = attempt_of(own)

    async def _read_body(self, passed: Passed) -> None:
        gateway = self._gateway
        announced = passed.own.get(b"content-length", b"")
        if announced.isdigit() and int(announced) > gateway.max_bytes:
            raise _too_large(gateway.max_bytes)
        parts: list[bytes] = []
        more = True
        try:
            while more:
                message = await self._receive()
                if message["type"] == "http.disconnect":
                    raise _gone()
                part = message.get("body", b"")
                gateway.bodies.take(len(part))
                self._held += len(part)
                if self._held > gateway.max_bytes:
                    raise _too_large(gateway.max_bytes)
                parts.append(part)
                more = message.get("more_body", False)
        except BodyProblem as problem:
            raise Refusal(problem.status, "busy", str(problem)) from None
        self._body = parts[0] if len(parts) == 1 else b"".join(parts)

    def _ask_usage(self, record: CallRecord, target: Target) -> None:
        """Ask for the usage of a chat stream whose caller did not say whether they want it."""
        facts = record.facts
        if not (facts.stream and facts.asks_usage is None and target.ask_usage):
            return
        if record.route.tail in ("chat/completions", "completions") and target.name not in self._gateway.never_asked:
            self._edited = asking_usage(self._body if self._edited is None else self._edited)
            self._asked_usage = True

    def _hold(self, record: CallRecord) -> None:
        """Hold room for a call that is billed, in its budgets. Raises `Refusal` where there is none."""
        gate = self._gateway.gate
        if gate is None or gate.is_open or record.route.call.kind != "llm":
            return
        held = self._held_room = gate.hold(record, len(self._body))
        if held.stepped_down and held.model is not None:
            try:
                self._edited = with_model(self._body, held.model)
            except ValueError as error:
                raise Refusal(400, "bad_model", f"The model of this request cannot be read: {error}.") from None
            record.attributes["stepped_down_from"] = record.facts.model
            record.facts = record.facts._replace(model=held.model)

    async def _exchange(self, target: Target, path: bytes, passed: Passed) -> None:
        pool = self._gateway.pool(target)
        body = self._body if self._edited is None else self._edited
        if self._asked_usage:  # what is taken out again cannot be compressed
            passed = passed._replace(accept_encoding=b"identity")
        connection: UpstreamConnection | None = await self._answered(pool, self._message(target, path, passed, body))
        try:
            if self._asked_usage and connection.status in (400, 422):
                refused, connection = connection, None
                connection = await self._unedited(pool, target, path, passed, refused)
            await self._hand_back(connection)
        except BaseException:
            if connection is not None:
                connection.reusable = False
            raise
        finally:
            self._stop_watching()
            if connection is not None:
                pool.give_back(connection)
            self._connection = None

    def _message(self, target: Target, path: bytes, passed: Passed, body: bytes) -> bytes:
        method = self._scope["method"]
        length = len(body) if body or method == "POST" else None
        head = request_head(method, target.authority, path, passed, self._extra, length)
        if head is None:
            raise Refusal(400, "bad_header", "A header has a line break or a zero byte in it.")
        return head + body

    async def _answered(self, pool: UpstreamPool, message: bytes) -> UpstreamConnection:
        """A connection on which the head of an answer has come. Sends again when an idle connection had just ended."""
        connection = pool.idle() or await pool.fresh()
        while True:
            self._connection = connection
            reused = connection.requests > 0
            try:
                if self._is_gone:
                    raise _gone()
                connection.send(message)
                if self.record is not None:
                    self.record.never_sent = False
                if self._watcher is None:
                    self._watcher = self._loop.call_later(WATCH_AFTER_S, self._watch)
                await connection.head()
                return connection
            except UpstreamProblem as problem:
                pool.give_back(connection)
                if not (reused and problem.trouble == "closed" and not connection.answered):
                    raise
                connection = await pool.fresh()
            except BaseException:
                connection.close()
                pool.give_back(connection)
                raise

    async def _unedited(
        self, pool: UpstreamPool, target: Target, path: bytes, passed: Passed, refused: UpstreamConnection
    ) -> UpstreamConnection:
        """The answer to the request as the caller sent it, when the upstream may have stumbled over our edit."""
        try:
            while await refused.read():
                pass
        finally:
            pool.give_back(refused)
        held = self._held_room
        self._edited = with_model(self._body, held.model) if held and held.stepped_down and held.model else None
        self._asked_usage = False
        body = self._body if self._edited is None else self._edited
        connection = await self._answered(pool, self._message(target, path, passed, body))
        if connection.status < 400:
            self._gateway.never_asked.add(target.name)
            logger.warning("%s does not know stream_options; its streams are not asked for usage any more", target.name)
        return connection

    # On the way back

    async def _hand_back(self, connection: UpstreamConnection) -> None:
        record, send = self.record, self._send
        headers = connection.headers
        if connection.status in (204, 304):  # has no body, whatever length it names
            headers = [header for header in headers if header[0] != b"content-length"]
        kinds = dict(headers)
        streamed = kinds.get(b"content-type", b"")[:17].lower() == b"text/event-stream"
        if record is not None:
            self._note_answer(record, connection.status, kinds, streamed)
            self._extra = [
                (b"x-ralex-operation-id", record.operation_id.encode("ascii")),
                *([] if self._held_room is None else self._held_room.headers),
            ]
        added = None
        if streamed and self._asked_usage and b"content-encoding" not in kinds:
            added = WithoutAddedUsage()
        extra = self._extra if record is not None else []
        self._started = True
        back = answer_headers(headers, extra, resized=added is not None)
        await send({"type": "http.response.start", "status": connection.status, "headers": back})
        reader = None if record is None else record.reader
        while True:
            data = await connection.read()
            is_last = connection.complete
            out = data
            if added is not None:
                out = added.feed(data) if data else b""
                if is_last:
                    out += added.end()
            if is_last:
                if data and reader is not None:
                    self._look(reader, data, connection)
                self._write_down()
                await send({"type": "http.response.body", "body": out, "more_body": False})
                return
            if out:
                await send({"type": "http.response.body", "body": out, "more_body": True})
            if data and reader is not None:
                self._look(reader, data, connection)

    def _note_answer(self, record: CallRecord, status: int, kinds: dict[bytes, bytes], streamed: bool) -> None:
        record.http_status = status
        record.streamed = streamed
        identity = kinds.get(b"x-request-id") or kinds.get(b"request-id")
        if identity:
            record.attributes["request_id"] = identity[:128].decode("latin-1")
        make = record.route.call.make_answer
        encoding = kinds.get(b"content-encoding", b"identity").strip().lower()
        if make is None or encoding not in (b"identity", b"gzip", b"deflate"):
            return
        record.answer = make()
        reader = EventReader(record.answer) if streamed and status < 400 else BodyReader(record.answer)
        record.reader = reader if encoding == b"identity" else Unpacked(reader)

    def _look(self, reader: EventReader | BodyReader | Unpacked, data: bytes, connection: UpstreamConnection) -> None:
        arrived = connection.active_at
        try:
            reader.feed(data)
        except Exception:
            logger.exception("An answer could not be read; its usage is not known")
            self._gateway.metrics.add("gateway_failures_total")
            return
        record = self.record
        if record is not None and record.ttft_s is None and record.streamed:
            inner = reader.reader if isinstance(reader, Unpacked) else reader
            if isinstance(inner, EventReader) and inner.first_part:
                record.ttft_s = arrived - record.began_at

    # When something comes between

    def _watch(self) -> None:
        self._watcher = self._loop.create_task(self._until_gone())

    async def _until_gone(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._is_gone = True
        if self._connection is not None and not self._is_over:
            self._connection.fail(_gone())

    def _stop_watching(self) -> None:
        if self._watcher is not None:
            self._watcher.cancel()

    async def _refuse(self, refusal: Refusal, flavour: str) -> None:
        record = self.record
        if record is not None:
            record.error_type, record.http_status = refusal.code, refusal.status
        self._gateway.metrics.add("gateway_refused_total", 1, (("reason", refusal.code),))
        if not self._started:
            await self._answer(refusal, flavour)

    async def _troubled(self, problem: UpstreamProblem, flavour: str) -> None:
        """The upstream did not answer as it should, or the caller went away."""
        record = self.record
        if record is not None:
            record.trouble = problem.trouble
        if self._started or problem.trouble == "client_gone":
            return  # the server cuts what is not complete, as the upstream did
        name = "the upstream" if record is None else record.target.name
        message = f"The monitor's gateway got no answer of {name}. {problem}"
        await self._answer(Refusal(_TROUBLE_STATUS[problem.trouble], f"upstream_{problem.trouble}", message), flavour)

    async def _answer(self, refusal: Refusal, flavour: str) -> None:
        body = error_body(refusal, "anthropic" if flavour == "anthropic" else "openai")
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode("ascii"))]
        headers += self._gateway.own_headers
        if refusal.status == 503:
            headers.append((b"retry-after", b"1"))
        if self.record is not None:
            headers.append((b"x-ralex-operation-id", self.record.operation_id.encode("ascii")))
        self._started = True
        self._write_down()
        await self._send({"type": "http.response.start", "status": refusal.status, "headers": headers})
        await self._send({"type": "http.response.body", "body": body})

    def _end(self) -> None:
        self._is_over = True
        self._gateway.bodies.give_back(self._held)
        self._stop_watching()
        self._write_down()

    def _write_down(self) -> None:
        """Settle and record the call, once: before its last byte is passed on, so that no kill loses it."""
        record = self.record
        if record is not None and not self._is_written:
            self._is_written = True
            record.took_s = perf_counter() - record.began_at
            self._gateway.recorder.add(record, self._settled(record))

    def _settled(self, record: CallRecord) -> Operation | None:
        """Put what a call cost in the place of what was held for it, before anything else hears of the call."""
        gate, held = self._gateway.gate, self._held_room
        if gate is None or held is None:
            return None
        try:
            return gate.settle(held.reservation, record, operation_of(record))
        except Exception:
            logger.exception("What was held for a call could not be settled; it counts when it expires")
            self._gateway.metrics.add("gateway_failures_total")
            return None


def _too_large(limit: int) -> Refusal:
    return Refusal(413, "too_large", f"The request is larger than {limit:,} bytes; max_body_mb raises that.")

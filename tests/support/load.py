"""Operations to send, and a crowd of clients that remember which of them the server acknowledged."""

from __future__ import annotations

import gzip
import http.client
import json
import random
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from ralex_core.cli.wire import as_line
from ralex_core.model.operation import Operation
from tests.support.server import HOST, ask
from tests.support.spans import json_bytes, make_request, make_span

MODELS = (("anthropic", "claude-sonnet-4-5"), ("openai", "gpt-4o-mini"), ("google", "gemini-2.0-flash"))
REQUEST_TIMEOUT_S = 20


class Batch(NamedTuple):
    """One request to a door, and the ids the server stores its operations under."""

    path: str
    headers: dict[str, str]
    body: bytes
    operation_ids: tuple[str, ...]


def native_batch(rng: random.Random, size: int, started_at_us: int) -> Batch:
    """`size` operations for the native JSON door, as gzipped NDJSON every other time."""
    rows = [_native_operation(rng, started_at_us + index * 1000) for index in range(size)]
    ids = tuple(str(row["operation_id"]) for row in rows)
    if rng.random() < 0.5:
        return Batch("/api/v1/operations", {"Content-Type": "application/json"}, json.dumps(rows).encode(), ids)
    lines = "\n".join(json.dumps(row) for row in rows).encode()
    headers = {"Content-Type": "application/x-ndjson", "Content-Encoding": "gzip"}
    return Batch("/api/v1/operations", headers, gzip.compress(lines, 1), ids)


def _native_operation(rng: random.Random, started_at_us: int) -> dict[str, object]:
    provider, model = rng.choice(MODELS)
    return {
        "operation_id": f"{rng.getrandbits(128):032x}",
        "kind": "llm",
        "name": f"chat {model}",
        "started_at": started_at_us,
        "duration_ms": round(rng.lognormvariate(7, 0.6), 3),
        "status": "error" if rng.random() < 0.02 else "ok",
        "project": f"project-{rng.randrange(5)}",
        "session_id": f"session-{rng.randrange(50)}",
        "provider": provider,
        "model": model,
        "input_tokens": rng.randrange(50, 6000),
        "output_tokens": rng.randrange(5, 900),
        "reported_usd": f"0.{rng.randrange(10**9):09d}",
    }


def otlp_batch(rng: random.Random, size: int, started_at_us: int) -> Batch:
    """`size` spans for the OTLP door, as protobuf."""
    request = ExportTraceServiceRequest()
    scope = request.resource_spans.add().scope_spans.add()
    ids: list[str] = []
    for index in range(size):
        provider, model = rng.choice(MODELS)
        span = scope.spans.add(
            trace_id=rng.getrandbits(128).to_bytes(16, "big"),
            span_id=rng.getrandbits(64).to_bytes(8, "big"),
            name=f"chat {model}",
            start_time_unix_nano=(started_at_us + index * 1000) * 1000,
            end_time_unix_nano=(started_at_us + index * 1000) * 1000 + round(rng.lognormvariate(20, 0.6)),
        )
        for key, text in (
            ("gen_ai.operation.name", "chat"),
            ("gen_ai.provider.name", provider),
            ("gen_ai.request.model", model),
        ):
            span.attributes.add(key=key).value.string_value = text
        for key, number in (
            ("gen_ai.usage.input_tokens", rng.randrange(50, 6000)),
            ("gen_ai.usage.output_tokens", rng.randrange(5, 900)),
        ):
            span.attributes.add(key=key).value.int_value = number
        ids.append(span.trace_id.hex()[:16] + span.span_id.hex())
    return Batch("/v1/traces", {"Content-Type": "application/x-protobuf"}, request.SerializeToString(), tuple(ids))


class Crowd:
    """Clients that send without a pause, one thread and connection each, until the server dies or `stop`.

    A batch counts as acknowledged only when its answer was 200. One whose answer never came is sent again
    when the clients are next started, as a real client would: it must then be stored once, whether or not it
    was stored before. Each client's batches come from its own iterator, which only its own thread touches.
    """

    def __init__(self, port: int, sources: list[Iterator[Batch]]) -> None:
        self._port = port
        self._sources = sources
        self._unanswered: dict[int, Batch] = {}
        self._threads: list[threading.Thread] = []
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self.acknowledged: list[str] = []
        self.busy_answers = 0
        self.unexpected: list[str] = []
        self.first_answer = threading.Event()

    def start(self) -> None:
        """Let every client send."""
        self._stop.clear()
        self.first_answer.clear()
        self._threads = [threading.Thread(target=self._client, args=(index,)) for index in range(len(self._sources))]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Let every client finish its request, or notice that the server is gone."""
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def unanswered(self) -> set[str]:
        """Ids that were sent and of which nothing is known."""
        return {operation_id for batch in self._unanswered.values() for operation_id in batch.operation_ids}

    def _client(self, index: int) -> None:
        connection = http.client.HTTPConnection(HOST, self._port, timeout=REQUEST_TIMEOUT_S)
        try:
            while not self._stop.is_set():
                batch = self._unanswered.pop(index, None) or next(self._sources[index])
                self._unanswered[index] = batch
                answer = ask(connection, "POST", batch.path, batch.body, batch.headers)
                if answer.status == 503:
                    self.busy_answers += 1
                    self._stop.wait(float(answer.headers["retry-after"]))
                    continue
                del self._unanswered[index]
                self._note(batch, answer.status, answer.body)
        except (OSError, http.client.HTTPException):
            return
        finally:
            connection.close()

    def _note(self, batch: Batch, status: int, body: bytes) -> None:
        with self._lock:
            if status == 200:
                self.acknowledged.extend(batch.operation_ids)
            else:
                self.unexpected.append(f"{batch.path}: {status} {body[:300]!r}")
        self.first_answer.set()


def endless(
    make: Callable[[random.Random, int, int], Batch], seed: int, size: int, started_at_us: int
) -> Iterator[Batch]:
    """Batches of random ids around one moment, the same for the same seed."""
    rng = random.Random(seed)
    while True:
        yield make(rng, size, started_at_us + rng.randrange(3600) * 1_000_000)


def native_row(operation: Operation) -> dict[str, Any]:
    """An operation as a client sends it natively."""
    return json.loads(as_line(operation))


def otlp_span(operation: Operation) -> Span:
    """An operation as a span; its id is made of the ids of trace and span (16 digits each)."""
    known: dict[str, Any] = {
        "gen_ai.operation.name": "chat" if operation.model else None,
        "gen_ai.provider.name": operation.provider,
        "gen_ai.request.model": operation.model,
        "gen_ai.usage.input_tokens": operation.input_tokens,
        "gen_ai.usage.output_tokens": operation.output_tokens,
    }
    assert operation.trace_id is not None and operation.span_id is not None
    return make_span(
        operation.name,
        {key: value for key, value in known.items() if value is not None},
        trace_id=bytes.fromhex(operation.trace_id),
        span_id=bytes.fromhex(operation.span_id),
        start_ns=operation.started_at * 1000,
        duration_ms=operation.duration_ms or 0.0,
        status=2 if operation.status == "error" else 1,
    )


def otlp_spans_batch(spans: Sequence[Span], *, as_json: bool) -> Batch:
    """Spans as one export request."""
    ids = tuple(span.trace_id.hex()[:16] + span.span_id.hex() for span in spans)
    request = make_request(*spans)
    if as_json:
        return Batch("/v1/traces", {"Content-Type": "application/json"}, json_bytes(request), ids)
    return Batch("/v1/traces", {"Content-Type": "application/x-protobuf"}, request.SerializeToString(), ids)


def litellm_call(operation: Operation) -> dict[str, object]:
    """A call to a model as LiteLLM's `generic_api` callback tells it."""
    failed = operation.status == "error"
    start_s = operation.started_at / 1e6
    return {
        "id": operation.operation_id,
        "litellm_call_id": operation.operation_id,
        "call_type": "acompletion",
        "status": "failure" if failed else "success",
        "startTime": start_s,
        "endTime": start_s + (operation.duration_ms or 0.0) / 1000,
        "model": operation.model,
        "custom_llm_provider": operation.provider,
        "prompt_tokens": operation.input_tokens or 0,
        "completion_tokens": operation.output_tokens or 0,
        "total_tokens": (operation.input_tokens or 0) + (operation.output_tokens or 0),
        "response_cost": 0,
    }

#!/usr/bin/env python3
"""What recording one operation with ten attributes costs the host: µs of CPU in the calling thread, and in the whole
process until delivered over HTTP; beside a hand-written span (the floor) and OpenTelemetry's SDK.

    python -m bench.sdk_overhead [--ops 100000] [--repeats 5] [--rate 0] [--otel-python VENV/bin/python]

Each line is one fresh process that sends to a server which reads and forgets. `--rate 20000` paces the loop instead
of running it flat out. OpenTelemetry is measured when `opentelemetry-sdk` and `opentelemetry-exporter-otlp-proto-http`
are importable by this Python or by `--otel-python`. Figures are medians over the repeats.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable
from contextvars import ContextVar
from pathlib import Path
from typing import Any

try:
    from bench.figure import Figure, report
except ImportError:  # as a child, which measures and prints JSON, perhaps under a Python that has only OpenTelemetry
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

OPENTELEMETRY = {"caller_cpu_us": 46.9, "process_cpu_us_flushed": 106.7}
"""Its figures on a machine of 2 virtual cores under Debian 12, by the same method; used when it is not installed."""
ATTRIBUTES = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4o-mini",
    "gen_ai.response.model": "gpt-4o-mini-2024-07-18",
    "gen_ai.usage.input_tokens": 1234,
    "gen_ai.usage.output_tokens": 56,
    "gen_ai.request.temperature": 0.2,
    "gen_ai.response.id": "chatcmpl-abc123",
    "session.id": "sess-1",
    "user.id": "user-1",
}
Subject = tuple[Callable[[], None], Callable[[], object], Callable[[], int] | None]
"""What to repeat, how to flush, and how many were delivered so far."""


def floor(endpoint: str, operations: int) -> Subject:
    """The least a real span can do: parent, ids, a dict of ten, an append. Delivers nothing."""
    current: ContextVar[Span | None] = ContextVar("current", default=None)
    finished: deque[Span] = deque()
    now, bits = time.perf_counter_ns, random.getrandbits

    class Span:
        __slots__ = ("attributes", "end", "id", "name", "parent", "start", "token", "trace")

        def __init__(self, name, attributes):
            self.name, self.attributes = name, attributes

        def __enter__(self):
            parent = self.parent = current.get()
            self.trace = parent.trace if parent else bits(128)
            self.id = bits(64)
            self.token = current.set(self)
            self.start = now()
            return self

        def __exit__(self, *_):
            self.end = now()
            current.reset(self.token)
            self.token = None
            finished.append(self)

    def one() -> None:
        with Span("chat", dict(ATTRIBUTES)):
            pass

    return one, finished.clear, None


def _ours(endpoint: str, one: Callable[[], None]) -> Subject:
    from ralex_core.monitoring import configure, flush, stats

    configure(endpoint, spool_dir=Path(tempfile.mkdtemp(prefix="sdk_overhead_")))
    return one, lambda: flush(600), lambda: stats().delivered


def ours(endpoint: str, operations: int) -> Subject:
    """Ten attributes in one mapping."""
    from ralex_core.monitoring import operation

    def one() -> None:
        with operation("chat gpt-4o-mini", "llm", ATTRIBUTES):
            pass

    return _ours(endpoint, one)


def ours_keywords(endpoint: str, operations: int) -> Subject:
    """Ten keywords: fields of the operation and attributes mixed."""
    from ralex_core.monitoring import operation

    def one() -> None:
        with operation(
            "chat gpt-4o-mini",
            "llm",
            provider="openai",
            requested_model="gpt-4o-mini",
            model="gpt-4o-mini-2024-07-18",
            input_tokens=1234,
            output_tokens=56,
            temperature=0.2,
            provider_request_id="chatcmpl-abc123",
            session_id="sess-1",
            user_id="user-1",
            feature="edit",
        ):
            pass

    return _ours(endpoint, one)


def ours_one_by_one(endpoint: str, operations: int) -> Subject:
    """Ten attributes set one after the other while the operation runs, as OpenTelemetry's are below."""
    from ralex_core.monitoring import operation

    def one() -> None:
        with operation("chat gpt-4o-mini", "llm") as op:
            attributes = op.attributes
            for key, value in ATTRIBUTES.items():
                attributes[key] = value

    return _ours(endpoint, one)


def ours_usage(endpoint: str, operations: int) -> Subject:
    """The documented way to record a model call: keywords, then usage, cost and outcome."""
    from ralex_core.monitoring import operation

    def one() -> None:
        with operation("chat", "llm", provider="openai", model="gpt-4o-mini", session_id="s", user_id="u") as op:
            op.usage(input_tokens=1234, output_tokens=56, cache_read_tokens=1000)
            op.cost(reported_usd=0.0004)
            op.outcome("accepted")

    return _ours(endpoint, one)


def ours_tracked(endpoint: str, operations: int) -> Subject:
    """A decorated function, ten attributes."""
    from ralex_core.monitoring import track

    @track("chat gpt-4o-mini", "llm", ATTRIBUTES)
    def one() -> None:
        pass

    return _ours(endpoint, one)


def opentelemetry(endpoint: str, operations: int) -> Subject:
    """OpenTelemetry's SDK, batch processor and OTLP/HTTP exporter, with a queue large enough to drop nothing."""
    return _opentelemetry(endpoint, max_queue_size=operations * 2, max_export_batch_size=512)


def opentelemetry_default(endpoint: str, operations: int) -> Subject:
    """The same with its default queue of 2,048 spans."""
    return _opentelemetry(endpoint)


def _opentelemetry(endpoint: str, **options: int) -> Subject:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    delivered = 0

    class Counting(OTLPSpanExporter):
        def export(self, spans):
            nonlocal delivered
            delivered += len(spans)
            return super().export(spans)

    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(Counting(endpoint=endpoint + "/v1/traces"), **options))
    tracer = provider.get_tracer("bench")

    def one() -> None:
        with tracer.start_as_current_span("chat gpt-4o-mini") as span:
            for key, value in ATTRIBUTES.items():
                span.set_attribute(key, value)

    return one, lambda: provider.force_flush(600_000), lambda: delivered


SUBJECTS = [floor, ours, ours_keywords, ours_one_by_one, ours_usage, ours_tracked, opentelemetry, opentelemetry_default]


def measure(
    subject: Callable[[str, int], Subject], endpoint: str, operations: int, repeats: int, rate: float
) -> dict[str, Any]:
    """Run in this process; µs of CPU per operation."""
    one, flush, delivered = subject(endpoint, operations)
    for _ in range(2000):
        one()
    flush()
    delivered_before = delivered() if delivered else 0
    caller, flushed = [], []
    for _ in range(repeats):
        gc.collect()
        process_start, thread_start = time.process_time_ns(), time.thread_time_ns()
        if rate:
            _paced(one, operations, rate)
        else:
            for _ in range(operations):
                one()
        caller.append((time.thread_time_ns() - thread_start) / operations / 1e3)
        flush()
        flushed.append((time.process_time_ns() - process_start) / operations / 1e3)
    share = (delivered() - delivered_before) / (operations * repeats) if delivered else None
    return {
        "caller_cpu_us": round(statistics.median(caller), 2),
        "caller_cpu_us_min": round(min(caller), 2),
        "process_cpu_us_flushed": round(statistics.median(flushed), 2),
        "delivered_share": share,
        "rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }


def _paced(one: Callable[[], None], operations: int, rate: float) -> None:
    due = time.perf_counter()
    for number in range(1, operations + 1):
        one()
        if number % 100 == 0:
            due += 100 / rate
            wait = due - time.perf_counter()
            if wait > 0:
                time.sleep(wait)


class _Sink(asyncio.Protocol):
    """Reads any HTTP/1.1 request to its end and answers 200 with nothing."""

    def connection_made(self, transport):
        self.transport, self.buffer = transport, bytearray()

    def data_received(self, data):
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            head = bytes(self.buffer[:end]).lower()
            at = head.find(b"content-length:")
            length = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
            if len(self.buffer) < end + 4 + length:
                return
            del self.buffer[: end + 4 + length]
            self.transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")


async def serve_sink() -> None:
    """Serve on a free port of loopback, print the port, run until killed."""
    server = await asyncio.get_running_loop().create_server(_Sink, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def run(arguments: list[str] | None = None) -> list[Figure]:
    parser = argparse.ArgumentParser(
        prog="python -m bench.sdk_overhead", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--ops", type=int, default=100_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--rate", type=float, default=0, help="operations per second; 0 runs flat out")
    parser.add_argument("--only", action="append", help="a subject to measure; may be given again")
    parser.add_argument("--otel-python", default=sys.executable, help="a Python that can import OpenTelemetry")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args(arguments)
    subjects = [subject.__name__ for subject in SUBJECTS if not given.only or subject.__name__ in given.only]
    if not _has_opentelemetry(given.otel_python):
        subjects = [name for name in subjects if not name.startswith("opentelemetry")]
        print("OpenTelemetry is not installed here. To measure it too, in any virtual environment:")
        print("  pip install opentelemetry-sdk opentelemetry-exporter-otlp-proto-http")
        print("and give its Python as --otel-python. Compared with its published figures below.")
    results: dict[str, dict[str, Any]] = {}
    with subprocess.Popen(_child(sys.executable, "--serve-sink"), stdout=subprocess.PIPE, text=True) as sink:
        try:
            assert sink.stdout is not None
            shared = ["--endpoint", f"http://127.0.0.1:{int(sink.stdout.readline())}", "--ops", str(given.ops)]
            shared += ["--repeats", str(given.repeats), "--rate", str(given.rate)]
            print(f"{'µs of CPU per operation':24}{'caller':>9}{'(min)':>9}{'delivered':>11}{'share':>8}{'RSS MB':>8}")
            for name in subjects:
                python = given.otel_python if name.startswith("opentelemetry") else sys.executable
                results[name] = _measured(_child(python, "--which", name, *shared))
                _print(name, results[name])
        finally:
            sink.kill()
    figures = _figures(results)
    report(figures, given.json)
    return figures


def _child(python: str, *arguments: str) -> list[str]:
    return [python, str(Path(__file__).resolve()), *arguments]


def _has_opentelemetry(python: str) -> bool:
    code = "import opentelemetry.sdk.trace, opentelemetry.exporter.otlp.proto.http.trace_exporter"
    return subprocess.run([python, "-c", code], capture_output=True).returncode == 0


def _measured(command: list[str]) -> dict[str, Any]:
    answer = subprocess.run(command, capture_output=True, text=True)
    if answer.returncode:
        raise SystemExit(answer.stderr)
    return json.loads(answer.stdout)


def _print(name: str, result: dict[str, Any]) -> None:
    share = "" if result["delivered_share"] is None else f"{result['delivered_share']:.4f}"
    print(
        f"{name:24}{result['caller_cpu_us']:9.2f}{result['caller_cpu_us_min']:9.2f}"
        f"{result['process_cpu_us_flushed']:11.2f}{share:>8}{result['rss_mb']:8}",
        flush=True,
    )


def _figures(results: dict[str, dict[str, Any]]) -> list[Figure]:
    """Ours beside OpenTelemetry, measured in this run where it could be."""
    theirs = results.get("opentelemetry", OPENTELEMETRY)
    named = "OpenTelemetry" if "opentelemetry" in results else "OpenTelemetry, measured before"
    columns = {"caller_cpu_us": "in the calling thread", "process_cpu_us_flushed": "until delivered"}
    ways = {"ours": "mapping", "ours_keywords": "keywords", "ours_usage": "usage, cost, outcome"}
    return [
        Figure(f"SDK, one operation, {way}: {where}", results[name][column], "µs CPU", theirs[column], named)
        for name, way in ways.items()
        if name in results
        for column, where in columns.items()
    ]


def main() -> None:
    """As a child: serve the sink, or measure one subject in this process. Otherwise run the bench."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--serve-sink", action="store_true")
    parser.add_argument("--which")
    parser.add_argument("--endpoint")
    parser.add_argument("--ops", type=int)
    parser.add_argument("--repeats", type=int)
    parser.add_argument("--rate", type=float)
    given, _ = parser.parse_known_args()
    if given.serve_sink:
        asyncio.run(serve_sink())
    elif given.which:
        subject = next(subject for subject in SUBJECTS if subject.__name__ == given.which)
        print(json.dumps(measure(subject, given.endpoint, given.ops, given.repeats, given.rate)), flush=True)
        os._exit(0)
    else:
        run()


if __name__ == "__main__":
    main()

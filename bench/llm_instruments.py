#!/usr/bin/env python3
"""What the instruments of model clients cost the caller: µs of CPU per call and per chunk of a stream.

    python -m bench.llm_instruments [--rounds 30] [--calls 30] [--chunks 200] [--otel-packages DIR]

The real SDKs of OpenAI and Anthropic, over a transport that answers from memory, so that nothing but the SDK and the
instrument is measured. In every round each variant runs once, in an order that changes: without an instrument, with
ours, and (OpenAI) with OpenTelemetry's, which hands its spans to a batch processor whose exporter drops them; ours go
to a sink that drops them. A figure is the least of all rounds less the least without an instrument: what else the
machine does can only add to it. On a busy machine the difference of a chunk drowns in the noise. OpenTelemetry is
measured when it is importable, or lies in `--otel-packages` (`pip install --target DIR
opentelemetry-instrumentation-openai-v2 'opentelemetry-util-genai<1.2'`: 2.4b0 does not load with a later one).
"""

from __future__ import annotations

import argparse
import gc
import importlib
import json
import random
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import anthropic
import httpx
import httpx2
import openai

from bench.figure import Figure, report
from ralex_core.monitoring import configure, instrument
from tests.support.model_server import DONE, FINISH, OPENING, chat, chunk, message, message_stream, usage_chunk

ASK = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hello"}]}
ASK_CLAUDE = {"model": "claude-sonnet-4-6", "max_tokens": 9, "messages": [{"role": "user", "content": "hello"}]}
Work = Callable[[], None]


def _events(events: list[Any]) -> bytes:
    lines: list[str] = []
    for event in events:
        named = f"event: {event['type']}\n" if isinstance(event, dict) and "type" in event else ""
        lines.append(f"{named}data: {event if isinstance(event, str) else json.dumps(event)}\n\n")
    return "".join(lines).encode()


def _client(make: Any, library: Any, whole: Any, streamed: bytes) -> Any:
    """A client whose every request is answered at once: as a stream when the request asks for one."""
    one = json.dumps(whole).encode()

    def answer(request: Any) -> Any:
        if b'"stream":true' in request.content:
            return library.Response(200, headers={"content-type": "text/event-stream"}, content=streamed)
        return library.Response(200, headers={"content-type": "application/json"}, content=one)

    http_client = library.Client(transport=library.MockTransport(answer))
    return make(api_key="k", base_url="http://models.example/v1", http_client=http_client)


def openai_work(calls: int, chunks: int) -> dict[str, tuple[Work, int]]:
    """What to repeat, and of how many units one repetition consists."""
    words = [chunk({"content": "word "}) for _ in range(chunks)]
    streamed = _events([OPENING, *words, FINISH, usage_chunk(), DONE])
    library = httpx if "httpx2" not in (openai.DefaultHttpxClient.__mro__[1].__module__) else httpx2
    client = _client(openai.OpenAI, library, chat(), streamed)

    def call() -> None:
        for _ in range(calls):
            client.chat.completions.create(**ASK)

    def stream() -> None:
        for _ in client.chat.completions.create(**ASK, stream=True, stream_options={"include_usage": True}):
            pass

    return {"a call": (call, calls), "a chunk of a stream": (stream, chunks)}


def anthropic_work(calls: int, chunks: int) -> dict[str, tuple[Work, int]]:
    begin, delta, end = message_stream()[:3], message_stream()[3], message_stream()[6:]
    streamed = _events([*begin, *[delta] * chunks, *end])
    client = _client(anthropic.Anthropic, httpx2, message(), streamed)

    def call() -> None:
        for _ in range(calls):
            client.messages.create(**ASK_CLAUDE)

    def stream() -> None:
        for _ in client.messages.create(**ASK_CLAUDE, stream=True):
            pass

    return {"a call": (call, calls), "a chunk of a stream": (stream, chunks)}


@contextmanager
def by_opentelemetry() -> Iterator[None]:
    from opentelemetry.instrumentation.openai_v2 import OpenAIInstrumentor
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

    class Dropping(SpanExporter):
        def export(self, spans: Any) -> Any:
            return SpanExportResult.SUCCESS

    if not _providers:
        provider = TracerProvider()
        provider.add_span_processor(BatchSpanProcessor(Dropping(), max_queue_size=100_000))
        _providers.append(provider)
    OpenAIInstrumentor().instrument(tracer_provider=_providers[0])
    try:
        yield
    finally:
        OpenAIInstrumentor().uninstrument()


_providers: list[Any] = []


def measure(variants: dict[str, Callable[[], Any]], work: Work, units: int, rounds: int) -> dict[str, float]:
    """µs of the caller's CPU per unit: of the first variant as it is, of the others what they take longer."""
    took: dict[str, list[float]] = {name: [] for name in variants}
    order = list(variants)
    shuffle = random.Random(1).shuffle
    for _ in range(rounds):
        shuffle(order)
        for name in order:
            with variants[name]():
                work()  # what an instrument prepares once
                gc.collect()
                began = time.thread_time_ns()
                work()
                took[name].append((time.thread_time_ns() - began) / units / 1e3)
    first, *others = variants
    least = {name: min(times) for name, times in took.items()}
    return {first: least[first]} | {name: least[name] - least[first] for name in others}


def run(arguments: list[str] | None = None) -> list[Figure]:
    parser = argparse.ArgumentParser(
        prog="python -m bench.llm_instruments",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--calls", type=int, default=30, help="calls in one measurement")
    parser.add_argument("--chunks", type=int, default=200, help="chunks of a stream")
    parser.add_argument("--otel-packages", type=Path, help="a directory to import OpenTelemetry from")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args(arguments)
    if given.otel_packages:
        sys.path.insert(0, str(given.otel_packages))
    configure(sink=lambda operations: None)
    figures: list[Figure] = []
    ours: dict[str, Callable[[], Any]] = {"plain": nullcontext}
    for name, works, variants in (
        ("OpenAI", openai_work, {**ours, "ours": instrument.openai, **_peer()}),
        ("Anthropic", anthropic_work, {**ours, "ours": instrument.anthropic}),
    ):
        for what, (work, units) in works(given.calls, given.chunks).items():
            found = measure(variants, work, units, given.rounds)
            share = found["ours"] / found["plain"]
            print(f"{name}, {what}: the SDK itself {found['plain']:.1f} µs, {share:.1%} of it on top")
            theirs = found.get("opentelemetry")
            figures.append(
                Figure(f"{name} client, {what}: instrument", found["ours"], "µs CPU", theirs, "OpenTelemetry")
            )
    report(figures, given.json)
    return figures


def _peer() -> dict[str, Callable[[], Any]]:
    try:
        importlib.import_module("opentelemetry.instrumentation.openai_v2")
    except ImportError:
        print("OpenTelemetry's instrumentation is not installed: see --help")
        return {}
    return {"opentelemetry": by_opentelemetry}


if __name__ == "__main__":
    run()

"""What it costs to read spans: protobuf and JSON into operations, beside protobuf into plain dictionaries."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from bench.figure import Figure, report
from bench.reference import script
from ralex_core.collection.otlp import decode_traces
from ralex_core.collection.otlp_json import decode_json_traces


def requests(spans: int, batch: int) -> tuple[list[bytes], list[bytes]]:
    """The load script's own spans, as protobuf and as JSON."""
    sys.path.insert(0, str(script("otlp_load.py").parent))
    import otlp_load  # pyright: ignore[reportMissingImports]

    built: Any = otlp_load.build_batches(spans, batch, "genai", 0, 1, "bench")  # pyright: ignore[reportUnknownMemberType]
    protobuf = [otlp_load.encode(request, "protobuf") for request, _ in built]  # pyright: ignore[reportUnknownMemberType]
    return protobuf, [otlp_load.encode(request, "json") for request, _ in built]  # pyright: ignore[reportUnknownMemberType]


def to_dictionaries(body: bytes) -> list[dict[str, Any]]:
    """The least a Python receiver does: every attribute of every span in a dictionary."""
    found: list[dict[str, Any]] = []
    for resource_spans in ExportTraceServiceRequest.FromString(body).resource_spans:
        for scope_spans in resource_spans.scope_spans:
            for span in scope_spans.spans:
                attributes: dict[str, Any] = {}
                for pair in span.attributes:
                    value = pair.value
                    which = value.WhichOneof("value")
                    attributes[pair.key] = getattr(value, which) if which else None
                found.append(attributes)
    return found


def us_per_span(work: Callable[[bytes], object], bodies: Sequence[bytes], batch: int, repeats: int) -> float:
    """CPU of this thread for one span, in the fastest of all batches: what the code costs when nothing disturbs it."""
    best = float("inf")
    for _ in range(repeats):
        for body in bodies:
            began = time.thread_time()
            work(body)
            best = min(best, time.thread_time() - began)
    return best * 1e6 / batch


def run(arguments: list[str] | None = None) -> list[Figure]:
    parser = argparse.ArgumentParser(prog="python -m bench.otlp_decode", description=__doc__)
    parser.add_argument("--batch", type=int, default=512)
    parser.add_argument("--batches", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args(arguments)
    protobuf, json = requests(given.batch * given.batches, given.batch)

    def cost(work: Callable[[bytes], object], bodies: Sequence[bytes]) -> float:
        return us_per_span(work, bodies, given.batch, given.repeats)

    floor = cost(to_dictionaries, protobuf)
    reference = "attributes into a dictionary, nothing else"
    figures = [
        Figure("protobuf span into an operation, CPU", cost(decode_traces, protobuf), "µs", floor, reference),
        Figure("JSON span into an operation, CPU", cost(decode_json_traces, json), "µs", floor, reference),
    ]
    report(figures, given.json)
    return figures


if __name__ == "__main__":
    run()

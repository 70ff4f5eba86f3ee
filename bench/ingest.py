"""How fast spans are taken in, committed and queryable, and what that costs; none may be lost or doubled.

The load comes from `otlp_load.py`: realistic GenAI spans, built before the clock starts, over four connections. Before
and after each run the same spans are read into plain dictionaries, the least a receiver in Python does: that tells how
fast the machine is at the time, and what the figures are at the speed of the one that measured the peers.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from bench import peers
from bench.figure import Figure, median, report
from bench.machine import Machine
from bench.reference import measured
from tests.support.server import running
from tests.support.stored import stored_ids

SPANS_PER_S, CPU_S_PER_1K_SPANS = 20_000, 0.06
_COUNT = "import sys, json, urllib.request as r; print(json.load(r.urlopen(sys.argv[1]))['operations'])"


def once(spans: int, batch: int, connections: int, encoding: str) -> dict[str, float]:
    """Send spans to a new server with an empty store; the load script's own figures.

    Raises:
        SystemExit: a span was refused, lost or stored twice.
    """
    with tempfile.TemporaryDirectory(prefix="ralex-bench-") as directory, running(Path(directory) / "home") as server:
        result = measured(
            "otlp_load.py",
            *("--url", f"{server.url}/v1/traces", "--spans", str(spans), "--batch", str(batch)),
            *("--concurrency", str(connections), "--encoding", encoding, "--pid", str(server.pid)),
            *("--db", str(server.home / "telemetry.duckdb*"), "--retry", "20"),
            *("--count-cmd", f"'{sys.executable}' -c \"{_COUNT}\" {server.url}/api/v1/status"),
        )
        if server.stop() != 0:
            raise SystemExit(f"The server did not end cleanly:\n{server.log()}")
        result["file_bytes_per_span"] = (server.home / "telemetry.duckdb").stat().st_size / spans
        stored = stored_ids(server.home)
    if len(stored) != spans or sum(stored.values()) != spans or result["accepted"] != spans:
        raise SystemExit(
            f"{spans} spans were sent, {result['accepted']} acknowledged, {sum(stored.values())} stored, "
            f"{len(stored)} of them different: {result}"
        )
    return result


def run(arguments: list[str] | None = None) -> list[Figure]:
    parser = argparse.ArgumentParser(prog="python -m bench.ingest", description=__doc__)
    parser.add_argument("--spans", type=int, default=200_000)
    parser.add_argument("--batch", type=int, default=512)
    parser.add_argument("--connections", type=int, default=4)
    parser.add_argument("--encoding", choices=["protobuf", "json"], default="protobuf")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args(arguments)
    machine = Machine()
    runs: list[dict[str, float]] = []
    for _ in range(given.repeats):
        before = machine.dictionary_s_per_1k_spans()
        found = once(given.spans, given.batch, given.connections, given.encoding)
        found["dictionary_s"] = (before + machine.dictionary_s_per_1k_spans()) / 2
        slower = found["dictionary_s"] / peers.DICTIONARY_S_PER_1K_SPANS
        found["queryable_there"] = found["queryable_per_s"] * slower
        found["cpu_s_there"] = found["cpu_s_per_1k_spans"] / slower
        runs.append(found)

    def middle(name: str) -> float:
        return median([found[name] for found in runs])

    kind = f"OTLP {given.encoding}"
    figures = [
        Figure(
            f"{kind}, queryable",
            middle("queryable_per_s"),
            "spans/s",
            peers.MLFLOW_SPANS_PER_S,
            peers.MLFLOW,
            more_is_better=True,
        ),
        Figure(f"{kind}, acknowledged (each after its commit)", middle("accepted_per_s"), "spans/s"),
        Figure(
            f"{kind}, server CPU per 1,000 spans",
            middle("cpu_s_per_1k_spans"),
            "s",
            peers.MLFLOW_CPU_S_PER_1K_SPANS,
            peers.MLFLOW,
        ),
        Figure(
            f"{kind}, the spans into dictionaries and nothing else, CPU",
            middle("dictionary_s"),
            "s",
            peers.DICTIONARY_S_PER_1K_SPANS,
            "the peers' machine",
        ),
        Figure(
            f"{kind}, queryable, at the speed of the peers' machine",
            middle("queryable_there"),
            "spans/s",
            SPANS_PER_S,
            "the limit",
            more_is_better=True,
        ),
        Figure(
            f"{kind}, server CPU, at the speed of the peers' machine",
            middle("cpu_s_there"),
            "s",
            CPU_S_PER_1K_SPANS,
            "the limit",
        ),
        Figure(f"{kind}, slowest batch", middle("batch_ms_max"), "ms"),
        Figure(f"{kind}, peak RSS", middle("rss_peak_mb"), "MB", peers.MLFLOW_RSS_MB, peers.MLFLOW),
        Figure(
            f"{kind}, file per span",
            middle("file_bytes_per_span"),
            "bytes",
            peers.MLFLOW_BYTES_PER_SPAN,
            peers.MLFLOW,
        ),
    ]
    report(figures, given.json)
    return figures


if __name__ == "__main__":
    run()

#!/usr/bin/env python3
"""What all instruments cost a FastAPI endpoint with two SQLite queries under load, beside OpenTelemetry's.

    python -m bench.instruments [--rounds 30] [--slice 0.5] [--otel-packages DIR]

The same application (`bench/instrumented_app.py`) runs in one uvicorn process per variant: as it is, with
`instrument.all()` delivering to a sink process, and with OpenTelemetry's instrumentation for FastAPI and sqlite3, its
batch processor and OTLP/HTTP exporter to the same sink. The variants take turns, a slice of load each, in an order that
changes every round; a round gives one ratio, and the figures are medians over the rounds. Servers and the load run on
different cores where there are two. OpenTelemetry is measured when it is importable, or lies in `--otel-packages`
(`pip install --target DIR opentelemetry-instrumentation-fastapi opentelemetry-instrumentation-sqlite3
opentelemetry-sdk opentelemetry-exporter-otlp-proto-http`).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from bench.figure import Figure, report

ROOT = Path(__file__).resolve().parent.parent
CONNECTIONS = 8
USERS = 100


class Client(asyncio.Protocol):
    """One keep-alive connection that asks again as soon as it is answered."""

    def __init__(self, until: float, seed: int) -> None:
        self.until, self.answers, self.failures, self.latencies = until, 0, 0, []
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.random = random.Random(seed)
        self.buffer = bytearray()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.ask()

    def ask(self) -> None:
        user = self.random.randrange(USERS)
        self.asked = time.perf_counter()
        self.transport.write(
            b"GET /users/%d/tasks HTTP/1.1\r\nhost: localhost\r\nuser-agent: Mozilla/5.0 (X11; Linux x86_64) "
            b"AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0 Safari/537.36\r\naccept: */*\r\n\r\n" % user
        )

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        end = self.buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        at = self.buffer.find(b"content-length: ")
        if len(self.buffer) < end + 4 + int(self.buffer[at + 16 : self.buffer.find(b"\r", at)]):
            return
        self.failures += not self.buffer.startswith(b"HTTP/1.1 200")
        self.buffer.clear()
        self.answers += 1
        now = time.perf_counter()
        self.latencies.append(now - self.asked)
        if now < self.until:
            self.ask()
        else:
            self.transport.close()
            self.done.set_result(None)

    def connection_lost(self, error: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(error or ConnectionError("the server closed the connection"))


async def _load(port: int, seconds: float, seed: int) -> tuple[float, list[float]]:
    """Requests answered a second, and the seconds each took."""
    began = time.perf_counter()
    loop = asyncio.get_running_loop()
    clients = [
        (await loop.create_connection(lambda n=n: Client(began + seconds, seed * 100 + n), "127.0.0.1", port))[1]
        for n in range(CONNECTIONS)
    ]
    await asyncio.gather(*(client.done for client in clients))
    took = time.perf_counter() - began
    if sum(client.failures for client in clients):
        raise SystemExit("the application answered with errors")
    return sum(client.answers for client in clients) / took, [x for client in clients for x in client.latencies]


class Variant:
    """One server process and what was measured of it."""

    def __init__(self, name: str, sink: str, database: Path, packages: Path | None, cpu: int | None) -> None:
        self.name = name
        path = [str(ROOT)] if packages is None else [str(packages), str(ROOT)]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path), "RALEX_MONITOR_HOME": str(database.parent)}
        environment |= {"RALEX_MONITOR_ENDPOINT": sink, "OTEL_EXPORTER_OTLP_ENDPOINT": sink}
        environment |= {"FASTAPI_OTEL_AUTO_CONFIGURE": "false"}
        command = [sys.executable, "-m", "bench.instrumented_app", name, str(database)]
        self.process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True, cwd=ROOT)
        if cpu is not None:
            os.sched_setaffinity(self.process.pid, {cpu})
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())
        self.rates: list[float] = []
        self.cpu_us: list[float] = []

    def ask(self, path: str) -> Any:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=30) as answer:
            return json.load(answer)

    def turn(self, seconds: float, seed: int) -> None:
        before = self.ask("/used")["cpu_ns"]
        rate, latencies = asyncio.run(_load(self.port, seconds, seed))
        self.cpu_us.append((self.ask("/used")["cpu_ns"] - before) / len(latencies) / 1e3)
        self.rates.append(rate)


@contextmanager
def _sink(cpu: int | None) -> Iterator[str]:
    command = [sys.executable, str(ROOT / "bench" / "sdk_overhead.py"), "--serve-sink"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            if cpu is not None:
                os.sched_setaffinity(process.pid, {cpu})
            assert process.stdout is not None
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.kill()


def measure(names: list[str], rounds: int, seconds: float, packages: Path | None) -> dict[str, Variant]:
    """Run the variants in turns; the first round warms up and does not count."""
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    server_cpu, load_cpu = (cores[0], cores[-1]) if len(cores) > 1 else (None, None)
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench_instruments_")))
        sink = stack.enter_context(_sink(load_cpu))
        if load_cpu is not None:
            os.sched_setaffinity(0, {load_cpu})
            stack.callback(os.sched_setaffinity, 0, set(cores))
        variants: dict[str, Variant] = {}
        for name in names:
            home = directory / name
            home.mkdir()
            variant = Variant(name, sink, home / "app.db", packages if "opentelemetry" in name else None, server_cpu)
            stack.callback(variant.process.wait)
            stack.callback(variant.process.kill)
            variants[name] = variant
        order = list(variants.values())
        source = random.Random(7)
        for number in range(rounds + 1):
            source.shuffle(order)
            for variant in order:
                variant.turn(seconds, number)
            if number == 0:
                for variant in order:
                    variant.rates.clear()
                    variant.cpu_us.clear()
        for variant in order:
            print(f"  {variant.name}: {variant.ask('/delivered')}", flush=True)
    return variants


def _loss(plain: list[float], other: list[float]) -> float:
    """Share of throughput lost, the median over rounds; may be negative where it is lost in noise."""
    return 1 - statistics.median(b / a for a, b in zip(plain, other, strict=True))


def run(arguments: list[str] | None = None) -> list[Figure]:
    parser = argparse.ArgumentParser(
        prog="python -m bench.instruments", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--slice", type=float, default=0.5, help="seconds of load per variant and round")
    parser.add_argument("--only", action="append", help="a variant; may be given again")
    parser.add_argument("--otel-packages", type=Path, help="directory OpenTelemetry's packages were installed into")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args(arguments)
    names = given.only or ["plain", "instruments", "opentelemetry"]
    found = measure(names, given.rounds, given.slice, given.otel_packages)
    plain = found["plain"]
    for name, variant in found.items():
        cpu = statistics.median(variant.cpu_us)
        ratios = sorted(b / a - 1 for a, b in zip(plain.cpu_us, variant.cpu_us, strict=True))
        quarter = len(ratios) // 4
        print(
            f"{name:16}{statistics.median(variant.rates):9.0f} requests/s  {_loss(plain.rates, variant.rates):+7.2%} "
            f"lost{cpu:9.1f} µs CPU each  {statistics.median(ratios):+7.2%} "
            f"({ratios[quarter]:+.2%} to {ratios[-1 - quarter]:+.2%})"
        )
    figures: list[Figure] = []
    report(figures, given.json)
    return figures


if __name__ == "__main__":
    run()

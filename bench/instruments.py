#!/usr/bin/env python3
"""What all instruments cost a FastAPI endpoint with two SQLite queries under load, beside OpenTelemetry's.

    python -m bench.instruments [--rounds 25] [--starts 4] [--slice 0.3] [--otel-packages DIR]

The same application (`bench/instrumented_app.py`) runs in one uvicorn process per variant: as it is, with
`instrument.all()` delivering to a sink process, and with OpenTelemetry's instrumentation for FastAPI and sqlite3, its
batch processor and OTLP/HTTP exporter to the same sink. The variants take turns, a slice of load each, in an order that
changes every round; a round gives one ratio, and the figures are medians over the rounds, with the error of their mean.
Two processes of one program differ by some percent in speed for as long as they live. So our instruments are switched
on and off in one process, in turns, and compared with themselves; OpenTelemetry's, which cannot be taken out of an
application that runs, with the process that has none. All are started anew `--starts` times. `off`, beside `plain`,
tells how much of a difference between processes means nothing. Servers and the load run on different cores where there
are two. OpenTelemetry is measured when it is importable, or lies in `--otel-packages`
(`pip install --target DIR opentelemetry-instrumentation-fastapi opentelemetry-instrumentation-sqlite3
opentelemetry-sdk opentelemetry-exporter-otlp-proto-http`).
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
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
from typing import Any, NamedTuple

from bench.figure import Figure, report

ROOT = Path(__file__).resolve().parent.parent
CONNECTIONS = 8
USERS = 100
WARM_UP_S = 0.1
"""After switching, when connections are made anew."""
ON, OFF = "instruments", "off"
"""Two turns of one process."""
Results = dict[str, list[tuple[float, float]]]
"""Of each variant and round: requests a second, µs of CPU a request."""


class Client(asyncio.Protocol):
    """One keep-alive connection that asks again as soon as it is answered."""

    def __init__(self, until: float, seed: int) -> None:
        self.until, self.answers, self.failures = until, 0, 0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.random = random.Random(seed)
        self.buffer = bytearray()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.ask()

    def ask(self) -> None:
        user = self.random.randrange(USERS)
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
        if time.perf_counter() < self.until:
            self.ask()
        else:
            self.transport.close()
            self.done.set_result(None)

    def connection_lost(self, error: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(error or ConnectionError("the server closed the connection"))


async def _load(port: int, seconds: float, seed: int) -> tuple[float, int]:
    """Requests answered a second, and how many."""
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
    answers = sum(client.answers for client in clients)
    return answers / took, answers


class Variant:
    """One server process and what was measured of it."""

    def __init__(self, name: str, sink: str, database: Path, packages: Path | None, cpu: int | None) -> None:
        self.name = name
        path = [str(ROOT)] if packages is None else [str(packages), str(ROOT)]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path), "RALEX_MONITOR_HOME": str(database.parent)}
        environment |= {"RALEX_MONITOR_ENDPOINT": sink, "OTEL_EXPORTER_OTLP_ENDPOINT": sink}
        environment |= {"FASTAPI_OTEL_AUTO_CONFIGURE": "false", "PYTHONHASHSEED": "0"}
        command = [sys.executable, "-m", "bench.instrumented_app", name, str(database)]
        self.process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True, cwd=ROOT)
        if cpu is not None:
            os.sched_setaffinity(self.process.pid, {cpu})
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())

    def ask(self, path: str) -> Any:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=30) as answer:
            return json.load(answer)

    def switch(self, on: bool) -> None:
        self.ask(f"/switch/{int(on)}")
        asyncio.run(_load(self.port, WARM_UP_S, 0))

    def turn(self, seconds: float, seed: int) -> tuple[float, float]:
        """Requests answered a second, and µs of CPU each took in the server's process."""
        before = self.ask("/used")["cpu_ns"]
        rate, answers = asyncio.run(_load(self.port, seconds, seed))
        return rate, (self.ask("/used")["cpu_ns"] - before) / answers / 1e3


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


def measure(names: list[str], rounds: int, seconds: float, packages: Path | None, results: Results) -> None:
    """Start every variant and load them in turns; the first round warms up and does not count."""
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    server_cpu, load_cpu = (cores[0], cores[-1]) if len(cores) > 1 else (None, None)
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench_instruments_")))
        sink = stack.enter_context(_sink(load_cpu))
        if load_cpu is not None:
            os.sched_setaffinity(0, {load_cpu})
            stack.callback(os.sched_setaffinity, 0, set(cores))
        order: list[Variant] = []
        for name in names:
            if name == OFF:
                continue
            home = directory / name
            home.mkdir()
            variant = Variant(name, sink, home / "app.db", packages if "opentelemetry" in name else None, server_cpu)
            stack.callback(variant.process.wait)
            stack.callback(variant.process.kill)
            order.append(variant)
        source = random.Random(7)
        for number in range(rounds + 1):
            source.shuffle(order)
            for variant in order:
                turns = source.sample((ON, OFF), 2) if variant.name == ON else [variant.name]
                for name in turns:
                    if variant.name == ON:
                        variant.switch(name == ON)
                    rate, cpu_us = variant.turn(seconds, number)
                    if number:
                        results[name].append((rate, cpu_us))
        for variant in order:
            said = variant.ask("/delivered")
            if variant.name == "instruments" and said["recorded"] != said["delivered"]:
                raise SystemExit(f"operations were lost: {said}")


class Compared(NamedTuple):
    """Medians over rounds, below 0 in noise."""

    lost: float
    """Of throughput, in percent."""
    lost_error: float
    """The standard error of its mean."""
    added: float
    """CPU, in percent."""
    added_us: float


def _compared(plain: list[tuple[float, float]], other: list[tuple[float, float]]) -> Compared:
    pairs = list(zip(plain, other, strict=True))
    lost = [100 * (1 - b[0] / a[0]) for a, b in pairs]
    return Compared(
        statistics.median(lost),
        statistics.stdev(lost) / len(lost) ** 0.5,
        100 * (statistics.median(b[1] / a[1] for a, b in pairs) - 1),
        statistics.median(b[1] - a[1] for a, b in pairs),
    )


def _has_opentelemetry() -> bool:
    try:
        return importlib.util.find_spec("opentelemetry.instrumentation.fastapi") is not None
    except ModuleNotFoundError:
        return False


def run(arguments: list[str] | None = None) -> list[Figure]:
    parser = argparse.ArgumentParser(
        prog="python -m bench.instruments", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=25, help="of each start")
    parser.add_argument("--starts", type=int, default=4)
    parser.add_argument("--slice", type=float, default=0.3, help="seconds of load per variant and round")
    parser.add_argument("--otel-packages", type=Path, help="directory OpenTelemetry's packages were installed into")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args(arguments)
    names = ["plain", OFF, ON]
    if given.otel_packages or _has_opentelemetry():
        names.append("opentelemetry")
    else:
        print("OpenTelemetry's instrumentation is not here; see --help for how to measure it too.")
    results: Results = {name: [] for name in names}
    for _ in range(given.starts):
        measure(names, given.rounds, given.slice, given.otel_packages, results)
    found = {name: _compared(results[OFF if name == ON else "plain"], results[name]) for name in names}
    for name, rows in results.items():
        rate, cpu_us = (statistics.median(column) for column in zip(*rows, strict=True))
        its = found[name]
        print(
            f"{name:16}{rate:8.0f} requests/s, {its.lost:+6.1f} ± {its.lost_error:.1f} % lost;"
            f"{cpu_us:8.0f} µs CPU each, {its.added:+6.1f} %, {its.added_us:+6.0f} µs"
        )
    ours, theirs = found[ON], found.get("opentelemetry")
    limit = None if theirs is None else theirs.added_us / 5
    figures = [
        Figure("FastAPI and two queries, throughput lost to all instruments", ours.lost, "%", 2, "the limit"),
        Figure("the same, standard error", ours.lost_error, "%"),
        Figure("the same, CPU added per request", ours.added_us, "µs", limit, "a fifth of OpenTelemetry"),
        Figure("another process without instruments, throughput lost", found[OFF].lost, "%"),
    ]
    if theirs is not None:
        figures.append(Figure("throughput lost to OpenTelemetry's instruments", theirs.lost, "%"))
    report(figures, given.json)
    return figures


if __name__ == "__main__":
    run()

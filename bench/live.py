"""What two hundred live views cost, and how long a commit takes to reach one."""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
import uuid
from pathlib import Path
from typing import Any

import psutil
from websockets.asyncio.client import ClientConnection, connect

from bench.figure import Figure, median, p95, report
from tests.support.server import Server, running

SENT_PER_S = 10
LIMIT_CPU_PERCENT = 5.0
LIMIT_DELAY_MS = 500.0


def _operation(identifier: str) -> dict[str, Any]:
    return {
        "operation_id": identifier,
        "started_at": time.time_ns() // 1000,
        "name": "chat claude-sonnet-4-5",
        "kind": "llm",
        "provider": "anthropic",
        "model": "claude-sonnet-4-5",
        "duration_ms": 1200,
        "input_tokens": 1200,
        "output_tokens": 300,
    }


async def _read(connection: ClientConnection) -> None:
    async for _ in connection:
        pass


async def _send_steadily(server: Server, seconds: float) -> None:
    """A few operations a second, so that every view has something new to show."""
    for _ in range(round(seconds * SENT_PER_S)):
        await asyncio.to_thread(server.send, [_operation(uuid.uuid4().hex)])
        await asyncio.sleep(1 / SENT_PER_S)


async def cpu_percent(server: Server, clients: int, seconds: float) -> float:
    """CPU of the server in percent of a core while so many views are open and operations come in."""
    url = f"{server.url.replace('http', 'ws')}/ws/monitoring"
    connections = [await connect(url, compression=None, max_size=None) for _ in range(clients)]
    readers = [asyncio.create_task(_read(connection)) for connection in connections]
    await _send_steadily(server, 2)
    process = psutil.Process(server.pid)
    began, before = time.perf_counter(), process.cpu_times()
    await _send_steadily(server, seconds)
    elapsed, after = time.perf_counter() - began, process.cpu_times()
    for connection in connections:
        await connection.close()
    await asyncio.gather(*readers)
    return (after.user + after.system - before.user - before.system) / elapsed * 100


async def delays_ms(server: Server, times: int) -> list[float]:
    """Milliseconds from a door's answer (the commit) to the message that shows the operation, ascending."""
    found: list[float] = []
    url = f"{server.url.replace('http', 'ws')}/ws/monitoring"
    async with connect(url, max_size=None) as connection:
        for _ in range(times):
            identifier = uuid.uuid4().hex
            seen = asyncio.create_task(_wait_for(connection, identifier))
            answer = await asyncio.to_thread(server.send, [_operation(identifier)])
            committed = time.perf_counter()
            assert answer.status == 200, answer
            found.append(max(0.0, (await asyncio.wait_for(seen, 10) - committed) * 1e3))
    return sorted(found)


async def _wait_for(connection: ClientConnection, identifier: str) -> float:
    async for text in connection:
        if identifier in str(text) and any(
            item["operation_id"] == identifier for item in json.loads(text).get("feed", [])
        ):
            return time.perf_counter()
    raise SystemExit("The server closed the live connection.")


async def _measure(server: Server, clients: int, seconds: float, times: int) -> list[Figure]:
    none = await cpu_percent(server, 0, seconds)
    many = await cpu_percent(server, clients, seconds)
    delays = await delays_ms(server, times)
    return [
        Figure(
            f"{clients} live views, server CPU above none", many - none, "% of a core", LIMIT_CPU_PERCENT, "the limit"
        ),
        Figure("commit to browser, median", median(delays), "ms", LIMIT_DELAY_MS, "the limit"),
        Figure("commit to browser, p95", p95(delays), "ms", LIMIT_DELAY_MS, "the limit"),
    ]


def run(arguments: list[str] | None = None) -> list[Figure]:
    parser = argparse.ArgumentParser(prog="python -m bench.live", description=__doc__)
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=15)
    parser.add_argument("--times", type=int, default=40)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="ralex-bench-") as directory, running(Path(directory) / "home") as server:
        figures = asyncio.run(_measure(server, given.clients, given.seconds, given.times))
    report(figures, given.json)
    return figures


if __name__ == "__main__":
    run()

"""How long until the server is ready, and what it needs while nothing happens."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import psutil

from bench import peers
from bench.figure import Figure, median, report
from tests.support.server import Server, running

SETTLE_S = 5.0


def idle(server: Server, seconds: float) -> tuple[float, float]:
    """Resident megabytes and CPU percent of the server over some seconds in which nobody asks anything of it."""
    process = psutil.Process(server.pid)
    server.wait(SETTLE_S)
    before = process.cpu_times()
    server.wait(seconds)
    after = process.cpu_times()
    used = (after.user + after.system) - (before.user + before.system)
    return process.memory_info().rss / 2**20, used / seconds * 100


def run(arguments: list[str] | None = None) -> list[Figure]:
    parser = argparse.ArgumentParser(prog="python -m bench.startup", description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--idle-seconds", type=float, default=30)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args(arguments)
    first: list[float] = []
    again: list[float] = []
    for _ in range(given.repeats):
        with tempfile.TemporaryDirectory(prefix="ralex-bench-") as directory:
            server = Server(Path(directory) / "home")
            try:
                first.append(server.start())
                server.stop()
                again.append(server.start())
            finally:
                server.close()
    with tempfile.TemporaryDirectory(prefix="ralex-bench-") as directory, running(Path(directory) / "home") as server:
        rss_mb, cpu_percent = idle(server, given.idle_seconds)
    figures = [
        Figure("ready, new data directory", median(first), "s", peers.PHOENIX_READY_S, peers.PHOENIX),
        Figure("ready, existing data directory", median(again), "s", peers.PHOENIX_READY_S, peers.PHOENIX),
        Figure("idle RSS", rss_mb, "MB", peers.PHOENIX_IDLE_RSS_MB, peers.PHOENIX),
        Figure(
            "idle CPU, sampling resources",
            cpu_percent,
            "% of a core",
            peers.NETDATA_IDLE_CPU_PERCENT,
            "netdata",
        ),
    ]
    report(figures, given.json)
    return figures


if __name__ == "__main__":
    run()

"""What sampling resources costs: looking through all processes, and everything that is read every two seconds."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

from bench.figure import Figure, median, report
from ralex_core.clock import ManualClock
from ralex_core.collection.process_table import PortableProcesses, ProcessTable, process_table
from ralex_core.monitoring.resource_monitor import ResourceMonitor

INTERVAL_S = 2.0
LIMIT_PERCENT = 1.0
"""Of a core: more would be noticed on a small machine."""


def cpu_s(work: Callable[[], object]) -> float:
    began = time.thread_time()
    work()
    return time.thread_time() - began


def per_process_us(tables: dict[str, ProcessTable], repeats: int) -> dict[str, float]:
    """CPU microseconds per process of each table, looked through in turns."""
    found: dict[str, list[float]] = {name: [] for name in tables}
    for _ in range(repeats):
        for name, table in tables.items():
            count = 0

            def look(table: ProcessTable = table) -> None:
                nonlocal count
                count = sum(1 for _ in table.all())

            used = cpu_s(look)
            found[name].append(used / max(count, 1) * 1e6)
    return {name: median(values) for name, values in found.items()}


def sampling_percent(rounds: int, watched: list[str]) -> float:
    """CPU of a core that sampling takes: rounds of `INTERVAL_S` that pass at once."""
    clock = ManualClock()
    monitor = ResourceMonitor(clock, interval_s=INTERVAL_S, watch_processes=watched)
    monitor.sample()
    used = 0.0
    for _ in range(rounds):
        clock.advance(INTERVAL_S)
        used += cpu_s(monitor.sample)
        time.sleep(0.02)  # so that ticks pass, and no cache is warmer than it would be
    return used / (rounds * INTERVAL_S) * 100


def run(arguments: list[str] | None = None) -> list[Figure]:
    parser = argparse.ArgumentParser(prog="python -m bench.resource_sampling", description=__doc__)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=150, help="of two seconds")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args(arguments)
    looked = per_process_us({"ours": process_table(), "psutil": PortableProcesses()}, given.repeats)
    figures = [
        Figure("looking through all processes, each", looked["ours"], "µs CPU", looked["psutil"], "psutil"),
        Figure(
            "sampling host and processes every 2 s",
            sampling_percent(given.rounds, ["python", "python3"]),
            "% of a core",
            LIMIT_PERCENT,
            "the limit",
        ),
    ]
    report(figures, given.json)
    return figures


if __name__ == "__main__":
    run()

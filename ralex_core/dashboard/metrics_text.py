"""`/metrics` in the Prometheus text format: the monitor's own counters and levels, and what its process uses."""

from __future__ import annotations

import re
from collections.abc import Iterable

import psutil

from ralex_core.dashboard.host import Host

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
PREFIX = "ralex_monitor_"

_NOT_A_NAME = re.compile(r"[^a-zA-Z0-9_]")

HELP = {
    "operations_stored_total": "Operations committed for the first time.",
    "operations_replaced_total": "Operations replaced by a higher revision.",
    "operations_duplicate_total": "Operations that were stored already and changed nothing.",
    "intake_operations_total": "Operations handed in by all doors.",
    "intake_refused_operations_total": "Operations refused because the queue was full; their senders were told.",
    "commits_total": "Commits to the telemetry store.",
    "commit_failures_total": "Batches that could not be stored; their senders were told.",
    "commit_seconds_total": "Time spent in commits.",
    "commit_last_seconds": "How long the last commit took.",
    "queue_operations": "Operations that wait for a commit.",
    "queue_limit_operations": "Operations that may wait before doors answer 503.",
    "live_clients": "Browsers connected to /ws/monitoring.",
    "live_messages_total": "Live messages handed to clients.",
    "live_messages_replaced_total": "Live messages a slow client never saw, because a newer one replaced them.",
    "live_overflow_operations_total": "Operations counted live without their user, session and name.",
    "http_refused_total": "Requests refused by the checks of host, origin and token.",
    "process_cpu_seconds_total": "CPU time of this process, user and system.",
    "process_resident_memory_bytes": "Resident memory of this process.",
    "process_threads": "Threads of this process.",
    "process_start_time_seconds": "When this process started, seconds since the epoch.",
}


def metrics_text(host: Host) -> str:
    """All of it, one metric after the other, sorted by name."""
    process = psutil.Process()
    with process.oneshot():
        cpu = process.cpu_times()
        levels = {
            **host.metrics.gauges(),
            "queue_operations": host.writer.waiting,
            "queue_limit_operations": host.settings.queue_operations,
            "process_resident_memory_bytes": process.memory_info().rss,
            "process_threads": process.num_threads(),
            "process_start_time_seconds": process.create_time(),
        }
        counters = {**host.metrics.counters(), "process_cpu_seconds_total": cpu.user + cpu.system}
    lines = [*_lines(counters.items(), "counter"), *_lines(levels.items(), "gauge")]
    return "\n".join(lines) + "\n"


def _lines(values: Iterable[tuple[str, float]], kind: str) -> Iterable[str]:
    for name, value in sorted(values):
        full = PREFIX + _NOT_A_NAME.sub("_", name)
        if name in HELP:
            yield f"# HELP {full} {HELP[name]}"
        yield f"# TYPE {full} {kind}"
        yield f"{full} {value:.15g}"

"""Levels of the monitor that are read when somebody asks: its queue, its disk, its files."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol

import psutil

from ralex_core.config import Settings
from ralex_core.dashboard.contexts.monitor import FileView, Loss
from ralex_core.dashboard.host import Host
from ralex_core.dashboard.self_checks import Levels
from ralex_core.render import to_iso
from ralex_core.selfmetrics import Distribution, SelfMetrics, merged

MAX_FILES = 10_000
"""Files of a directory whose sizes are added up."""

LOSSES: tuple[tuple[str, str], ...] = (
    ("intake_refused_operations_total", "Operations refused because the queue was full"),
    ("native_records_rejected_total", "Records the native door rejected"),
    ("otlp_spans_rejected_total", "Spans the OTLP door rejected"),
    ("otlp_log_records_rejected_total", "Log records the OTLP door rejected"),
    ("otlp_data_points_rejected_total", "Data points the OTLP door rejected"),
    ("operations_expired_total", "Operations older than what is kept (retention_days)"),
    ("otlp_refused_requests_total", "OTLP requests told to come again"),
    ("names_capped_total", "Operations stored under the name (other)"),
    ("commit_failures_total", "Batches that could not be stored"),
    ("http_refused_total", "Requests refused by host, origin or token"),
    ("login_failures_total", "Sign-ins with a wrong token"),
    ("http_failures_total", "Requests that failed unexpectedly"),
    ("live_messages_replaced_total", "Live messages a slow client never saw"),
    ("live_overflow_operations_total", "Operations counted live without user, session and name"),
    ("live_refused_total", "Live views refused because too many are open"),
    ("live_failures_total", "Live messages that could not be built"),
    ("writer_failures_total", "Failures of the writer beside commits"),
    ("follower_errors_total", "Failures while following logs"),
    ("housekeeping_failures_total", "Failures of retention"),
    ("resource_readings_failed_total", "Readings of the machine that failed"),
    ("health_failures_total", "Looks at the stores, for health, that failed"),
    ("self_watch_failures_total", "Looks of the monitor at itself that failed"),
)
"""Counters of what was not taken or not done, by name; the page shows them all, zeros included."""


class Growth(Protocol):
    def growth(self, counter: str) -> float: ...


def losses(metrics: SelfMetrics) -> list[Loss]:
    """What was dropped, refused or failed in this run of the process."""
    counters = metrics.counters()
    return [Loss(key, title, int(counters.get(key, 0))) for key, title in LOSSES]


def levels(host: Host, watch: Growth, not_ready: str | None) -> Levels:
    """What `self_checks` judges. Reads memory only, but for the disk's free space when nobody sampled it."""
    free, total = disk_space(host)
    commits = recent(host.metrics, "commit_seconds")
    lag = recent(host.metrics, "live_lag_seconds")
    state = host.own_store.retention_state()
    return Levels(
        not_ready=not_ready,
        waiting=host.writer.waiting,
        queue_limit=host.settings.queue_operations,
        oldest_wait_s=host.writer.oldest_wait_s,
        commit_p95_s=commits.percentile(0.95),
        failed_lately=int(watch.growth("commit_failures_total")),
        refused_lately=int(watch.growth("intake_refused_operations_total")),
        rollup_lag_s=host.writer.rollup_lag_s,
        live_lag_p95_s=lag.percentile(0.95),
        disk_free_bytes=free,
        disk_total_bytes=total,
        resident_bytes=resident_bytes(host),
        renamed_lately=int(watch.growth("names_capped_total")),
        max_names=host.settings.max_names,
        clock_doubt=state.doubt,
        expired_lately=int(watch.growth("operations_expired_total")),
        kept_from=to_iso(state.floor_us) if state.floor_us else None,
        log_trouble=host.own_store.log_trouble,
    )


def recent(metrics: SelfMetrics, name: str) -> Distribution:
    """What was observed in the last five to ten minutes, under all labels."""
    return merged(found.recent for found in metrics.observed(name).values())


def disk_space(host: Host) -> tuple[int | None, int | None]:
    """(free, total) bytes of the disk the data is on."""
    sample = host.latest_resources()
    if sample is not None:
        return sample.disk_total_bytes - sample.disk_used_bytes, sample.disk_total_bytes
    try:
        usage = psutil.disk_usage(str(host.settings.home))
    except OSError:
        return None, None
    return usage.free, usage.total


def resident_bytes(host: Host) -> int:
    sample = host.latest_resources()
    return psutil.Process().memory_info().rss if sample is None else sample.process_rss_bytes


def file_sizes(settings: Settings) -> list[FileView]:
    """How much the monitor keeps on disk, by what it is. What is not there has 0 bytes."""
    telemetry, state = settings.telemetry_path, settings.state_path
    found: tuple[tuple[str, str, Callable[[], int]], ...] = (
        ("telemetry", "Operations and rollups", lambda: _size(telemetry)),
        ("telemetry_log", "Their write-ahead log", lambda: _size(telemetry.with_name(telemetry.name + ".wal"))),
        ("state", "State (cursors, settings, audit)", lambda: _sizes(state.parent.glob(state.name + "*"))),
        ("spool", "Spool of the SDK", lambda: _sizes(settings.spool_dir.rglob("*"))),
        ("quarantine", "Lines that could not be read", lambda: _sizes(settings.quarantine_dir.rglob("*"))),
        ("trash", "Removed in the last week", lambda: _sizes((settings.home / "trash").rglob("*"))),
        ("demo", "Demo data", lambda: _sizes(settings.demo_dir.rglob("*"))),
    )
    return [FileView(key, title, read()) for key, title, read in found]


def _size(path: Path) -> int:
    try:
        return path.stat().st_size if path.is_file() else 0
    except OSError:
        return 0


def _sizes(paths: Iterable[Path]) -> int:
    total = 0
    try:
        for number, path in enumerate(paths):
            if number == MAX_FILES:
                break
            total += _size(path)
    except OSError:
        pass  # a directory that went away or may not be read counts as far as it was read
    return total


def started_at() -> float:
    """When this process started, seconds since the epoch."""
    return psutil.Process().create_time()


def uptime_s() -> float:
    """How long this process has run."""
    return max(0.0, time.time() - started_at())

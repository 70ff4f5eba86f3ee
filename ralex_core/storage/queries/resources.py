"""Host and process resources over time."""

from __future__ import annotations

from dataclasses import dataclass

from ralex_core.model.window import Window
from ralex_core.storage.telemetry import Store

_AVERAGED = (
    "cpu_ratio",
    "load_1m",
    "memory_used_bytes",
    "memory_total_bytes",
    "swap_used_bytes",
    "disk_used_bytes",
    "disk_total_bytes",
    "disk_read_bytes_s",
    "disk_write_bytes_s",
    "net_received_bytes_s",
    "net_sent_bytes_s",
    "process_cpu_ratio",
    "process_rss_bytes",
)


@dataclass(frozen=True, slots=True)
class ResourceBucket:
    """Means over one bucket; None where nothing could be read."""

    start_us: int
    cpu_ratio: float | None
    load_1m: float | None
    memory_used_bytes: float | None
    memory_total_bytes: float | None
    swap_used_bytes: float | None
    disk_used_bytes: float | None
    disk_total_bytes: float | None
    disk_read_bytes_s: float | None
    disk_write_bytes_s: float | None
    net_received_bytes_s: float | None
    net_sent_bytes_s: float | None
    process_cpu_ratio: float | None
    process_rss_bytes: float | None


def resource_series(store: Store, window: Window, bucket_us: int) -> list[ResourceBucket]:
    """Means per bucket, ascending; buckets without samples are absent."""
    rows = store.query(
        f"select sampled_at // {int(bucket_us)} * {int(bucket_us)} as start_us, "
        f"{', '.join(f'avg({column})' for column in _AVERAGED)} from resource_samples "
        "where sampled_at >= $low and sampled_at < $high group by start_us order by start_us",
        {"low": window.start_us, "high": window.end_us},
    )
    return [ResourceBucket(*row) for row in rows]

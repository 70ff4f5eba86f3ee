"""Resources of the host, of watched processes and of GPUs over time, and the states resources were in."""

from __future__ import annotations

from dataclasses import dataclass

from ralex_core.model.window import MINUTE_US, Window
from ralex_core.storage.queries.segments import bucket_for
from ralex_core.storage.resource_tables import SINGLE_READINGS_US
from ralex_core.storage.telemetry import StateChange, Store

MAX_PROCESSES = 100
MAX_CHANGES = 200

_MEASURES = {
    "cpu_ratio": "avg(cpu_ratio)",
    "load_1m": "avg(load_1m)",
    "memory_used_bytes": "avg(memory_used_bytes)",
    "memory_total_bytes": "avg(memory_total_bytes)",
    "swap_used_bytes": "avg(swap_used_bytes)",
    "disk_used_bytes": "avg(disk_used_bytes)",
    "disk_total_bytes": "avg(disk_total_bytes)",
    "disk_read_bytes_s": "avg(disk_read_bytes_s)",
    "disk_write_bytes_s": "avg(disk_write_bytes_s)",
    "net_received_bytes_s": "avg(net_received_bytes_s)",
    "net_sent_bytes_s": "avg(net_sent_bytes_s)",
    "process_cpu_ratio": "avg(process_cpu_ratio)",
    "process_rss_bytes": "avg(process_rss_bytes)",
    "swap_total_bytes": "avg(swap_total_bytes)",
    "cores": "avg(cores)",
    "iowait_ratio": "avg(iowait_ratio)",
    "steal_ratio": "avg(steal_ratio)",
    "busiest_core_ratio": "avg(busiest_core_ratio)",
    "throttled_ratio": "avg(throttled_ratio)",
    "open_files": "avg(open_files)",
    "process_open_files": "avg(process_open_files)",
    "oom_kills": "sum(oom_kills)",
}


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
    swap_total_bytes: float | None
    cores: float | None
    iowait_ratio: float | None
    steal_ratio: float | None
    busiest_core_ratio: float | None
    throttled_ratio: float | None
    open_files: float | None
    process_open_files: float | None
    oom_kills: int | None
    """Killed in this bucket."""


@dataclass(frozen=True, slots=True)
class WatchedProcess:
    """One process over a window: means and maxima of its samples."""

    pid: int
    started_us: int
    name: str
    first_us: int
    last_us: int
    mean_cpu_ratio: float | None
    max_cpu_ratio: float | None
    mean_rss_bytes: float
    max_rss_bytes: int


@dataclass(frozen=True, slots=True)
class ProcessBucket:
    """Means of one process over one bucket."""

    pid: int
    started_us: int
    start_us: int
    cpu_ratio: float | None
    rss_bytes: float


@dataclass(frozen=True, slots=True)
class GpuBucket:
    gpu: str
    start_us: int
    busy_ratio: float | None
    memory_used_bytes: float | None
    memory_total_bytes: float | None
    temperature_c: float | None
    power_w: float | None


def resource_bucket(window: Window, now_us: int, interval_us: int) -> int:
    """The bucket (µs) that samples of a window fill: twice the interval between them at least, and a minute where
    single readings are gone."""
    if window.start_us < now_us - SINGLE_READINGS_US:
        interval_us = max(interval_us, MINUTE_US // 2)
    needed = Window(0, 2 * interval_us * 180)
    return max(bucket_for(window), bucket_for(needed))


def resource_series(store: Store, window: Window, bucket_us: int) -> list[ResourceBucket]:
    """Means per bucket, ascending; buckets without samples are absent."""
    rows = store.query(
        f"select sampled_at // {int(bucket_us)} * {int(bucket_us)} as start_us, {', '.join(_MEASURES.values())} "
        "from resource_samples where sampled_at >= $low and sampled_at < $high group by start_us order by start_us",
        _bounds(window),
    )
    return [ResourceBucket(*row) for row in rows]


def resource_extent(store: Store) -> tuple[int, int] | None:
    """When the first and the last sample of the host were taken; None without any."""
    first, last = store.query("select min(sampled_at), max(sampled_at) from resource_samples")[0]
    return None if first is None else (first, last)


def watched_processes(store: Store, window: Window) -> list[WatchedProcess]:
    """Processes that were sampled in a window: those seen last first, of them the busiest; at most `MAX_PROCESSES`."""
    rows = store.query(
        f"""
        select pid, started_at, name, min(sampled_at), max(sampled_at) as last, avg(cpu_ratio) as cpu,
            max(cpu_ratio), avg(rss_bytes), max(rss_bytes)
        from process_samples
        where sampled_at >= $low and sampled_at < $high
        group by pid, started_at, name
        order by last // {MINUTE_US} desc, cpu desc nulls last, pid, started_at
        limit {MAX_PROCESSES}
        """,
        _bounds(window),
    )
    return [WatchedProcess(*row) for row in rows]


def process_series(store: Store, window: Window, bucket_us: int) -> list[ProcessBucket]:
    """Means per process and bucket, ascending; buckets in which a process did not run are absent."""
    rows = store.query(
        f"""
        select pid, started_at, sampled_at // {int(bucket_us)} * {int(bucket_us)} as start_us,
            avg(cpu_ratio), avg(rss_bytes)
        from process_samples
        where sampled_at >= $low and sampled_at < $high
        group by pid, started_at, start_us
        order by pid, started_at, start_us
        """,
        _bounds(window),
    )
    return [ProcessBucket(*row) for row in rows]


def gpu_series(store: Store, window: Window, bucket_us: int) -> list[GpuBucket]:
    """Means per GPU and bucket, ascending; buckets without a reading are absent."""
    rows = store.query(
        f"""
        select gpu, sampled_at // {int(bucket_us)} * {int(bucket_us)} as start_us, avg(busy_ratio),
            avg(memory_used_bytes), avg(memory_total_bytes), avg(temperature_c), avg(power_w)
        from gpu_samples
        where sampled_at >= $low and sampled_at < $high
        group by gpu, start_us
        order by gpu, start_us
        """,
        _bounds(window),
    )
    return [GpuBucket(*row) for row in rows]


def state_changes(store: Store, window: Window) -> list[StateChange]:
    """Changes of state in a window, newest first; at most `MAX_CHANGES`."""
    rows = store.query(
        "select changed_at, resource, level, previous, value, reason from resource_states "
        "where changed_at >= $low and changed_at < $high "
        f"order by changed_at desc, resource limit {MAX_CHANGES}",
        _bounds(window),
    )
    return [StateChange(*row) for row in rows]


def last_states(store: Store) -> list[StateChange]:
    """The last change of every resource that ever changed."""
    rows = store.query(
        "select changed_at, resource, level, previous, value, reason from resource_states "
        "qualify row_number() over (partition by resource order by changed_at desc) = 1 order by resource"
    )
    return [StateChange(*row) for row in rows]


def _bounds(window: Window) -> dict[str, int]:
    return {"low": window.start_us, "high": window.end_us}

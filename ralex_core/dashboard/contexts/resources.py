"""The Resources page."""

from __future__ import annotations

from dataclasses import dataclass, field

from ralex_core.dashboard.contexts.frame import RangeView
from ralex_core.dashboard.contexts.rows import ResourcePoint


@dataclass(frozen=True, slots=True)
class ResourceStateView:
    """How one resource is. `value` is in the terms of its threshold: a share 0–1, or load per core."""

    resource: str
    title: str
    level: str
    since_at: str | None
    since_us: int | None
    value: float | None
    reason: str


@dataclass(frozen=True, slots=True)
class StateChangeView:
    """A resource came to another level."""

    changed_at: str
    changed_us: int
    resource: str
    title: str
    level: str
    previous: str
    value: float | None
    reason: str


@dataclass(frozen=True, slots=True)
class ResourceStatesView:
    """The worst level of all, every state, and the changes of the range, newest first."""

    level: str
    sentence: str
    states: list[ResourceStateView]
    changes: list[StateChangeView]


@dataclass(frozen=True, slots=True)
class LimitsView:
    """What a container may use; None where only the machine is the limit."""

    cores: float | None
    memory_bytes: int | None


@dataclass(frozen=True, slots=True)
class HostSeries:
    """Means per bucket; every list is as long as `starts`, None where nothing was read."""

    bucket_us: int
    starts: list[int]
    cpu_ratio: list[float | None]
    busiest_core_ratio: list[float | None]
    iowait_ratio: list[float | None]
    steal_ratio: list[float | None]
    throttled_ratio: list[float | None]
    load_1m: list[float | None]
    memory_used_ratio: list[float | None]
    memory_used_bytes: list[float | None]
    swap_used_ratio: list[float | None]
    disk_used_ratio: list[float | None]
    disk_read_bytes_s: list[float | None]
    disk_write_bytes_s: list[float | None]
    net_received_bytes_s: list[float | None]
    net_sent_bytes_s: list[float | None]
    open_files: list[float | None]
    process_open_files: list[float | None]
    process_cpu_ratio: list[float | None]
    process_rss_bytes: list[float | None]
    oom_kills: list[float | None]


@dataclass(frozen=True, slots=True)
class ProcessPoint:
    """The last reading of a watched process with all it started. CPU is in cores, rates are per second."""

    pid: int
    started_us: int
    name: str
    processes: int
    cpu_ratio: float | None
    rss_bytes: int
    threads: int
    open_files: int | None
    read_bytes_s: float | None
    write_bytes_s: float | None


@dataclass(frozen=True, slots=True)
class ProcessView:
    """A watched process over the range: the last reading while it runs, means and maxima, and its course."""

    key: str
    pid: int
    started_us: int
    started_at: str
    name: str
    running: bool
    own: bool
    by_pid: bool
    last_us: int
    latest: ProcessPoint | None
    mean_cpu_ratio: float | None
    max_cpu_ratio: float | None
    mean_rss_bytes: float
    max_rss_bytes: float
    cpu_ratio: list[float | None]
    rss_bytes: list[float | None]


@dataclass(frozen=True, slots=True)
class ProcessesView:
    """Running processes first, the monitor last of them; then those that ended. `left_out` would be watched, were there
    not enough already. `cpu_ratio` and `rss_bytes` of each are along `starts`."""

    bucket_us: int
    starts: list[int]
    processes: list[ProcessView]
    left_out: int
    watched_names: list[str]


@dataclass(frozen=True, slots=True)
class GpuView:
    """One GPU: its last reading, and its course along `gpu_starts`."""

    gpu: str
    name: str
    running: bool
    busy_ratio: float | None
    memory_used_bytes: int | None
    memory_total_bytes: int | None
    temperature_c: float | None
    power_w: float | None
    busy_series: list[float | None]
    memory_series: list[float | None]
    """Share of its memory in use."""


@dataclass(frozen=True, slots=True)
class ResourceTile:
    """A headline figure of the host, with its state."""

    key: str
    title: str
    value: str
    detail: str
    level: str
    reason: str
    meter: float | None = None
    spark: list[float | None] = field(default_factory=list[float | None])


@dataclass(frozen=True, slots=True)
class ResourcesView:
    generated_at: str
    range: RangeView
    empty: bool
    latest: ResourcePoint | None
    limits: LimitsView
    health: ResourceStatesView
    series: HostSeries
    processes: ProcessesView
    gpus: list[GpuView]
    gpu_bucket_us: int
    gpu_starts: list[int]

"""Puts together what is known of resources over a range: for the page and the API."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ralex_core.collection.processes import OWN_NAME
from ralex_core.dashboard.contexts.frame import RangeView
from ralex_core.dashboard.contexts.resources import (
    GpuView,
    HostSeries,
    LimitsView,
    ProcessesView,
    ProcessView,
    ResourceStatesView,
    ResourcesView,
)
from ralex_core.dashboard.figures import starts_of
from ralex_core.dashboard.params import Query, View
from ralex_core.dashboard.resource_rows import process_point, states_view
from ralex_core.dashboard.rows import resource_point
from ralex_core.dashboard.site import Site
from ralex_core.model.window import DAY_US, Window
from ralex_core.render import to_iso
from ralex_core.storage.queries import (
    GpuBucket,
    ProcessBucket,
    ResourceBucket,
    WatchedProcess,
    gpu_series,
    process_series,
    resource_bucket,
    resource_extent,
    resource_series,
    state_changes,
    watched_processes,
)
from ralex_core.storage.resource_tables import SAMPLES_KEPT_US
from ralex_core.storage.telemetry import ProcessSample

DEFAULT_RANGE = "1h"
PROCESS_INTERVAL_US = 5_000_000
GPU_BUCKET_US = 60_000_000


def resources_view_of(site: Site, query: Query) -> View:
    """The range of a request. Without one it is the last hour, and `all` is what samples are kept of."""
    asked = any(name in ("range", "from", "to") and value for name, value in query)
    view = site.view(query if asked else [*query, ("range", DEFAULT_RANGE)])
    shown = view.range if asked else replace(view.range, explicit=False)
    if shown.key == "all":
        shown = _everything(site, shown)
    return replace(view, range=shown)


def _everything(site: Site, shown: RangeView) -> RangeView:
    now_us = site.host.clock.now_us()
    held = resource_extent(site.host.own_store)
    start = now_us - DAY_US if held is None else max(held[0], now_us - SAMPLES_KEPT_US)
    return replace(
        shown, start_us=start, end_us=now_us + 1, start_at=to_iso(start) or "", end_at=to_iso(now_us + 1) or ""
    )


def resources_view(site: Site, view: View) -> ResourcesView:
    """Everything of the page. Samples are of this machine, so they are the real ones while demo data is shown."""
    host, store = site.host, site.host.own_store
    window = Window(view.range.start_us, view.range.end_us)
    now_us = host.clock.now_us()
    bucket_us = resource_bucket(window, now_us, round(host.settings.resource_interval_s * 1e6))
    ask = site.pool.ask
    buckets = ask(lambda: resource_series(store, window, bucket_us))
    processes = ask(lambda: processes_view(site, window))
    gpu_bucket_us = max(bucket_us, GPU_BUCKET_US)
    gpus = ask(lambda: gpu_series(store, window, gpu_bucket_us))
    health = resource_health(site, window)
    series = host_series(buckets.result(), starts_of(window, bucket_us), bucket_us)
    sample = host.latest_resources()
    return ResourcesView(
        generated_at=to_iso(now_us) or "",
        range=view.range,
        # what was read in the last seconds is not stored yet
        empty=not buckets.result() and not (sample and window.start_us <= sample.sampled_at < window.end_us),
        latest=None if sample is None else resource_point(sample),
        limits=LimitsView(*host.resources.limits()),
        health=health,
        series=series,
        processes=processes.result(),
        gpus=_gpu_views(site, gpus.result(), starts_of(window, gpu_bucket_us)),
        gpu_bucket_us=gpu_bucket_us,
        gpu_starts=starts_of(window, gpu_bucket_us),
    )


def resource_health(site: Site, window: Window) -> ResourceStatesView:
    """The states now, and their changes in a window."""
    return states_view(site.host.resources.states(), state_changes(site.host.own_store, window))


def host_series(buckets: Sequence[ResourceBucket], starts: list[int], bucket_us: int) -> HostSeries:
    """Means along `starts`; a bucket without a sample is a gap."""
    by_start = {bucket.start_us: bucket for bucket in buckets}
    found = [by_start.get(start) for start in starts]

    def column(name: str, decimals: int = 4) -> list[float | None]:
        values = [None if bucket is None else getattr(bucket, name) for bucket in found]
        return [None if value is None else round(float(value), decimals) for value in values]

    def share(used: str, total: str) -> list[float | None]:
        pairs = [(getattr(bucket, used), getattr(bucket, total)) if bucket else (None, None) for bucket in found]
        return [round(part / whole, 4) if part is not None and whole else None for part, whole in pairs]

    return HostSeries(
        bucket_us=bucket_us,
        starts=starts,
        cpu_ratio=column("cpu_ratio"),
        busiest_core_ratio=column("busiest_core_ratio"),
        iowait_ratio=column("iowait_ratio"),
        steal_ratio=column("steal_ratio"),
        throttled_ratio=column("throttled_ratio"),
        load_1m=column("load_1m", 2),
        memory_used_ratio=share("memory_used_bytes", "memory_total_bytes"),
        memory_used_bytes=column("memory_used_bytes", 0),
        swap_used_ratio=share("swap_used_bytes", "swap_total_bytes"),
        disk_used_ratio=share("disk_used_bytes", "disk_total_bytes"),
        disk_read_bytes_s=column("disk_read_bytes_s", 0),
        disk_write_bytes_s=column("disk_write_bytes_s", 0),
        net_received_bytes_s=column("net_received_bytes_s", 0),
        net_sent_bytes_s=column("net_sent_bytes_s", 0),
        open_files=column("open_files", 0),
        process_open_files=column("process_open_files", 0),
        process_cpu_ratio=column("process_cpu_ratio"),
        process_rss_bytes=column("process_rss_bytes", 0),
        oom_kills=column("oom_kills", 0),
    )


def processes_view(site: Site, window: Window) -> ProcessesView:
    """Watched processes that were sampled in a window, and those that run now when it reaches to now."""
    host, store = site.host, site.host.own_store
    now_us = host.clock.now_us()
    bucket_us = resource_bucket(
        window, now_us, max(PROCESS_INTERVAL_US, round(host.settings.resource_interval_s * 1e6))
    )
    starts = starts_of(window, bucket_us)
    places = {start: place for place, start in enumerate(starts)}
    courses: dict[tuple[int, int], list[ProcessBucket]] = {}
    for bucket in process_series(store, window, bucket_us):
        courses.setdefault((bucket.pid, bucket.started_us), []).append(bucket)
    current = {(sample.pid, sample.started_at): sample for sample in host.resources.processes()}
    found = [
        _process_view(site, row, current.pop((row.pid, row.started_us), None), courses, places)
        for row in watched_processes(store, window)
    ]
    if window.end_us >= now_us:  # so new that it is not stored yet
        found += [_process_view(site, _as_watched(sample), sample, courses, places) for sample in current.values()]
    found.sort(key=lambda row: (not row.running, row.own, -(row.max_cpu_ratio or 0) if row.running else -row.last_us))
    return ProcessesView(bucket_us, starts, found, host.resources.watch.left_out, list(host.settings.watch_processes))


def _process_view(
    site: Site,
    row: WatchedProcess,
    sample: ProcessSample | None,
    courses: dict[tuple[int, int], list[ProcessBucket]],
    places: dict[int, int],
) -> ProcessView:
    cpu: list[float | None] = [None] * len(places)
    rss: list[float | None] = [None] * len(places)
    for bucket in courses.get((row.pid, row.started_us), ()):
        place = places[bucket.start_us]
        cpu[place] = None if bucket.cpu_ratio is None else round(bucket.cpu_ratio, 4)
        rss[place] = round(bucket.rss_bytes)
    return ProcessView(
        key=f"{row.pid}-{row.started_us}",
        pid=row.pid,
        started_us=row.started_us,
        started_at=to_iso(row.started_us) or "",
        name=row.name,
        running=sample is not None,
        own=row.name == OWN_NAME,
        by_pid=row.pid in site.host.resources.watch.pids,
        last_us=row.last_us,
        latest=None if sample is None else process_point(sample),
        mean_cpu_ratio=row.mean_cpu_ratio,
        max_cpu_ratio=row.max_cpu_ratio,
        mean_rss_bytes=row.mean_rss_bytes,
        max_rss_bytes=row.max_rss_bytes,
        cpu_ratio=cpu,
        rss_bytes=rss,
    )


def _as_watched(sample: ProcessSample) -> WatchedProcess:
    cpu, rss, at = sample.cpu_ratio, sample.rss_bytes, sample.sampled_at
    return WatchedProcess(sample.pid, sample.started_at, sample.name, at, at, cpu, cpu, rss, rss)


def _gpu_views(site: Site, buckets: Sequence[GpuBucket], starts: list[int]) -> list[GpuView]:
    """GPUs that are there now or were in the range; without one, none."""
    current = {sample.gpu: sample for sample in site.host.resources.gpus()}
    views: list[GpuView] = []
    for gpu in sorted({bucket.gpu for bucket in buckets} | set(current)):
        by_start = {bucket.start_us: bucket for bucket in buckets if bucket.gpu == gpu}
        found = [by_start.get(start) for start in starts]
        latest = current.get(gpu)
        views.append(
            GpuView(
                gpu=gpu,
                name=gpu if latest is None else latest.name,
                running=latest is not None,
                busy_ratio=None if latest is None else latest.busy_ratio,
                memory_used_bytes=None if latest is None else latest.memory_used_bytes,
                memory_total_bytes=None if latest is None else latest.memory_total_bytes,
                temperature_c=None if latest is None else latest.temperature_c,
                power_w=None if latest is None else latest.power_w,
                busy_series=[None if bucket is None else bucket.busy_ratio for bucket in found],
                memory_series=[_memory_share(bucket) for bucket in found],
            )
        )
    return views


def _memory_share(bucket: GpuBucket | None) -> float | None:
    if bucket is None or bucket.memory_used_bytes is None or not bucket.memory_total_bytes:
        return None
    return round(bucket.memory_used_bytes / bucket.memory_total_bytes, 4)

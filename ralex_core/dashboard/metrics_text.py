"""`/metrics` in the Prometheus text format: what the monitor counts, its levels, and how long things take."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import psutil

from ralex_core import __version__
from ralex_core.dashboard.health import CODES
from ralex_core.dashboard.metrics_help import HELP, PREFIX
from ralex_core.dashboard.self_checks import reason
from ralex_core.dashboard.self_levels import disk_space, file_sizes
from ralex_core.errors import RalexError
from ralex_core.selfmetrics import Distribution, Labels
from ralex_core.storage.queries.engine import engine_memory

if TYPE_CHECKING:
    from ralex_core.dashboard.site import Site

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Series = Mapping[Labels, float]

SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
COUNTS = (1.0, 5.0, 10.0, 50.0, 100.0, 500.0, 1_000.0, 5_000.0, 10_000.0)
"""Upper bounds of the buckets that are told; all are bounds of `selfmetrics`, so the counts are exact."""

_NOT_A_NAME = re.compile(r"[^a-zA-Z0-9_]")
_ESCAPED = str.maketrans({"\\": "\\\\", "\n": "\\n", '"': '\\"'})


def metrics_text(site: Site) -> str:
    """All of it: families sorted by name, series sorted by labels."""
    metrics = site.host.metrics
    families: list[tuple[str, str, Mapping[Labels, float] | Mapping[Labels, Distribution]]] = []
    families += ((name, "counter", series) for name, series in {**metrics.all_counters(), **_counters(site)}.items())
    families += ((name, "gauge", series) for name, series in {**metrics.all_gauges(), **_levels(site)}.items())
    families += ((name, "histogram", series) for name, series in metrics.all_observed().items())
    lines: list[str] = []
    for name, kind, series in sorted(families, key=lambda family: family[0]):
        full = PREFIX + _NOT_A_NAME.sub("_", name)
        lines.append(f"# HELP {full} {HELP.get(name, _words(name))}")
        lines.append(f"# TYPE {full} {kind}")
        for labels, value in sorted(series.items()):
            lines.extend(_lines(full, labels, value))
    return "\n".join(lines) + "\n"


def _counters(site: Site) -> dict[str, Series]:
    cpu = psutil.Process().cpu_times()
    found: dict[str, Series] = {"process_cpu_seconds_total": {(): cpu.user + cpu.system}}
    if site.gateway is not None:
        counts = site.gateway.recorder.counts()
        found |= {"gateway_spooled_total": {(): counts.spooled}, "gateway_lost_total": {(): counts.lost}}
    return found


def _levels(site: Site) -> dict[str, Series]:
    """What is read now."""
    host = site.host
    process = psutil.Process()
    writer, prices = host.writer, host.book.state()
    states = Counter(job.state for job in host.import_jobs())
    found: dict[str, Series] = {
        "queue_operations": {(): writer.waiting},
        "queue_limit_operations": {(): host.settings.queue_operations},
        "queue_oldest_wait_seconds": {(): writer.oldest_wait_s},
        "rollup_lag_seconds": {(): writer.rollup_lag_s},
        "import_jobs": {(("state", state),): states[state] for state in ("queued", "running", "done", "failed")},
        "import_files": {(): len(host.state.cursors())},
        "process_resident_memory_bytes": {(): process.memory_info().rss},
        "process_threads": {(): process.num_threads()},
        "process_start_time_seconds": {(): process.create_time()},
        "file_bytes": {(("file", file.key),): file.bytes for file in file_sizes(host.settings)},
        "price_models": {(): prices.models},
        "price_overrides": {(): prices.overrides},
        "not_ready": _by_code(site),
        "healthy": {(): 0 if reason(site.checks()) else 1},
        "build_info": {(("version", __version__),): 1},
    }
    gateway = site.gateway
    if gateway is not None:
        counts = gateway.recorder.counts()
        found["gateway_running_operations"] = {(): gateway.in_flight}
        found["gateway_connections"] = {(): gateway.open_connections}
        found["gateway_spool_operations"] = {(): counts.in_spool}
    samples = site.watch.samples()
    if samples and samples[-1].threads:
        found["thread_cpu_seconds"] = {(("thread", name),): spent.cpu_s for name, spent in samples[-1].threads.items()}
    free, _ = disk_space(host)
    if free is not None:
        found["disk_free_bytes"] = {(): free}
    try:
        engine = engine_memory(host.own_store)
    except RalexError:
        return found  # a store that does not answer is told as not healthy
    return found | {"engine_memory_bytes": {(): engine.used_bytes}, "engine_spilled_bytes": {(): engine.spilled_bytes}}


def _by_code(site: Site) -> Series:
    """1 for each reason why data cannot be taken now, 0 for the others there are."""
    now = {reason.code for reason in site.health_desk.reasons()}
    return {(("reason", code),): float(code in now) for code in CODES}


def _lines(name: str, labels: Labels, value: float | Distribution) -> Iterable[str]:
    if not isinstance(value, Distribution):
        yield f"{name}{_labels(labels)} {value:.15g}"
        return
    for bound in SECONDS if name.endswith("_seconds") else COUNTS:
        yield f"{name}_bucket{_labels((*labels, ('le', f'{bound:g}')))} {value.up_to(bound)}"
    yield f"{name}_bucket{_labels((*labels, ('le', '+Inf')))} {value.count}"
    yield f"{name}_sum{_labels(labels)} {value.total:.15g}"
    yield f"{name}_count{_labels(labels)} {value.count}"


def _labels(labels: Labels) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{value.translate(_ESCAPED)}"' for name, value in labels) + "}"


def _words(name: str) -> str:
    return name.replace("_", " ").capitalize() + "."

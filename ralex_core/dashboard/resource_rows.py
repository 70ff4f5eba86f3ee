"""Samples and states of resources as the rows that pages, the API and live messages show."""

from __future__ import annotations

from collections.abc import Sequence

from ralex_core.dashboard.contexts.resources import (
    ProcessPoint,
    ResourceStatesView,
    ResourceStateView,
    ResourceTile,
    StateChangeView,
)
from ralex_core.dashboard.contexts.rows import ResourcePoint
from ralex_core.monitoring.resource_states import LEVELS, TITLES, ResourceState, worst
from ralex_core.render import count, percent, size, to_iso
from ralex_core.storage.telemetry import ProcessSample, StateChange


def state_view(state: ResourceState) -> ResourceStateView:
    return ResourceStateView(
        resource=state.resource,
        title=state.title,
        level=state.level,
        since_at=to_iso(state.since_us),
        since_us=state.since_us,
        value=None if state.value is None else round(state.value, 4),
        reason=state.reason,
    )


def change_view(change: StateChange) -> StateChangeView:
    return StateChangeView(
        changed_at=to_iso(change.changed_at) or "",
        changed_us=change.changed_at,
        resource=change.resource,
        title=TITLES.get(change.resource, change.resource),
        level=change.level,
        previous=change.previous,
        value=change.value,
        reason=change.reason,
    )


def states_view(states: Sequence[ResourceState], changes: Sequence[StateChange]) -> ResourceStatesView:
    """All states with the one sentence that tells of them: the worst first."""
    troubled = sorted((state for state in states if state.level != "ok"), key=lambda state: -LEVELS.index(state.level))
    if all(state.level == "unknown" for state in states):
        sentence = "This machine has not been measured yet."
    elif troubled:
        sentence = " ".join(state.reason for state in troubled[:3])
    else:
        sentence = "No resource of this machine is in trouble."
    return ResourceStatesView(
        worst(state.level for state in states),
        sentence,
        [state_view(state) for state in states],
        [change_view(change) for change in changes],
    )


def process_point(sample: ProcessSample) -> ProcessPoint:
    return ProcessPoint(
        pid=sample.pid,
        started_us=sample.started_at,
        name=sample.name,
        processes=sample.processes,
        cpu_ratio=None if sample.cpu_ratio is None else round(sample.cpu_ratio, 4),
        rss_bytes=sample.rss_bytes,
        threads=sample.threads,
        open_files=sample.open_files,
        read_bytes_s=sample.read_bytes_s,
        write_bytes_s=sample.write_bytes_s,
    )


def tiles(
    point: ResourcePoint, states: Sequence[ResourceStateView], series: dict[str, list[float | None]]
) -> list[ResourceTile]:
    """The host's headline figures; `static/js/resources.js` writes the same into them when a live message comes."""
    by_name = {state.resource: state for state in states}
    memory = _share(point.memory_used_bytes, point.memory_total_bytes)
    swap, disk = (
        _share(point.swap_used_bytes, point.swap_total_bytes),
        _share(point.disk_used_bytes, point.disk_total_bytes),
    )
    found = [
        ("cpu", "CPU", percent(point.cpu_ratio), _cpu_detail(point), point.cpu_ratio, "cpu_ratio"),
        ("load", "Load", _decimal(point.load_1m), f"over {_decimal(point.cores, 3)} cores", None, "load_1m"),
        (
            "memory",
            "Memory",
            percent(memory),
            _of(point.memory_used_bytes, point.memory_total_bytes),
            memory,
            "memory_used_ratio",
        ),
        ("disk", "Disk", percent(disk), _of(point.disk_used_bytes, point.disk_total_bytes), disk, "disk_used_ratio"),
        (
            "disk_io",
            "Disk traffic",
            _per_s(point.disk_write_bytes_s),
            f"written · {_per_s(point.disk_read_bytes_s)} read",
            None,
            "disk_write_bytes_s",
        ),
        (
            "network",
            "Network",
            _per_s(point.net_received_bytes_s),
            f"received · {_per_s(point.net_sent_bytes_s)} sent",
            None,
            "net_received_bytes_s",
        ),
    ]
    if point.swap_total_bytes:
        found.insert(
            3,
            (
                "swap",
                "Swap",
                percent(swap),
                _of(point.swap_used_bytes, point.swap_total_bytes),
                swap,
                "swap_used_ratio",
            ),
        )
    if point.open_files is not None:
        share = _share(point.open_files, point.open_files_limit)
        found.append(("open_files", "Open files", f"{point.open_files:,}", _files_detail(point), share, "open_files"))
    if point.throttled_ratio is not None:
        found.insert(
            2,
            (
                "throttling",
                "CPU quota",
                percent(point.throttled_ratio),
                "of periods held back",
                point.throttled_ratio,
                "throttled_ratio",
            ),
        )
    return [
        ResourceTile(
            key,
            title,
            value,
            detail,
            by_name[key].level if key in by_name else "",
            by_name[key].reason if key in by_name else "",
            meter,
            series.get(column, []),
        )
        for key, title, value, detail, meter, column in found
    ]


def _cpu_detail(point: ResourcePoint) -> str:
    if point.busiest_core_ratio is None:
        return "" if point.cores is None else f"of {_decimal(point.cores, 3)} cores"
    return f"busiest core {percent(point.busiest_core_ratio)}"


def _files_detail(point: ResourcePoint) -> str:
    whole = "of this machine" if point.open_files_limit is None else f"of {count(point.open_files_limit)}"
    own = point.process_open_files
    return whole if own is None else f"{whole} · own {own:,}"


def _of(part: int | None, whole: int | None) -> str:
    return f"{size(part)} of {size(whole)}"


def _per_s(rate: float | None) -> str:
    return "—" if rate is None else f"{size(rate)}/s"


def _decimal(value: float | None, digits: int = 0) -> str:
    """Two decimals; with `digits`, at most so many significant ones (4 cores, 0.5 cores)."""
    if value is None:
        return "—"
    return f"{value:.{digits}g}" if digits else f"{value:.2f}"


def _share(part: float | None, whole: float | None) -> float | None:
    return part / whole if part is not None and whole else None

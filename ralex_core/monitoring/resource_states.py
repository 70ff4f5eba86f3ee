"""Whether a resource is in trouble, since when and why: a state per resource that does not flap.

A level is raised when the reading was at it or above for a while, and taken back when it was a margin below it for a
while; what moves about in between changes nothing. `advance` is pure: a state and a reading give the next state.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from ralex_core.config import Threshold, Thresholds
from ralex_core.storage.telemetry import GpuSample, ResourceSample, StateChange

Level = Literal["ok", "warn", "critical", "unknown"]
LEVELS: tuple[Level, ...] = ("ok", "unknown", "warn", "critical")
"""From what needs no attention to what needs it most."""

GAP_US = 60_000_000
"""Without a reading for longer, nothing is said about a resource, and times to raise or clear begin anew."""

TITLES = {
    "cpu": "CPU",
    "load": "Load",
    "throttling": "CPU quota",
    "memory": "Memory",
    "swap": "Swap",
    "disk": "Disk",
    "open_files": "Open files",
    "gpu_memory": "GPU memory",
}
ALWAYS = ("cpu", "memory", "disk")
"""Resources every machine has. The others have a state once they were read: no swap is no trouble."""


@dataclass(frozen=True, slots=True)
class Trigger:
    """One level: whether it is raised, and since when the reading has been on the other side."""

    raised: bool = False
    crossed_us: int | None = None


@dataclass(frozen=True, slots=True)
class ResourceState:
    """How one resource is."""

    resource: str
    level: Level = "unknown"
    since_us: int | None = None
    """When it came to this level; None before the first reading."""
    value: float | None = None
    """The last reading, in the terms of its threshold; None when it could not be read."""
    read_us: int | None = None
    """When it was last read."""
    reason: str = "It has not been read yet."
    warn: Trigger = Trigger()
    critical: Trigger = Trigger()

    @property
    def title(self) -> str:
        return TITLES[self.resource]


def advance(state: ResourceState, value: float | None, now_us: int, threshold: Threshold) -> ResourceState:
    """The state after a reading; None is a reading that failed.

    Readings come in order of time. After a gap of more than `GAP_US`, or when the clock was set back, what was raised
    stays raised, but times to raise or to clear begin anew: nobody knows what happened meanwhile.
    """
    since_read = None if state.read_us is None else now_us - state.read_us
    if value is None:
        if since_read is not None and 0 <= since_read <= GAP_US:
            return replace(state, value=None)
        return _at_level(state, "unknown", None, now_us, f"{state.title} cannot be read.")
    continued = since_read is not None and 0 <= since_read <= GAP_US
    warn = _pulled(state.warn, value, threshold.warn, threshold, now_us, continued)
    critical = _pulled(state.critical, value, threshold.critical, threshold, now_us, continued)
    level: Level = "critical" if critical.raised else "warn" if warn.raised else "ok"
    reason = _reason(state, level, value, threshold)
    return replace(_at_level(state, level, value, now_us, reason), read_us=now_us, warn=warn, critical=critical)


def _pulled(trigger: Trigger, value: float, at: float, threshold: Threshold, now_us: int, continued: bool) -> Trigger:
    crossed = value < at - threshold.margin if trigger.raised else value >= at
    if not crossed:
        return replace(trigger, crossed_us=None)
    since_us = trigger.crossed_us if continued and trigger.crossed_us is not None else now_us
    needed_s = threshold.clear_s if trigger.raised else threshold.for_s
    if now_us - since_us >= needed_s * 1e6:
        return Trigger(not trigger.raised)
    return replace(trigger, crossed_us=since_us)


def _at_level(state: ResourceState, level: Level, value: float | None, now_us: int, reason: str) -> ResourceState:
    since_us = state.since_us if state.level == level and state.since_us is not None else now_us
    return replace(state, level=level, since_us=since_us, value=value, reason=reason)


def _reason(state: ResourceState, level: Level, value: float, threshold: Threshold) -> str:
    """One sentence for people: the reading, and what keeps it at this level."""
    now = f"{state.title} is at {amount(state.resource, value)}"
    if level in ("warn", "critical"):
        at = threshold.critical if level == "critical" else threshold.warn
        limit = amount(state.resource, at)
        if value >= at:
            weight = "critical" if level == "critical" else "a warning"
            return f"{now}: {limit} or more for {threshold.for_s:g} s is {weight}."
        under = amount(state.resource, at - threshold.margin)
        return f"{now}, after {limit} or more; it is over when it was under {under} for {threshold.clear_s:g} s."
    if state.level in ("warn", "critical"):
        under = amount(state.resource, threshold.warn - threshold.margin)
        return f"{now}: under {under} for {threshold.clear_s:g} s."
    return f"{now}."


def amount(resource: str, value: float) -> str:
    """A reading or a level as text: a share in percent, load per core."""
    return f"{value:.2f} per core" if resource == "load" else f"{value * 100:.1f} %"


def worst(levels: Iterable[Level]) -> Level:
    """The level that needs attention most; ok of nothing."""
    found: Level = "ok"
    for level in levels:
        if LEVELS.index(level) > LEVELS.index(found):
            found = level
    return found


def values_of(sample: ResourceSample, gpus: Sequence[GpuSample] = ()) -> dict[str, float | None]:
    """What a sample says of every resource, in the terms of its threshold; None is not there or not known."""
    files = [
        share
        for share in (
            _share(sample.open_files, sample.open_files_limit),
            _share(sample.process_open_files, sample.process_open_files_limit),
        )
        if share is not None
    ]
    cards = [share for gpu in gpus if (share := _share(gpu.memory_used_bytes, gpu.memory_total_bytes)) is not None]
    return {
        "cpu": sample.cpu_ratio,
        "load": _share(sample.load_1m, sample.cores),
        "throttling": sample.throttled_ratio,
        "memory": _share(sample.memory_used_bytes, sample.memory_total_bytes),
        "swap": _share(sample.swap_used_bytes, sample.swap_total_bytes),
        "disk": _share(sample.disk_used_bytes, sample.disk_total_bytes),
        "open_files": max(files, default=None),
        "gpu_memory": max(cards, default=None),
    }


def _share(part: float | None, whole: float | None) -> float | None:
    return part / whole if part is not None and whole else None


class ResourceStates:
    """The states of all resources, moved on by one thread and read by any."""

    def __init__(self, thresholds: Thresholds, stored: Iterable[StateChange] = ()) -> None:
        """`stored` are the last changes of an earlier run: what was raised then is raised until it is seen cleared."""
        self._thresholds = thresholds
        self._lock = threading.Lock()
        self._states = {resource: ResourceState(resource) for resource in TITLES}
        for change in stored:
            if change.resource in self._states and change.level in ("warn", "critical"):
                self._states[change.resource] = _as_stored(change)

    def take(self, sample: ResourceSample, gpus: Sequence[GpuSample] = ()) -> list[StateChange]:
        """Move every state on by one sample; gives the changes, in the order of `TITLES`."""
        return self.advance(sample.sampled_at, values_of(sample, gpus))

    def advance(self, now_us: int, values: Mapping[str, float | None]) -> list[StateChange]:
        """Move every state on by one reading each; a resource without a reading could not be read."""
        changes: list[StateChange] = []
        with self._lock:
            for resource, old in self._states.items():
                value = values.get(resource)
                if value is None and old.read_us is None and resource not in ALWAYS and old.level == "unknown":
                    continue  # there is none of it here
                new = advance(old, value, now_us, getattr(self._thresholds, resource))
                self._states[resource] = new
                # to be measured for the first time is no event
                if new.level != old.level and (old.since_us is not None or new.level != "ok"):
                    changes.append(StateChange(now_us, resource, new.level, old.level, new.value, new.reason))
        return changes

    def current(self) -> list[ResourceState]:
        """The state of every resource there is, in the order of `TITLES`."""
        with self._lock:
            return [state for state in self._states.values() if state.since_us is not None or state.resource in ALWAYS]


def _as_stored(change: StateChange) -> ResourceState:
    critical = change.level == "critical"
    return ResourceState(
        change.resource,
        "critical" if critical else "warn",
        change.changed_at,
        change.value,
        None,
        change.reason,
        Trigger(raised=True),
        Trigger(raised=critical),
    )

"""Readings of host and process resources, made into samples, continuously.

Inside a container with limits, memory and CPU are those of the container: what this process may use, not what the
machine has. Rates are between two readings, so the first reading gives no sample.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

from ralex_core.clock import Clock
from ralex_core.collection.cgroup import CgroupCpu, CgroupMemory
from ralex_core.collection.readings import CpuTimes, Flow, Readings, Usage
from ralex_core.selfmetrics import SelfMetrics
from ralex_core.storage.telemetry import ResourceSample

_log = logging.getLogger(__name__)

_FIRST_AFTER_S = 0.25
"""How soon after starting the first sample is taken: long enough for a rate, short enough for a first page view."""

T = TypeVar("T")


class _Moment(NamedTuple):
    """What rates are calculated from."""

    at_s: float
    cpu: CpuTimes | None
    group_cpu: CgroupCpu | None
    process_cpu_s: float | None
    disk: Flow | None
    network: Flow | None
    oom_kills: int | None


class ResourceSampler:
    """Makes one sample per call. Not thread-safe: one thread samples."""

    def __init__(self, clock: Clock, readings: Readings, metrics: SelfMetrics | None = None) -> None:
        self._clock = clock
        self._readings = readings
        self._metrics = metrics
        self._before: _Moment | None = None
        self._failing: set[str] = set()

    def sample(self) -> ResourceSample | None:
        """Read everything. None on the first call, when no time has passed, and when a figure every sample needs cannot
        be read; a figure that may be missing is None in the sample. Never raises for a failed reading."""
        read, source = self._read, self._readings
        group = read("cgroup_memory", source.cgroup_memory)
        cores = read("cores", source.cores)
        now = _Moment(
            self._clock.monotonic(),
            read("cpu", source.cpu),
            self._group_cpu(cores),
            read("process_cpu", source.process_cpu_s),
            read("disk_io", source.disk_flow),
            read("network", source.network_flow),
            None if group is None else group.oom_kills,
        )
        before, self._before = self._before, now
        if before is None or now.at_s <= before.at_s:
            return None
        elapsed = now.at_s - before.at_s
        cpu = _cpu_ratio(before, now, elapsed)
        memory, disk, swap = self._memory(group), read("disk", source.disk), read("swap", source.swap)
        process_cpu = _process_ratio(before, now, elapsed)
        rss, threads = read("process_rss", source.process_rss), read("process_threads", source.process_threads)
        if cpu is None or memory is None or disk is None or process_cpu is None or rss is None or threads is None:
            return None
        files, own_files = read("open_files", source.open_files), read("process_open_files", source.process_open_files)
        return ResourceSample(
            sampled_at=self._clock.now_us(),
            cpu_ratio=cpu,
            load_1m=read("load", source.load_1m),
            memory_used_bytes=memory.used,
            memory_total_bytes=memory.total,
            swap_used_bytes=None if swap is None else swap.used,
            disk_used_bytes=disk.used,
            disk_total_bytes=disk.total,
            disk_read_bytes_s=_rate(before.disk, now.disk, 0, elapsed),
            disk_write_bytes_s=_rate(before.disk, now.disk, 1, elapsed),
            net_received_bytes_s=_rate(before.network, now.network, 0, elapsed),
            net_sent_bytes_s=_rate(before.network, now.network, 1, elapsed),
            process_cpu_ratio=process_cpu,
            process_rss_bytes=rss,
            process_open_files=None if own_files is None else own_files.used,
            process_threads=threads,
            cores=cores if now.group_cpu is None else now.group_cpu.cores,
            iowait_ratio=_share(before.cpu, now.cpu, "iowait_s"),
            steal_ratio=_share(before.cpu, now.cpu, "steal_s"),
            busiest_core_ratio=_busiest(before.cpu, now.cpu),
            throttled_ratio=_throttled(before.group_cpu, now.group_cpu),
            throttled_s_per_s=_held_back(before.group_cpu, now.group_cpu, elapsed),
            oom_kills=_increase(before.oom_kills, now.oom_kills),
            swap_total_bytes=None if swap is None else swap.total,
            open_files=None if files is None else files.used,
            open_files_limit=None if files is None else files.limit,
            process_open_files_limit=None if own_files is None else own_files.limit,
        )

    def limits(self) -> tuple[float | None, int | None]:
        """(cores, bytes of memory) of the container this runs in; None where the machine itself is the limit."""
        cores, machine = self._read("cores", self._readings.cores), self._read("memory", self._readings.memory)
        cpu, memory = self._group_cpu(cores), self._read("cgroup_memory", self._readings.cgroup_memory)
        tight = memory is not None and (machine is None or memory.limit < machine.total)
        return None if cpu is None else cpu.cores, memory.limit if memory is not None and tight else None

    def _memory(self, group: CgroupMemory | None) -> Usage | None:
        """The machine's memory, or the container's when that is the tighter limit."""
        machine = self._read("memory", self._readings.memory)
        if group is None or (machine is not None and group.limit >= machine.total):
            return machine
        return Usage(group.used, group.limit)

    def _group_cpu(self, cores: int | None) -> CgroupCpu | None:
        """The container's CPU, when it may use fewer cores than there are."""
        group = self._read("cgroup_cpu", self._readings.cgroup_cpu)
        return None if group is None or (cores is not None and group.cores >= cores) else group

    def _read(self, name: str, reading: Callable[[], T]) -> T | None:
        """The boundary to the operating system, which refuses things in as many ways as there are systems."""
        try:
            value = reading()
        except Exception as error:
            if name not in self._failing:
                self._failing.add(name)
                _log.warning("%s cannot be read on this system: %s. It is left out of resource samples.", name, error)
            if self._metrics is not None:
                self._metrics.add("resource_readings_failed_total")
            return None
        self._failing.discard(name)
        return value


class Sampling(Generic[T]):
    """Takes something at an interval in a thread of its own and hands it on; None is nothing to hand on."""

    def __init__(
        self,
        take: Callable[[], T | None],
        interval_s: float,
        hand_on: Callable[[T], object],
        *,
        first_after_s: float = _FIRST_AFTER_S,
    ) -> None:
        self._take = take
        self._interval_s = interval_s
        self._first_after_s = min(first_after_s, interval_s)
        self._receiver = hand_on
        self._stop = threading.Event()
        self._tried = threading.Event()
        self._thread: threading.Thread | None = None

    def wait_for_first(self, timeout_s: float) -> None:
        """Wait until the first sample since the start has been tried; it may have failed."""
        if self.running:
            self._tried.wait(timeout_s)

    @property
    def running(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def start(self) -> None:
        """Begin; a second call while running changes nothing."""
        if self.running:
            return
        self._stop.clear()
        self._tried.clear()
        self._thread = threading.Thread(target=self._run, name="ralex-monitor-resources", daemon=True)
        self._thread.start()

    def stop(self, timeout_s: float = 5.0) -> None:
        """End, at once unless a reading is under way; nothing is handed on afterwards. Safe to call twice."""
        self._stop.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(timeout_s)
        self._thread = None

    def _run(self) -> None:
        self._take()
        wait_s = self._first_after_s
        while not self._stop.wait(wait_s):
            wait_s = self._interval_s
            taken = self._take()
            if taken is not None and not self._stop.is_set():
                self._hand_on(taken)
            self._tried.set()

    def _hand_on(self, taken: T) -> None:
        """The boundary to whoever takes samples: a full disk there must not end the sampling here."""
        try:
            self._receiver(taken)
        except Exception:
            _log.exception("A resource sample could not be handed on; sampling goes on.")


def _cpu_ratio(before: _Moment, now: _Moment, elapsed: float) -> float | None:
    """CPU in use, 0–1: of the container's share when it has a limit, else of all cores."""
    if before.group_cpu is not None and now.group_cpu is not None:
        return _clamped((now.group_cpu.used_s - before.group_cpu.used_s) / (elapsed * now.group_cpu.cores))
    if before.cpu is None or now.cpu is None:
        return None
    total = now.cpu.total_s - before.cpu.total_s
    # No tick has passed on any core: nothing was measured, and 0 would be made up.
    return _clamped((now.cpu.busy_s - before.cpu.busy_s) / total) if total > 0 else None


def _process_ratio(before: _Moment, now: _Moment, elapsed: float) -> float | None:
    if before.process_cpu_s is None or now.process_cpu_s is None:
        return None
    return max(0.0, now.process_cpu_s - before.process_cpu_s) / elapsed


def _rate(before: Flow | None, now: Flow | None, direction: int, elapsed: float) -> float | None:
    """Bytes per second; None when a counter is not there or has started over."""
    if before is None or now is None or now[direction] < before[direction]:
        return None
    return (now[direction] - before[direction]) / elapsed


def _clamped(ratio: float) -> float:
    """Ticks are counted in hundredths of a second, so a busy short interval can come out a little above 1."""
    return min(1.0, max(0.0, ratio))


def _share(before: CpuTimes | None, now: CpuTimes | None, part: str) -> float | None:
    """Part of all cores' time, 0–1."""
    if before is None or now is None or now.total_s <= before.total_s:
        return None
    old, new = getattr(before, part), getattr(now, part)
    return None if old is None or new is None else _clamped((new - old) / (now.total_s - before.total_s))


def _busiest(before: CpuTimes | None, now: CpuTimes | None) -> float | None:
    """CPU in use of the busiest core, 0–1; None when cores were switched on or off in between."""
    if before is None or now is None or len(before.cores) != len(now.cores):
        return None
    shares = [
        (new.busy_s - old.busy_s) / (new.total_s - old.total_s)
        for old, new in zip(before.cores, now.cores, strict=True)
        if new.total_s > old.total_s
    ]
    return _clamped(max(shares)) if shares else None


def _throttled(before: CgroupCpu | None, now: CgroupCpu | None) -> float | None:
    """Share of the scheduler's periods that used up the quota; a group that rested has none, and was not throttled."""
    if before is None or now is None:
        return None
    periods, throttled = (
        _increase(before.periods, now.periods),
        _increase(before.throttled_periods, now.throttled_periods),
    )
    if periods is None or throttled is None:
        return None
    return _clamped(throttled / periods) if periods else 0.0


def _held_back(before: CgroupCpu | None, now: CgroupCpu | None, elapsed: float) -> float | None:
    if before is None or now is None or before.throttled_s is None or now.throttled_s is None:
        return None
    return max(0.0, now.throttled_s - before.throttled_s) / elapsed


def _increase(before: int | None, now: int | None) -> int | None:
    """What a counter grew by; None when it is not there or has started over."""
    return None if before is None or now is None or now < before else now - before

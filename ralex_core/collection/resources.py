"""Readings of host and process resources, made into samples, continuously.

Inside a container with limits, memory and CPU are those of the container: what this process may use, not what the
machine has. Rates are between two readings, so the first reading gives no sample.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, Protocol, TypeVar

import psutil

from ralex_core.clock import Clock
from ralex_core.collection.cgroup import Cgroup, CgroupCpu, CgroupMemory
from ralex_core.selfmetrics import SelfMetrics
from ralex_core.storage.telemetry import ResourceSample

_log = logging.getLogger(__name__)

_FIRST_AFTER_S = 0.25
"""How soon after starting the first sample is taken: long enough for a rate, short enough for a first page view."""

T = TypeVar("T")


class CpuTimes(NamedTuple):
    """Seconds since boot over all cores; `total` includes idling."""

    busy_s: float
    total_s: float


class Usage(NamedTuple):
    used: int
    total: int


class Flow(NamedTuple):
    """Bytes since boot, in and out: read and written, or received and sent."""

    inward: int
    outward: int


class Readings(Protocol):
    """Where figures come from. Every method may raise; None is not known here."""

    def cpu(self) -> CpuTimes: ...
    def cores(self) -> int: ...
    def load_1m(self) -> float | None: ...
    def memory(self) -> Usage: ...
    def swap_used(self) -> int: ...
    def disk(self) -> Usage: ...
    def disk_flow(self) -> Flow | None: ...
    def network_flow(self) -> Flow | None: ...
    def process_cpu_s(self) -> float: ...
    def process_rss(self) -> int: ...
    def process_open_files(self) -> int | None: ...
    def process_threads(self) -> int: ...
    def cgroup_memory(self) -> CgroupMemory | None: ...
    def cgroup_cpu(self) -> CgroupCpu | None: ...


class SystemReadings:
    """This machine and this process, read with psutil. `disk_path` chooses the file system: the one data is kept on."""

    def __init__(self, disk_path: Path, cgroup: Cgroup | None = None) -> None:
        self._disk_path = str(disk_path)
        self._process = psutil.Process()
        self._cgroup = cgroup or Cgroup()

    def cpu(self) -> CpuTimes:
        times = psutil.cpu_times()
        # Guest time is already part of user time on Linux; waiting for a disk leaves the core idle.
        total = sum(times) - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0)
        return CpuTimes(total - times.idle - getattr(times, "iowait", 0.0), total)

    def cores(self) -> int:
        return psutil.cpu_count() or 1

    def load_1m(self) -> float | None:
        return os.getloadavg()[0] if hasattr(os, "getloadavg") else None

    def memory(self) -> Usage:
        memory = psutil.virtual_memory()
        return Usage(memory.total - memory.available, memory.total)

    def swap_used(self) -> int:
        return psutil.swap_memory().used

    def disk(self) -> Usage:
        disk = psutil.disk_usage(self._disk_path)
        return Usage(disk.used, disk.total)

    def disk_flow(self) -> Flow | None:
        counters = psutil.disk_io_counters()
        return Flow(counters.read_bytes, counters.write_bytes) if counters else None

    def network_flow(self) -> Flow | None:
        """All interfaces but the loopback, on which the monitor talks to itself."""
        cards = [card for name, card in psutil.net_io_counters(pernic=True).items() if not _is_loopback(name)]
        if not cards:
            return None
        return Flow(sum(card.bytes_recv for card in cards), sum(card.bytes_sent for card in cards))

    def process_cpu_s(self) -> float:
        times = self._process.cpu_times()
        return times.user + times.system

    def process_rss(self) -> int:
        return self._process.memory_info().rss

    def process_open_files(self) -> int | None:
        return self._process.num_fds() if hasattr(self._process, "num_fds") else None

    def process_threads(self) -> int:
        return self._process.num_threads()

    def cgroup_memory(self) -> CgroupMemory | None:
        return self._cgroup.memory()

    def cgroup_cpu(self) -> CgroupCpu | None:
        return self._cgroup.cpu()


class _Moment(NamedTuple):
    """What rates are calculated from."""

    at_s: float
    cpu: CpuTimes | None
    group_cpu: CgroupCpu | None
    process_cpu_s: float | None
    disk: Flow | None
    network: Flow | None


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
        now = _Moment(
            self._clock.monotonic(),
            read("cpu", source.cpu),
            self._group_cpu(),
            read("process_cpu", source.process_cpu_s),
            read("disk_io", source.disk_flow),
            read("network", source.network_flow),
        )
        before, self._before = self._before, now
        if before is None or now.at_s <= before.at_s:
            return None
        elapsed = now.at_s - before.at_s
        cpu = _cpu_ratio(before, now, elapsed)
        memory, disk, swap = self._memory(), read("disk", source.disk), read("swap", source.swap_used)
        process_cpu = _process_ratio(before, now, elapsed)
        rss, threads = read("process_rss", source.process_rss), read("process_threads", source.process_threads)
        if cpu is None or memory is None or disk is None or process_cpu is None or rss is None or threads is None:
            return None
        return ResourceSample(
            sampled_at=self._clock.now_us(),
            cpu_ratio=cpu,
            load_1m=read("load", source.load_1m),
            memory_used_bytes=memory.used,
            memory_total_bytes=memory.total,
            swap_used_bytes=swap,
            disk_used_bytes=disk.used,
            disk_total_bytes=disk.total,
            disk_read_bytes_s=_rate(before.disk, now.disk, 0, elapsed),
            disk_write_bytes_s=_rate(before.disk, now.disk, 1, elapsed),
            net_received_bytes_s=_rate(before.network, now.network, 0, elapsed),
            net_sent_bytes_s=_rate(before.network, now.network, 1, elapsed),
            process_cpu_ratio=process_cpu,
            process_rss_bytes=rss,
            process_open_files=read("process_open_files", source.process_open_files),
            process_threads=threads,
        )

    def _memory(self) -> Usage | None:
        """The machine's memory, or the container's when that is the tighter limit."""
        machine = self._read("memory", self._readings.memory)
        group = self._read("cgroup_memory", self._readings.cgroup_memory)
        if group is None or (machine is not None and group.limit >= machine.total):
            return machine
        return Usage(group.used, group.limit)

    def _group_cpu(self) -> CgroupCpu | None:
        """The container's CPU, when it may use fewer cores than there are."""
        group = self._read("cgroup_cpu", self._readings.cgroup_cpu)
        cores = None if group is None else self._read("cores", self._readings.cores)
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


class ResourceSampling:
    """Samples at an interval in a thread of its own and hands each sample on."""

    def __init__(
        self,
        sampler: ResourceSampler,
        interval_s: float,
        on_sample: Callable[[ResourceSample], object],
        *,
        first_after_s: float = _FIRST_AFTER_S,
    ) -> None:
        self._sampler = sampler
        self._interval_s = interval_s
        self._first_after_s = min(first_after_s, interval_s)
        self._on_sample = on_sample
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
        self._sampler.sample()
        wait_s = self._first_after_s
        while not self._stop.wait(wait_s):
            wait_s = self._interval_s
            sample = self._sampler.sample()
            if sample is not None and not self._stop.is_set():
                self._hand_on(sample)
            self._tried.set()

    def _hand_on(self, sample: ResourceSample) -> None:
        """The boundary to whoever takes samples: a full disk there must not end the sampling here."""
        try:
            self._on_sample(sample)
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


def _is_loopback(name: str) -> bool:
    return name in ("lo", "lo0") or name.startswith("Loopback")

"""Where figures of host and process come from: this machine, read with psutil and from its control group.

Everything but rates, which `collection.resources` makes from two readings.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import psutil

from ralex_core.collection.cgroup import Cgroup, CgroupCpu, CgroupMemory

FILE_NR = Path("/proc/sys/fs/file-nr")
NO_LIMIT = 1 << 60
"""A limit beyond this is how systems write that there is none."""


class CoreTimes(NamedTuple):
    """Seconds of one core since boot."""

    busy_s: float
    total_s: float


class CpuTimes(NamedTuple):
    """Seconds since boot over all cores; `total_s` includes idling. The rest where the system tells it."""

    busy_s: float
    total_s: float
    iowait_s: float | None = None
    steal_s: float | None = None
    cores: tuple[CoreTimes, ...] = ()


class Usage(NamedTuple):
    used: int
    total: int


class OpenFiles(NamedTuple):
    """How many are open, and how many may be; None without a limit."""

    used: int
    limit: int | None


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
    def swap(self) -> Usage: ...
    def disk(self) -> Usage: ...
    def disk_flow(self) -> Flow | None: ...
    def network_flow(self) -> Flow | None: ...
    def open_files(self) -> OpenFiles | None: ...
    def process_cpu_s(self) -> float: ...
    def process_rss(self) -> int: ...
    def process_open_files(self) -> OpenFiles | None: ...
    def process_threads(self) -> int: ...
    def cgroup_memory(self) -> CgroupMemory | None: ...
    def cgroup_cpu(self) -> CgroupCpu | None: ...


class SystemReadings:
    """This machine and this process. `disk_path` chooses the file system: the one data is kept on."""

    def __init__(self, disk_path: Path, cgroup: Cgroup | None = None, file_nr: Path = FILE_NR) -> None:
        self._disk_path = str(disk_path)
        self._process = psutil.Process()
        self._cgroup = cgroup or Cgroup()
        self._file_nr = file_nr

    def cpu(self) -> CpuTimes:
        rows: list[Any] = psutil.cpu_times(percpu=True)
        cores = tuple(_core(row) for row in rows)
        return CpuTimes(
            sum(core.busy_s for core in cores),
            sum(core.total_s for core in cores),
            _summed(rows, "iowait"),
            _summed(rows, "steal"),
            cores,
        )

    def cores(self) -> int:
        return psutil.cpu_count() or 1

    def load_1m(self) -> float | None:
        return os.getloadavg()[0] if hasattr(os, "getloadavg") else None

    def memory(self) -> Usage:
        memory = psutil.virtual_memory()
        return Usage(memory.total - memory.available, memory.total)

    def swap(self) -> Usage:
        swap = psutil.swap_memory()
        return Usage(swap.used, swap.total)

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

    def open_files(self) -> OpenFiles | None:
        """Of the whole machine; None where the system keeps no such count."""
        try:
            used, _, limit = self._file_nr.read_text(encoding="ascii").split()
        except (FileNotFoundError, NotADirectoryError):
            return None
        return OpenFiles(int(used), _limit(int(limit)))

    def process_cpu_s(self) -> float:
        times = self._process.cpu_times()
        return times.user + times.system

    def process_rss(self) -> int:
        return self._process.memory_info().rss

    def process_open_files(self) -> OpenFiles | None:
        if not hasattr(self._process, "num_fds"):
            return None
        import resource  # not on Windows, which has no num_fds either

        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        return OpenFiles(self._process.num_fds(), None if soft == resource.RLIM_INFINITY else _limit(soft))

    def process_threads(self) -> int:
        return self._process.num_threads()

    def cgroup_memory(self) -> CgroupMemory | None:
        return self._cgroup.memory()

    def cgroup_cpu(self) -> CgroupCpu | None:
        return self._cgroup.cpu()


def _core(times: Any) -> CoreTimes:
    # Guest time is already part of user time on Linux; waiting for a disk leaves the core idle.
    total = sum(times) - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0)
    return CoreTimes(total - times.idle - getattr(times, "iowait", 0.0), total)


def _summed(rows: list[Any], name: str) -> float | None:
    return sum(getattr(row, name) for row in rows) if rows and hasattr(rows[0], name) else None


def _limit(value: int) -> int | None:
    return value if 0 < value < NO_LIMIT else None


def _is_loopback(name: str) -> bool:
    return name in ("lo", "lo0") or name.startswith("Loopback")

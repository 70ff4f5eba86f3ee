"""A machine whose figures a test decides."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar

from ralex_core.collection.cgroup import CgroupCpu, CgroupMemory
from ralex_core.collection.readings import CpuTimes, Flow, OpenFiles, Usage

GIB = 1 << 30
STARTED = CpuTimes(0.0, 0.0)
MEMORY = Usage(6 * GIB, 16 * GIB)
DISK = Usage(100 * GIB, 500 * GIB)
NOTHING_YET = Flow(0, 0)
NO_SWAP_USED = Usage(0, 2 * GIB)
MACHINE_FILES = OpenFiles(2_000, 100_000)
OWN_FILES = OpenFiles(12, 1_024)

T = TypeVar("T")


@dataclass
class FakeReadings:
    """Every figure is an attribute; a name in `broken` raises when it is read."""

    cpu_times: CpuTimes = STARTED
    core_count: int = 4
    load: float | None = 0.5
    memory_usage: Usage = MEMORY
    swap_usage: Usage = NO_SWAP_USED
    disk_usage: Usage = DISK
    disk_bytes: Flow | None = NOTHING_YET
    network_bytes: Flow | None = NOTHING_YET
    process_seconds: float = 0.0
    rss: int = 80 << 20
    files: OpenFiles | None = MACHINE_FILES
    own_files: OpenFiles | None = OWN_FILES
    threads: int = 5
    group_memory: CgroupMemory | None = None
    group_cpu: CgroupCpu | None = None
    broken: set[str] = field(default_factory=set)

    def _give(self, name: str, value: T) -> T:
        if name in self.broken:
            raise OSError(f"{name} is not there")
        return value

    def cpu(self) -> CpuTimes:
        return self._give("cpu", self.cpu_times)

    def cores(self) -> int:
        return self._give("cores", self.core_count)

    def load_1m(self) -> float | None:
        return self._give("load", self.load)

    def memory(self) -> Usage:
        return self._give("memory", self.memory_usage)

    def swap(self) -> Usage:
        return self._give("swap", self.swap_usage)

    def open_files(self) -> OpenFiles | None:
        return self._give("machine_files", self.files)

    def disk(self) -> Usage:
        return self._give("disk", self.disk_usage)

    def disk_flow(self) -> Flow | None:
        return self._give("disk_io", self.disk_bytes)

    def network_flow(self) -> Flow | None:
        return self._give("network", self.network_bytes)

    def process_cpu_s(self) -> float:
        return self._give("process_cpu", self.process_seconds)

    def process_rss(self) -> int:
        return self._give("rss", self.rss)

    def process_open_files(self) -> OpenFiles | None:
        return self._give("open_files", self.own_files)

    def process_threads(self) -> int:
        return self._give("threads", self.threads)

    def cgroup_memory(self) -> CgroupMemory | None:
        return self._give("cgroup_memory", self.group_memory)

    def cgroup_cpu(self) -> CgroupCpu | None:
        return self._give("cgroup_cpu", self.group_cpu)

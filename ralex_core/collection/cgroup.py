"""What a Linux control group (v2) allows and uses: in a container, the machine's figures are not those that count."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")


@dataclass(frozen=True, slots=True)
class CgroupMemory:
    """Bytes in use, page cache that can be dropped at any time not counted, and the limit on them."""

    used: int
    limit: int
    oom_kills: int | None = None
    """Processes killed so far for want of memory."""


@dataclass(frozen=True, slots=True)
class CgroupCpu:
    """CPU time used so far, in seconds, and how many cores may be busy at once."""

    used_s: float
    cores: float
    periods: int | None = None
    """The scheduler's periods so far in which the group ran, and those in which it used up its quota."""
    throttled_periods: int | None = None
    throttled_s: float | None = None
    """How long its threads were held back so far, over all cores."""


class Cgroup:
    """The groups this process is in, innermost first. The tightest limit holds; no limit is None.

    Every reading costs a few small file reads. Anything unreadable counts as no limit: the machine's figures hold then.
    """

    def __init__(self, root: Path = ROOT, membership: Path = MEMBERSHIP) -> None:
        self._chain = _chain(root, membership)
        memory = [(limit, path) for path in self._chain if (limit := _number(path / "memory.max")) is not None]
        cpu = [(cores, path) for path in self._chain if (cores := _cores(path / "cpu.max")) is not None]
        self._memory_path = min(memory)[1] if memory else None
        self._cpu_path = min(cpu)[1] if cpu else None

    def memory(self) -> CgroupMemory | None:
        """Memory under the tightest limit; None without one."""
        path = self._memory_path
        if path is None:
            return None
        limit, current = _number(path / "memory.max"), _number(path / "memory.current")
        if limit is None or current is None:
            return None
        droppable = _fields(path / "memory.stat").get("inactive_file", 0)
        return CgroupMemory(max(0, current - droppable), limit, _fields(path / "memory.events").get("oom_kill"))

    def cpu(self) -> CgroupCpu | None:
        """CPU under the tightest limit; None without one."""
        path = self._cpu_path
        if path is None:
            return None
        cores, told = _cores(path / "cpu.max"), _fields(path / "cpu.stat")
        used_us, throttled_us = told.get("usage_usec"), told.get("throttled_usec")
        if cores is None or used_us is None:
            return None
        held_back_s = None if throttled_us is None else throttled_us / 1e6
        return CgroupCpu(used_us / 1e6, cores, told.get("nr_periods"), told.get("nr_throttled"), held_back_s)


def _chain(root: Path, membership: Path) -> list[Path]:
    """Directories of the process's group and of those around it; only those of the unified hierarchy (`0::/…`)."""
    text = _text(membership)
    name = next((line[3:] for line in text.splitlines() if line.startswith("0::")), None)
    if name is None:
        return []
    path = root / name.lstrip("/")
    return [path, *(parent for parent in path.parents if parent.is_relative_to(root))]


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""


def _number(path: Path) -> int | None:
    """A file's number; None for `max`, for a missing file, and for a limit beyond any machine."""
    text = _text(path).strip()
    value = int(text) if text.isdigit() else None
    return value if value is not None and value < 1 << 60 else None


def _cores(path: Path) -> float | None:
    """`quota period` in µs as cores; None for `max`."""
    quota, _, period = _text(path).strip().partition(" ")
    return int(quota) / int(period) if quota.isdigit() and period.isdigit() and int(period) else None


def _fields(path: Path) -> dict[str, int]:
    pairs = (line.split() for line in _text(path).splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdigit()}

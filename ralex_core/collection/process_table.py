"""The processes of this machine: who is whose child, and what each has used.

On Linux `/proc` is read directly, at a tenth of what psutil takes for it, and the CPU time of children that have
ended is in the same line. Elsewhere psutil answers.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

import psutil

PROC = Path("/proc")


class ProcessRow(NamedTuple):
    """One process at one moment. `(pid, started_us)` is its identity: pids are used again."""

    pid: int
    parent: int
    name: str
    """The system's name for it, at most 15 bytes on Linux. Never its command line."""
    started_us: int
    cpu_s: float
    """CPU time so far, that of ended and waited-for children included where the system counts it."""
    rss_bytes: int
    threads: int
    zombie: bool

    @property
    def identity(self) -> tuple[int, int]:
        return self.pid, self.started_us


class ProcessDetails(NamedTuple):
    """What costs more to read. None is not known, often because the process is another user's."""

    open_files: int | None
    read_bytes: int | None
    written_bytes: int | None


UNREADABLE = ProcessDetails(None, None, None)


class ProcessTable(Protocol):
    """Where processes are looked up. A process that ends meanwhile is left out, or None."""

    def all(self) -> Iterator[ProcessRow]: ...

    def one(self, pid: int) -> ProcessRow | None: ...

    def arguments(self, pid: int) -> list[str]:
        """The command line, to recognise a program by; empty when it cannot be read. Not to be kept."""
        ...

    def details(self, pid: int) -> ProcessDetails: ...


def process_table() -> ProcessTable:
    """The table of this machine."""
    return LinuxProcesses() if sys.platform == "linux" else PortableProcesses()


class LinuxProcesses:
    """Processes as `/proc` (or a directory laid out like it) tells them."""

    def __init__(self, root: Path = PROC) -> None:
        self._root = str(root)
        self._tick_s = 1 / os.sysconf("SC_CLK_TCK")
        self._page = os.sysconf("SC_PAGE_SIZE")
        self._boot_us = self._boot_time()

    def all(self) -> Iterator[ProcessRow]:
        for name in os.listdir(self._root):  # noqa: PTH208 - ten thousand names, not paths
            if name.isdigit() and (row := self.one(int(name))) is not None:
                yield row

    def one(self, pid: int) -> ProcessRow | None:
        return self._parsed(pid, self._read(pid, "stat", 1024))

    def arguments(self, pid: int) -> list[str]:
        text = self._read(pid, "cmdline", 4096).decode("utf-8", "replace")
        return text.rstrip("\0").split("\0") if text else []

    def details(self, pid: int) -> ProcessDetails:
        try:
            open_files = len(os.listdir(f"{self._root}/{pid}/fd"))  # noqa: PTH208
        except OSError:
            open_files = None
        pairs = dict(line.split(b": ", 1) for line in self._read(pid, "io", 1024).splitlines() if b": " in line)
        return ProcessDetails(open_files, _whole(pairs.get(b"read_bytes")), _whole(pairs.get(b"write_bytes")))

    def _read(self, pid: int, name: str, most: int) -> bytes:
        """A small file whole; empty when the process is gone or will not be looked into."""
        try:
            file = os.open(f"{self._root}/{pid}/{name}", os.O_RDONLY)
        except OSError:
            return b""
        try:
            return os.read(file, most)
        except OSError:  # it ended between the two calls
            return b""
        finally:
            os.close(file)

    def _parsed(self, pid: int, line: bytes) -> ProcessRow | None:
        """The fields of proc(5)'s `stat`; the name stands in parentheses and may hold anything, parentheses too."""
        start, end = line.find(b"("), line.rfind(b")")
        rest = line[end + 2 :].split()
        if start < 0 or end < 0 or len(rest) < 22:
            return None
        used, started, rss = rest[11:15], rest[19], rest[21]
        return ProcessRow(
            pid,
            int(rest[1]),
            line[start + 1 : end].decode("utf-8", "replace"),
            self._boot_us + round(int(started) * self._tick_s * 1e6),
            sum(map(int, used)) * self._tick_s,
            max(0, int(rss)) * self._page,
            int(rest[17]),
            rest[0] in (b"Z", b"X"),
        )

    def _boot_time(self) -> int:
        """Read once, so that the identity of a process does not change when the clock is set."""
        text = Path(self._root, "stat").read_text(encoding="ascii", errors="replace")
        found = next((line.split()[1] for line in text.splitlines() if line.startswith("btime ")), "0")
        return int(found) * 1_000_000


class PortableProcesses:
    """Processes as psutil tells them, on any system it knows."""

    def all(self) -> Iterator[ProcessRow]:
        for pid in psutil.pids():
            if (row := self.one(pid)) is not None:
                yield row

    def one(self, pid: int) -> ProcessRow | None:
        try:
            process = psutil.Process(pid)
            with process.oneshot():
                times = process.cpu_times()
                return ProcessRow(
                    pid,
                    process.ppid(),
                    process.name(),
                    round(process.create_time() * 1e6),
                    times.user
                    + times.system
                    + getattr(times, "children_user", 0.0)
                    + getattr(times, "children_system", 0.0),
                    process.memory_info().rss,
                    process.num_threads(),
                    process.status() == psutil.STATUS_ZOMBIE,
                )
        except (psutil.Error, OSError):
            return None

    def arguments(self, pid: int) -> list[str]:
        try:
            return psutil.Process(pid).cmdline()
        except (psutil.Error, OSError):
            return []

    def details(self, pid: int) -> ProcessDetails:
        try:
            process = psutil.Process(pid)
            files = process.num_fds() if hasattr(process, "num_fds") else None
            flow = process.io_counters() if hasattr(process, "io_counters") else None
        except (psutil.Error, OSError):
            return UNREADABLE
        return ProcessDetails(
            files, None if flow is None else flow.read_bytes, None if flow is None else flow.write_bytes
        )


def _whole(text: bytes | None) -> int | None:
    return int(text) if text is not None and text.strip().isdigit() else None

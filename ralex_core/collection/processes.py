"""Watched processes, each with its descendants, measured again and again at little cost.

The whole table of processes is looked through rarely enough to take at most `SCAN_SHARE` of a core; in between only the
processes found before are read. A process is known by pid and start, so a pid that is used again is another process.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from ralex_core.clock import Clock
from ralex_core.collection.process_table import ProcessDetails, ProcessRow, ProcessTable
from ralex_core.collection.program_names import watched_as
from ralex_core.errors import ConfigError
from ralex_core.storage.telemetry import ProcessSample

SCAN_SHARE = 0.002
"""The most of a core that looking through the table may take: with 10,000 processes it happens about once a minute."""
MAX_WATCHED = 24
"""Watched processes; more are counted and left out. Those given by pid come first."""
MAX_MEMBERS = 200
"""Descendants of one process whose open files and traffic are read; with more, those two are not known."""
OWN_NAME = "ralex-monitor"
_KERNEL_THREADS = 2

Identity = tuple[int, int]


@dataclass(slots=True)
class _Tree:
    """A watched process with its descendants, and what they had used when they were last looked at."""

    name: str
    root: Identity
    members: list[Identity] = field(default_factory=list[Identity])
    at_s: float | None = None
    cpu_s: dict[Identity, float] = field(default_factory=dict[Identity, float])
    flow: tuple[int, int] | None = None


class ProcessWatch:
    """Finds and measures the processes of programs in `names`, those given by pid, and the monitor's own.

    `sample` belongs to one thread; `watch`, `unwatch` and the rest may be called from any.
    """

    def __init__(
        self,
        clock: Clock,
        table: ProcessTable,
        names: Sequence[str],
        pids: Iterable[int] = (),
        *,
        own_pid: int | None = None,
        cost_s: Callable[[], float] = time.thread_time,
    ) -> None:
        """`cost_s` tells the CPU time of the calling thread, from which the cost of looking is known."""
        self._clock = clock
        self._table = table
        self._names = tuple(names)
        self._own_pid = os.getpid() if own_pid is None else own_pid
        self._cost_s = cost_s
        self._lock = threading.Lock()
        self._by_pid: dict[Identity, int] = {}
        for pid in pids:
            row = table.one(pid)
            if row is not None:
                self._by_pid[row.identity] = pid
        self._known: dict[Identity, str | None] = {}
        self._trees: dict[Identity, _Tree] = {}
        self._scan_at = float("-inf")
        self._left_out = 0

    @property
    def left_out(self) -> int:
        """Processes that would be watched, were they not more than `MAX_WATCHED`."""
        return self._left_out

    @property
    def pids(self) -> list[int]:
        """Processes watched by pid, ascending; those that ended are gone from it."""
        with self._lock:
            return sorted(self._by_pid.values())

    def watch(self, pid: int) -> None:
        """Watch this process until it ends, whatever it is called.

        Raises:
            ConfigError: there is no such process, or enough are watched by pid.
        """
        row = self._table.one(pid)
        if row is None or row.zombie:
            raise ConfigError(f"There is no running process {pid} here. `ps` lists the processes of this machine.")
        with self._lock:
            if len(self._by_pid) >= MAX_WATCHED - 1 and row.identity not in self._by_pid:
                raise ConfigError(f"{len(self._by_pid)} processes are watched by pid already; take one away first.")
            self._by_pid[row.identity] = pid
            self._scan_at = float("-inf")

    def unwatch(self, pid: int) -> bool:
        """No longer watch a process by its pid; one that is watched by name stays. False: it was not watched."""
        with self._lock:
            found = [identity for identity, known in self._by_pid.items() if known == pid]
            for identity in found:
                del self._by_pid[identity]
            self._scan_at = float("-inf")
        return bool(found)

    def sample(self) -> list[ProcessSample]:
        """One sample per watched process that runs, in the order they are watched."""
        now_s = self._clock.monotonic()
        if now_s >= self._scan_at:
            with self._lock:  # a process given meanwhile must be in the table that decides
                began = self._cost_s()
                rows = {row.pid: row for row in self._table.all()}
                self._regroup(rows)
                self._scan_at = now_s + (self._cost_s() - began) / SCAN_SHARE
        else:
            members = {pid for tree in self._trees.values() for pid, _ in tree.members}
            rows = {pid: row for pid in members if (row := self._table.one(pid)) is not None}
        samples: list[ProcessSample] = []
        for tree in list(self._trees.values()):
            sample = self._measured(tree, rows, now_s)
            if sample is None:
                del self._trees[tree.root]
            else:
                samples.append(sample)
        return samples

    # --- finding -----------------------------------------------------------------------------------------------

    def _regroup(self, rows: dict[int, ProcessRow]) -> None:
        """Which processes are watched now, and who belongs to them."""
        children: dict[int, list[ProcessRow]] = {}
        for row in rows.values():
            children.setdefault(row.parent, []).append(row)
        self._recognise(rows)
        self._by_pid = {
            identity: pid for identity, pid in self._by_pid.items() if identity in self._known and _runs(rows.get(pid))
        }
        chosen = set(self._by_pid)
        own = rows.get(self._own_pid)
        if own is not None:
            chosen.add(own.identity)
        named = [row for row in rows.values() if self._known[row.identity] and row.identity not in chosen]
        roots = [rows[pid] for pid, _ in sorted(chosen, key=lambda identity: identity[0] != self._own_pid)]
        stops = chosen | {row.identity for row in named}
        roots += sorted(
            (row for row in named if not row.zombie and not _has_ancestor(row, rows, stops)),
            key=lambda row: (row.started_us, row.pid),
        )
        self._left_out = max(0, len(roots) - MAX_WATCHED)
        trees: dict[Identity, _Tree] = {}
        for root in roots[:MAX_WATCHED]:
            tree = self._trees.get(root.identity) or _Tree(self._name_of(root), root.identity)
            tree.members = _descendants(root, children, chosen)
            trees[root.identity] = tree
        self._trees = trees

    def _recognise(self, rows: dict[int, ProcessRow]) -> None:
        """Look at each process once: its arguments are read when it is first seen, and forgotten."""
        known = self._known
        self._known = {
            row.identity: known[row.identity] if row.identity in known else self._program(row) for row in rows.values()
        }

    def _program(self, row: ProcessRow) -> str | None:
        if row.parent == _KERNEL_THREADS or row.pid == _KERNEL_THREADS:
            return None
        return watched_as(row.name, self._table.arguments(row.pid), self._names)

    def _name_of(self, row: ProcessRow) -> str:
        if row.pid == self._own_pid:
            return OWN_NAME
        return self._known[row.identity] or row.name

    # --- measuring ---------------------------------------------------------------------------------------------

    def _measured(self, tree: _Tree, rows: dict[int, ProcessRow], now_s: float) -> ProcessSample | None:
        """The sample of one watched process; None when it has ended."""
        alive = [row for pid, started in tree.members if (row := rows.get(pid)) and row.started_us == started]
        root = next((row for row in alive if row.identity == tree.root), None)
        if root is None or root.zombie:
            return None
        running = [row for row in alive if not row.zombie]
        open_files, flow = self._details(running)
        elapsed = None if tree.at_s is None or now_s <= tree.at_s else now_s - tree.at_s
        used = {row.identity: row.cpu_s for row in alive}
        cpu = None if elapsed is None else _cpu_between(tree.cpu_s, used) / elapsed
        read_s, write_s = (_rate(tree.flow, flow, side, elapsed) for side in (0, 1))
        tree.at_s, tree.cpu_s, tree.flow = now_s, used, flow
        return ProcessSample(
            self._clock.now_us(),
            root.pid,
            root.started_us,
            tree.name,
            len(running),
            cpu if cpu is None else min(cpu, float(os.cpu_count() or 1)),
            sum(row.rss_bytes for row in running),
            sum(row.threads for row in running),
            open_files,
            read_s,
            write_s,
        )

    def _details(self, running: list[ProcessRow]) -> tuple[int | None, tuple[int, int] | None]:
        """Open files and bytes read and written of all together; None unless every one of them tells."""
        if len(running) > MAX_MEMBERS:
            return None, None
        found: list[ProcessDetails] = [self._table.details(row.pid) for row in running]
        files = [item.open_files for item in found if item.open_files is not None]
        flows = [
            (item.read_bytes, item.written_bytes)
            for item in found
            if item.read_bytes is not None and item.written_bytes is not None
        ]
        return (
            sum(files) if len(files) == len(found) else None,
            (sum(flow[0] for flow in flows), sum(flow[1] for flow in flows)) if len(flows) == len(found) else None,
        )


def _runs(row: ProcessRow | None) -> bool:
    return row is not None and not row.zombie


def _has_ancestor(row: ProcessRow, rows: dict[int, ProcessRow], stops: set[Identity]) -> bool:
    """Whether a process is a descendant of one of `stops`; a table read while it changes may hold a circle."""
    seen = {row.pid}
    parent = rows.get(row.parent)
    while parent is not None and parent.pid not in seen:
        if parent.identity in stops:
            return True
        seen.add(parent.pid)
        parent = rows.get(parent.parent)
    return False


def _descendants(root: ProcessRow, children: dict[int, list[ProcessRow]], chosen: set[Identity]) -> list[Identity]:
    """A process and all below it, but for those that are watched on their own."""
    found = {root.identity: None}
    todo = [root]
    while todo:
        for row in children.get(todo.pop().pid, ()):
            if row.identity not in found and row.identity not in chosen:
                found[row.identity] = None
                todo.append(row)
    return list(found)


def _cpu_between(before: dict[Identity, float], now: dict[Identity, float]) -> float:
    """CPU seconds used between two readings of a tree.

    The time of a child that ended is in its parent's, so the sums tell all of it, however short a child lived. When
    a descendant left the tree (its parent ended first), the sum falls: then those that are in both readings count.
    """
    whole = sum(now.values()) - sum(before.values())
    if whole >= 0:
        return whole
    return sum(max(0.0, used - before[identity]) for identity, used in now.items() if identity in before)


def _rate(
    before: tuple[int, int] | None, now: tuple[int, int] | None, side: int, elapsed: float | None
) -> float | None:
    """Bytes per second; None in the first reading, where it is not told, and when a descendant took its count along."""
    if before is None or now is None or elapsed is None or now[side] < before[side]:
        return None
    return (now[side] - before[side]) / elapsed

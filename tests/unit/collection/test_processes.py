"""Watched processes: found by name and by pid, measured with all they start, bounded, and never taken for another."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ralex_core.clock import ManualClock, SystemClock
from ralex_core.collection.process_table import LinuxProcesses, PortableProcesses, ProcessTable
from ralex_core.collection.processes import MAX_WATCHED, OWN_NAME, SCAN_SHARE, ProcessWatch
from ralex_core.errors import ConfigError
from ralex_core.storage.telemetry import ProcessSample
from tests.support.proc import FakeProc

OWN = 50
PAGE = os.sysconf("SC_PAGE_SIZE")


class Counting(LinuxProcesses):
    """Counts how often the whole table is looked through."""

    scans = 0

    def all(self):
        self.scans += 1
        return super().all()


class Costs:
    """CPU time that a test decides: every look through the table costs `each_s`."""

    def __init__(self, each_s: float = 0.0) -> None:
        self.each_s = each_s
        self._now = 0.0

    def __call__(self) -> float:
        self._now += self.each_s
        return self._now


@pytest.fixture
def proc(tmp_path: Path) -> FakeProc:
    proc = FakeProc(tmp_path / "proc")
    proc.put(1, "init", 0)
    proc.put(OWN, "python", arguments=["python", "-m", "ralex_core", "serve"])
    return proc


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


def watching(
    proc: FakeProc, clock: ManualClock, *, costs: Costs | None = None, pids: tuple[int, ...] = ()
) -> ProcessWatch:
    names = ("claude", "codex", "python-tool")
    return ProcessWatch(clock, Counting(proc.root), names, pids, own_pid=OWN, cost_s=costs or Costs())


def by_name(samples: list[ProcessSample]) -> dict[str, ProcessSample]:
    return {sample.name: sample for sample in samples}


def test_the_monitor_and_the_assistants_are_found_with_all_they_started(proc: FakeProc, clock: ManualClock) -> None:
    proc.put(100, "claude", ticks=100, pages=10, threads=4, files=5)
    proc.put(101, "node", 100, pages=20, threads=2, files=2)
    proc.put(102, "git", 101, pages=1, files=1)
    proc.put(200, "bash", arguments=["bash"])
    watch = watching(proc, clock)
    found = watch.sample()
    assert [sample.name for sample in found] == [OWN_NAME, "claude"]
    claude = found[1]
    assert (claude.pid, claude.processes, claude.threads, claude.open_files) == (100, 3, 7, 8)
    assert claude.rss_bytes == 31 * PAGE
    assert (claude.cpu_ratio, claude.read_bytes_s) == (None, None), "a rate needs two readings"


def test_rates_are_of_all_together_and_a_childs_last_work_is_not_lost(proc: FakeProc, clock: ManualClock) -> None:
    proc.put(100, "claude", ticks=100, io=(1_000, 0))
    proc.put(101, "rg", 100, ticks=30, io=(500, 50))
    watch = watching(proc, clock)
    watch.sample()
    clock.advance(10)
    proc.put(100, "claude", ticks=200, io=(1_000, 0))
    proc.put(101, "rg", 100, ticks=530, io=(4_500, 150))
    sample = by_name(watch.sample())["claude"]
    assert (sample.cpu_ratio, sample.read_bytes_s, sample.write_bytes_s) == (pytest.approx(0.6), 400.0, 10.0)
    clock.advance(10)
    proc.end(101)  # it used 1 s more, and its parent waited for it
    proc.put(100, "claude", ticks=200, reaped=630, io=(6_500, 150))
    sample = by_name(watch.sample())["claude"]
    assert (sample.cpu_ratio, sample.read_bytes_s, sample.processes) == (pytest.approx(0.1), 100.0, 1)


def test_a_child_that_leaves_takes_its_past_along_and_the_rest_is_still_measured(
    proc: FakeProc, clock: ManualClock
) -> None:
    proc.put(100, "claude", ticks=100)
    proc.put(101, "server", 100, ticks=5_000, io=(9_000, 0))
    watch = watching(proc, clock)
    watch.sample()
    clock.advance(10)
    proc.put(101, "server", 1, ticks=5_100, io=(9_000, 0))  # a daemon now
    proc.put(100, "claude", ticks=150)
    sample = by_name(watch.sample())["claude"]
    assert (sample.cpu_ratio, sample.read_bytes_s) == (pytest.approx(0.05), None)


def test_an_assistant_started_by_an_assistant_counts_once(proc: FakeProc, clock: ManualClock) -> None:
    proc.put(100, "claude")
    proc.put(101, "bash", 100)
    proc.put(102, "codex", 101)
    samples = watching(proc, clock).sample()
    assert [(sample.name, sample.processes) for sample in samples] == [(OWN_NAME, 1), ("claude", 3)]


def test_a_process_watched_by_pid_stands_alone(proc: FakeProc, clock: ManualClock) -> None:
    proc.put(100, "claude")
    proc.put(101, "postgres", 100)
    proc.put(102, "postgres", 101)
    watch = watching(proc, clock)
    watch.watch(101)
    assert [(sample.name, sample.processes) for sample in watch.sample()] == [
        (OWN_NAME, 1),
        ("postgres", 2),
        ("claude", 1),
    ]
    assert watch.pids == [101]
    assert watch.unwatch(101)
    assert not watch.unwatch(101)
    assert [(sample.name, sample.processes) for sample in watch.sample()] == [(OWN_NAME, 1), ("claude", 3)]


def test_pids_of_the_settings_are_watched_while_they_run(proc: FakeProc, clock: ManualClock) -> None:
    proc.put(300, "trainer")
    watch = watching(proc, clock, pids=(300, 404))
    assert watch.pids == [300]
    assert [sample.name for sample in watch.sample()] == [OWN_NAME, "trainer"]
    proc.end(300)
    assert [sample.name for sample in watch.sample()] == [OWN_NAME]
    assert watch.pids == []


@pytest.mark.parametrize("pid", [404, 9])
def test_a_pid_that_does_not_run_is_refused_with_what_to_do(proc: FakeProc, clock: ManualClock, pid: int) -> None:
    proc.put(9, "dead", state="Z")
    with pytest.raises(ConfigError, match=f"no running process {pid}"):
        watching(proc, clock).watch(pid)


def test_a_pid_that_is_used_again_is_another_process(proc: FakeProc, clock: ManualClock) -> None:
    proc.put(100, "claude", ticks=5_000, started=100)
    watch = watching(proc, clock)
    watch.watch(100)
    first = by_name(watch.sample())["claude"]
    clock.advance(10)
    proc.put(100, "claude", ticks=5_100, started=900)
    second = by_name(watch.sample())["claude"]
    assert second.started_at != first.started_at
    assert second.cpu_ratio is None, "its time is not compared with the other's"
    assert watch.pids == [], "the one that was given has ended"
    clock.advance(10)
    proc.put(100, "sshd", started=950)
    assert [sample.name for sample in watch.sample()] == [OWN_NAME]


def test_a_zombie_is_not_running_but_its_time_counts(proc: FakeProc, clock: ManualClock) -> None:
    proc.put(100, "claude", ticks=100)
    proc.put(101, "tool", 100, ticks=0)
    watch = watching(proc, clock)
    watch.sample()
    clock.advance(10)
    proc.put(101, "tool", 100, ticks=300, state="Z", pages=0, files=0, io=None)
    sample = by_name(watch.sample())["claude"]
    assert (sample.cpu_ratio, sample.processes, sample.read_bytes_s) == (pytest.approx(0.3), 1, 0.0)
    clock.advance(10)
    proc.put(100, "claude", ticks=100, state="Z")
    assert [sample.name for sample in watch.sample()] == [OWN_NAME]


def test_figures_of_another_users_process_are_unknown_and_not_zero(proc: FakeProc, clock: ManualClock) -> None:
    proc.put(100, "claude", files=None, io=None)
    proc.put(101, "node", 100)
    watch = watching(proc, clock)
    watch.sample()
    clock.advance(1)
    sample = by_name(watch.sample())["claude"]
    assert (sample.open_files, sample.read_bytes_s, sample.write_bytes_s) == (None, None, None)
    assert sample.cpu_ratio == 0.0


def test_looking_through_the_table_takes_its_share_of_time_and_no_more(proc: FakeProc, clock: ManualClock) -> None:
    proc.put(100, "claude", ticks=100)
    watch = watching(proc, clock, costs=Costs(0.1))  # a machine with ten thousand processes
    table: Counting = watch._table  # type: ignore[assignment]
    watch.sample()
    proc.put(101, "codex")
    for _ in range(9):
        clock.advance(5)
        proc.put(100, "claude", ticks=round(100 + 100 * clock.monotonic()))
        assert [sample.name for sample in watch.sample()] == [OWN_NAME, "claude"], "what is known is measured"
    assert table.scans == 1
    clock.advance(0.1 / SCAN_SHARE - 45)
    assert [sample.name for sample in watch.sample()] == [OWN_NAME, "claude", "codex"]
    assert table.scans == 2


def test_more_assistants_than_are_watched_are_counted(proc: FakeProc, clock: ManualClock) -> None:
    for pid in range(100, 140):
        proc.put(pid, "claude", started=pid)
    watch = watching(proc, clock)
    watch.watch(139)
    samples = watch.sample()
    assert len(samples) == MAX_WATCHED
    assert [sample.pid for sample in samples[:3]] == [OWN, 139, 100], "the monitor, then those given, then the oldest"
    assert watch.left_out == 41 - MAX_WATCHED


def test_a_tree_of_very_many_leaves_out_what_is_dear_to_read(proc: FakeProc, clock: ManualClock) -> None:
    proc.put(100, "claude", pages=1)
    for pid in range(1000, 1300):
        proc.put(pid, "worker", 100, pages=1)
    sample = by_name(watching(proc, clock).sample())["claude"]
    assert (sample.processes, sample.rss_bytes, sample.open_files) == (301, 301 * PAGE, None)


def test_a_circle_of_parents_is_survived(proc: FakeProc, clock: ManualClock) -> None:
    proc.put(100, "claude", 101)
    proc.put(101, "node", 100)
    assert [sample.name for sample in watching(proc, clock).sample()] == [OWN_NAME, "claude"]


def test_ten_thousand_processes_are_told_apart(proc: FakeProc, clock: ManualClock) -> None:
    for pid in range(1_000, 11_000):
        place = proc.root / str(pid)
        place.mkdir()
        (place / "stat").write_text(f"{pid} (sleep) S {pid - 1 if pid % 100 else 1} {'0 ' * 40}")
    proc.put(500, "claude", 1)
    watch = watching(proc, clock)
    assert [sample.name for sample in watch.sample()] == [OWN_NAME, "claude"]


# --- real processes ----------------------------------------------------------------

BUSY = """
import sys, time
memory = bytearray(64 << 20)
files = [open(__file__) for _ in range(40)]
print("ready", flush=True)
sys.stdin.readline()
until = time.process_time() + 0.4
while time.process_time() < until:
    pass
print("done", flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process called `claude-test` that holds 64 MiB and 40 files, and burns 0.4 s of CPU when it is told to."""
    script = tmp_path / "claude-test"
    script.write_text(BUSY)
    process = subprocess.Popen([sys.executable, str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    yield process
    process.kill()
    process.communicate()


@pytest.mark.parametrize("table", [LinuxProcesses(), PortableProcesses()], ids=["proc", "psutil"])
def test_what_a_real_process_uses_is_measured(table: ProcessTable, worker: subprocess.Popen[str]) -> None:
    assert worker.stdin is not None and worker.stdout is not None
    clock = SystemClock()
    watch = ProcessWatch(clock, table, ["claude-test"], own_pid=0)  # this process is its parent
    before_s = clock.monotonic()
    first = by_name(watch.sample())["claude-test"]
    worker.stdin.write("go\n")
    worker.stdin.flush()
    assert worker.stdout.readline() == "done\n"
    second = by_name(watch.sample())["claude-test"]
    elapsed_s = clock.monotonic() - before_s
    assert first.pid == second.pid == worker.pid
    assert second.cpu_ratio is not None
    assert second.cpu_ratio * elapsed_s == pytest.approx(0.4, abs=0.15)
    assert second.rss_bytes > 64 << 20
    assert second.open_files is not None and 43 <= second.open_files <= 60
    worker.kill()
    worker.wait()
    assert "claude-test" not in by_name(watch.sample())


def test_the_work_of_children_that_came_and_went_is_measured() -> None:
    burn = "import time\nwhile time.process_time() < 0.15: pass"
    clock = SystemClock()
    watch = ProcessWatch(clock, LinuxProcesses(), [])
    before_s = clock.monotonic()
    watch.sample()
    for _ in range(2):
        subprocess.run([sys.executable, "-S", "-c", burn], check=True)
    own = by_name(watch.sample())[OWN_NAME]
    elapsed_s = clock.monotonic() - before_s
    assert own.cpu_ratio is not None and own.cpu_ratio * elapsed_s > 0.28

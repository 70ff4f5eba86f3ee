"""The table of processes: as the kernel's files tell it, as psutil tells it, and when neither will."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from ralex_core.collection.process_table import (
    UNREADABLE,
    LinuxProcesses,
    PortableProcesses,
    ProcessDetails,
    ProcessTable,
    process_table,
)
from tests.support.proc import BOOT_S, FakeProc


@pytest.fixture
def proc(tmp_path: Path) -> FakeProc:
    return FakeProc(tmp_path / "proc")


def test_a_line_of_the_kernel_is_read_whatever_the_name(proc: FakeProc) -> None:
    proc.put(7, "a) R 1 (b", 3, ticks=250, reaped=50, started=12_345, pages=10, threads=9, arguments=["x", "a b", ""])
    row = LinuxProcesses(proc.root).one(7)
    assert row is not None
    assert (row.pid, row.parent, row.name, row.threads, row.zombie) == (7, 3, "a) R 1 (b", 9, False)
    assert row.cpu_s == pytest.approx(3.0)
    assert row.rss_bytes == 10 * os.sysconf("SC_PAGE_SIZE")
    assert row.started_us == BOOT_S * 1_000_000 + 123_450_000
    assert LinuxProcesses(proc.root).arguments(7) == ["x", "a b"]


def test_what_is_gone_refused_or_broken_is_left_out(proc: FakeProc) -> None:
    proc.put(7, "fine", files=4, io=(100, 200))
    proc.put(8, "other user's", files=None, io=None)
    proc.put(9, "dead", state="Z")
    (proc.root / "10").mkdir()
    (proc.root / "11").mkdir()
    (proc.root / "11" / "stat").write_text("11 (cut")
    table = LinuxProcesses(proc.root)
    assert {row.pid: row.zombie for row in table.all()} == {7: False, 8: False, 9: True}
    assert table.details(7) == ProcessDetails(4, 100, 200)
    assert table.details(8) == UNREADABLE
    assert (table.one(404), table.arguments(404), table.details(404)) == (None, [], UNREADABLE)


@pytest.mark.parametrize("table", [LinuxProcesses(), PortableProcesses()], ids=["proc", "psutil"])
def test_both_tables_tell_the_same_of_this_process(table: ProcessTable) -> None:
    own = psutil.Process()
    row = table.one(own.pid)
    assert row is not None
    assert (row.parent, row.zombie) == (own.ppid(), False)
    assert row.rss_bytes == pytest.approx(own.memory_info().rss, rel=0.2)
    assert row.cpu_s > 0
    assert row.started_us == pytest.approx(own.create_time() * 1e6, abs=2_000_000)
    assert own.pid in {row.pid for row in table.all()}
    assert table.arguments(own.pid) == own.cmdline()
    details = table.details(own.pid)
    assert details.open_files is not None and details.open_files >= 3
    assert table.one(2**22 + 1) is None


@pytest.mark.parametrize("table", [LinuxProcesses(), PortableProcesses()], ids=["proc", "psutil"])
def test_a_child_that_ended_and_was_not_waited_for_is_a_zombie(table: ProcessTable) -> None:
    child = subprocess.Popen([sys.executable, "-S", "-c", ""])
    try:
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        row = table.one(child.pid)
        assert row is not None and row.zombie
    finally:
        child.wait()
    assert table.one(child.pid) is None


def test_linux_reads_its_own_files() -> None:
    assert isinstance(process_table(), LinuxProcesses if sys.platform == "linux" else PortableProcesses)

"""Limits of a container, read from files laid out as the kernel lays them out."""

from __future__ import annotations

from pathlib import Path

import pytest

from ralex_core.collection.cgroup import Cgroup, CgroupCpu, CgroupMemory


def lay_out(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / "fs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def group(root: Path, membership: str = "0::/\n") -> Cgroup:
    (root / "membership").write_text(membership)
    return Cgroup(root / "fs", root / "membership")


def test_memory_counts_what_cannot_be_dropped_against_the_limit(tmp_path: Path) -> None:
    lay_out(
        tmp_path,
        {"memory.max": "1000000\n", "memory.current": "700000\n", "memory.stat": "anon 1\ninactive_file 200000\nx y\n"},
    )
    assert group(tmp_path).memory() == CgroupMemory(500_000, 1_000_000)


def test_cpu_is_the_quota_in_cores(tmp_path: Path) -> None:
    lay_out(tmp_path, {"cpu.max": "150000 100000\n", "cpu.stat": "usage_usec 2500000\nuser_usec 1\n"})
    assert group(tmp_path).cpu() == CgroupCpu(2.5, 1.5)


def test_the_tightest_limit_on_the_way_up_holds(tmp_path: Path) -> None:
    lay_out(
        tmp_path,
        {
            "a/b/memory.max": "max\n",
            "a/b/memory.current": "1\n",
            "a/memory.max": "500\n",
            "a/memory.current": "400\n",
            "memory.max": "900\n",
            "memory.current": "800\n",
        },
    )
    assert group(tmp_path, "12:cpu:/old\n0::/a/b\n").memory() == CgroupMemory(400, 500)


@pytest.mark.parametrize(
    ("files", "membership"),
    [
        ({}, "0::/\n"),
        ({"memory.max": "max\n", "cpu.max": "max 100000\n"}, "0::/\n"),
        ({"memory.max": "9223372036854771712\n", "memory.current": "5"}, "0::/\n"),
        ({"memory.max": "nonsense", "cpu.max": "1 0"}, "0::/\n"),
        ({"memory.max": "1000", "memory.current": "5"}, "4:memory:/only-the-old-kind\n"),
    ],
)
def test_without_a_limit_or_with_files_that_make_no_sense_there_is_none(
    tmp_path: Path, files: dict[str, str], membership: str
) -> None:
    lay_out(tmp_path, files)
    found = group(tmp_path, membership)
    assert (found.memory(), found.cpu()) == (None, None)


def test_a_system_without_control_groups_has_no_limit(tmp_path: Path) -> None:
    found = Cgroup(tmp_path / "nowhere", tmp_path / "nothing")
    assert (found.memory(), found.cpu()) == (None, None)


def test_a_limit_whose_use_disappears_is_unknown(tmp_path: Path) -> None:
    lay_out(tmp_path, {"memory.max": "1000", "memory.current": "5", "cpu.max": "1 1", "cpu.stat": "usage_usec 1"})
    found = group(tmp_path)
    (tmp_path / "fs/memory.current").unlink()
    (tmp_path / "fs/cpu.stat").unlink()
    assert (found.memory(), found.cpu()) == (None, None)


def test_being_held_back_and_killed_processes_are_told_where_the_kernel_counts_them(tmp_path: Path) -> None:
    lay_out(
        tmp_path,
        {
            "cpu.max": "50000 100000\n",
            "cpu.stat": "usage_usec 1000000\nnr_periods 40\nnr_throttled 7\nthrottled_usec 350000\n",
            "memory.max": "1000\n",
            "memory.current": "5\n",
            "memory.events": "low 0\nhigh 0\nmax 12\noom 2\noom_kill 1\n",
        },
    )
    found = group(tmp_path)
    assert found.cpu() == CgroupCpu(1.0, 0.5, 40, 7, 0.35)
    assert found.memory() == CgroupMemory(5, 1000, 1)

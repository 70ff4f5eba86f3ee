"""The resource monitor: everything that is due is read, states move on, and what cannot be read ends nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ralex_core.clock import ManualClock
from ralex_core.collection.gpu import Gpus
from ralex_core.collection.process_table import LinuxProcesses, ProcessRow
from ralex_core.collection.readings import CpuTimes
from ralex_core.monitoring.resource_monitor import GPUS_KEPT_S, ResourceMonitor
from ralex_core.selfmetrics import SelfMetrics
from ralex_core.storage.telemetry import GpuSample, ProcessSample, ResourceRecord, ResourceSample, StateChange
from tests.support.proc import FakeProc
from tests.support.readings import GIB, FakeReadings
from tests.support.resources import make_gpu


class Card(Gpus):
    """One GPU whose readings a test decides."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(clock, drm=Path("/nowhere"), command="no-such-program")
        self.readings: list[GpuSample] = []

    def sample(self) -> list[GpuSample]:
        return self.readings


class Machine:
    """A monitor of a machine that a test decides, moved on by hand."""

    def __init__(self, home: Path) -> None:
        self.clock = ManualClock()
        self.host = FakeReadings()
        self.proc = FakeProc(home / "proc")
        self.card = Card(self.clock)
        self.metrics = SelfMetrics()
        self.monitor = ResourceMonitor(
            self.clock,
            readings=self.host,
            processes=LinuxProcesses(self.proc.root),
            gpus=self.card,
            metrics=self.metrics,
            watch_processes=["claude"],
        )

    def later(self, seconds: float = 2.0, busy: float = 0.25) -> list[ResourceRecord]:
        self.clock.advance(seconds)
        cpu = self.host.cpu_times
        self.host.cpu_times = CpuTimes(cpu.busy_s + busy * 4 * seconds, cpu.total_s + 4 * seconds)
        return self.monitor.sample() or []


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    yield Machine(tmp_path)


def kinds(records: list[ResourceRecord]) -> list[str]:
    return [type(record).__name__ for record in records]


def test_processes_are_read_less_often_than_the_host(machine: Machine) -> None:
    machine.proc.put(100, "claude")
    found = [kinds(machine.later()) for _ in range(6)]
    assert found == [
        ["ProcessSample"],
        ["ResourceSample"],
        ["ResourceSample"],
        ["ResourceSample", "ProcessSample"],
        ["ResourceSample"],
        ["ResourceSample"],
    ]
    assert [process.name for process in machine.monitor.processes()] == ["claude"]


def test_a_change_of_state_is_among_the_records(machine: Machine) -> None:
    changes = [record for _ in range(40) for record in machine.later(busy=0.97) if isinstance(record, StateChange)]
    assert [(change.resource, change.level) for change in changes] == [("cpu", "critical")]
    state = machine.monitor.states()[0]
    assert (state.resource, state.level, state.since_us) == ("cpu", "critical", changes[0].changed_at)


async def test_states_processes_and_gpus_are_among_the_metrics(machine: Machine) -> None:
    machine.proc.put(100, "claude", files=7, arguments=["claude", "-p", "my secret plan"])
    machine.card.readings = [make_gpu(machine.clock.now_us())]
    machine.later()
    machine.later()
    usage = await machine.monitor.get_metrics()
    assert usage["host"]["cores"] == 4
    assert usage["host"]["open_files_limit"] == 100_000
    assert usage["process"]["open_files_limit"] == 1_024
    assert [(state["resource"], state["level"]) for state in usage["states"]] == [
        ("cpu", "ok"),
        ("load", "ok"),
        ("memory", "ok"),
        ("swap", "ok"),
        ("disk", "ok"),
        ("open_files", "ok"),
        ("gpu_memory", "ok"),
    ]
    assert [(process["name"], process["open_files"]) for process in usage["processes"]] == [("claude", 7)]
    assert [gpu["busy_ratio"] for gpu in usage["gpus"]] == [0.4]
    assert "secret" not in str(usage)


def test_a_gpu_that_is_silent_is_forgotten(machine: Machine) -> None:
    machine.card.readings = [make_gpu(machine.clock.now_us())]
    machine.later()
    machine.card.readings = []
    machine.later()
    assert len(machine.monitor.gpus()) == 1
    machine.later(GPUS_KEPT_S)
    assert machine.monitor.gpus() == []


def test_processes_that_cannot_be_listed_end_nothing_and_are_told_once(
    machine: Machine, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: LinuxProcesses) -> Iterator[ProcessRow]:
        raise PermissionError("/proc is not to be looked at")

    machine.proc.put(100, "claude")
    with monkeypatch.context() as patched:
        patched.setattr(LinuxProcesses, "all", refuse)  # the system's answer, not ours
        found = [kinds(machine.later(5)) for _ in range(3)]
    assert found == [[], ["ResourceSample"], ["ResourceSample"]]
    assert caplog.text.count("processes cannot be read") == 1
    assert machine.metrics.counters()["resource_readings_failed_total"] == 3
    assert kinds(machine.later(5)) == ["ResourceSample", "ProcessSample"]


def test_a_host_that_can_no_longer_be_read_is_unknown(machine: Machine) -> None:
    machine.later()
    machine.later()
    machine.host.broken = {"cpu"}
    changes = [record for _ in range(32) for record in machine.later() if isinstance(record, StateChange)]
    assert {(change.resource, change.level) for change in changes} >= {("cpu", "unknown"), ("disk", "unknown")}


def test_a_machine_in_a_small_container_is_judged_by_it(machine: Machine) -> None:
    from ralex_core.collection.cgroup import CgroupMemory

    machine.host.group_memory = CgroupMemory(980 << 20, 1 * GIB, 0)
    records = [record for _ in range(20) for record in machine.later()]
    assert [record.resource for record in records if isinstance(record, StateChange)] == ["memory"]
    assert {record.memory_total_bytes for record in records if isinstance(record, ResourceSample)} == {GIB}
    assert all(isinstance(record, ResourceSample | ProcessSample | StateChange) for record in records)

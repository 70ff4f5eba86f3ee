"""Samples of host and process: rates between readings, container limits, and figures that cannot be read."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from ralex_core.clock import ManualClock, SystemClock
from ralex_core.collection.cgroup import CgroupCpu, CgroupMemory
from ralex_core.collection.readings import CoreTimes, CpuTimes, Flow, OpenFiles, SystemReadings, Usage
from ralex_core.collection.resources import ResourceSampler, Sampling
from ralex_core.selfmetrics import SelfMetrics
from ralex_core.storage.telemetry import ResourceSample
from tests.support.readings import GIB, FakeReadings

DEADLINE_S = 10.0


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def machine() -> FakeReadings:
    return FakeReadings()


def two_seconds_later(clock: ManualClock, sampler: ResourceSampler) -> ResourceSample:
    clock.advance(2)
    sample = sampler.sample()
    assert sample is not None
    return sample


def test_the_first_reading_gives_no_sample_because_rates_need_two(clock: ManualClock, machine: FakeReadings) -> None:
    assert ResourceSampler(clock, machine).sample() is None


def test_rates_are_what_changed_between_two_readings(clock: ManualClock, machine: FakeReadings) -> None:
    sampler = ResourceSampler(clock, machine)
    sampler.sample()
    machine.cpu_times = CpuTimes(2.0, 8.0)
    machine.process_seconds = 3.0
    machine.disk_bytes = Flow(4_000, 1_000)
    machine.network_bytes = Flow(600, 200)
    sample = two_seconds_later(clock, sampler)
    assert sample.sampled_at == clock.now_us()
    assert sample.cpu_ratio == 0.25
    assert sample.process_cpu_ratio == 1.5
    assert (sample.disk_read_bytes_s, sample.disk_write_bytes_s) == (2_000, 500)
    assert (sample.net_received_bytes_s, sample.net_sent_bytes_s) == (300, 100)
    assert (sample.memory_used_bytes, sample.memory_total_bytes) == (6 * GIB, 16 * GIB)
    assert (sample.disk_used_bytes, sample.disk_total_bytes) == (100 * GIB, 500 * GIB)
    assert (sample.process_rss_bytes, sample.process_open_files, sample.process_threads) == (80 << 20, 12, 5)
    assert (sample.load_1m, sample.swap_used_bytes) == (0.5, 0)


def test_a_counter_that_started_over_makes_its_rate_unknown_once(clock: ManualClock, machine: FakeReadings) -> None:
    machine.network_bytes = Flow(10_000, 10_000)
    sampler = ResourceSampler(clock, machine)
    sampler.sample()
    machine.cpu_times, machine.network_bytes = CpuTimes(1, 8), Flow(50, 10_500)
    sample = two_seconds_later(clock, sampler)
    assert (sample.net_received_bytes_s, sample.net_sent_bytes_s) == (None, 250)
    machine.cpu_times, machine.network_bytes = CpuTimes(2, 16), Flow(150, 10_500)
    assert two_seconds_later(clock, sampler).net_received_bytes_s == 50


def test_a_tighter_memory_limit_replaces_the_machine(clock: ManualClock, machine: FakeReadings) -> None:
    sampler = ResourceSampler(clock, machine)
    sampler.sample()
    machine.cpu_times, machine.group_memory = CpuTimes(1, 8), CgroupMemory(GIB, 2 * GIB)
    sample = two_seconds_later(clock, sampler)
    assert (sample.memory_used_bytes, sample.memory_total_bytes) == (GIB, 2 * GIB)
    machine.cpu_times, machine.group_memory = CpuTimes(2, 16), CgroupMemory(GIB, 64 * GIB)
    assert two_seconds_later(clock, sampler).memory_total_bytes == 16 * GIB


def test_cpu_is_of_the_cores_a_container_may_use(clock: ManualClock, machine: FakeReadings) -> None:
    machine.group_cpu = CgroupCpu(0.0, 0.5)
    sampler = ResourceSampler(clock, machine)
    sampler.sample()
    machine.cpu_times, machine.group_cpu = CpuTimes(1, 8), CgroupCpu(0.75, 0.5)
    assert two_seconds_later(clock, sampler).cpu_ratio == 0.75


def test_a_quota_of_more_cores_than_there_are_is_no_limit(clock: ManualClock, machine: FakeReadings) -> None:
    machine.group_cpu = CgroupCpu(0.0, 8.0)
    sampler = ResourceSampler(clock, machine)
    sampler.sample()
    machine.cpu_times, machine.group_cpu = CpuTimes(4, 8), CgroupCpu(0.1, 8.0)
    assert two_seconds_later(clock, sampler).cpu_ratio == 0.5


@pytest.mark.parametrize(
    ("broken", "fields"),
    [
        ("load", ["load_1m"]),
        ("swap", ["swap_used_bytes", "swap_total_bytes"]),
        ("disk_io", ["disk_read_bytes_s", "disk_write_bytes_s"]),
        ("network", ["net_received_bytes_s", "net_sent_bytes_s"]),
        ("open_files", ["process_open_files", "process_open_files_limit"]),
        ("machine_files", ["open_files", "open_files_limit"]),
        ("cores", ["cores"]),
    ],
)
def test_a_figure_that_cannot_be_read_is_unknown_and_the_rest_is_there(
    clock: ManualClock, machine: FakeReadings, broken: str, fields: list[str]
) -> None:
    metrics = SelfMetrics()
    sampler = ResourceSampler(clock, machine, metrics)
    machine.broken = {broken}
    machine.cpu_times = CpuTimes(0, 0, 0, 0, (CoreTimes(0, 0),))
    sampler.sample()
    machine.cpu_times = CpuTimes(1, 8, 0, 0, (CoreTimes(1, 8),))
    sample = two_seconds_later(clock, sampler)
    assert [getattr(sample, name) for name in fields] == [None] * len(fields)
    contained = {"throttled_ratio", "throttled_s_per_s", "oom_kills"}
    assert None not in [value for name, value in sample._asdict().items() if name not in {*fields, *contained}]
    assert metrics.counters()["resource_readings_failed_total"] >= 1


@pytest.mark.parametrize("broken", ["cpu", "memory", "disk", "process_cpu", "rss", "threads"])
def test_without_a_figure_every_sample_needs_there_is_a_gap_and_then_it_goes_on(
    clock: ManualClock, machine: FakeReadings, broken: str
) -> None:
    sampler = ResourceSampler(clock, machine)
    sampler.sample()
    machine.broken, machine.cpu_times = {broken}, CpuTimes(1, 8)
    clock.advance(2)
    assert sampler.sample() is None
    machine.broken = set()
    clock.advance(2)
    sampler.sample()
    machine.cpu_times = CpuTimes(3, 24)
    assert two_seconds_later(clock, sampler).cpu_ratio is not None


def test_a_failing_figure_is_logged_once_and_not_every_two_seconds(
    clock: ManualClock, machine: FakeReadings, caplog: pytest.LogCaptureFixture
) -> None:
    sampler = ResourceSampler(clock, machine)
    machine.broken = {"swap"}
    for _ in range(5):
        clock.advance(2)
        sampler.sample()
    assert len(caplog.records) == 1
    assert "swap cannot be read" in caplog.text


def test_the_same_moment_twice_gives_no_sample(clock: ManualClock, machine: FakeReadings) -> None:
    sampler = ResourceSampler(clock, machine)
    sampler.sample()
    assert sampler.sample() is None


def test_this_machine_can_be_read(tmp_path: Path) -> None:
    source = SystemReadings(tmp_path)
    assert 0 < source.cpu().busy_s <= source.cpu().total_s
    assert source.cores() >= 1
    assert 0 < source.memory().used < source.memory().total
    assert 0 < source.disk().used <= source.disk().total
    assert source.process_cpu_s() > 0
    assert source.process_rss() > 1 << 20
    assert source.process_threads() >= 1


def test_sampling_hands_on_real_samples_until_it_is_stopped(tmp_path: Path) -> None:
    samples: list[ResourceSample] = []
    enough = threading.Event()

    def take(sample: ResourceSample) -> None:
        samples.append(sample)
        if len(samples) >= 3:
            enough.set()

    sampler = ResourceSampler(SystemClock(), SystemReadings(tmp_path))
    # Ticks come every 10 ms: shorter intervals would measure nothing.
    sampling = Sampling(sampler.sample, 0.03, take)
    sampling.start()
    sampling.start()
    assert enough.wait(DEADLINE_S)
    sampling.stop()
    sampling.stop()
    count = len(samples)
    assert not sampling.running
    assert not [thread for thread in threading.enumerate() if thread.name == "ralex-monitor-resources"]
    assert all(0 <= sample.cpu_ratio <= 1 and sample.process_rss_bytes > 0 for sample in samples)
    assert [sample.sampled_at for sample in samples] == sorted(sample.sampled_at for sample in samples)
    assert len(samples) == count


def test_a_receiver_that_fails_does_not_stop_the_sampling(
    clock: ManualClock, machine: FakeReadings, caplog: pytest.LogCaptureFixture
) -> None:
    calls: list[int] = []
    twice = threading.Event()

    class Ticking(FakeReadings):
        def cpu(self) -> CpuTimes:
            clock.advance(1)
            self.cpu_times = CpuTimes(self.cpu_times.busy_s + 1, self.cpu_times.total_s + 4)
            return self.cpu_times

    def refuse(sample: ResourceSample) -> None:
        calls.append(1)
        if len(calls) == 2:
            twice.set()
        raise RuntimeError("no room")

    sampling = Sampling(ResourceSampler(clock, Ticking()).sample, 0.001, refuse)
    sampling.start()
    assert twice.wait(DEADLINE_S)
    sampling.stop()
    assert "could not be handed on" in caplog.text


def test_memory_is_known_from_the_container_when_the_machine_will_not_say(
    clock: ManualClock, machine: FakeReadings
) -> None:
    machine.broken, machine.group_memory = {"memory"}, CgroupMemory(5, 10)
    sampler = ResourceSampler(clock, machine)
    sampler.sample()
    machine.cpu_times = CpuTimes(1, 8)
    sample = two_seconds_later(clock, sampler)
    assert Usage(sample.memory_used_bytes, sample.memory_total_bytes) == Usage(5, 10)


def test_cores_that_wait_are_stolen_or_do_all_the_work_are_told_apart(
    clock: ManualClock, machine: FakeReadings
) -> None:
    machine.cpu_times = CpuTimes(10, 100, 5, 1, (CoreTimes(8, 50), CoreTimes(2, 50)))
    sampler = ResourceSampler(clock, machine)
    sampler.sample()
    machine.cpu_times = CpuTimes(14, 108, 7, 1.4, (CoreTimes(11.8, 54), CoreTimes(2.2, 54)))
    sample = two_seconds_later(clock, sampler)
    assert (sample.cpu_ratio, sample.iowait_ratio) == (0.5, 0.25)
    assert sample.steal_ratio == pytest.approx(0.05)
    assert sample.busiest_core_ratio == pytest.approx(0.95)
    machine.cpu_times = CpuTimes(15, 116, 7, 1.4, (CoreTimes(12, 58),))  # a core was switched off
    assert two_seconds_later(clock, sampler).busiest_core_ratio is None


def test_a_container_tells_of_its_cores_of_being_held_back_and_of_killed_processes(
    clock: ManualClock, machine: FakeReadings
) -> None:
    machine.group_cpu = CgroupCpu(0.0, 0.5, 100, 10, 1.0)
    machine.group_memory = CgroupMemory(5, 10, 3)
    sampler = ResourceSampler(clock, machine)
    sampler.sample()
    machine.cpu_times = CpuTimes(1, 8)
    machine.group_cpu = CgroupCpu(1.0, 0.5, 120, 15, 1.5)
    machine.group_memory = CgroupMemory(5, 10, 5)
    sample = two_seconds_later(clock, sampler)
    assert sample.cores == 0.5
    assert (sample.throttled_ratio, sample.throttled_s_per_s, sample.oom_kills) == (0.25, 0.25, 2)
    machine.cpu_times = CpuTimes(2, 16)  # it slept: no period passed
    rested = two_seconds_later(clock, sampler)
    assert (rested.throttled_ratio, rested.throttled_s_per_s, rested.oom_kills) == (0.0, 0.0, 0)


def test_open_files_are_counted_against_both_limits(clock: ManualClock, machine: FakeReadings) -> None:
    machine.files = OpenFiles(900, None)
    sampler = ResourceSampler(clock, machine)
    sampler.sample()
    machine.cpu_times = CpuTimes(1, 8)
    sample = two_seconds_later(clock, sampler)
    assert (sample.open_files, sample.open_files_limit) == (900, None)
    assert (sample.process_open_files, sample.process_open_files_limit) == (12, 1_024)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("765\t0\t2466177\n", OpenFiles(765, 2_466_177)),
        ("765\t0\t9223372036854775807\n", OpenFiles(765, None)),
        (None, None),
    ],
)
def test_the_machines_open_files_are_read_from_the_kernel(
    tmp_path: Path, text: str | None, expected: OpenFiles | None
) -> None:
    file = tmp_path / "file-nr"
    if text is not None:
        file.write_text(text)
    assert SystemReadings(tmp_path, file_nr=file).open_files() == expected

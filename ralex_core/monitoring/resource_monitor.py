"""Resources of host and processes, sampled in a thread while started: the `ResourceMonitor`."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ralex_core.clock import Clock, SystemClock

if TYPE_CHECKING:
    from ralex_core.collection.gpu import Gpus
    from ralex_core.collection.process_table import ProcessTable
    from ralex_core.collection.processes import ProcessWatch
    from ralex_core.collection.readings import Readings
    from ralex_core.config import Thresholds
    from ralex_core.monitoring.resource_states import ResourceState
    from ralex_core.selfmetrics import SelfMetrics
    from ralex_core.storage.telemetry import (
        GpuSample,
        ProcessSample,
        ResourceRecord,
        ResourceSample,
        StateChange,
    )

_log = logging.getLogger(__name__)

PROCESSES_EVERY_S = 5.0
"""Between two samples of processes: they cost more than the host's."""
GPUS_KEPT_S = 120.0
"""How long a GPU's last reading counts; `nvidia-smi` is asked every 30 seconds."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
T = TypeVar("T")


class ResourceMonitor:
    """Resources of host, watched processes and GPUs, and the state each resource is in."""

    def __init__(
        self,
        clock: Clock | None = None,
        *,
        interval_s: float = 2.0,
        window_s: int = 900,
        disk_path: Path | None = None,
        readings: Readings | None = None,
        on_records: Callable[[Sequence[ResourceRecord]], object] | None = None,
        metrics: SelfMetrics | None = None,
        thresholds: Thresholds | None = None,
        watch_processes: Sequence[str] | None = None,
        watch_pids: Sequence[int] = (),
        processes: ProcessTable | None = None,
        gpus: Gpus | None = None,
        stored_states: Iterable[StateChange] = (),
    ) -> None:
        """`disk_path` chooses the file system that is watched (default: the working directory's); `on_records` gets
        every sample and every change of a state, on the sampling thread; `readings`, `processes` and `gpus` replace the
        machine as the source; `stored_states` are the last changes of an earlier run. Thresholds and programs are
        those of the settings' defaults unless given."""
        # psutil and the settings are loaded here: a program that only tracks operations needs neither.
        from ralex_core.collection.gpu import Gpus
        from ralex_core.collection.process_table import process_table
        from ralex_core.collection.processes import ProcessWatch
        from ralex_core.collection.readings import SystemReadings
        from ralex_core.collection.resources import ResourceSampler, Sampling
        from ralex_core.config import WATCHED_PROGRAMS, Thresholds
        from ralex_core.monitoring.resource_states import ResourceStates

        self._clock = clock or SystemClock()
        self._window_s = window_s
        self._on_records = on_records
        self._samples: deque[ResourceSample] = deque(maxlen=max(1, int(window_s / interval_s)))
        self._processes: list[ProcessSample] = []
        self._gpus: dict[str, GpuSample] = {}
        self._lock = threading.Lock()
        self._sampler = ResourceSampler(self._clock, readings or SystemReadings(disk_path or Path()), metrics)
        names = WATCHED_PROGRAMS if watch_processes is None else watch_processes
        self._watch = ProcessWatch(self._clock, processes or process_table(), names, watch_pids)
        self._cards = gpus or Gpus(self._clock)
        self._states = ResourceStates(thresholds or Thresholds(), stored_states)
        self._metrics = metrics
        self._failing: set[str] = set()
        self._processes_at_s = float("-inf")
        self._sampling: Sampling[list[ResourceRecord]] = Sampling(self.sample, interval_s, self._hand_on)
        self._wait_s = interval_s + 2.0

    # --- running -----------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Begin to sample; the first sample comes a quarter of a second later."""
        self._sampling.start()

    async def stop(self) -> None:
        """End the sampling thread. What was sampled stays readable."""
        await asyncio.to_thread(self._sampling.stop)
        self._cards.close()

    def sample(self) -> list[ResourceRecord] | None:
        """Read everything that is due once, and move the states on. None when nothing could be read.

        The sampling thread calls it; whoever brings a clock of their own may, instead of starting.
        """
        records: list[ResourceRecord] = []
        host = self._sampler.sample()
        gpus = self._boundary("GPUs", self._cards.sample) or []
        processes: list[ProcessSample] | None = None
        if self._clock.monotonic() - self._processes_at_s >= PROCESSES_EVERY_S:
            self._processes_at_s = self._clock.monotonic()
            processes = self._boundary("processes", self._watch.sample)
        with self._lock:
            self._gpus.update((gpu.gpu, gpu) for gpu in gpus)
            if processes is not None:
                self._processes = processes
            if host is not None:
                self._samples.append(host)
                records.append(host)
        records += [*(processes or ()), *gpus]
        if host is not None:
            records += self._states.take(host, self.gpus())
        elif self.latest is not None:  # it could be read before
            records += self._states.advance(self._clock.now_us(), {})
        return records or None

    def _hand_on(self, records: list[ResourceRecord]) -> None:
        if self._on_records is not None:
            self._on_records(records)

    def _boundary(self, what: str, read: Callable[[], T]) -> T | None:
        """What the operating system refuses must not end the sampling; it is logged until it works again."""
        try:
            found = read()
        except Exception as error:
            if what not in self._failing:
                self._failing.add(what)
                _log.warning("%s cannot be read on this system: %s. They are left out of samples.", what, error)
            if self._metrics is not None:
                self._metrics.add("resource_readings_failed_total")
            return None
        self._failing.discard(what)
        return found

    # --- what is known -----------------------------------------------------------------------------------------

    @property
    def latest(self) -> ResourceSample | None:
        """The last sample of the host; None before the first."""
        with self._lock:
            return self._samples[-1] if self._samples else None

    def states(self) -> list[ResourceState]:
        """How every resource is, since when and why: what alert rules and pages read. Costs a few microseconds."""
        return self._states.current()

    def processes(self) -> list[ProcessSample]:
        """The last sample of every watched process that runs."""
        with self._lock:
            return list(self._processes)

    def gpus(self) -> list[GpuSample]:
        """The last reading of every GPU, no older than `GPUS_KEPT_S`; empty without one."""
        oldest_us = self._clock.now_us() - int(GPUS_KEPT_S * 1e6)
        with self._lock:
            return [gpu for gpu in self._gpus.values() if gpu.sampled_at >= oldest_us]

    def limits(self) -> tuple[float | None, int | None]:
        """(cores, bytes of memory) of the container this runs in; None where the machine itself is the limit."""
        return self._sampler.limits()

    @property
    def watch(self) -> ProcessWatch:
        """Which processes are watched, and how to add one by pid."""
        return self._watch

    async def get_metrics(self) -> dict[str, Any]:
        """{"sampled_at", "host": {…}, "process": {…}, "window": {"samples", means and maxima of CPU and memory},
        "states": [{"resource", "level", "since", "value", "reason"}], "processes": […], "gpus": […]}.

        Ratios are 0–1 (a process's CPU in cores), rates per second. Right after the start it waits for the first
        sample; while never started, "host" and "process" are None.
        """
        if self.latest is None and self._sampling.running:
            await asyncio.to_thread(self._sampling.wait_for_first, self._wait_s)
        with self._lock:
            samples = list(self._samples)
        more: dict[str, Any] = {
            "states": [_state(state) for state in self.states()],
            "processes": [_told(process) for process in self.processes()],
            "gpus": [_told(gpu) for gpu in self.gpus()],
        }
        if not samples:
            return {"sampled_at": None, "host": None, "process": None, "window": {"samples": 0}, **more}
        last = samples[-1]
        cpu = [sample.cpu_ratio for sample in samples]
        memory = [sample.memory_used_bytes for sample in samples]
        fields = {name: value for name, value in last._asdict().items() if name != "sampled_at"}
        return {
            "sampled_at": _iso(last.sampled_at),
            "host": {name: value for name, value in fields.items() if not name.startswith("process_")},
            "process": {
                name.removeprefix("process_"): value for name, value in fields.items() if name.startswith("process_")
            },
            "window": {
                "samples": len(samples),
                "mean_cpu_ratio": sum(cpu) / len(cpu),
                "max_cpu_ratio": max(cpu),
                "mean_memory_used_bytes": sum(memory) // len(memory),
                "max_memory_used_bytes": max(memory),
                "max_process_rss_bytes": max(sample.process_rss_bytes for sample in samples),
            },
            **more,
        }


def _told(sample: ProcessSample | GpuSample) -> dict[str, Any]:
    return {name: value for name, value in sample._asdict().items() if name not in ("sampled_at", "started_at")}


def _state(state: ResourceState) -> dict[str, Any]:
    return {
        "resource": state.resource,
        "level": state.level,
        "since": _iso(state.since_us),
        "value": state.value,
        "reason": state.reason,
    }


def _iso(us: int | None) -> str | None:
    return None if us is None else (_EPOCH + timedelta(microseconds=us)).isoformat().replace("+00:00", "Z")

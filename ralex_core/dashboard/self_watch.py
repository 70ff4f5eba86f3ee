"""Looks at the monitor's own process every ten seconds and remembers a quarter of an hour of it."""

from __future__ import annotations

import logging
import re
import threading
from collections import Counter, deque
from typing import NamedTuple

import psutil

from ralex_core.dashboard.host import Host

logger = logging.getLogger(__name__)

INTERVAL_S = 10.0
SAMPLES_KEPT = 91
MINUTE_SAMPLES = 6
NATIVE = "native (DuckDB)"
"""Threads Python did not start: the store's workers are nearly all of them."""

_NUMBERING = re.compile(r"[-_ ]*\(?\d.*$")


class ThreadTime(NamedTuple):
    """Threads of one name, and the CPU seconds of those that are alive."""

    threads: int
    cpu_s: float


class Sample(NamedTuple):
    """One look. Counts are since the start of the process."""

    at_us: int
    at_s: float
    cpu_s: float
    resident_bytes: int
    waiting: int
    stored: float
    requests: float
    commits: int
    commit_s: float
    counters: dict[str, float]
    threads: dict[str, ThreadTime]


class SelfWatch:
    """Takes samples in a thread of its own: a few milliseconds every ten seconds."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._process = psutil.Process()
        self._samples: deque[Sample] = deque(maxlen=SAMPLES_KEPT)
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self.take()
        self._thread = threading.Thread(target=self._run, name="self-watch", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Safe to call twice, and without `start`."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def samples(self) -> list[Sample]:
        """Oldest first."""
        return list(self._samples)

    def growth(self, counter: str) -> float:
        """How much a counter without labels grew over the remembered time."""
        samples = self.samples()
        now = self._host.metrics.counters().get(counter, 0.0)
        return now - (samples[0].counters.get(counter, 0.0) if samples else 0.0)

    def minute(self) -> tuple[Sample, Sample] | None:
        """The samples at both ends of about the last minute; None before the second."""
        samples = self.samples()
        return (samples[-1 - min(MINUTE_SAMPLES, len(samples) - 1)], samples[-1]) if len(samples) > 1 else None

    def take(self) -> Sample:
        """Look now."""
        host = self._host
        with self._process.oneshot():
            cpu = self._process.cpu_times()
            resident = self._process.memory_info().rss
        commits = host.metrics.observed("commit_seconds").get(())
        requests = host.metrics.all_counters().get("http_requests_total", {})
        counters = host.metrics.counters()
        sample = Sample(
            at_us=host.clock.now_us(),
            at_s=host.clock.monotonic(),
            cpu_s=cpu.user + cpu.system,
            resident_bytes=resident,
            waiting=host.writer.waiting,
            stored=counters.get("operations_stored_total", 0.0),
            requests=sum(requests.values()),
            commits=commits.ever.count if commits else 0,
            commit_s=commits.ever.total if commits else 0.0,
            counters=counters,
            threads=self._threads(),
        )
        self._samples.append(sample)
        return sample

    def _threads(self) -> dict[str, ThreadTime]:
        try:
            listed = self._process.threads()
        except (psutil.Error, NotImplementedError, OSError):  # some systems tell only their administrator
            return {}
        names = {thread.native_id: thread_name(thread.name) for thread in threading.enumerate()}
        numbers: Counter[str] = Counter()
        seconds: Counter[str] = Counter()
        for thread in listed:
            name = names.get(thread.id, NATIVE)
            numbers[name] += 1
            seconds[name] += thread.user_time + thread.system_time  # pyright: ignore[reportArgumentType] - a float counts
        return {name: ThreadTime(number, float(seconds[name])) for name, number in numbers.items()}

    def _run(self) -> None:
        while not self._stop.wait(INTERVAL_S):
            try:
                self.take()
            except Exception:
                # Boundary: a process that cannot be read now may be readable in ten seconds.
                logger.exception("The monitor could not look at itself")
                self._host.metrics.add("self_watch_failures_total")


def thread_name(name: str) -> str:
    """A thread's name without its number: the threads of a pool are told together."""
    if name == "MainThread":
        return "main (HTTP)"
    return _NUMBERING.sub("", name)[:40] or name[:40]

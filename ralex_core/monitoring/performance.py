"""How fast and how well work is done, and on what resources: the `PerformanceMonitor`.

It works alone, in a program that hands it operations (`record`), and inside the server, where the figures come from the
telemetry store by the same questions as every page.

    monitor = PerformanceMonitor()
    await monitor.start_monitoring()
    monitor.record(operations)                      # or InProcessSink(monitor.record) as the SDK's sink
    metrics = await monitor.collect_metrics()       # {"response_times", "resource_usage", "api_performance"}
    await monitor.stop_monitoring()
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ralex_core.clock import Clock, SystemClock
from ralex_core.monitoring.recent import GroupFigures, Key, RecentOperations

if TYPE_CHECKING:
    from ralex_core.collection.resources import Readings
    from ralex_core.model.operation import Operation
    from ralex_core.model.window import Scope
    from ralex_core.monitoring.comparison import Comparison
    from ralex_core.monitoring.latency import Summaries
    from ralex_core.monitoring.load import Load
    from ralex_core.monitoring.trends import Trend
    from ralex_core.selfmetrics import SelfMetrics
    from ralex_core.storage.telemetry import ResourceSample, Store

WINDOW_S = 900
"""The window of every figure: the last 15 minutes, as the live overview shows."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class ResponseTimeTracker:
    """Response times per operation (kind and name) over the window."""

    def __init__(self, clock: Clock | None = None, *, window_s: int = WINDOW_S, store: Store | None = None) -> None:
        self._clock = clock or SystemClock()
        self._window_s = window_s
        self._store = store
        self._recent = RecentOperations(self._clock, window_s, lambda operation: (operation.kind, operation.name))
        self._since_us: int | None = None

    async def start(self) -> None:
        """Note since when operations are watched."""
        self._since_us = self._clock.now_us()

    async def stop(self) -> None:
        self._since_us = None

    def record(self, operations: Iterable[Operation]) -> None:
        """Count finished operations. Not used when the figures come from a store."""
        self._recent.record(operations)

    def read_from(self, store: Store | None) -> None:
        """Answer from this store from now on; None: from what was recorded here."""
        self._store = store

    async def get_metrics(self) -> dict[str, Any]:
        """Durations in ms: {"since", "window_s", "operations", "errors", "error_ratio", "p50_ms", "p95_ms", "p99_ms",
        "max_ms", "mean_ms", "by_operation": [the same per "kind" and "name", most operations first], "outside_window"}.

        Percentiles and maxima are within 1 % of exact; None where nothing was timed.
        """
        if self._store is not None:
            groups, total = await asyncio.to_thread(_stored_response_times, self._store, self._clock, self._window_s)
        else:
            groups, total = self._recent.figures(), self._recent.figures(lambda _: ())
        return {
            "since": _iso(self._since_us),
            "window_s": self._window_s,
            **_timing(total[0] if total else None),
            "by_operation": [{"kind": group.key[0], "name": group.key[1], **_timing(group)} for group in groups],
            "outside_window": self._recent.outside,
        }


class MetricsCollector:
    """How the things that are called do: API endpoints, models, providers and databases."""

    def __init__(self, clock: Clock | None = None, *, window_s: int = WINDOW_S, store: Store | None = None) -> None:
        self._clock = clock or SystemClock()
        self._window_s = window_s
        self._store = store
        self._called = RecentOperations(self._clock, window_s, _called)
        self._models = RecentOperations(self._clock, window_s, _model)
        self._since_us: int | None = None

    async def start(self) -> None:
        """Note since when operations are watched."""
        self._since_us = self._clock.now_us()

    async def stop(self) -> None:
        self._since_us = None

    def record(self, operations: Sequence[Operation]) -> None:
        """Count finished operations. Not used when the figures come from a store."""
        self._called.record(operations)
        self._models.record(operations)

    def read_from(self, store: Store | None) -> None:
        """Answer from this store from now on; None: from what was recorded here."""
        self._store = store

    async def get_api_metrics(self) -> dict[str, Any]:
        """{"since", "window_s", "endpoints", "databases", "models", "providers"}, each list most calls first.

        Endpoints and databases are operations of kind api and db by name; models are llm calls by provider and model
        and also say "mean_ttft_ms", tokens and "output_tokens_per_s". Names nobody gave are None.
        """
        if self._store is not None:
            called, models, providers = await asyncio.to_thread(_stored_api, self._store, self._clock, self._window_s)
        else:
            called, models = self._called.figures(), self._models.figures()
            providers = self._models.figures(lambda key: key[:1])
        return {
            "since": _iso(self._since_us),
            "window_s": self._window_s,
            "endpoints": [{"name": group.key[1], **_timing(group)} for group in called if group.key[0] == "api"],
            "databases": [{"name": group.key[1], **_timing(group)} for group in called if group.key[0] == "db"],
            "models": [{"provider": group.key[0], "model": group.key[1], **_answering(group)} for group in models],
            "providers": [{"provider": group.key[0], **_answering(group)} for group in providers],
        }


class ResourceMonitor:
    """Host and process resources, sampled in a thread while started."""

    def __init__(
        self,
        clock: Clock | None = None,
        *,
        interval_s: float = 2.0,
        window_s: int = WINDOW_S,
        disk_path: Path | None = None,
        readings: Readings | None = None,
        on_sample: Callable[[ResourceSample], object] | None = None,
        metrics: SelfMetrics | None = None,
    ) -> None:
        """`disk_path` chooses the file system that is watched (default: the working directory's); `on_sample` gets
        every sample, on the sampling thread; `readings` replaces the machine as the source."""
        # psutil is loaded here and not with the module: a program that only tracks operations does not need it.
        from ralex_core.collection.resources import ResourceSampler, ResourceSampling, SystemReadings

        self._window_s = window_s
        self._on_sample = on_sample
        self._samples: deque[ResourceSample] = deque(maxlen=max(1, int(window_s / interval_s)))
        self._lock = threading.Lock()
        source = readings or SystemReadings(disk_path or Path())
        sampler = ResourceSampler(clock or SystemClock(), source, metrics)
        self._sampling = ResourceSampling(sampler, interval_s, self._take)
        self._wait_s = interval_s + 2.0

    @property
    def latest(self) -> ResourceSample | None:
        """The last sample; None before the first."""
        with self._lock:
            return self._samples[-1] if self._samples else None

    async def start(self) -> None:
        """Begin to sample; the first sample comes a quarter of a second later."""
        self._sampling.start()

    async def stop(self) -> None:
        """End the sampling thread. What was sampled stays readable."""
        await asyncio.to_thread(self._sampling.stop)

    async def get_metrics(self) -> dict[str, Any]:
        """{"sampled_at", "host": {…}, "process": {…}, "window": {"samples", means and maxima of CPU and memory}}.

        Ratios are 0–1 (the process's CPU in cores), rates per second. Right after the start it waits for the first
        sample; while never started, "host" and "process" are None.
        """
        if self.latest is None and self._sampling.running:
            await asyncio.to_thread(self._sampling.wait_for_first, self._wait_s)
        with self._lock:
            samples = list(self._samples)
        if not samples:
            return {"sampled_at": None, "host": None, "process": None, "window": {"samples": 0}}
        last = samples[-1]
        cpu = [sample.cpu_ratio for sample in samples]
        memory = [sample.memory_used_bytes for sample in samples]
        return {
            "sampled_at": _iso(last.sampled_at),
            "host": _host(last),
            "process": _process(last),
            "window": {
                "samples": len(samples),
                "mean_cpu_ratio": sum(cpu) / len(cpu),
                "max_cpu_ratio": max(cpu),
                "mean_memory_used_bytes": sum(memory) // len(memory),
                "max_memory_used_bytes": max(memory),
                "max_process_rss_bytes": max(sample.process_rss_bytes for sample in samples),
            },
        }

    def _take(self, sample: ResourceSample) -> None:
        with self._lock:
            self._samples.append(sample)
        if self._on_sample is not None:
            self._on_sample(sample)


class PerformanceMonitor:
    """Response times, resources and the performance of what is called, over the last 15 minutes."""

    def __init__(
        self,
        store: Store | None = None,
        *,
        clock: Clock | None = None,
        window_s: int = WINDOW_S,
        resource_interval_s: float = 2.0,
        disk_path: Path | None = None,
        readings: Readings | None = None,
        on_resource_sample: Callable[[ResourceSample], object] | None = None,
        metrics: SelfMetrics | None = None,
    ) -> None:
        """With a store, response times and API performance are read from it; without, from what `record` is given."""
        clock = clock or SystemClock()
        self._store = store
        self.metrics_collector = MetricsCollector(clock, window_s=window_s, store=store)
        self.resource_monitor = ResourceMonitor(
            clock,
            interval_s=resource_interval_s,
            window_s=window_s,
            disk_path=disk_path,
            readings=readings,
            on_sample=on_resource_sample,
            metrics=metrics,
        )
        self.response_tracker = ResponseTimeTracker(clock, window_s=window_s, store=store)

    async def start_monitoring(self) -> None:
        """Start all three parts. Safe to call twice."""
        await self.metrics_collector.start()
        await self.resource_monitor.start()
        await self.response_tracker.start()

    async def stop_monitoring(self) -> None:
        """Stop all three parts. Safe to call twice; what was collected stays readable."""
        await self.response_tracker.stop()
        await self.resource_monitor.stop()
        await self.metrics_collector.stop()

    def record(self, operations: Sequence[Operation]) -> None:
        """Count finished operations, from any thread. Costs a few microseconds per operation."""
        self.response_tracker.record(operations)
        self.metrics_collector.record(operations)

    def read_from(self, store: Store | None) -> None:
        """Answer from this store from now on (the demo's, say); None: from what is recorded here."""
        self._store = store
        self.response_tracker.read_from(store)
        self.metrics_collector.read_from(store)

    async def summaries(self, scope: Scope, by: str = "operation", **options: Any) -> Summaries:
        """Latency, throughput, Apdex and errors per group over any window: see `monitoring.latency.summarise`.

        Raises:
            ValueError: there is no store to ask, or no such dimension.
        """
        from ralex_core.monitoring.latency import summarise

        return await asyncio.to_thread(summarise, self._asked(), scope, by, **options)

    async def compare(self, scope: Scope, by: str = "operation", **options: Any) -> Comparison:
        """The same beside an earlier window, with a tested verdict: see `monitoring.comparison.compare`.

        Raises:
            ValueError: there is no store to ask, or the comparison cannot be made.
        """
        from ralex_core.monitoring.comparison import compare

        return await asyncio.to_thread(compare, self._asked(), scope, by, **options)

    async def trends(self, scope: Scope, by: str = "operation", **options: Any) -> list[Trend]:
        """Daily percentiles with steps and early warnings: see `monitoring.trends.trends`.

        Raises:
            ValueError: there is no store to ask, no such dimension, or too few or many days.
        """
        from ralex_core.monitoring.trends import trends

        return await asyncio.to_thread(trends, self._asked(), scope, by, **options)

    async def load(self, scope: Scope, **options: Any) -> Load:
        """Throughput, concurrency and saturation: see `monitoring.load.load`.

        Raises:
            ValueError: there is no store to ask.
        """
        from ralex_core.monitoring.load import load

        return await asyncio.to_thread(load, self._asked(), scope, **options)

    def _asked(self) -> Store:
        if self._store is None:
            raise ValueError("windows of the past are kept in a store; give the monitor one, or call read_from(store)")
        return self._store

    async def collect_metrics(self) -> dict[str, Any]:
        """{"response_times", "resource_usage", "api_performance"}: see `ResponseTimeTracker.get_metrics`,
        `ResourceMonitor.get_metrics` and `MetricsCollector.get_api_metrics`. JSON-ready."""
        return {
            "response_times": await self.response_tracker.get_metrics(),
            "resource_usage": await self.resource_monitor.get_metrics(),
            "api_performance": await self.metrics_collector.get_api_metrics(),
        }


def _called(operation: Operation) -> Key | None:
    return (operation.kind, operation.name) if operation.kind in ("api", "db") else None


def _model(operation: Operation) -> Key | None:
    return (operation.provider, operation.model or operation.requested_model) if operation.kind == "llm" else None


def _stored_response_times(store: Store, clock: Clock, window_s: int) -> tuple[list[GroupFigures], list[GroupFigures]]:
    from ralex_core.monitoring.stored import stored_figures

    groups = stored_figures(store, clock, window_s, ("kind", "name"))
    return groups, stored_figures(store, clock, window_s, ())


def _stored_api(
    store: Store, clock: Clock, window_s: int
) -> tuple[list[GroupFigures], list[GroupFigures], list[GroupFigures]]:
    from ralex_core.monitoring.stored import stored_figures

    called = stored_figures(store, clock, window_s, ("kind", "name"))
    models = stored_figures(store, clock, window_s, ("provider", "model"), kind="llm")
    return called, models, stored_figures(store, clock, window_s, ("provider",), kind="llm")


def _timing(group: GroupFigures | None) -> dict[str, Any]:
    if group is None:
        nothing = dict.fromkeys(("error_ratio", "p50_ms", "p95_ms", "p99_ms", "max_ms", "mean_ms"))
        return {"operations": 0, "errors": 0, **nothing}
    return {
        "operations": group.operations,
        "errors": group.errors,
        "error_ratio": group.error_ratio,
        "p50_ms": group.p50_ms,
        "p95_ms": group.p95_ms,
        "p99_ms": group.p99_ms,
        "max_ms": group.max_ms,
        "mean_ms": group.mean_ms,
    }


def _answering(group: GroupFigures) -> dict[str, Any]:
    return {
        **_timing(group),
        "mean_ttft_ms": group.mean_ttft_ms,
        "input_tokens": group.input_tokens,
        "output_tokens": group.output_tokens,
        "output_tokens_per_s": group.output_tokens_per_s,
    }


def _host(sample: ResourceSample) -> dict[str, Any]:
    return {
        "cpu_ratio": sample.cpu_ratio,
        "load_1m": sample.load_1m,
        "memory_used_bytes": sample.memory_used_bytes,
        "memory_total_bytes": sample.memory_total_bytes,
        "swap_used_bytes": sample.swap_used_bytes,
        "disk_used_bytes": sample.disk_used_bytes,
        "disk_total_bytes": sample.disk_total_bytes,
        "disk_read_bytes_s": sample.disk_read_bytes_s,
        "disk_write_bytes_s": sample.disk_write_bytes_s,
        "net_received_bytes_s": sample.net_received_bytes_s,
        "net_sent_bytes_s": sample.net_sent_bytes_s,
    }


def _process(sample: ResourceSample) -> dict[str, Any]:
    return {
        "cpu_ratio": sample.process_cpu_ratio,
        "rss_bytes": sample.process_rss_bytes,
        "open_files": sample.process_open_files,
        "threads": sample.process_threads,
    }


def _iso(us: int | None) -> str | None:
    return None if us is None else (_EPOCH + timedelta(microseconds=us)).isoformat().replace("+00:00", "Z")

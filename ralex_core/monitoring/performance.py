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
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from ralex_core.clock import Clock, SystemClock
from ralex_core.monitoring.recent import GroupFigures, Key, RecentOperations
from ralex_core.monitoring.resource_monitor import ResourceMonitor

if TYPE_CHECKING:
    from ralex_core.model.operation import Operation
    from ralex_core.model.window import Scope
    from ralex_core.monitoring.bottlenecks import Bottlenecks
    from ralex_core.monitoring.comparison import Comparison
    from ralex_core.monitoring.latency import Summaries
    from ralex_core.monitoring.load import Load
    from ralex_core.monitoring.trends import Trend
    from ralex_core.storage.telemetry import Store

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


class PerformanceMonitor:
    """Response times, resources and the performance of what is called, over the last 15 minutes."""

    def __init__(
        self,
        store: Store | None = None,
        *,
        clock: Clock | None = None,
        window_s: int = WINDOW_S,
        resources: ResourceMonitor | None = None,
    ) -> None:
        """With a store, response times and API performance are read from it; without, from what `record` is given.
        `resources` replaces the `ResourceMonitor` that watches this machine with its defaults."""
        clock = clock or SystemClock()
        self._store = store
        self.metrics_collector = MetricsCollector(clock, window_s=window_s, store=store)
        self.resource_monitor = resources or ResourceMonitor(clock, window_s=window_s)
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

    async def bottlenecks(self, scope: Scope) -> Bottlenecks:
        """What makes the traces of a window slow, and what fixing it would give: see `monitoring.bottlenecks`.

        Raises:
            ValueError: there is no store to ask.
        """
        from ralex_core.monitoring.bottlenecks import find_bottlenecks

        return await asyncio.to_thread(find_bottlenecks, self._asked(), scope)

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


def _iso(us: int | None) -> str | None:
    return None if us is None else (_EPOCH + timedelta(microseconds=us)).isoformat().replace("+00:00", "Z")

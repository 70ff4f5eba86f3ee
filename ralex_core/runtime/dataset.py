"""A telemetry store with its writer and the way in: the real one, and the demo's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ralex_core.clock import Clock
from ralex_core.collection.cardinality import NameCap
from ralex_core.collection.cgroup import Cgroup
from ralex_core.collection.intake import Intake
from ralex_core.collection.joining import Joining
from ralex_core.config import Settings
from ralex_core.pricing.book import PriceBook
from ralex_core.selfmetrics import SelfMetrics
from ralex_core.storage.duckdb_store import DuckDBStore
from ralex_core.storage.engine_memory import default_memory_mb
from ralex_core.storage.writer import BatchWriter, CommitListener


class DataSet:
    """Opens the store at `path` and starts its writer; `close` commits what is queued and lets the file go."""

    def __init__(
        self,
        path: Path,
        settings: Settings,
        *,
        clock: Clock,
        book: PriceBook,
        metrics: SelfMetrics,
        on_commit: Callable[[DataSet], CommitListener] | None = None,
    ) -> None:
        self.store = DuckDBStore(
            path,
            clock=clock,
            minute_rollup_days=settings.minute_rollup_days,
            retention_days=settings.retention_days,
            memory_mb=settings.engine_memory_mb or default_memory_mb(_memory_bytes()),
            metrics=metrics,
        )
        self.writer = BatchWriter(self.store, queue_operations=settings.queue_operations, metrics=metrics)
        self.intake = Intake(
            book, self.writer, settings, metrics, NameCap(lambda: self.store, settings.max_names, metrics)
        )
        self.writer.on_commit(Joining(self.store, self.writer.submit, metrics))
        if on_commit is not None:
            self.writer.on_commit(on_commit(self))
        self.writer.start()

    def close(self) -> None:
        """Safe to call twice."""
        self.writer.close()
        self.store.close()


def _memory_bytes() -> int | None:
    """What this process's container allows; None where nothing is limited, and the machine's memory counts."""
    limited = Cgroup().memory()
    return None if limited is None else limited.limit

"""What the dashboard asks of the process that runs it; `ralex_core.runtime` provides it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Protocol

from ralex_core.clock import Clock
from ralex_core.collection.intake import Intake
from ralex_core.config import Settings
from ralex_core.dashboard.live import LiveHub
from ralex_core.monitoring.books.keeper import BooksKeeper
from ralex_core.monitoring.budget_keeper import BudgetKeeper
from ralex_core.monitoring.forecast_keeper import ForecastKeeper
from ralex_core.monitoring.resource_monitor import ResourceMonitor
from ralex_core.pricing.book import PriceBook
from ralex_core.selfmetrics import SelfMetrics
from ralex_core.storage.state import StateStore
from ralex_core.storage.telemetry import ResourceSample, Store
from ralex_core.storage.writer import BatchWriter


class FoundLogs(Protocol):
    """The logs of one assistant that were found on this machine and could be imported."""

    @property
    def source(self) -> str:
        """The importer's name, such as `claude_code`."""
        ...

    @property
    def title(self) -> str:
        """The assistant's name, as people write it."""
        ...

    @property
    def paths(self) -> Sequence[Path]:
        """Files and directories that would be read."""
        ...

    @property
    def files(self) -> int: ...

    @property
    def total_bytes(self) -> int: ...

    @property
    def oldest_us(self) -> int | None:
        """When the oldest file changed last, UTC microseconds."""
        ...

    @property
    def newest_us(self) -> int | None: ...

    @property
    def reads(self) -> str:
        """One sentence: what is taken from these files, and what is not."""
        ...


class ImportJob(Protocol):
    """One import that waits, runs or has ended. Counts only grow."""

    @property
    def id(self) -> str: ...

    @property
    def source(self) -> str: ...

    @property
    def title(self) -> str: ...

    @property
    def state(self) -> Literal["queued", "running", "done", "failed"]: ...

    @property
    def progress_ratio(self) -> float | None:
        """Bytes read ÷ bytes to read, 0–1; None when the amount is not known."""
        ...

    @property
    def read(self) -> int: ...

    @property
    def imported(self) -> int: ...

    @property
    def duplicates(self) -> int: ...

    @property
    def rejected(self) -> int: ...

    @property
    def message(self) -> str | None:
        """Why it failed, in one sentence; or a remark."""
        ...

    @property
    def started_us(self) -> int: ...

    @property
    def finished_us(self) -> int | None: ...


class Host(Protocol):
    """The parts of a running monitor, and the few things a page may ask it to do.

    `active_store` and `active_writer` are the demo's while demo data is shown, the real ones otherwise. Doors always
    use `intake`, which writes to the real store. The hub follows the active store: whoever switches it calls
    `hub.seed(active_store())` and routes the commits of the active writer, and only those, to `hub.publish`.
    """

    @property
    def settings(self) -> Settings: ...

    @property
    def clock(self) -> Clock: ...

    @property
    def metrics(self) -> SelfMetrics: ...

    @property
    def intake(self) -> Intake: ...

    @property
    def own_store(self) -> Store:
        """The real data, whatever is shown."""
        ...

    @property
    def writer(self) -> BatchWriter: ...

    @property
    def book(self) -> PriceBook: ...

    @property
    def state(self) -> StateStore: ...

    @property
    def budgets(self) -> BudgetKeeper:
        """The budgets, and the guard that holds calls to them. They are of the real data, whatever is shown."""
        ...

    @property
    def books(self) -> BooksKeeper:
        """Reconciliation with providers, and pricing the past again: of the real data, whatever is shown."""
        ...

    @property
    def forecasts(self) -> ForecastKeeper:
        """Forecasts of spend, of the real data, whatever is shown."""
        ...

    @property
    def hub(self) -> LiveHub: ...

    def active_store(self) -> Store: ...

    def active_writer(self) -> BatchWriter: ...

    @property
    def demo_active(self) -> bool: ...

    def demo_start(self) -> None:
        """Create the demo's own data set and show it. Blocks until there is something to see; safe to call twice."""
        ...

    def demo_remove(self) -> None:
        """Stop the demo, delete its files and show the real data again. Safe to call twice."""
        ...

    def discover(self) -> Sequence[FoundLogs]:
        """Logs on this machine that an importer knows. Reads directories only; may take a second on a large disk."""
        ...

    def looked_in(self) -> Sequence[str]:
        """Where `discover` looks, for people."""
        ...

    def start_import(self, source: str, paths: Sequence[Path]) -> ImportJob:
        """Import in the background; a job of the same source that still runs is returned instead."""
        ...

    def import_jobs(self) -> Sequence[ImportJob]:
        """Jobs of this run of the process, newest first."""
        ...

    def latest_resources(self) -> ResourceSample | None:
        """The last reading of host and process resources; None before the first."""
        ...

    @property
    def resources(self) -> ResourceMonitor:
        """Host, watched processes, GPUs, and the states of all."""
        ...

    def ready(self) -> str | None:
        """None when everything is started and the store answers, else a sentence that says what is missing."""
        ...

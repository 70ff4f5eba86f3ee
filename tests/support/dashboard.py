"""A small monitor for tests of the server: real stores, writer, prices and hub, without background jobs."""

from __future__ import annotations

import contextlib
import itertools
import socket
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import httpx
import uvicorn
from fastapi import FastAPI

from ralex_core.clock import Clock, ManualClock
from ralex_core.config import Settings
from ralex_core.dashboard.app import create_app
from ralex_core.dashboard.live import LiveHub
from ralex_core.model.operation import Operation
from ralex_core.monitoring.books.keeper import BooksKeeper
from ralex_core.monitoring.budget_keeper import BudgetKeeper
from ralex_core.monitoring.forecast_keeper import ForecastKeeper
from ralex_core.monitoring.resource_monitor import ResourceMonitor
from ralex_core.pricing.book import PriceBook
from ralex_core.runtime.dataset import DataSet
from ralex_core.selfmetrics import SelfMetrics
from ralex_core.storage.state import StateStore
from ralex_core.storage.telemetry import ResourceSample, Store
from ralex_core.storage.writer import BatchWriter
from tests.support.operations import make_operation
from tests.support.readings import FakeReadings

BASE_URL = "http://127.0.0.1:8000"
NOW_US = 1_767_268_800_000_000
"""2026-01-01T12:00:00Z."""


@dataclass
class SmallFound:
    """Logs that a test says were found."""

    source: str
    title: str
    paths: list[Path]
    files: int = 1
    total_bytes: int = 2048
    oldest_us: int | None = NOW_US - 86_400_000_000
    newest_us: int | None = NOW_US
    reads: str = "Names, numbers and times; no text."


@dataclass
class SmallJob:
    """An import that was asked for; it stays queued."""

    id: str
    source: str
    title: str
    state: Literal["queued", "running", "done", "failed"] = "queued"
    progress_ratio: float | None = None
    read: int = 0
    imported: int = 0
    duplicates: int = 0
    rejected: int = 0
    message: str | None = None
    started_us: int = NOW_US
    finished_us: int | None = None


@dataclass
class SmallHost:
    """Fulfils `dashboard.host.Host` over one temporary directory."""

    settings: Settings
    clock: Clock
    found: list[SmallFound] = field(default_factory=list)
    not_ready: str | None = None

    def __post_init__(self) -> None:
        self.metrics = SelfMetrics(self.clock.monotonic)
        self.book = PriceBook(self.settings)
        self.hub = LiveHub(self.clock, self.settings, self.metrics)
        self.state = StateStore(self.settings.state_path, self.clock)
        self.machine = FakeReadings()
        self.resources = ResourceMonitor(
            self.clock, readings=self.machine, watch_processes=(), thresholds=self.settings.thresholds
        )
        self._demo: DataSet | None = None
        self._numbers = itertools.count(1)
        self._jobs: list[SmallJob] = []
        self.real = self._open(self.settings.telemetry_path)
        self.hub.seed(self.real.store)
        self.budgets = BudgetKeeper(
            self.settings,
            state=self.state,
            store=self.real.store,
            writer=self.real.writer,
            clock=self.clock,
            metrics=self.metrics,
        )
        self.books = BooksKeeper(
            self.settings,
            state=self.state,
            store=self.real.store,
            writer=self.real.writer,
            book=self.book,
            clock=self.clock,
            metrics=self.metrics,
        )
        self.forecasts = ForecastKeeper(
            self.settings, state=self.state, store=self.real.store, clock=self.clock, metrics=self.metrics
        )

    def _open(self, path: Path) -> DataSet:
        path.parent.mkdir(parents=True, exist_ok=True)
        return DataSet(
            path,
            self.settings,
            clock=self.clock,
            book=self.book,
            metrics=self.metrics,
            on_commit=lambda data: lambda operations: self.hub.publish(operations) if data is self._shown() else None,
        )

    def _shown(self) -> DataSet:
        return self._demo or self.real

    @property
    def intake(self):
        return self.real.intake

    @property
    def writer(self) -> BatchWriter:
        return self.real.writer

    @property
    def own_store(self) -> Store:
        return self.real.store

    def active_store(self) -> Store:
        return self._shown().store

    def active_writer(self) -> BatchWriter:
        return self._shown().writer

    @property
    def demo_active(self) -> bool:
        return self._demo is not None

    def demo_start(self) -> None:
        if self._demo is None:
            demo = self._open(self.settings.demo_dir / f"demo-{next(self._numbers)}.duckdb")
            started_at = self.clock.now_us() - 60_000_000
            self.store(make_operation("demo-1", name="demo work", started_at=started_at), demo)
            self._demo = demo
            demo.writer.run(lambda: self.hub.seed(demo.store)).result()

    def demo_remove(self) -> None:
        demo, self._demo = self._demo, None
        if demo is not None:
            self.real.writer.run(lambda: self.hub.seed(self.real.store)).result()
            demo.close()

    def discover(self) -> Sequence[SmallFound]:
        return self.found

    def looked_in(self) -> Sequence[str]:
        return ["~/.somewhere"]

    def start_import(self, source: str, paths: Sequence[Path]) -> SmallJob:
        job = SmallJob(str(next(self._numbers)), source, source.title())
        self._jobs.insert(0, job)
        return job

    def import_jobs(self) -> Sequence[SmallJob]:
        return self._jobs

    def latest_resources(self) -> ResourceSample | None:
        return self.resources.latest

    def ready(self) -> str | None:
        return self.not_ready

    # --- for tests ---------------------------------------------------------------------------------------------

    def store(self, operations: Operation | Sequence[Operation], data: DataSet | None = None) -> None:
        """Commit operations as they are, without pricing, and bring the rollups up to date."""
        data = data or self.real
        data.writer.submit([operations] if isinstance(operations, Operation) else operations).result()
        data.writer.flush()

    def close(self) -> None:
        self.books.stop()
        if self._demo is not None:
            self._demo.close()
        self.real.close()
        self.state.close()


@contextlib.contextmanager
def small_host(home: Path, *, clock: Clock | None = None, **settings: object) -> Iterator[SmallHost]:
    """A host over `home`; settings by name. Its clock stands still at `NOW_US` unless another is given."""
    given = {"timezone": "UTC", **settings}
    host = SmallHost(Settings(home=home, **given), clock or ManualClock(NOW_US))  # type: ignore[arg-type]
    try:
        yield host
    finally:
        host.close()


@contextlib.asynccontextmanager
async def client_of(host: SmallHost, **headers: str) -> AsyncIterator[httpx.AsyncClient]:
    """An HTTP client straight into the application, with its lifespan running."""
    app = create_app(host)
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url=BASE_URL, headers=headers) as client:
            yield client


@contextlib.contextmanager
def served(host: SmallHost) -> Iterator[str]:
    """The host's application behind a real uvicorn on a free port, as `serve` runs it; gives host:port."""
    app: FastAPI = create_app(host)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(
            app, log_config=None, log_level="warning", access_log=False, ws_per_message_deflate=False, lifespan="on"
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        try:
            yield f"127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(timeout=15)
            assert not thread.is_alive(), "the server did not stop"

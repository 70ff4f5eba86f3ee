"""The parts of a running monitor, wired in a straight line, and taken down in the opposite order."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from ralex_core.clock import Clock, SystemClock
from ralex_core.collection.importers.base import ImportOptions, Machine
from ralex_core.collection.importers.discovery import Found, discover, looked_in
from ralex_core.collection.importers.follow import Follower
from ralex_core.collection.importers.registry import all_importers, importer_for
from ralex_core.collection.intake import Intake
from ralex_core.config import Settings
from ralex_core.dashboard.live import LiveHub
from ralex_core.errors import ConfigError, RalexError
from ralex_core.monitoring.books.keeper import BooksKeeper
from ralex_core.monitoring.budget_keeper import BudgetKeeper
from ralex_core.monitoring.forecast_keeper import ForecastKeeper
from ralex_core.monitoring.performance import PerformanceMonitor
from ralex_core.monitoring.resource_monitor import ResourceMonitor
from ralex_core.pricing.book import PriceBook
from ralex_core.runtime.dataset import DataSet
from ralex_core.runtime.demo import TELEMETRY_FILE, Demo, discard
from ralex_core.runtime.import_jobs import ImportJobs, Job
from ralex_core.selfmetrics import SelfMetrics
from ralex_core.storage.backup import BackupReport, backup
from ralex_core.storage.clock_readings import STEP_US
from ralex_core.storage.queries import is_empty, last_states
from ralex_core.storage.state import StateStore
from ralex_core.storage.telemetry import ResourceRecord, ResourceSample, Store
from ralex_core.storage.writer import BatchWriter, CommitListener
from ralex_core.zone import zone_of

logger = logging.getLogger(__name__)

HOUSEKEEPING_S = STEP_US / 1e6
"""Between looks at the clock and at what retention has to delete."""


class Runtime:
    """Everything of one monitor process but its HTTP server; fulfils `dashboard.host.Host`.

    Raises (on construction):
        StoreError, ConfigError: a store or a file in the data directory cannot be used; the message says why.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        clock: Clock | None = None,
        machine: Machine | None = None,
        metrics: SelfMetrics | None = None,
    ) -> None:
        self.settings = settings
        self.clock: Clock = clock or SystemClock()
        self.metrics = metrics or SelfMetrics(self.clock.monotonic)
        self._machine = machine or Machine.current()
        self._demo: Demo | None = None
        self._switch = threading.Lock()
        self._stopping = threading.Event()
        with ExitStack() as undo:
            self.book = PriceBook(settings)
            self.hub = LiveHub(self.clock, settings, self.metrics)
            self.data = self._open(settings.telemetry_path)
            undo.callback(self.data.close)
            self.state = StateStore(settings.state_path, self.clock)
            undo.callback(self.state.close)
            self.budgets = BudgetKeeper(
                settings,
                state=self.state,
                store=self.data.store,
                writer=self.data.writer,
                clock=self.clock,
                metrics=self.metrics,
            )
            self.budgets.start()
            undo.callback(self.budgets.stop)
            self.books = BooksKeeper(
                settings,
                state=self.state,
                store=self.data.store,
                writer=self.data.writer,
                book=self.book,
                clock=self.clock,
                metrics=self.metrics,
            )
            self.books.start()
            undo.callback(self.books.stop)
            self.forecasts = ForecastKeeper(
                settings, state=self.state, store=self.data.store, clock=self.clock, metrics=self.metrics
            )
            self.forecasts.start()
            undo.callback(self.forecasts.stop)
            discard(settings)
            if is_empty(self.data.store):
                self.state.forget_cursors()  # they tell of operations that are gone: let imports bring them back
            self.hub.seed(self.data.store)
            self.hub.catch_up_source = self._catch_up
            self.jobs = ImportJobs(self.data.intake, self.state, settings.quarantine_dir, self.clock)
            self.jobs.start()
            undo.callback(self.jobs.close)
            self.resources = self._resource_monitor()
            self.monitor = PerformanceMonitor(self.data.store, clock=self.clock, resources=self.resources)
            asyncio.run(self.monitor.start_monitoring())
            undo.callback(lambda: asyncio.run(self.monitor.stop_monitoring()))
            if settings.follow_logs:
                follower = Follower(
                    all_importers(self._import_options()),
                    intake=self.data.intake,
                    state=self.state,
                    quarantine_dir=settings.quarantine_dir,
                    machine=self._machine,
                    clock=self.clock,
                    metrics=self.metrics,
                )
                follower.start()
                undo.callback(follower.stop)
            keeper = threading.Thread(target=self._keep_house, name="housekeeping", daemon=True)
            keeper.start()
            undo.callback(keeper.join)
            undo.callback(self._stopping.set)
            self._undo = undo.pop_all()

    def close(self) -> None:
        """Take everything down; what was acknowledged is on disk already. Safe to call twice."""
        with self._switch:
            demo, self._demo = self._demo, None
        if demo is not None:
            demo.close()
            discard(self.settings)
        self._undo.close()

    # --- data sets ---------------------------------------------------------------------------------------------

    def _open(self, path: Path) -> DataSet:
        return DataSet(
            path, self.settings, clock=self.clock, book=self.book, metrics=self.metrics, on_commit=self._listener
        )

    def _listener(self, data: DataSet) -> CommitListener:
        """The hub hears of commits to the data set that is shown, and of no other."""
        return lambda operations: self.hub.publish(operations) if data is self._shown() else None

    def _shown(self) -> DataSet:
        demo = self._demo
        return demo.data if demo is not None and demo.data is not None else self.data

    @property
    def intake(self) -> Intake:
        """Where doors hand over what they take: always the real data."""
        return self.data.intake

    @property
    def own_store(self) -> Store:
        """The real data, whatever is shown."""
        return self.data.store

    @property
    def writer(self) -> BatchWriter:
        return self.data.writer

    def active_store(self) -> Store:
        return self._shown().store

    def active_writer(self) -> BatchWriter:
        return self._shown().writer

    # --- demo --------------------------------------------------------------------------------------------------

    @property
    def demo_active(self) -> bool:
        return self._demo is not None

    def demo_start(self) -> None:
        """Show a simulated team, in files of its own. Returns when its last day can be seen; safe to call twice."""
        with self._switch:
            if self._demo is not None:
                return
            demo = Demo(self.settings, self.clock, lambda: self._open(self.settings.demo_dir / TELEMETRY_FILE))
            data = demo.start()
            self._demo = demo
        self._show(data)

    def demo_remove(self) -> None:
        """Show the real data again and delete the demo's files; safe to call twice."""
        with self._switch:
            demo, self._demo = self._demo, None
            if demo is None:
                return
        self._show(self.data)
        demo.close()
        discard(self.settings)

    def _show(self, data: DataSet) -> None:
        self.monitor.read_from(data.store)
        self._catch_up()

    def _catch_up(self) -> None:
        """Seed the hub on the thread that commits to what is shown, so that nothing is missed or counted twice."""
        data = self._shown()
        data.writer.run(lambda: self.hub.seed(data.store)).result()

    # --- imports -----------------------------------------------------------------------------------------------

    def _import_options(self) -> ImportOptions:
        return ImportOptions(zone=zone_of(self.settings)[0])

    def discover(self) -> Sequence[Found]:
        """Logs on this machine that can be imported."""
        return discover(all_importers(self._import_options()), self._machine)

    def looked_in(self) -> Sequence[str]:
        """Where `discover` looks."""
        return looked_in(all_importers(self._import_options()), self._machine)

    def start_import(self, source: str, paths: Sequence[Path]) -> Job:
        """Import in the background.

        Raises:
            ConfigError: there is no such source, or a path does not exist.
        """
        importer = importer_for(source, self._import_options())
        missing = [path for path in paths if not path.exists()]
        if missing:
            raise ConfigError(f"There is no file or directory {missing[0]}.")
        return self.jobs.add(importer, paths)

    def import_found(self) -> list[Job]:
        """Import everything `discover` finds, in the background."""
        return [self.start_import(found.source, found.paths) for found in self.discover()]

    def import_jobs(self) -> Sequence[Job]:
        return self.jobs.jobs()

    # --- the rest ----------------------------------------------------------------------------------------------

    def _resource_monitor(self) -> ResourceMonitor:
        settings = self.settings
        return ResourceMonitor(
            self.clock,
            interval_s=settings.resource_interval_s,
            disk_path=settings.home,
            on_records=self._take_records,
            metrics=self.metrics,
            thresholds=settings.thresholds,
            watch_processes=settings.watch_processes,
            watch_pids=settings.watch_pids,
            stored_states=last_states(self.data.store),
        )

    def latest_resources(self) -> ResourceSample | None:
        return self.resources.latest

    def _take_records(self, records: Sequence[ResourceRecord]) -> None:
        self.data.writer.submit_resources(records)
        shown = self._shown()
        if shown is not self.data:  # the demo's overview shows this machine; its processes are in the real store
            shown.writer.submit_resources([record for record in records if isinstance(record, ResourceSample)])

    def backup(self, target: Path) -> BackupReport:
        """Write a backup between two commits; operations keep queueing meanwhile."""
        reports: list[BackupReport] = []
        self.data.writer.run(lambda: reports.append(backup(self.settings, target, self.data.store))).result()
        return reports[0]

    def _keep_house(self) -> None:
        while True:
            try:
                self.data.writer.run(lambda: self.data.store.apply_retention(self.clock.now_us())).result()
            except Exception as error:
                known = isinstance(error, RalexError)
                message = "Retention failed; it is tried again in a quarter of an hour: %s"
                logger.error(message, error, exc_info=not known)
                self.metrics.add("housekeeping_failures_total")
            if self._stopping.wait(HOUSEKEEPING_S):
                return

    def ready(self) -> str | None:
        """None when the store answers, else what is missing."""
        try:
            self.data.store.query("select 1")
        except Exception as error:
            return f"The telemetry store does not answer: {error}"
        return None

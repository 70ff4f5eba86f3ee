"""Keeps the books of a running monitor: reconciles on a schedule and on demand, and prices the past again when told to.

One thing at a time, always on the real data. Whoever shows figures is told when stored costs have changed.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import replace

from ralex_core.clock import Clock
from ralex_core.config import Settings
from ralex_core.errors import BooksBusy, ConfigError
from ralex_core.model.window import HOUR_US, Window
from ralex_core.monitoring.books import repricing
from ralex_core.monitoring.books.reconcile import Reconciler
from ralex_core.monitoring.books.repricing import Repricing
from ralex_core.pricing.book import PriceBook
from ralex_core.pricing.overrides import load_overrides
from ralex_core.selfmetrics import SelfMetrics
from ralex_core.storage.state import StateStore
from ralex_core.storage.state_books import Lookup, Reconciliation, StoredReconciliations
from ralex_core.storage.telemetry import Store
from ralex_core.storage.writer import BatchWriter

logger = logging.getLogger(__name__)

LOOK_S = 60.0
"""Between looks whether a reconciliation is due."""
MAX_REASON = 500


class BooksKeeper:
    """Any thread may use it."""

    def __init__(
        self,
        settings: Settings,
        *,
        state: StateStore,
        store: Store,
        writer: BatchWriter,
        book: PriceBook,
        clock: Clock,
        metrics: SelfMetrics,
    ) -> None:
        self._settings = settings
        self._state = state
        self._store = store
        self._writer = writer
        self._book = book
        self._clock = clock
        self._metrics = metrics
        self._busy = threading.Lock()
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self.stored = StoredReconciliations(state)
        self.on_change: Callable[[], None] = _nothing
        """Called after stored costs were changed, on the thread that changed them."""

    # --- reconciliation ----------------------------------------------------------------------------------------

    @property
    def is_on(self) -> bool:
        """Whether there is a key to reconcile with."""
        return self._settings.openrouter.is_on

    def lookup(self, generation_id: str) -> Lookup | None:
        """What became of asking for the bill of a call; None when nobody has asked."""
        return self.stored.lookups([generation_id]).get(generation_id)

    def reconcile(self, trigger: str, *, days: int | None = None, lookups: int | None = None) -> Reconciliation:
        """Begin a reconciliation and return at once; it goes on in the background.

        Raises:
            ConfigError: there is no key.
            BooksBusy: one is under way, or the past is being priced again.
        """
        run, work = self._begun(trigger, days, lookups)
        thread = threading.Thread(target=work, name="reconciliation", daemon=True)
        self._threads = [*(one for one in self._threads if one.is_alive()), thread]
        thread.start()
        return run

    def reconcile_now(self, trigger: str, *, days: int | None = None, lookups: int | None = None) -> Reconciliation:
        """The same, returning when it has ended. Raises as `reconcile` does."""
        _, work = self._begun(trigger, days, lookups)
        return work()

    def _begun(
        self, trigger: str, days: int | None, lookups: int | None
    ) -> tuple[Reconciliation, Callable[[], Reconciliation]]:
        asked = self._settings.openrouter
        given = {name: value for name, value in (("days", days), ("lookups", lookups)) if value is not None}
        wanted = asked.model_copy(update=given)
        reconciler = Reconciler(
            self._store, self._writer, self._book, self._state, wanted, self._clock, self._stopping.wait
        )
        self._take()
        try:
            run = reconciler.begin(trigger)
        except BaseException:
            self._busy.release()
            raise
        return run, lambda: self._finish(reconciler, run)

    def _finish(self, reconciler: Reconciler, run: Reconciliation) -> Reconciliation:
        try:
            ended = reconciler.finish(run)
        except Exception:
            logger.exception("The reconciliation %d failed", run.id)
            self._metrics.add("reconciliation_failures_total")
            return replace(run, state="failed")
        finally:
            self._busy.release()
        if ended.state != "done":
            self._metrics.add("reconciliation_failures_total")
            logger.warning("The reconciliation %d was %s: %s", ended.id, ended.state, ended.message)
        if ended.billed:
            self.on_change()
        return ended

    # --- pricing the past again --------------------------------------------------------------------------------

    def preview(self, window: Window, model: str | None = None) -> Repricing:
        """What pricing the calls of a window again would change.

        Raises:
            ConfigError: the overrides file was changed after the price book was read.
        """
        self._check_overrides()
        return repricing.preview(self._store, self._book, self._state, window, model)

    def reprice(self, window: Window, model: str | None = None, *, by: str, reason: str = "") -> Repricing:
        """Price the calls of a window again; returns when rollups are exact again.

        Raises:
            ConfigError: the overrides file was changed after the price book was read.
            BooksBusy: a reconciliation is under way, or somebody else is pricing the past again.
        """
        self._check_overrides()
        self._take()
        try:
            done = repricing.reprice(
                self._store, self._writer, self._book, self._state, window, model, by=by, reason=reason[:MAX_REASON]
            )
        finally:
            self._busy.release()
        if done.changed:
            self.on_change()
        return done

    def _check_overrides(self) -> None:
        """New calls must get the same prices as old ones, so the book that is in use has to be the corrected one."""
        written = [one.version for one in load_overrides(self._settings.overrides_path)]
        if written != [one.version for one in self._book.overrides]:
            raise ConfigError(
                "prices.toml was changed after the monitor had read it. Restart the monitor, so that new calls get the "
                "corrected prices too, and then price the past again."
            )

    # --- schedule ----------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Reconcile on schedule from now on, if there is a key."""
        if self.is_on and self._settings.openrouter.every_h > 0:
            thread = threading.Thread(target=self._keep, name="books", daemon=True)
            self._threads.append(thread)
            thread.start()

    def stop(self) -> None:
        """End what is under way; it is kept as far as it came, and goes on with the next run."""
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    def due(self) -> bool:
        """Whether the schedule wants a reconciliation now."""
        newest = self.stored.runs(1)
        if not newest:
            return True
        return self._clock.now_us() - newest[0].started_at >= self._settings.openrouter.every_h * HOUR_US

    def _keep(self) -> None:
        while not self._stopping.wait(LOOK_S):
            try:
                if self.due():
                    self.reconcile_now("schedule")
            except BooksBusy:
                continue
            except Exception:
                logger.exception("The reconciliation could not begin; it is tried again")
                self._metrics.add("reconciliation_failures_total")

    def _take(self) -> None:
        if not self._busy.acquire(blocking=False):
            raise BooksBusy(
                "A reconciliation is under way, or the past is being priced again. Try again when it has ended."
            )


def _nothing() -> None:
    """Nobody shows figures."""

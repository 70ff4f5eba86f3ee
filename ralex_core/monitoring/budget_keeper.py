"""Keeps the guard true: budgets from the state store, what they have spent from the telemetry store and its commits."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from datetime import tzinfo
from decimal import Decimal
from typing import TypeVar

from ralex_core.budgeting.budget import DAILY_ID, Budget, daily_budget
from ralex_core.budgeting.guard import BudgetGuard
from ralex_core.budgeting.periods import rolling_step_us
from ralex_core.clock import Clock
from ralex_core.config import Settings
from ralex_core.errors import InvalidBudget, StoreError
from ralex_core.model.window import Window
from ralex_core.selfmetrics import SelfMetrics
from ralex_core.storage.queries.budgets import budget_parts
from ralex_core.storage.state import StateStore
from ralex_core.storage.state_budgets import StoredBudgets
from ralex_core.storage.telemetry import Store
from ralex_core.storage.writer import BatchWriter
from ralex_core.zone import zone_of

logger = logging.getLogger(__name__)

Kept = TypeVar("Kept")

LOOK_S = 1.0
"""Between looks whether the store must be read again."""
READ_AGAIN_S = 30.0
"""After which it is read again in any case: claims are accepted and prices corrected without a commit."""
SHARE = 0.05
"""The most of the writer's time that reading may take: where it is dear, it comes less often."""


class BudgetKeeper:
    """The budgets of a running monitor, and the guard that holds calls to them."""

    def __init__(
        self,
        settings: Settings,
        *,
        state: StateStore,
        store: Store,
        writer: BatchWriter,
        clock: Clock,
        metrics: SelfMetrics,
    ) -> None:
        self.zone: tzinfo = zone_of(settings)[0]
        self._settings = settings
        self._stored = StoredBudgets(state, clock)
        self._store = store
        self._writer = writer
        self._clock = clock
        self._metrics = metrics
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._read_at = 0.0
        self._took_s = 0.0
        self.guard = BudgetGuard((), clock=clock, zone=self.zone, hears_commits=True)
        writer.on_commit(self.guard.hear)
        self.reload()

    # --- budgets -----------------------------------------------------------------------------------------------

    def all(self) -> list[Budget]:
        """Every budget, the built-in one first."""
        built_in = daily_budget(self._settings.daily_budget_usd)
        return [*([] if built_in is None else [built_in]), *self._stored.all()]

    def get(self, budget_id: str) -> Budget | None:
        return next((budget for budget in self.all() if budget.id == budget_id), None)

    def deleted(self, budget_id: str) -> Budget | None:
        """A budget that was deleted and can be brought back."""
        return self._stored.deleted(budget_id)

    def add(self, budget: Budget) -> Budget:
        """Keep a new budget and hold calls to it from now on.

        Raises:
            InvalidBudget: it makes no sense, or its name is taken.
        """
        self._refuse_built_in_name(budget)
        return self._kept(lambda: self._stored.add(budget))

    def change(self, budget: Budget) -> Budget | None:
        """Replace the budget of that id; None when there is none.

        Raises:
            InvalidBudget: it makes no sense, its name is taken, or it comes from a setting.
        """
        _refuse_built_in(budget.id)
        self._refuse_built_in_name(budget)
        return self._kept(lambda: self._stored.change(budget))

    def delete(self, budget_id: str) -> Budget | None:
        """Delete a budget; None when there is none.

        Raises:
            InvalidBudget: it comes from a setting.
        """
        _refuse_built_in(budget_id)
        return self._kept(lambda: self._stored.delete(budget_id))

    def restore(self, budget_id: str) -> Budget | None:
        """Bring a deleted budget back; None when there is none.

        Raises:
            InvalidBudget: another one has its name now.
        """
        return self._kept(lambda: self._stored.restore(budget_id))

    def _kept(self, change: Callable[[], Kept]) -> Kept:
        """Keep a change of the list and let the guard hold calls to it.

        What a full disk can refuse comes first, and the change itself is one transaction: where this raises, nothing is
        different, now or after a restart. Once the change is kept, a store that cannot be read only delays the guard.
        """
        self._writer.run(self._catch_up).result()
        kept = change()
        try:
            self.reload()
        except StoreError as error:
            logger.warning("A budget was changed, and its spending could not be read yet: %s", error)
            self._metrics.add("budget_failures_total")
            self._read_at = -READ_AGAIN_S  # the next look reads again
        return kept

    def _refuse_built_in_name(self, budget: Budget) -> None:
        built_in = daily_budget(self._settings.daily_budget_usd)
        if built_in is not None and budget.name.strip().casefold() == built_in.name.casefold():
            raise InvalidBudget("name", f"the setting daily_budget_usd makes a budget called {built_in.name!r}")

    # --- the guard ---------------------------------------------------------------------------------------------

    def reload(self) -> None:
        """Give the guard the budgets as they are now, and what the store holds for each; returns when it has them.

        It happens on the thread that commits, so that no commit is missed or counted twice.
        """
        self._writer.run(self._load).result()

    def _load(self) -> None:
        started = self._clock.monotonic()
        budgets = self.all()
        if budgets:
            self._catch_up()
        self.guard.load(budgets, self._spent)
        self._read_at = self._clock.monotonic()
        self._took_s = self._read_at - started
        self._metrics.observe("budget_read_seconds", self._took_s)

    def _catch_up(self) -> None:
        """On the thread that commits, before spending is read: what rollups do not tell of yet would be forgotten."""
        self._store.refresh_rollups(coarse=self._store.needs_coarse)

    def _spent(self, budget: Budget, window: Window) -> Iterable[tuple[int, Decimal]]:
        bucket = rolling_step_us(budget.rolling_hours or 1) if budget.period == "rolling" else None
        return [(at, part.counted_usd) for at, part in budget_parts(self._store, budget, window, bucket).items()]

    def refresh(self) -> bool:
        """Read the store again if it is due; whether it was."""
        passed = self._clock.monotonic() - self._read_at
        if passed < (LOOK_S if self.guard.stale else READ_AGAIN_S) or passed < self._took_s / SHARE:
            return False
        self.reload()
        return True

    def start(self) -> None:
        """Keep the guard fresh in the background, until `stop`."""
        self._thread = threading.Thread(target=self._keep, name="budgets", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()

    def _keep(self) -> None:
        while not self._stopping.wait(LOOK_S):
            try:
                self.refresh()
            except Exception:
                logger.exception("Budgets could not be read again; it is tried again in a second")
                self._metrics.add("budget_failures_total")


def _refuse_built_in(budget_id: str) -> None:
    if budget_id == DAILY_ID:
        raise InvalidBudget(
            "id", "this budget comes from the setting daily_budget_usd; change it in config.toml or the environment"
        )

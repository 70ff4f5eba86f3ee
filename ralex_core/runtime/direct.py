"""The stores opened for one command, while no server runs: what it needs to take operations in, and nothing else."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass

from ralex_core.clock import Clock, SystemClock
from ralex_core.config import Settings
from ralex_core.monitoring.budget_keeper import BudgetKeeper
from ralex_core.pricing.book import PriceBook
from ralex_core.runtime.dataset import DataSet
from ralex_core.selfmetrics import SelfMetrics
from ralex_core.storage.state import StateStore
from ralex_core.storage.telemetry import Store


@dataclass(frozen=True, slots=True)
class DirectStores:
    """The real data set and the state, owned by this process."""

    data: DataSet
    state: StateStore


class DirectBudgets:
    """The budgets and what is asked to answer for them; fulfils `dashboard.budgets.BudgetHost`."""

    demo_active = False

    def __init__(self, settings: Settings, stores: DirectStores) -> None:
        self.settings = settings
        self.clock: Clock = SystemClock()
        self.book = PriceBook(settings)
        self._store = stores.data.store
        self.budgets = BudgetKeeper(
            settings,
            state=stores.state,
            store=stores.data.store,
            writer=stores.data.writer,
            clock=self.clock,
            metrics=SelfMetrics(),
        )

    def active_store(self) -> Store:
        return self._store


@contextmanager
def open_stores(settings: Settings) -> Generator[DirectStores]:
    """Own the stores for the length of the block; at its end everything submitted is committed and rolled up.

    Raises:
        StoreLocked: another process owns them.
        StoreError, ConfigError: they cannot be opened; the message says why.
    """
    clock, book, metrics = SystemClock(), PriceBook(settings), SelfMetrics()
    with ExitStack() as stack:
        data = DataSet(settings.telemetry_path, settings, clock=clock, book=book, metrics=metrics)
        stack.enter_context(closing(data))
        state = stack.enter_context(closing(StateStore(settings.state_path, clock)))
        yield DirectStores(data, state)

"""The stores opened for one command, while no server runs: what it needs to take operations in, and nothing else."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass

from ralex_core.clock import SystemClock
from ralex_core.config import Settings
from ralex_core.pricing.book import PriceBook
from ralex_core.runtime.dataset import DataSet
from ralex_core.selfmetrics import SelfMetrics
from ralex_core.storage.state import StateStore


@dataclass(frozen=True, slots=True)
class DirectStores:
    """The real data set and the state, owned by this process."""

    data: DataSet
    state: StateStore


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

"""What was spent up to any moment of the past: the sums forecasts of spend are made from."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ralex_core.model.window import Filters, Scope, Window
from ralex_core.storage.queries.segments import measured
from ralex_core.storage.telemetry import Store

if TYPE_CHECKING:
    from numpy.typing import NDArray


class SpendHistory:
    """Spend per bucket of `bucket_us`, as (start µs, USD), any order, up to `end_us`; buckets left out cost nothing.

    `first_us` is when the first of them began: before it nothing is known. None without any.
    """

    def __init__(self, buckets: Iterable[tuple[int, float]], bucket_us: int, end_us: int) -> None:
        import numpy as np

        rows = sorted(buckets)
        self.bucket_us = bucket_us
        self.end_us = end_us
        self.first_us: int | None = rows[0][0] if rows else None
        starts = np.array([start for start, _ in rows], dtype=np.int64)
        costs = np.array([cost for _, cost in rows], dtype=np.float64)
        running = np.cumsum(costs)
        # before each bucket what was spent until then, after it that and its own
        self._times: NDArray[Any] = np.stack([starts, np.minimum(starts + bucket_us, end_us)], axis=1).reshape(-1)
        self._sums: NDArray[Any] = np.stack([running - costs, running], axis=1).reshape(-1)

    def until(self, times_us: NDArray[Any]) -> NDArray[Any]:
        """USD spent by each of these times, as if each bucket's had been spent evenly."""
        import numpy as np

        return np.interp(times_us, self._times, self._sums) if len(self._times) else np.zeros(len(times_us))


def spend_history(store: Store, filters: Filters, window: Window, bucket_us: int) -> SpendHistory:
    """The window's spend in whole buckets, the first one possibly cut; operations of unknown cost count as nothing.

    A bucket without a billable operation is left out, so history begins with the first call to a model.
    """
    start = window.start_us // bucket_us * bucket_us
    rows = measured(store, Scope(Window(start, window.end_us), filters), ("cost_usd", "billable"), bucket_us=bucket_us)
    return SpendHistory(((row[0], float(row[1] or 0)) for row in rows if row[2]), bucket_us, window.end_us)

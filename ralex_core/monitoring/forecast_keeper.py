"""Forecasts again and again in the background, keeps what was foretold, and judges it when the period is over."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass

from ralex_core.clock import Clock
from ralex_core.config import Settings
from ralex_core.model.window import DAY_US, Filters, Scope, Window
from ralex_core.monitoring.spend_forecast import HORIZONS, Horizon, SpendForecast, spend_forecast
from ralex_core.selfmetrics import SelfMetrics
from ralex_core.stats.forecast import CLOSE_RATIO
from ralex_core.storage.queries import spend
from ralex_core.storage.state import StateStore
from ralex_core.storage.state_forecasts import KeptForecast, StoredForecasts
from ralex_core.storage.telemetry import Store
from ralex_core.zone import zone_of

logger = logging.getLogger(__name__)

REFIT_S = 300.0
_CLOSE_PERCENT = round(CLOSE_RATIO * 100)
LATE_US = 3 * DAY_US
"""For how long after its end a period is judged again: some operations come late, some prices are corrected."""


@dataclass(frozen=True, slots=True)
class Account:
    """What became of forecasts whose period is over. Ratios are 0-1; None: nothing to divide by.

    `wape` is about the rest of the periods, as in a back-test. `claimed` counts forecasts that claimed ±15 %,
    `claims_kept` those of them that held.
    """

    forecasts: int
    in_interval: int
    within_15: int
    claimed: int
    claims_kept: int
    wape: float | None
    naive_wape: float | None


def account_of(judged: Sequence[KeptForecast]) -> Account:
    """How forecasts did; those not judged yet are left out."""
    ended = [(made, made.actual_usd) for made in judged if made.actual_usd is not None]
    close = [abs(made.mean_usd - came) * 100 <= came * _CLOSE_PERCENT for made, came in ended]
    rest = float(sum(came - made.so_far_usd for made, came in ended))
    return Account(
        forecasts=len(ended),
        in_interval=sum(made.low_usd <= came <= made.high_usd for made, came in ended),
        within_15=sum(close),
        claimed=sum(made.claimed for made, _ in ended),
        claims_kept=sum(kept and made.claimed for (made, _), kept in zip(ended, close, strict=True)),
        wape=float(sum(abs(made.mean_usd - came) for made, came in ended)) / rest if rest > 0 else None,
        naive_wape=float(sum(abs(made.naive_usd - came) for made, came in ended)) / rest if rest > 0 else None,
    )


class ForecastKeeper:
    """The forecasts of a running monitor's own data."""

    def __init__(
        self, settings: Settings, *, state: StateStore, store: Store, clock: Clock, metrics: SelfMetrics
    ) -> None:
        self._zone = zone_of(settings)[0]
        self._stored = StoredForecasts(state)
        self._store = store
        self._clock = clock
        self._metrics = metrics
        self._latest: dict[Horizon, SpendForecast] = {}
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def latest(self, horizon: Horizon) -> SpendForecast | None:
        """The last forecast of the period that is running now; None before the first."""
        found = self._latest.get(horizon)
        return found if found is not None and self._clock.now_us() < found.window.end_us else None

    def judged(self, horizon: Horizon) -> list[KeptForecast]:
        """Forecasts whose period is over, with what came, newest first."""
        return self._stored.judged(horizon)

    def refresh(self) -> None:
        """Forecast every horizon, keep the first forecast of each quarter of a period, judge periods that are over."""
        started = self._clock.monotonic()
        for horizon in HORIZONS:
            made = spend_forecast(self._store, Filters(), horizon, self._clock.now_us(), self._zone)
            self._latest[horizon] = made
            kept = _to_keep(made)
            if kept is not None and not self._stored.has(kept.horizon, kept.period_start, kept.quarter):
                self._stored.keep(kept)
        now_us = self._clock.now_us()
        for horizon, start, end in self._stored.to_judge(now_us, LATE_US):
            self._stored.judge(horizon, start, spend(self._store, Scope(Window(start, end)))[0], now_us)
        self._metrics.observe("forecast_seconds", self._clock.monotonic() - started)

    def start(self) -> None:
        """Forecast in the background, until `stop`."""
        self._thread = threading.Thread(target=self._keep, name="forecasts", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()

    def _keep(self) -> None:
        while True:
            try:
                self.refresh()
            except Exception:
                logger.exception("Spend could not be forecast; it is tried again in %d s", REFIT_S)
                self._metrics.add("forecast_failures_total")
            if self._stopping.wait(REFIT_S):
                return


def _to_keep(made: SpendForecast) -> KeptForecast | None:
    found = made.projection
    if found is None:
        return None
    trial = found.backtest
    return KeptForecast(
        horizon=made.horizon,
        period_start=made.window.start_us,
        quarter=min(3, (made.made_us - made.window.start_us) * 4 // made.window.length_us),
        period_end=made.window.end_us,
        made_at=made.made_us,
        so_far_usd=found.so_far_usd,
        mean_usd=found.mean_usd,
        low_usd=found.low_usd,
        high_usd=found.high_usd,
        naive_usd=found.naive_usd,
        method=found.method,
        origins=trial.origins,
        wape=trial.wape,
        naive_wape=trial.naive_wape,
        within_15_ratio=trial.within_15_ratio,
        naive_within_15_ratio=trial.naive_within_15_ratio,
        coverage_ratio=trial.coverage_ratio,
        claimed=found.within_15_earned,
    )

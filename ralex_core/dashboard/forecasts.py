"""Forecasts of spend as they are asked for: the monitor's own from memory, others made when somebody asks."""

from __future__ import annotations

import dataclasses
from datetime import tzinfo
from decimal import Decimal

from ralex_core.dashboard.contexts.forecast import (
    AccountView,
    BacktestView,
    CourseView,
    ForecastView,
    PastForecastView,
    SpentView,
)
from ralex_core.dashboard.host import Host
from ralex_core.dashboard.questions import Remembered
from ralex_core.model.window import Filters, Scope, Window
from ralex_core.monitoring.forecast_keeper import account_of
from ralex_core.monitoring.spend_forecast import Horizon, SpendForecast, spend_forecast
from ralex_core.render import count, percent, to_iso
from ralex_core.stats.forecast import CLOSE_SHARE, FEWEST_ORIGINS, Backtest
from ralex_core.stats.remainder import Trial
from ralex_core.storage.queries import spend
from ralex_core.storage.state_forecasts import KeptForecast
from ralex_core.storage.telemetry import Store
from ralex_core.zone import zone_of

REMEMBER_S = 60.0
EMPTY_REMEMBER_S = 2.0
MAX_PAST = 20
TOO_LITTLE = (
    "There is too little history to foretell anything: it takes three days with spending, and three earlier points to "
    "try from."
)
_PERIODS = {"day": "days", "week": "weeks", "month": "months"}


class Forecasts:
    """One per application; safe to use from several threads."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._zone, self._zone_name = zone_of(host.settings)
        self._made = Remembered(host.clock, REMEMBER_S)
        self._empty = Remembered(host.clock, EMPTY_REMEMBER_S)

    def get(self, horizon: Horizon, filters: Filters) -> ForecastView:
        """The forecast of the running period, a minute old at most (the monitor's own, unfiltered: five)."""
        host, own = self._host, not self._host.demo_active and not filters.items()
        made = host.forecasts.latest(horizon) if own else None
        if made is None or made.projection is None:  # an import may have brought history since
            made = self._made_now(horizon, filters)
        view = view_now(host.active_store(), made, filters, host.clock.now_us(), self._zone_name)
        return self._with_account(view, horizon) if own else view

    def forget(self) -> None:
        """Stored operations were amended, or other data is shown."""
        self._made.forget()
        self._empty.forget()

    def _made_now(self, horizon: Horizon, filters: Filters) -> SpendForecast:
        """Remembered for a minute; that there is too little history only for seconds."""
        key = (self._host.demo_active, horizon, filters)
        made = self._made.get(key, lambda: self._make(horizon, filters))
        if made.projection is not None:
            return made
        return self._empty.get(key, lambda: self._make(horizon, filters))

    def _make(self, horizon: Horizon, filters: Filters) -> SpendForecast:
        host = self._host
        return spend_forecast(host.active_store(), filters, horizon, host.clock.now_us(), self._zone)

    def _with_account(self, view: ForecastView, horizon: Horizon) -> ForecastView:
        judged = self._host.forecasts.judged(horizon)
        account = account_of(judged)
        return dataclasses.replace(
            view,
            account=AccountView(**{field.name: getattr(account, field.name) for field in dataclasses.fields(account)}),
            past=[past for made in judged[:MAX_PAST] if (past := _past(made)) is not None],
        )


def stored_forecast(store: Store, horizon: Horizon, now_us: int, zone: tzinfo, zone_name: str) -> ForecastView:
    """The forecast of everything in a store, without an account of earlier ones."""
    made = spend_forecast(store, Filters(), horizon, now_us, zone)
    return view_now(store, made, Filters(), now_us, zone_name)


def view_now(store: Store, made: SpendForecast, filters: Filters, now_us: int, zone_name: str) -> ForecastView:
    """A forecast with what its period has cost up to now and how much of that is known."""
    window = made.window
    until_us = min(max(now_us, window.start_us), window.end_us - 1) + 1
    so_far, billable, priced = spend(store, Scope(Window(window.start_us, until_us), filters))
    view = forecast_view(made, zone_name, priced / billable if billable else None)
    return dataclasses.replace(view, so_far_usd=so_far) if made.projection is None else view


def forecast_view(made: SpendForecast, zone_name: str, coverage_ratio: float | None) -> ForecastView:
    found = made.projection
    return ForecastView(
        horizon=made.horizon,
        step="hour" if made.horizon == "day" else "day",
        made_at=to_iso(made.made_us) or "",
        start_at=to_iso(made.window.start_us) or "",
        end_at=to_iso(made.window.end_us) or "",
        timezone=zone_name,
        so_far_usd=sum((point.cost_usd for point in made.spent), start=Decimal(0))
        if found is None
        else found.so_far_usd,
        coverage_ratio=coverage_ratio,
        mean_usd=found and found.mean_usd,
        low_usd=found and found.low_usd,
        high_usd=found and found.high_usd,
        naive_usd=found and found.naive_usd,
        claims_15=found is not None and found.within_15_earned,
        claim=claim_of(made),
        methods=found.method.split("; ") if found is not None and found.method else [],
        backtest=None if found is None else _trial(found.backtest),
        steps=None if made.steps is None else _backtest(made.steps),
        spent=[SpentView(*_edges(point.window), point.cost_usd) for point in made.spent],
        course=[
            CourseView(
                *_edges(point.window),
                point.mean_usd,
                point.low_usd,
                point.high_usd,
                point.total_mean_usd,
                point.total_low_usd,
                point.total_high_usd,
            )
            for point in made.course
        ],
        account=None,
        past=[],
    )


def claim_of(made: SpendForecast) -> str:
    """Whether ±15 % is claimed, and by which count; one sentence or two."""
    if made.projection is None:
        return TOO_LITTLE
    trial = made.projection.backtest
    tried = f"at {count(trial.origins)} earlier points like this one"
    if made.projection.within_15_earned:
        return f"±15 %: tried {tried}, {percent(trial.within_15_ratio)} of {_PERIODS[made.horizon]} ended within it."
    if trial.origins < FEWEST_ORIGINS or trial.within_15_ratio is None:
        return (
            f"±15 % is not claimed: that takes {FEWEST_ORIGINS} earlier points to try from, there are {trial.origins}."
        )
    return (
        f"±15 % is not claimed: tried {tried}, {percent(trial.within_15_ratio)} of {_PERIODS[made.horizon]} ended "
        f"within it; it takes {percent(CLOSE_SHARE)}. The interval says what is known."
    )


def _edges(window: Window) -> tuple[str, str]:
    return to_iso(window.start_us) or "", to_iso(window.end_us) or ""


def _trial(trial: Trial) -> BacktestView:
    return BacktestView(**{field.name: getattr(trial, field.name) for field in dataclasses.fields(BacktestView)})


def _backtest(found: Backtest) -> BacktestView:
    return BacktestView(
        origins=found.origins,
        wape=found.wape,
        naive_wape=found.naive_wape,
        within_15_ratio=found.within_15_ratio,
        naive_within_15_ratio=found.naive_within_15_ratio,
        coverage_ratio=found.coverage,
    )


def _past(made: KeptForecast) -> PastForecastView | None:
    came = made.actual_usd
    if came is None:
        return None
    return PastForecastView(
        start_at=to_iso(made.period_start) or "",
        end_at=to_iso(made.period_end) or "",
        made_at=to_iso(made.made_at) or "",
        made_ratio=(made.made_at - made.period_start) / (made.period_end - made.period_start),
        mean_usd=made.mean_usd,
        low_usd=made.low_usd,
        high_usd=made.high_usd,
        naive_usd=made.naive_usd,
        claimed=made.claimed,
        actual_usd=came,
        error_ratio=float((made.mean_usd - came) / came) if came else None,
        in_interval=made.low_usd <= came <= made.high_usd,
    )

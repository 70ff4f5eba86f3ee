"""What is spent today, against what may be."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from decimal import Decimal

from ralex_core.clock import Clock
from ralex_core.config import Settings
from ralex_core.model.window import Filters, Scope, Window
from ralex_core.monitoring.projection import Projection, project
from ralex_core.storage.queries import spend
from ralex_core.storage.telemetry import Store
from ralex_core.zone import zone_of


@dataclass(frozen=True, slots=True)
class SpendToday:
    """Spend of the current local day."""

    cost_usd: Decimal
    budget_usd: Decimal | None
    day_start_us: int
    projection: Projection | None
    """Where the day is heading; None with too few days to go by."""
    coverage_ratio: float | None

    @property
    def projected_usd(self) -> Decimal | None:
        """The mean of the projection."""
        return None if self.projection is None else self.projection.mean_usd

    @property
    def budget_ratio(self) -> float | None:
        """Spend ÷ budget, may exceed 1; None without a budget."""
        return float(self.cost_usd / self.budget_usd) if self.budget_usd else None


def day_window(now_us: int, zone: tzinfo, days_ago: int = 0) -> Window:
    """The local day (23, 24 or 25 hours) `days_ago` days before the one `now_us` is in."""
    today = datetime.fromtimestamp(now_us / 1e6, zone).date() - timedelta(days=days_ago)
    start = datetime(today.year, today.month, today.day, tzinfo=zone)
    following = today + timedelta(days=1)
    end = datetime(following.year, following.month, following.day, tzinfo=zone)
    return Window(_micros(start), _micros(end))


def spend_today(store: Store, clock: Clock, settings: Settings, filters: Filters | None = None) -> SpendToday:
    """What the current local day has cost so far, and what it will by its end, foretold from days like it."""
    now_us = clock.now_us()
    zone, _ = zone_of(settings)
    today = day_window(now_us, zone)
    chosen = filters or Filters()
    cost, billable, priced = spend(store, Scope(Window(today.start_us, now_us + 1), chosen))
    return SpendToday(
        cost_usd=cost,
        budget_usd=settings.daily_budget_usd,
        day_start_us=today.start_us,
        projection=project(store, chosen, today, now_us, zone),
        coverage_ratio=priced / billable if billable else None,
    )


def _micros(moment: datetime) -> int:
    return round(moment.timestamp()) * 1_000_000

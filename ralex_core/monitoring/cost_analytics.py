"""What is spent today, against what may be."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from decimal import Decimal

from ralex_core.clock import Clock
from ralex_core.config import Settings
from ralex_core.model.window import Filters, Scope, Window
from ralex_core.storage.queries import spend
from ralex_core.storage.telemetry import Store
from ralex_core.zone import zone_of

PROJECTION_DAYS = 14
"""Days looked back at for what the rest of a day usually costs."""
PROJECTION_MIN_DAYS = 3
"""Days with spending needed before a projection is shown."""


@dataclass(frozen=True, slots=True)
class SpendToday:
    """Spend of the current local day."""

    cost_usd: Decimal
    budget_usd: Decimal | None
    day_start_us: int
    projected_usd: Decimal | None
    """Spend so far plus the mean of what the rest of the day cost on recent days with spending; None with too few."""
    coverage_ratio: float | None

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
    """What the current local day has cost so far, and what it will by its end if the rest is like recent days."""
    now_us = clock.now_us()
    zone, _ = zone_of(settings)
    today = day_window(now_us, zone)
    chosen = filters or Filters()
    cost, billable, priced = spend(store, Scope(Window(today.start_us, now_us + 1), chosen))
    return SpendToday(
        cost_usd=cost,
        budget_usd=settings.daily_budget_usd,
        day_start_us=today.start_us,
        projected_usd=_projected(store, chosen, now_us, zone, cost),
        coverage_ratio=priced / billable if billable else None,
    )


def _projected(store: Store, filters: Filters, now_us: int, zone: tzinfo, so_far: Decimal) -> Decimal | None:
    elapsed = now_us - day_window(now_us, zone).start_us
    rests: list[Decimal] = []
    for days_ago in range(1, PROJECTION_DAYS + 1):
        day = day_window(now_us, zone, days_ago)
        whole = spend(store, Scope(day, filters))[0]
        if not whole:
            continue
        same_time = min(day.start_us + elapsed, day.end_us - 1)
        rests.append(spend(store, Scope(Window(same_time, day.end_us), filters))[0])
    if len(rests) < PROJECTION_MIN_DAYS:
        return None
    return so_far + sum(rests, Decimal(0)) / len(rests)


def _micros(moment: datetime) -> int:
    return round(moment.timestamp()) * 1_000_000

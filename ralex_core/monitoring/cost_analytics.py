"""What is spent today, against what may be; and the cost analytics of a period as one document.

The parts: worth in `monitoring.value`, other models in `monitoring.what_if`, caches in `monitoring.cache`,
trends in `monitoring.cost_trends`, advice in `monitoring.savings`, spending by anything in `storage.queries.costs`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from decimal import Decimal
from typing import Any

from ralex_core.clock import Clock
from ralex_core.config import Settings
from ralex_core.model.window import Filters, Scope, Window
from ralex_core.monitoring.cache import cache_savings
from ralex_core.monitoring.cost_trends import PERIOD_US, CostTrends, Direction, Period, cost_trends
from ralex_core.monitoring.projection import Projection, project
from ralex_core.monitoring.savings import Saving, savings
from ralex_core.monitoring.value import Valuation, Worth, worth_of
from ralex_core.monitoring.what_if import cheaper_moves
from ralex_core.pricing.book import PriceBook
from ralex_core.render import to_iso
from ralex_core.storage.queries import spend
from ralex_core.storage.queries.costs import Spent, losses, spent_by
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


MAX_TIERS = 50
_OF_EFFICIENCY: dict[Direction, str] = {"increasing": "improving", "decreasing": "declining"}


@dataclass(frozen=True, slots=True)
class CostAnalytics:
    """What a period cost and was worth, which way it goes, and what would save money."""

    period: Period
    at_us: int
    """The end of the period: it is the hour, day, 7 or 30 days before."""
    by_tier: Spent
    worth: Worth
    trends: CostTrends
    savings: list[Saving]

    def document(self) -> dict[str, Any]:
        """The object `cost_analytics`, whose schema is published: plain numbers, unknown is null."""
        total = self.by_tier.total
        return {
            "cost_analytics": {
                "timestamp": f"{(to_iso(self.at_us) or '')[:19]}Z",
                "period": self.period,
                "metrics": {
                    "total_cost": _number(total.cost_usd),
                    "operations_count": total.calls,
                    "cost_per_operation": _number(total.cost_usd / total.priced if total.priced else None),
                    "model_breakdown": {
                        row.key or "unknown": {
                            "cost": _number(row.cost_usd),
                            "operations": row.calls,
                            "percentage": round(100 * row.calls / total.calls, 1),
                        }
                        for row in self.by_tier.rows
                    },
                    "efficiency_ratio": _number(self.worth.efficiency_ratio),
                    "roi_metrics": {
                        "value_generated": _number(self.worth.value_usd),
                        "cost_invested": _number(self.worth.cost_usd),
                        "roi_ratio": _number(self.worth.roi_ratio),
                    },
                },
                "trends": {
                    "cost_trend": self.trends.cost.direction,
                    "efficiency_trend": _OF_EFFICIENCY.get(
                        self.trends.efficiency.direction, self.trends.efficiency.direction
                    ),
                    "usage_trend": self.trends.usage.direction,
                },
                "recommendations": [
                    {
                        "type": saving.kind,
                        "priority": saving.priority,
                        "description": f"{saving.title}. {saving.evidence}",
                        "estimated_savings": _number(saving.saving_usd),
                    }
                    for saving in self.savings
                ],
            }
        }


def cost_analytics(
    store: Store, book: PriceBook, settings: Settings, how: Valuation, period: Period, now_us: int, filters: Filters
) -> CostAnalytics:
    """The analytics of the hour, day, 7 or 30 days before now. About half a second for a million operations in it."""
    scope = Scope(Window(now_us - PERIOD_US[period], now_us), filters)
    by_tier = spent_by(store, scope, "tier", MAX_TIERS)
    return CostAnalytics(
        period=period,
        at_us=now_us,
        by_tier=by_tier,
        worth=worth_of(store, scope, book, how),
        trends=cost_trends(store, filters, book, how, period, now_us),
        savings=savings_of(store, scope, book, settings, by_tier.total.cost_usd),
    )


def savings_of(store: Store, scope: Scope, book: PriceBook, settings: Settings, spent_usd: Decimal) -> list[Saving]:
    """What would have saved money in a scope that cost `spent_usd`."""
    moves = cheaper_moves(store, scope, book, settings)
    return savings(spent_usd, moves, cache_savings(store, scope, book), losses(store, scope))


def _number(value: Decimal | float | None) -> float | None:
    """A JSON number with 9 decimals."""
    return None if value is None else round(float(value), 9)

"""Answers the questions of the costs page and its API, panel by panel."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar, cast, get_args

from ralex_core.clock import Clock
from ralex_core.config import Settings
from ralex_core.dashboard.contexts.costs import (
    CacheView,
    ClaimsView,
    CostBreakdown,
    CostReport,
    LossView,
    MoveView,
    RoiView,
    SavingView,
    UnitSeries,
    WhatIf,
)
from ralex_core.dashboard.contexts.rows import CostSeries
from ralex_core.dashboard.cost_figures import (
    baseline_view,
    cache_view,
    claims_view,
    loss_views,
    move_view,
    roi_view,
    saving_view,
    spent_view,
    unit_series,
    what_if_sentence,
    worth_view,
)
from ralex_core.dashboard.figures import cost_series, tier_order
from ralex_core.dashboard.params import MAX_VALUE_LENGTH, Query, View, one_of
from ralex_core.dashboard.problems import bad_parameter
from ralex_core.dashboard.questions import Pool, Remembered
from ralex_core.model.window import Filters
from ralex_core.monitoring.cache import CacheSavings, cache_savings
from ralex_core.monitoring.cost_analytics import CostAnalytics, cost_analytics
from ralex_core.monitoring.cost_trends import Period
from ralex_core.monitoring.savings import savings
from ralex_core.monitoring.value import Valuation, ValueModel, roi, valuation, worth_by, worth_of, worth_over_time
from ralex_core.monitoring.what_if import By, Move, cheaper_moves
from ralex_core.pricing.book import PriceBook
from ralex_core.storage.queries import cost_over_time, drift, totals
from ralex_core.storage.queries.costs import Losses, losses, spent_by
from ralex_core.storage.telemetry import Store

PATH = "/costs"
DIMENSIONS: dict[str, tuple[str, str]] = {
    "tier": ("tier", "Tier"),
    "model": ("model", "Model"),
    "provider": ("provider", "Provider"),
    "operation": ("name", "Operation"),
    "feature": ("feature", "Feature"),
    "user": ("user_id", "User"),
    "session": ("session_id", "Session"),
    "project": ("project", "Project"),
}
"""Parameter → (column, title)."""
VALUE_MODELS: dict[str, str] = {"baseline": "Baseline", "time_saved": "Time saved", "explicit": "Reported value"}
REMEMBER_S = 5.0
HEAVY_REMEMBER_S = 60.0
"""Intervals and missed caches look at every operation of the range, some of them in order."""
SHOWN_ROWS = 20
SHOWN_MOVES = 10
MAX_ROWS = 200

T = TypeVar("T")


class Ledger(Protocol):
    """What the questions need of the process that asks: a running monitor's `Host` has it."""

    @property
    def settings(self) -> Settings: ...

    @property
    def clock(self) -> Clock: ...

    @property
    def book(self) -> PriceBook: ...

    @property
    def demo_active(self) -> bool: ...

    def active_store(self) -> Store: ...


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request of the page or of one of its panels asks for; None is what the settings say."""

    view: View
    by: str = "tier"
    baseline: str | None = None
    value_model: ValueModel | None = None

    def pairs(self) -> list[tuple[str, str]]:
        """Everything but range and filters, as parameters."""
        chosen = (("baseline", self.baseline), ("value", self.value_model))
        return [("by", self.by), *((name, value) for name, value in chosen if value is not None)]


def read_asked(view: View, query: Query) -> Asked:
    """Dimension, baseline and value model of a query string.

    Raises:
        RequestProblem: 422, naming the parameter and what it can be.
    """
    by = one_of(query, "by", list(DIMENSIONS), "tier")
    return Asked(view, by, read_baseline(query), read_value_model(query))


def read_baseline(query: Query) -> str | None:
    """The parameter `baseline`; None when it is not given or empty."""
    baseline = next((value.strip() for name, value in query if name == "baseline"), None) or None
    if baseline is not None and len(baseline) > MAX_VALUE_LENGTH:
        raise bad_parameter("baseline", baseline, f"it is longer than {MAX_VALUE_LENGTH} characters.")
    return baseline


def read_value_model(query: Query) -> ValueModel | None:
    """The parameter `value`; None when it is not given."""
    found = one_of(query, "value", get_args(ValueModel), "")
    return cast("ValueModel", found) if found else None


class Costs:
    """Answers the questions of the page. One per application; safe to use from several threads."""

    def __init__(self, host: Ledger, pool: Pool) -> None:
        self._host = host
        self._pool = pool
        self._quick = Remembered(host.clock, REMEMBER_S, entries=128)
        self._heavy = Remembered(host.clock, HEAVY_REMEMBER_S, entries=64)

    def forget(self) -> None:
        """Stored operations were amended, or other data is shown."""
        self._quick.forget()
        self._heavy.forget()

    def breakdown(self, asked: Asked, limit: int = SHOWN_ROWS) -> CostBreakdown:
        """The dearest values of a dimension with what their work was worth, and the others together."""
        host, scope, how = self._host, asked.view.scope, self.valuation(asked)
        store, (column, _) = host.active_store(), DIMENSIONS[asked.by]
        spent = self._remember(asked, ("spent", limit), lambda: spent_by(store, scope, column, limit))
        keys = [row.key for row in spent.rows]
        worths = self._remember(asked, ("worth", limit), lambda: worth_by(store, scope, host.book, how, column, keys))
        whole = self._remember(asked, ("whole",), lambda: worth_of(store, scope, host.book, how))
        return CostBreakdown(
            by=asked.by,
            judged_by=baseline_view(how),
            rows=[spent_view(row, worths.get(row.key), spent.total, asked.by, asked.view) for row in spent.rows],
            groups=spent.groups,
            other=None if spent.other is None else spent_view(spent.other, None, spent.total, "other", asked.view),
            total=spent_view(spent.total, whole, spent.total, "total", asked.view),
        )

    def roi(self, asked: Asked) -> RoiView:
        """Value per dollar, of everything and per tier, with intervals; remembered for a minute."""
        host, how, scope = self._host, self.valuation(asked), asked.view.scope
        tiers = tier_order(host.settings)
        found = self._remember(
            asked, ("roi",), lambda: roi(host.active_store(), scope, host.book, how, tiers), heavy=True
        )
        return roi_view(found, host.settings.efficiency_goal, asked.view)

    def units(self, asked: Asked) -> UnitSeries:
        """Cost per call and per success, and efficiency, over time."""
        host, how, view = self._host, self.valuation(asked), asked.view
        store, scope, bucket_us = host.active_store(), view.scope, view.bucket_us
        found = self._remember(asked, ("units",), lambda: worth_over_time(store, scope, host.book, how, bucket_us))
        return unit_series(found, scope.window, bucket_us)

    def spend(self, asked: Asked) -> CostSeries:
        view = asked.view
        series = cost_over_time(self._host.active_store(), view.scope, "tier", view.bucket_us)
        return cost_series(series, tier_order(self._host.settings))

    def claims(self, asked: Asked) -> ClaimsView:
        """What each witness says, and how far they are apart per model."""
        store, scope = self._host.active_store(), asked.view.scope
        return claims_view(drift(store, scope, daily=False), totals(store, scope), asked.view)

    def cache(self, asked: Asked) -> CacheView:
        """What caches saved and what misses cost; remembered for a minute."""
        return cache_view(self._cache(asked), asked.view)

    def losses(self, asked: Asked) -> list[LossView]:
        """What was paid for nothing."""
        return loss_views(self._losses(asked), asked.view)

    def moves(self, asked: Asked, by: By = "name", limit: int = SHOWN_MOVES) -> list[MoveView]:
        """Operations that would have cost less in a cheaper tier, the largest saving first."""
        return [move_view(move, asked.view) for move in self._moves(asked, by, limit)]

    def savings(self, asked: Asked) -> list[SavingView]:
        """What would have saved money, the largest amount first; empty when there is nothing to gain."""
        spent = self._losses(asked).total.cost_usd
        found = savings(spent, self._moves(asked, "name", SHOWN_MOVES), self._cache(asked), self._losses(asked))
        return [saving_view(saving) for saving in found]

    def what_if(self, asked: Asked) -> WhatIf:
        """What the same work would have cost at the baseline asked for."""
        host, scope = self._host, asked.view.scope
        asked = replace(asked, value_model="baseline")
        how = self.valuation(asked)
        worth = self._remember(asked, ("whole",), lambda: worth_of(host.active_store(), scope, host.book, how))
        return WhatIf(baseline_view(how), worth_view(worth), what_if_sentence(worth, how))

    def analytics(
        self, period: Period, filters: Filters, baseline: str | None, value_model: ValueModel | None
    ) -> CostAnalytics:
        """The analytics of the hour, day, 7 or 30 days before now; remembered for five seconds."""
        host = self._host
        key = (host.demo_active, "analytics", period, filters, baseline, value_model)

        def ask() -> CostAnalytics:
            store = host.active_store()
            how = valuation(store, host.book, host.settings, baseline=baseline, value_model=value_model)
            now_us = host.clock.now_us()
            return cost_analytics(store, host.book, host.settings, how, period, now_us, filters)

        return self._quick.get(key, ask)

    def report(self, asked: Asked, limit: int = SHOWN_ROWS) -> CostReport:
        """What the command line shows."""
        view = asked.view.range
        roi_there = self._pool.ask(lambda: self.roi(asked))
        cached = self._pool.ask(lambda: self.cache(asked))
        return CostReport(
            range_label=view.label,
            start_at=view.start_at,
            end_at=view.end_at,
            breakdown=self.breakdown(asked, limit),
            losses=self.losses(asked),
            roi=roi_there.result(),
            cache=cached.result(),
            savings=self.savings(asked),
        )

    def valuation(self, asked: Asked) -> Valuation:
        """How worth is judged; remembered, because it looks for every model that is stored."""
        host = self._host
        key = (host.demo_active, "valuation", asked.baseline, asked.value_model)
        return self._quick.get(
            key,
            lambda: valuation(
                host.active_store(), host.book, host.settings, baseline=asked.baseline, value_model=asked.value_model
            ),
        )

    def _cache(self, asked: Asked) -> CacheSavings:
        store, scope = self._host.active_store(), asked.view.scope
        book = self._host.book
        return self._remember(_plain(asked), ("cache",), lambda: cache_savings(store, scope, book), heavy=True)

    def _losses(self, asked: Asked) -> Losses:
        store, scope = self._host.active_store(), asked.view.scope
        return self._remember(_plain(asked), ("losses",), lambda: losses(store, scope))

    def _moves(self, asked: Asked, by: By, limit: int) -> list[Move]:
        host, scope = self._host, asked.view.scope

        def ask() -> list[Move]:
            return cheaper_moves(host.active_store(), scope, host.book, host.settings, by=by, limit=MAX_ROWS)

        return self._remember(_plain(asked), ("moves", by), ask)[:limit]

    def _remember(self, asked: Asked, what: tuple[Hashable, ...], ask: Callable[[], T], *, heavy: bool = False) -> T:
        """The answer to a question about a range: the ends of a range that moves with the clock are not compared."""
        held = asked.view.range
        span = held.key if asked.view.custom is None else (held.start_us, held.end_us)
        key = (self._host.demo_active, what, span, asked.view.filters, tuple(asked.pairs()))
        return (self._heavy if heavy else self._quick).get(key, ask)


def _plain(asked: Asked) -> Asked:
    """The same without what a question does not depend on."""
    return Asked(asked.view)

"""Answers the questions of the performance page and its API, panel by panel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import cast, get_args

from ralex_core.dashboard.contexts.performance import (
    HeatMapView,
    LoadView,
    TimelineView,
    TrendView,
)
from ralex_core.dashboard.host import Host
from ralex_core.dashboard.params import Query, View, one_of
from ralex_core.dashboard.performance_figures import (
    HEAT_STEP,
    heat_view,
    load_view,
    timeline_view,
    trend_view,
)
from ralex_core.dashboard.problems import bad_parameter
from ralex_core.dashboard.questions import Pool, Remembered
from ralex_core.model.window import DAY_US, Scope, Window
from ralex_core.monitoring.comparison import (
    Against,
    Comparison,
    compare,
    window_before,
)
from ralex_core.monitoring.latency import DIMENSIONS, Dimension, Summaries, dimension_of, reachable, summarise
from ralex_core.monitoring.load import load
from ralex_core.monitoring.trends import TREND_DAYS, Trend, trends
from ralex_core.storage.queries.latency import (
    Group,
    Past,
    earlier_grain,
    earlier_windows,
    heat_map,
    load_over_time,
    percentiles_over_time,
)
from ralex_core.storage.queries.segments import Only
from ralex_core.storage.telemetry import Store

PATH = "/performance"
REMEMBER_S = 2.0
PAST_REMEMBER_S = 300.0
"""Windows that lie hours back change only when old logs are imported."""
TREND_REMEMBER_S = 600.0
MAX_ROWS = 200
SHOWN_ROWS = 50
SHOWN_TRENDS = 12
AGAINSTS: dict[str, str] = {"previous": "Previous", "last_week": "Last week", "usual": "Usual"}


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request of the page or of one of its panels asks for."""

    view: View
    dimension: Dimension
    against: Against
    group: Group | None

    @property
    def only(self) -> dict[str, str | None]:
        """What the chosen group, or else the dimension, narrows the charts to."""
        return self.dimension.only if self.group is None else self.dimension.narrowed(self.group)

    @property
    def scope(self) -> Scope:
        return reachable(self.view.scope, self.dimension, self.only)

    def pairs(self) -> list[tuple[str, str]]:
        """Everything but range and filters, as parameters."""
        pairs = [("by", self.dimension.key), ("against", self.against)]
        return pairs if self.group is None else [*pairs, ("pick", self.dimension.key_of(self.group))]


def read_asked(view: View, query: Query) -> Asked:
    """Dimension, comparison and choice of a query string.

    Raises:
        RequestProblem: 422, naming the parameter and what it can be.
    """
    dimension = dimension_of(one_of(query, "by", list(DIMENSIONS), "operation"))
    against = cast("Against", one_of(query, "against", get_args(Against), "previous"))
    pick = next((value for name, value in query if name == "pick"), None)
    group: Group | None = None
    if pick is not None:
        try:
            group = dimension.group_of(pick)
        except ValueError as error:
            raise bad_parameter("pick", pick, f"{error}.") from None
    return Asked(view, dimension, against, group)


class Performances:
    """Answers the questions of the page. One per application; safe to use from several threads."""

    def __init__(self, host: Host, pool: Pool) -> None:
        self._host = host
        self._pool = pool
        self._answers = Remembered(host.clock, REMEMBER_S, entries=128)
        self._pasts = Remembered(host.clock, PAST_REMEMBER_S, entries=32)
        self._trends = Remembered(host.clock, TREND_REMEMBER_S, entries=32)

    def summaries(self, asked: Asked, limit: int = SHOWN_ROWS) -> Summaries:
        host = self._host
        return summarise(
            host.active_store(),
            asked.view.scope,
            asked.dimension.key,
            targets=host.settings.apdex_ms,
            now_us=host.clock.now_us(),
            limit=limit,
            ask=self._pool.ask,
        )

    def comparison(self, asked: Asked, limit: int = SHOWN_ROWS) -> Comparison:
        """Remembered for two seconds.

        Raises:
            ValueError: the range is too long to be compared with the same hours last week.
        """
        host = self._host
        key = (host.demo_active, asked.view.range, asked.view.filters, asked.dimension.key, asked.against, limit)
        return self._answers.get(
            key,
            lambda: compare(
                host.active_store(),
                asked.view.scope,
                asked.dimension.key,
                against=asked.against,
                targets=host.settings.apdex_ms,
                now_us=host.clock.now_us(),
                limit=limit,
                ask=self._pool.ask,
                earlier=self._earlier,
            ),
        )

    def _earlier(
        self,
        store: Store,
        scope: Scope,
        group: Sequence[str],
        quantiles: Sequence[float],
        windows: int,
        only: Only | None = None,
    ) -> dict[Group, Past]:
        grain = earlier_grain(scope.window.length_us)
        place = (scope.window.start_us // grain, scope.window.length_us // grain)
        key = (id(store), place, scope.filters, tuple(group), windows, tuple(sorted((only or {}).items(), key=str)))
        return self._pasts.get(key, lambda: earlier_windows(store, scope, group, quantiles, windows, only))

    def timeline(self, asked: Asked) -> TimelineView:
        """Percentiles over time, those of the window compared with laid over them."""
        store, scope, bucket_us = self._host.active_store(), asked.scope, asked.view.bucket_us
        window = scope.window
        before = window_before(window, asked.against)
        quantiles = (0.5, 0.95, 0.99)
        shift_us = 0
        there = None
        if before is not None:
            # moved by whole buckets, so that the two lie over each other
            shift_us = -(-(window.start_us - before.start_us) // bucket_us) * bucket_us
            moved = Window(window.start_us - shift_us, window.end_us - shift_us)
            earlier = replace(scope, window=moved)
            there = self._pool.ask(lambda: percentiles_over_time(store, earlier, bucket_us, quantiles[:2], asked.only))
        counted = self._pool.ask(lambda: load_over_time(store, scope, bucket_us, asked.only))
        now = percentiles_over_time(store, scope, bucket_us, quantiles, asked.only)
        found = [] if there is None else there.result()
        label = {"previous": "before", "last_week": "last week"}.get(asked.against) if found else None
        return timeline_view(window, bucket_us, now, counted.result(), found, shift_us, label)

    def heat(self, asked: Asked) -> HeatMapView:
        scope, bucket_us = asked.scope, asked.view.bucket_us
        return heat_view(scope, bucket_us, heat_map(self._host.active_store(), scope, bucket_us, HEAT_STEP, asked.only))

    def load(self, asked: Asked) -> LoadView:
        now_us = self._host.clock.now_us()
        return load_view(load(self._host.active_store(), asked.scope, now_us=now_us, only=asked.only))

    def trends(self, asked: Asked, days: int = TREND_DAYS, limit: int = SHOWN_TRENDS) -> list[TrendView]:
        """Of the chosen group, or of the busiest ones; remembered for ten minutes, since only whole days count."""
        host = self._host
        store, scope = host.active_store(), asked.view.scope
        only = asked.only if asked.group is not None else None
        day = scope.window.end_us // DAY_US
        key = (id(store), day, scope.filters, asked.dimension.key, asked.group, days, limit)

        def ask() -> list[Trend]:
            return trends(store, scope, asked.dimension.key, days=days, only=only, limit=limit)

        return [trend_view(trend) for trend in self._trends.get(key, ask)]

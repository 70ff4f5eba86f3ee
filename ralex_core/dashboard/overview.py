"""Puts the overview together: all its questions at once, each on a thread and a cursor of its own."""

from __future__ import annotations

from decimal import Decimal

from ralex_core.dashboard.contexts.overview import Overview, Quarantined
from ralex_core.dashboard.contexts.rows import Charts, Resources, TodayView, TotalsView
from ralex_core.dashboard.figures import (
    breakdown_view,
    cost_series,
    drift_view,
    latency_series,
    resource_series_view,
    starts_of,
    tier_order,
    totals_view,
    usage_series,
)
from ralex_core.dashboard.headline import headline, tiles
from ralex_core.dashboard.host import Host
from ralex_core.dashboard.params import View, href
from ralex_core.dashboard.questions import Pool, Remembered
from ralex_core.dashboard.rows import feed_item, resource_point
from ralex_core.model.window import Filters, Scope, Window
from ralex_core.monitoring.cost_analytics import day_window, spend_today
from ralex_core.render import to_iso
from ralex_core.storage.queries import (
    breakdown,
    cost_over_time,
    drift,
    latency_over_time,
    operations_page,
    resource_series,
    spend,
    totals,
    usage_over_time,
)
from ralex_core.zone import zone_of

FEED_ROWS = 50
MAX_MODELS = 12
MAX_BUSIEST = 10
MAX_DRIFT = 12
REMEMBER_S = 1.0
"""Two hundred browsers that ask for the same overview in the same second cost one."""
REST_REMEMBER_S = 60.0
"""What the rest of a day usually costs changes slowly, and takes a query per day looked back at."""


def drawn(overview: Overview) -> dict[str, object]:
    """What the page's scripts draw from; the rest of the overview is in the page already, as HTML."""
    charts = overview.charts
    return {
        "range": overview.range,
        "empty": overview.empty,
        "today": overview.today,
        "totals": overview.totals,
        "charts": {
            "cost_by_tier": charts.cost_by_tier,
            "cost_by_model": charts.cost_by_model,
            "latency": charts.latency,
        },
        "models": [{"key": row.key, "tier": row.tier} for row in overview.models],
        "resources": {"series": overview.resources.series},
    }


class Overviews:
    """Builds overviews. One per application; safe to use from several threads."""

    def __init__(self, host: Host, pool: Pool) -> None:
        self._host = host
        self._pool = pool
        self._answers = Remembered(host.clock, REMEMBER_S)
        self._rests = Remembered(host.clock, REST_REMEMBER_S)

    def get(self, view: View) -> Overview:
        """The overview of a range and filters, at most a second old."""
        asked = view.range.key if view.custom is None else (view.range.start_us, view.range.end_us)
        key = (self._host.demo_active, asked, view.range.explicit, view.filters)
        return self._answers.get(key, lambda: self._build(view))

    def forget(self) -> None:
        """Stored operations were amended, or other data is shown."""
        self._answers.forget()
        self._rests.forget()

    def today(self, filters: Filters) -> TodayView:
        """Spend of the current local day; budget and projection are of everything, so filtered views have no budget."""
        host = self._host
        store = host.active_store()
        now_us = host.clock.now_us()
        day = day_window(now_us, zone_of(host.settings)[0])
        cost, billable, priced = spend(store, Scope(Window(day.start_us, now_us + 1), filters))
        rest = self.rest_of_day(filters)
        return TodayView(
            cost_usd=cost,
            budget_usd=None if filters.items() else host.settings.daily_budget_usd,
            projected_usd=None if rest is None else cost + rest,
            day_start_at=to_iso(day.start_us) or "",
            coverage_ratio=priced / billable if billable else None,
        )

    def rest_of_day(self, filters: Filters) -> Decimal | None:
        """What the rest of a day like today costs; None with too few days to go by."""

        def ask() -> Decimal | None:
            day = spend_today(self._host.active_store(), self._host.clock, self._host.settings, filters)
            return None if day.projected_usd is None else day.projected_usd - day.cost_usd

        return self._rests.get((self._host.demo_active, filters), ask)

    def _build(self, view: View) -> Overview:
        store, scope, ask = self._host.active_store(), view.scope, self._pool.ask
        window = scope.window
        bucket_us = view.bucket_us
        # the slowest first: four threads work through the list
        feed = ask(lambda: operations_page(store, scope, limit=FEED_ROWS))
        latency = ask(lambda: latency_over_time(store, scope, bucket_us))
        names = ask(lambda: breakdown(store, scope, "name", MAX_BUSIEST, order="operations"))
        models = ask(lambda: breakdown(store, scope, "model", MAX_MODELS))
        current = ask(lambda: totals(store, scope))
        before = ask(lambda: self._before(view))
        usage = ask(lambda: usage_over_time(store, scope, bucket_us))
        by_tier = ask(lambda: cost_over_time(store, scope, "tier", bucket_us))
        by_model = ask(lambda: cost_over_time(store, scope, "model", bucket_us))
        drifts = ask(lambda: drift(store, scope, daily=False))
        resources = ask(lambda: resource_series(store, window, bucket_us))
        today = ask(lambda: self.today(view.filters))

        starts = starts_of(window, bucket_us)
        now_us = self._host.clock.now_us()
        told = totals_view(current.result(), window, now_us)
        by_start = {bucket.start_us: bucket for bucket in usage.result()}
        latencies = latency_series(latency.result(), usage.result(), starts, bucket_us)
        quarantine_href = href("/operations", [*view.pairs(), ("quarantined", "1")])
        sample = self._host.latest_resources()
        return Overview(
            generated_at=to_iso(now_us) or "",
            range=view.range,
            empty=told.operations == 0,
            headline=headline(today.result(), told, before.result(), view.range.label, quarantine_href),
            tiles=tiles(
                today.result(),
                told,
                before.result(),
                [by_start.get(start) for start in starts],
                latencies,
                view.query,
                view.range.label,
            ),
            today=today.result(),
            totals=told,
            previous=before.result(),
            charts=Charts(
                cost_by_tier=cost_series(by_tier.result(), tier_order(self._host.settings)),
                cost_by_model=cost_series(by_model.result()),
                latency=latencies,
                usage=usage_series(usage.result(), starts, bucket_us),
            ),
            models=[breakdown_view(row, "model", view) for row in models.result()],
            busiest=[breakdown_view(row, "name", view) for row in names.result()],
            feed=[feed_item(operation) for operation in feed.result().rows],
            resources=Resources(
                latest=None if sample is None else resource_point(sample),
                series=resource_series_view(resources.result(), starts, bucket_us),
            ),
            drift=[drift_view(row) for row in drifts.result() if row.drift_reported_usd or row.drift_billed_usd][
                :MAX_DRIFT
            ],
            quarantined=Quarantined(told.quarantined_count, told.quarantined_usd, quarantine_href),
        )

    def _before(self, view: View) -> TotalsView | None:
        """Totals of the period before, or None when there was nothing or the range is everything."""
        if view.range.key == "all":
            return None
        window = view.scope.window.previous()
        found = totals(self._host.active_store(), Scope(window, view.filters))
        return totals_view(found, window, window.end_us) if found.operations else None

"""Everything the overview shows, whole or panel by panel."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from ralex_core.dashboard.api.described import SCOPE_PARAMETERS, described, parameter
from ralex_core.dashboard.contexts.overview import Overview
from ralex_core.dashboard.contexts.rows import (
    BreakdownView,
    CostSeries,
    DriftView,
    LatencySeries,
    TotalsView,
    UsageSeries,
)
from ralex_core.dashboard.envelope import Envelope, answer
from ralex_core.dashboard.figures import (
    breakdown_view,
    cost_series,
    drift_view,
    latency_series,
    starts_of,
    tier_order,
    totals_view,
    usage_series,
)
from ralex_core.dashboard.params import SCOPE_PARAMS, one_of, read_limit, require_known
from ralex_core.dashboard.site import Site, query_of
from ralex_core.storage.queries import (
    breakdown,
    cost_over_time,
    drift,
    latency_over_time,
    totals,
    usage_over_time,
)

MAX_ROWS = 200
BREAKDOWNS = {
    "model": "model",
    "tier": "tier",
    "project": "project",
    "name": "name",
    "user": "user_id",
    "session": "session_id",
    "provider": "provider",
    "client": "client",
}
"""Parameter → column."""


def figures_router(site: Site) -> APIRouter:
    router = APIRouter(tags=["Figures"])

    @router.get("/overview", openapi_extra=described(Envelope[Overview], SCOPE_PARAMETERS))
    def overview(request: Request) -> Response:
        """Everything the overview page shows, at most a second old."""
        query = query_of(request)
        require_known(query, SCOPE_PARAMS)
        return answer(site.overviews.get(site.view(query)))

    @router.get("/totals", openapi_extra=described(Envelope[TotalsView], SCOPE_PARAMETERS))
    def totals_of_scope(request: Request) -> Response:
        """Counts, tokens, money, coverage and percentiles of a range."""
        query = query_of(request)
        require_known(query, SCOPE_PARAMS)
        scope = site.view(query).scope
        return answer(totals_view(totals(site.host.active_store(), scope), scope.window, site.host.clock.now_us()))

    by_tier_or_model = parameter("by", "What the series are; by default tier.", words=("tier", "model"))

    @router.get("/costs", openapi_extra=described(Envelope[CostSeries], [*SCOPE_PARAMETERS, by_tier_or_model]))
    def costs(request: Request) -> Response:
        """Dollars over time per tier or model; beyond eight series the cheapest are added up as `other`."""
        query = query_of(request)
        require_known(query, (*SCOPE_PARAMS, "by"))
        by = one_of(query, "by", ("tier", "model"), "tier")
        view = site.view(query)
        series = cost_over_time(
            site.host.active_store(), view.scope, "tier" if by == "tier" else "model", view.bucket_us
        )
        return answer(cost_series(series, tier_order(site.host.settings) if by == "tier" else ()))

    @router.get("/latency", openapi_extra=described(Envelope[LatencySeries], SCOPE_PARAMETERS))
    def latency(request: Request) -> Response:
        """Percentiles of calls to models, and throughput, over time."""
        query = query_of(request)
        require_known(query, SCOPE_PARAMS)
        view, store = site.view(query), site.host.active_store()
        scope, bucket_us = view.scope, view.bucket_us
        timed = latency_over_time(store, scope, bucket_us)
        counted = usage_over_time(store, scope, bucket_us)
        return answer(latency_series(timed, counted, starts_of(scope.window, bucket_us), bucket_us))

    @router.get("/usage", openapi_extra=described(Envelope[UsageSeries], SCOPE_PARAMETERS))
    def usage(request: Request) -> Response:
        """Operations, errors, tokens and dollars over time."""
        query = query_of(request)
        require_known(query, SCOPE_PARAMS)
        view = site.view(query)
        scope, bucket_us = view.scope, view.bucket_us
        counted = usage_over_time(site.host.active_store(), scope, bucket_us)
        return answer(usage_series(counted, starts_of(scope.window, bucket_us), bucket_us))

    by_dimension = parameter("by", "What the rows are; by default model.", words=list(BREAKDOWNS))
    limit = parameter("limit", f"Rows, up to {MAX_ROWS}; by default 20.", kind="integer")

    @router.get(
        "/breakdown",
        openapi_extra=described(Envelope[list[BreakdownView]], [*SCOPE_PARAMETERS, by_dimension, limit]),
    )
    def breakdown_by(request: Request) -> Response:
        """A ranking by cost, then by operations. Models, tiers and providers count calls to models only."""
        query = query_of(request)
        require_known(query, (*SCOPE_PARAMS, "by", "limit"))
        column = BREAKDOWNS[one_of(query, "by", list(BREAKDOWNS), "model")]
        view = site.view(query)
        rows = breakdown(site.host.active_store(), view.scope, column, read_limit(query, 20, MAX_ROWS))  # pyright: ignore[reportArgumentType] - one of the columns above
        return answer([breakdown_view(row, column, view) for row in rows])

    @router.get("/drift", openapi_extra=described(Envelope[list[DriftView]], SCOPE_PARAMETERS))
    def claims_drift(request: Request) -> Response:
        """How far reported and billed costs are from the price book, per model, largest first."""
        query = query_of(request)
        require_known(query, SCOPE_PARAMS)
        rows = drift(site.host.active_store(), site.view(query).scope, daily=False)
        return answer([drift_view(row) for row in rows])

    return router

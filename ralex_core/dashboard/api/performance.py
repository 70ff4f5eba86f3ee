"""Latency by any dimension, compared, over time, and what it does from day to day."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from ralex_core.dashboard.api.described import SCOPE_PARAMETERS, described, parameter
from ralex_core.dashboard.contexts.performance import (
    ComparisonView,
    HeatMapView,
    LoadView,
    SummariesView,
    TimelineView,
    TrendView,
)
from ralex_core.dashboard.envelope import Envelope, answer
from ralex_core.dashboard.params import SCOPE_PARAMS, Query, read_limit, read_whole, require_known
from ralex_core.dashboard.performance import AGAINSTS, MAX_ROWS, Asked, read_asked
from ralex_core.dashboard.performance_figures import comparison_view, summaries_view
from ralex_core.dashboard.problems import bad_parameter
from ralex_core.dashboard.site import Site, query_of
from ralex_core.monitoring.latency import DIMENSIONS
from ralex_core.monitoring.trends import FEWEST_DAYS, TREND_DAYS

MOST_DAYS = 400

_BY = parameter("by", "What the rows are; by default operation.", words=list(DIMENSIONS))
_AGAINST = parameter("against", "What to compare with; by default previous.", words=list(AGAINSTS))
_PICK = parameter("pick", "Only this row: its `key` in the answers by the same dimension.")
_LIMIT = parameter("limit", f"Rows, up to {MAX_ROWS}; by default 50.", kind="integer")
_DAYS = parameter("days", f"Whole UTC days, {FEWEST_DAYS} to {MOST_DAYS}; by default {TREND_DAYS}.", kind="integer")


def performance_router(site: Site) -> APIRouter:
    router = APIRouter(tags=["Performance"])

    def asked(request: Request, *more: str) -> tuple[Asked, Query]:
        query = query_of(request)
        require_known(query, (*SCOPE_PARAMS, "by", *more))
        return read_asked(site.view(query), query), query

    @router.get("/performance", openapi_extra=described(Envelope[SummariesView], [*SCOPE_PARAMETERS, _BY, _LIMIT]))
    def summaries(request: Request) -> Response:
        """Count, rate, percentiles, Apdex, errors, first token and tokens per second, per value of a dimension."""
        found, query = asked(request, "limit")
        return answer(summaries_view(site.performances.summaries(found, read_limit(query, 50, MAX_ROWS)), found.view))

    @router.get(
        "/performance/compare",
        openapi_extra=described(Envelope[ComparisonView], [*SCOPE_PARAMETERS, _BY, _AGAINST, _LIMIT]),
    )
    def compare(request: Request) -> Response:
        """The same beside an earlier window, each with a tested verdict that says why."""
        found, query = asked(request, "against", "limit")
        try:
            compared = site.performances.comparison(found, read_limit(query, 50, MAX_ROWS))
        except ValueError as error:
            raise bad_parameter("against", found.against, f"{error}.") from None
        return answer(comparison_view(compared, found.view))

    @router.get(
        "/performance/timeline",
        openapi_extra=described(Envelope[TimelineView], [*SCOPE_PARAMETERS, _BY, _AGAINST, _PICK]),
    )
    def timeline(request: Request) -> Response:
        """Percentiles and throughput over time, those of the earlier window laid over them."""
        return answer(site.performances.timeline(asked(request, "against", "pick")[0]))

    @router.get("/performance/heatmap", openapi_extra=described(Envelope[HeatMapView], [*SCOPE_PARAMETERS, _BY, _PICK]))
    def heat_map(request: Request) -> Response:
        """How durations are spread, over time: operations per bucket and logarithmic band."""
        return answer(site.performances.heat(asked(request, "pick")[0]))

    @router.get("/performance/load", openapi_extra=described(Envelope[LoadView], [*SCOPE_PARAMETERS, _BY, _PICK]))
    def load(request: Request) -> Response:
        """Throughput, concurrency, and how the host's resources and response times move together."""
        return answer(site.performances.load(asked(request, "pick")[0]))

    @router.get(
        "/performance/trends",
        openapi_extra=described(Envelope[list[TrendView]], [*SCOPE_PARAMETERS, _BY, _PICK, _LIMIT, _DAYS]),
    )
    def trends(request: Request) -> Response:
        """The p95 per day up to the end of the range: steps, and early warnings of what degrades steadily first."""
        found, query = asked(request, "pick", "limit", "days")
        days = read_whole(query, "days", TREND_DAYS, FEWEST_DAYS, MOST_DAYS)
        return answer(site.performances.trends(found, days, read_limit(query, 50, MAX_ROWS)))

    return router

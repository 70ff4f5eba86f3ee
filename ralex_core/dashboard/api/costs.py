"""What work costs and is worth: the published analytics of a period, and every panel of the costs page."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast, get_args

from fastapi import APIRouter, Request, Response

from ralex_core.dashboard.api.described import (
    FILTER_PARAMETERS,
    SCOPE_PARAMETERS,
    described,
    parameter,
)
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
from ralex_core.dashboard.costs import (
    DIMENSIONS,
    MAX_ROWS,
    SHOWN_MOVES,
    SHOWN_ROWS,
    Asked,
    read_asked,
    read_baseline,
    read_value_model,
)
from ralex_core.dashboard.envelope import Envelope, answer, json_response
from ralex_core.dashboard.params import (
    FILTER_FIELDS,
    SCOPE_PARAMS,
    Query,
    one_of,
    read_filters,
    read_limit,
    require_known,
)
from ralex_core.dashboard.site import Site, query_of
from ralex_core.monitoring.cost_trends import Period
from ralex_core.monitoring.value import ValueModel
from ralex_core.monitoring.what_if import By
from ralex_core.render import to_json

SCHEMA_FILE = Path(__file__).resolve().parents[1] / "schemas" / "cost_analytics.schema.json"

_BY = parameter("by", "What the rows are; by default tier.", words=list(DIMENSIONS))
_BASELINE = parameter("baseline", "Model to compare with, as provider/model or as operations name it.")
_VALUE = parameter("value", "What work is worth: the value model.", words=get_args(ValueModel))
_LIMIT = parameter("limit", f"Rows, up to {MAX_ROWS}; by default {SHOWN_ROWS}.", kind="integer")
_PERIOD = parameter("period", "The hour, day, 7 or 30 days before now; by default daily.", words=get_args(Period))
_MOVES_BY = parameter("by", "What moves; by default operation.", words=("operation", "feature"))
_JUDGED = [*SCOPE_PARAMETERS, _BASELINE, _VALUE]


def costs_router(site: Site) -> APIRouter:
    router = APIRouter(tags=["Costs"], prefix="/costs")

    def asked(request: Request, *more: str) -> tuple[Asked, Query]:
        query = query_of(request)
        require_known(query, (*SCOPE_PARAMS, *more))
        return read_asked(site.view(query), query), query

    @router.get(
        "/analytics",
        openapi_extra=described(dict[str, Any], [_PERIOD, *FILTER_PARAMETERS, _BASELINE, _VALUE]),
    )
    def analytics(request: Request) -> Response:
        """The object `cost_analytics` of a period, without an envelope; see `/api/v1/costs/analytics/schema`."""
        query = query_of(request)
        require_known(query, ("period", *FILTER_FIELDS, "baseline", "value"))
        period = cast("Period", one_of(query, "period", get_args(Period), "daily"))
        found = site.costs.analytics(period, read_filters(query), read_baseline(query), read_value_model(query))
        return json_response(to_json(found.document()))

    @router.get(
        "/analytics/schema",
        response_class=Response,
        responses={200: {"content": {"application/schema+json": {"schema": {"type": "object"}}}}},
    )
    def schema(request: Request) -> Response:
        """The JSON Schema (2020-12) of what `/api/v1/costs/analytics` answers."""
        require_known(query_of(request), ())
        return Response(SCHEMA_FILE.read_bytes(), media_type="application/schema+json")

    @router.get("/breakdown", openapi_extra=described(Envelope[CostBreakdown], [*_JUDGED, _BY, _LIMIT]))
    def breakdown(request: Request) -> Response:
        """Spending by one dimension with cost per call and success, efficiency, coverage and basis."""
        found, query = asked(request, "by", "baseline", "value", "limit")
        return answer(site.costs.breakdown(found, read_limit(query, SHOWN_ROWS, MAX_ROWS)))

    @router.get("/roi", openapi_extra=described(Envelope[RoiView], _JUDGED))
    def roi(request: Request) -> Response:
        """Value per dollar of everything and per tier, with 95 % intervals, and whether the goal is proved."""
        return answer(site.costs.roi(asked(request, "baseline", "value")[0]))

    @router.get("/units", openapi_extra=described(Envelope[UnitSeries], _JUDGED))
    def units(request: Request) -> Response:
        """Cost per call, cost per success and efficiency over time."""
        return answer(site.costs.units(asked(request, "baseline", "value")[0]))

    @router.get("/claims", openapi_extra=described(Envelope[ClaimsView], SCOPE_PARAMETERS))
    def claims(request: Request) -> Response:
        """What provider, price book and client say, how often each decided, and how far they are apart per model."""
        return answer(site.costs.claims(asked(request)[0]))

    @router.get("/cache", openapi_extra=described(Envelope[CacheView], SCOPE_PARAMETERS))
    def cache(request: Request) -> Response:
        """What caches saved at each model's rates of the time, and at most what was lost to misses."""
        return answer(site.costs.cache(asked(request)[0]))

    @router.get("/losses", openapi_extra=described(Envelope[list[LossView]], SCOPE_PARAMETERS))
    def losses(request: Request) -> Response:
        """What failed, cancelled, retried and turned down calls cost."""
        return answer(site.costs.losses(asked(request)[0]))

    @router.get("/what-if", openapi_extra=described(Envelope[WhatIf], [*SCOPE_PARAMETERS, _BASELINE]))
    def what_if(request: Request) -> Response:
        """What the same work would have cost at any one model: same tasks where it ran them, else the same usage."""
        return answer(site.costs.what_if(asked(request, "baseline")[0]))

    @router.get("/moves", openapi_extra=described(Envelope[list[MoveView]], [*SCOPE_PARAMETERS, _MOVES_BY, _LIMIT]))
    def moves(request: Request) -> Response:
        """Operations that would have cost less in a cheaper tier, with the success rates of both models."""
        query = query_of(request)
        require_known(query, (*SCOPE_PARAMS, "by", "limit"))
        by: By = "feature" if one_of(query, "by", ("operation", "feature"), "operation") == "feature" else "name"
        limit = read_limit(query, SHOWN_MOVES, MAX_ROWS)
        return answer(site.costs.moves(Asked(site.view(query)), by, limit))

    @router.get("/savings", openapi_extra=described(Envelope[list[SavingView]], SCOPE_PARAMETERS))
    def savings(request: Request) -> Response:
        """What would have saved money in the range, with its evidence; empty when there is nothing to gain."""
        return answer(site.costs.savings(asked(request)[0]))

    @router.get("/report", openapi_extra=described(Envelope[CostReport], [*_JUDGED, _BY, _LIMIT]))
    def report(request: Request) -> Response:
        """Breakdown, return on investment, losses, cache and savings in one answer."""
        found, query = asked(request, "by", "baseline", "value", "limit")
        return answer(site.costs.report(found, read_limit(query, SHOWN_ROWS, MAX_ROWS)))

    return router

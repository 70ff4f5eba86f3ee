"""Forecasts of spend, with how well they did."""

from __future__ import annotations

from typing import cast

from fastapi import APIRouter, Request, Response

from ralex_core.dashboard.api.described import FILTER_PARAMETERS, described, parameter
from ralex_core.dashboard.contexts.forecast import ForecastView
from ralex_core.dashboard.envelope import Envelope, answer
from ralex_core.dashboard.params import FILTER_FIELDS, one_of, read_filters, require_known
from ralex_core.dashboard.site import Site, query_of
from ralex_core.monitoring.spend_forecast import HORIZONS, Horizon

_HORIZON = parameter("horizon", "The running day, week (from Monday) or month; by default day.", words=HORIZONS)


def forecast_router(site: Site) -> APIRouter:
    router = APIRouter(tags=["Costs"])

    @router.get("/costs/forecast", openapi_extra=described(Envelope[ForecastView], [_HORIZON, *FILTER_PARAMETERS]))
    def forecast(request: Request) -> Response:
        """What the running period will have cost by its end, its back-test beside the seasonal naive one, and what
        became of earlier forecasts."""
        query = query_of(request)
        require_known(query, ("horizon", *FILTER_FIELDS))
        horizon = cast("Horizon", one_of(query, "horizon", HORIZONS, "day"))
        return answer(site.forecasts.get(horizon, read_filters(query)))

    return router

"""The page of forecasts: where the day, the week and the month will end, and how often that was right."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from fastapi import APIRouter, Request
from starlette.responses import Response

from ralex_core.dashboard.contexts.forecast import ForecastCard
from ralex_core.dashboard.forecast_figure import figure_of
from ralex_core.dashboard.params import require_known
from ralex_core.dashboard.site import Site, query_of
from ralex_core.model.window import Filters
from ralex_core.monitoring.spend_forecast import HORIZONS, Horizon

TITLES = {"day": "Today", "week": "This week", "month": "This month"}


def forecast_pages(router: APIRouter, site: Site) -> None:
    """Add the page to the router of pages."""

    @router.get("/forecast")
    def forecasts(request: Request) -> Response:
        require_known(query_of(request), ())
        return site.page(
            request,
            "forecast.html",
            page="forecast",
            title="Forecast",
            context={"cards": forecast_cards(site, Filters())},
        )


def forecast_cards(site: Site, filters: Filters) -> list[ForecastCard]:
    """A card for each horizon, the three asked for at once."""
    asked = [site.pool.ask(_question(site, horizon, filters)) for horizon in HORIZONS]
    return [answer.result() for answer in asked]


def _question(site: Site, horizon: Horizon, filters: Filters) -> Callable[[], ForecastCard]:
    def make() -> ForecastCard:
        view = site.forecasts.get(horizon, filters)
        end = datetime.fromisoformat(view.end_at).astimezone(site.zone)
        ends = f"{end:%H:%M}" if horizon == "day" else f"{end:%a %d %b, %H:%M}"
        return ForecastCard(TITLES[horizon], "midnight" if ends == "00:00" else ends, view, figure_of(view, site.zone))

    return make

"""Closing the books: statements, reconciliations with the provider, and pricing the past again."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from ralex_core.dashboard.api.described import described, parameter
from ralex_core.dashboard.books import STATEMENT_PARAMS, read_period, statement_of
from ralex_core.dashboard.contexts.books import StatementView
from ralex_core.dashboard.envelope import Envelope, answer
from ralex_core.dashboard.params import require_known
from ralex_core.dashboard.site import Site, query_of
from ralex_core.dashboard.statement_csv import statement_csv
from ralex_core.monitoring.books.period import BOUNDARIES

PERIOD_PARAMETERS = [
    parameter("day", "A day, such as 2026-11-24."),
    parameter("month", "A month, such as 2026-11; by default that of the newest operation."),
    parameter("boundary", "Whose midnights cut the days: the configured zone's (local) or UTC's.", words=BOUNDARIES),
]


def books_router(site: Site) -> APIRouter:
    router = APIRouter(tags=["Books"])

    @router.get("/costs/statement", openapi_extra=described(Envelope[StatementView], PERIOD_PARAMETERS))
    def statement(request: Request) -> Response:
        """What each model cost in a day or month by each witness, how far they are apart, and what explains it."""
        query = query_of(request)
        require_known(query, STATEMENT_PARAMS)
        return answer(statement_of(site, read_period(site, query)))

    @router.get("/costs/statement.csv", openapi_extra={"parameters": PERIOD_PARAMETERS})
    def as_csv(request: Request) -> Response:
        """The same as CSV: a row per model, a row per day, and the total."""
        query = query_of(request)
        require_known(query, STATEMENT_PARAMS)
        shown = statement_of(site, read_period(site, query))
        name = f"statement-{shown.label}-{shown.boundary}.csv"
        headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
        return Response(statement_csv(shown), media_type="text/csv; charset=utf-8", headers=headers)

    return router

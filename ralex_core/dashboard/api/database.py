"""Database statements."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from ralex_core.dashboard.api.described import SCOPE_PARAMETERS, described, parameter
from ralex_core.dashboard.contexts.database import DatabaseView, StatementView
from ralex_core.dashboard.database import MAX_STATEMENTS, SORTS, database_view, statement_view
from ralex_core.dashboard.database_page import read_statement
from ralex_core.dashboard.envelope import Envelope, answer
from ralex_core.dashboard.params import SCOPE_PARAMS, one_of, read_limit, require_known
from ralex_core.dashboard.site import Site, query_of


def database_router(site: Site) -> APIRouter:
    router = APIRouter(tags=["Database"])
    sort = parameter("sort", "What comes first; by default what took most time in all.", words=list(SORTS))
    limit = parameter("limit", f"Statements, up to {MAX_STATEMENTS}; by default 100.", kind="integer")

    @router.get(
        "/database/statements", openapi_extra=described(Envelope[DatabaseView], [*SCOPE_PARAMETERS, sort, limit])
    )
    def statements(request: Request) -> Response:
        """Statements with their literals removed: calls, time, percentiles, rows, errors, N+1 suspects."""
        query = query_of(request)
        require_known(query, (*SCOPE_PARAMS, "sort", "limit"))
        order = one_of(query, "sort", list(SORTS), "total")
        return answer(database_view(site, site.view(query), order, read_limit(query, 100, MAX_STATEMENTS)))

    wanted = parameter("statement", "The statement as the list shows it.", required=True)

    @router.get("/database/statement", openapi_extra=described(Envelope[StatementView], [*SCOPE_PARAMETERS, wanted]))
    def statement(request: Request) -> Response:
        """One statement: its figures, its course, its slowest calls with their samples, and who calls it."""
        query = query_of(request)
        require_known(query, (*SCOPE_PARAMS, "statement"))
        return answer(statement_view(site, site.view(query), read_statement(query)))

    return router

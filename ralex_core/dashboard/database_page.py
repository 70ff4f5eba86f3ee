"""The pages about database statements."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from ralex_core.dashboard.database import (
    PATH,
    SORTS,
    STATEMENT_PATH,
    database_page,
    database_view,
    statement_view,
)
from ralex_core.dashboard.params import SCOPE_PARAMS, Query, one_of, require_known
from ralex_core.dashboard.problems import bad_parameter
from ralex_core.dashboard.site import Site, query_of


def database_pages(router: APIRouter, site: Site) -> None:
    """Add the pages to the router of pages."""

    @router.get(PATH)
    def database(request: Request) -> Response:
        query = query_of(request)
        require_known(query, (*SCOPE_PARAMS, "sort"))
        view, sort = site.view(query), one_of(query, "sort", list(SORTS), "total")
        shown = database_view(site, view, sort)
        context: dict[str, object] = {"database": database_page(shown, view, sort)}
        return site.page(request, "database.html", page="database", title="Database", context=context, view=view)

    @router.get(STATEMENT_PATH)
    def statement(request: Request) -> Response:
        query = query_of(request)
        require_known(query, (*SCOPE_PARAMS, "statement"))
        view = site.view(query)
        shown = statement_view(site, view, read_statement(query))
        return site.page(
            request,
            "statement.html",
            page="statement",
            title="Statement",
            context={"told": shown},
            boot={
                "latency": shown.latency,
                "whole": {key: getattr(shown.row, key) for key in ("p50_ms", "p95_ms", "p99_ms")},
            },
            view=view,
        )


def read_statement(query: Query) -> str:
    """The parameter `statement`.

    Raises:
        RequestProblem: 422, it is missing.
    """
    statement = dict(query).get("statement", "")
    if not statement:
        raise bad_parameter("statement", statement, "give a statement as the list of statements shows it.")
    return statement

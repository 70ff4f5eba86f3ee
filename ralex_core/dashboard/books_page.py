"""The page of statements."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from ralex_core.dashboard.books import PATH, STATEMENT_PARAMS, read_period, statement_of, statement_page
from ralex_core.dashboard.params import require_known
from ralex_core.dashboard.site import Site, query_of


def books_pages(router: APIRouter, site: Site) -> None:
    """Add the page to the router of pages."""

    @router.get(PATH)
    def statement(request: Request) -> Response:
        query = query_of(request)
        require_known(query, STATEMENT_PARAMS)
        period = read_period(site, query)
        told = statement_page(site, statement_of(site, period), period)
        return site.page(
            request, "books.html", page="books", title="Statement", context={"told": told, "statement": told.statement}
        )

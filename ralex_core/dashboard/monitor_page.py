"""The page about the monitor itself."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from ralex_core.dashboard.monitor import monitor_view
from ralex_core.dashboard.params import require_known
from ralex_core.dashboard.site import Site, query_of


def monitor_pages(router: APIRouter, site: Site) -> None:
    """Add the page to the router of pages."""

    @router.get("/monitor")
    def monitor(request: Request) -> Response:
        require_known(query_of(request), ())
        return site.page(
            request,
            "monitor.html",
            page="monitor",
            title="This monitor",
            context={"monitor": monitor_view(site)},
        )

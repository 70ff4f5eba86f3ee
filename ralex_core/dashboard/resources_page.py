"""The page of resources."""

from __future__ import annotations

import dataclasses

from fastapi import APIRouter, Request
from starlette.responses import Response

from ralex_core.dashboard.contexts.resources import ResourcesView
from ralex_core.dashboard.params import SCOPE_PARAMS, require_known
from ralex_core.dashboard.resource_rows import tiles
from ralex_core.dashboard.resources import resources_view, resources_view_of
from ralex_core.dashboard.site import Site, query_of


def resources_pages(router: APIRouter, site: Site) -> None:
    """Add the page to the router of pages."""

    @router.get("/resources")
    def resources(request: Request) -> Response:
        query = query_of(request)
        require_known(query, SCOPE_PARAMS)
        view = resources_view_of(site, query)
        shown = resources_view(site, view)
        series = dataclasses.asdict(shown.series)
        return site.page(
            request,
            "resources.html",
            page="resources",
            title="Resources",
            context={
                "resources": shown,
                "tiles": [] if shown.latest is None else tiles(shown.latest, shown.health.states, series),
            },
            boot={"resources": drawn(shown)},
            view=view,
            live=True,
        )


def drawn(shown: ResourcesView) -> dict[str, object]:
    """What the page's scripts draw from; the rest is in the page already, as HTML."""
    return {
        "empty": shown.empty,
        "series": shown.series,
        "gpu_bucket_us": shown.gpu_bucket_us,
        "gpu_starts": shown.gpu_starts,
        "gpus": [
            {"gpu": gpu.gpu, "name": gpu.name, "busy": gpu.busy_series, "memory": gpu.memory_series}
            for gpu in shown.gpus
        ],
    }

"""The live view over plain HTTP, for where WebSockets do not get through."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from ralex_core.dashboard.api.described import FILTER_PARAMETERS, described
from ralex_core.dashboard.envelope import Envelope, answer
from ralex_core.dashboard.live_message import LiveMessage
from ralex_core.dashboard.params import FILTER_FIELDS, read_filters, require_known
from ralex_core.dashboard.site import Site, query_of


def live_router(site: Site) -> APIRouter:
    router = APIRouter(tags=["Live"])

    @router.get("/live", openapi_extra=described(Envelope[LiveMessage], FILTER_PARAMETERS))
    async def live(request: Request) -> Response:
        """What `/ws/monitoring` sends first: the last 15 minutes, today's spend, the newest operations."""
        query = query_of(request)
        require_known(query, FILTER_FIELDS)
        return answer(await site.host.hub.snapshot(read_filters(query)))

    return router

"""The monitor's own figures."""

from __future__ import annotations

from fastapi import APIRouter, Response

from ralex_core.dashboard.api.described import described
from ralex_core.dashboard.contexts.monitor import MonitorView
from ralex_core.dashboard.envelope import Envelope, answer
from ralex_core.dashboard.monitor import monitor_view
from ralex_core.dashboard.site import Site


def monitor_router(site: Site) -> APIRouter:
    router = APIRouter(tags=["Status"])

    @router.get("/monitor", openapi_extra=described(Envelope[MonitorView]))
    def monitor() -> Response:
        """How the monitor itself is: queue, commits, rollups, query and request times, memory, threads, losses, log."""
        return answer(monitor_view(site))

    return router

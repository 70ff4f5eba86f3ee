"""Demo data: shown with one request, gone with another."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import APIRouter, Response

from ralex_core.dashboard.api.described import described
from ralex_core.dashboard.envelope import Envelope, answer
from ralex_core.dashboard.site import Site


@dataclass(frozen=True, slots=True)
class DemoAnswer:
    active: bool


def start_demo(site: Site) -> None:
    """Show demo data; blocks until there is some."""
    site.host.demo_start()
    site.data_changed()


def remove_demo(site: Site) -> None:
    """Show the real data again and delete the demo's files."""
    site.host.demo_remove()
    site.data_changed()


def demo_router(site: Site) -> APIRouter:
    router = APIRouter(tags=["Demo"])

    @router.get("/demo", openapi_extra=described(Envelope[DemoAnswer]))
    def state() -> Response:
        """Whether pages and API show demo data. Doors take in real data all the while."""
        return answer(DemoAnswer(site.host.demo_active))

    @router.post("/demo", status_code=202, openapi_extra=described(Envelope[DemoAnswer], status=202))
    def start() -> Response:
        """Show a simulated team at work, kept in its own files."""
        start_demo(site)
        return answer(DemoAnswer(True), 202)

    @router.delete("/demo", openapi_extra=described(Envelope[DemoAnswer]))
    def remove() -> Response:
        """Delete the demo data and show your own again."""
        remove_demo(site)
        return answer(DemoAnswer(False))

    return router

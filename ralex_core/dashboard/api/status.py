"""The store in one object for scripts, and what orchestrators and Prometheus ask for."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

import orjson
from fastapi import APIRouter, Request, Response

from ralex_core.dashboard.api.described import described
from ralex_core.dashboard.envelope import error_answer, json_response
from ralex_core.dashboard.metrics_text import CONTENT_TYPE, metrics_text
from ralex_core.dashboard.problems import RequestProblem
from ralex_core.dashboard.site import Site
from ralex_core.storage.queries import status_totals
from ralex_core.storage.status import status_document


@dataclass(frozen=True, slots=True)
class StatusCost:
    """Dollars as decimal strings. `total_usd` takes the best claim of each operation."""

    reported_usd: Decimal
    computed_usd: Decimal
    billed_usd: Decimal
    total_usd: Decimal
    coverage_ratio: float | None


@dataclass(frozen=True, slots=True)
class StatusQuarantine:
    """Claims that are kept, but in none of the sums."""

    count: int
    usd: Decimal


@dataclass(frozen=True, slots=True)
class Status:
    """The whole store. The same object as `ralex-monitor status --json` prints."""

    operations: int
    llm_operations: int
    input_tokens: int
    output_tokens: int
    cost: StatusCost
    quarantined_claims: StatusQuarantine


@dataclass(frozen=True, slots=True)
class Alive:
    status: str


def status_router(site: Site) -> APIRouter:
    router = APIRouter(tags=["Status"])

    @router.get("/status", openapi_extra=described(Status))
    def status() -> Response:
        """Your own totals over all time, demo or not: a plain object without an envelope, true to the last commit."""
        return json_response(orjson.dumps(status_document(status_totals(site.host.own_store))))

    return router


def probes_router(site: Site) -> APIRouter:
    """Routes outside `/api/v1`, where orchestrators expect them."""
    router = APIRouter(tags=["Status"])

    @router.get("/healthz", openapi_extra=described(Alive))
    async def healthz() -> Response:
        """The process answers."""
        return json_response(b'{"status":"ok"}')

    @router.get("/readyz", openapi_extra=described(Alive))
    def readyz(request: Request) -> Response:
        """Everything is started and the store answers; 503 otherwise."""
        if site.host.ready() is None:
            return json_response(b'{"status":"ready"}')
        # open to everybody: the reason may name paths, so it is not told here
        return error_answer(
            request, RequestProblem(503, "not_ready", "The telemetry store does not answer yet; ask again.", 1)
        )

    @router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
    def metrics() -> Response:
        """The monitor's own counters, in the Prometheus text format."""
        return Response(metrics_text(site), media_type=CONTENT_TYPE)

    return router

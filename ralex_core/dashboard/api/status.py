"""The store in one object for scripts, and what orchestrators and Prometheus ask for."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import orjson
from fastapi import APIRouter, Response

from ralex_core.dashboard.api.described import described
from ralex_core.dashboard.contexts.monitor import HealthReason
from ralex_core.dashboard.envelope import json_response
from ralex_core.dashboard.metrics_text import CONTENT_TYPE, metrics_text
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
class Probed:
    """`status` is ok or stuck (`/healthz`), ready or not_ready (`/readyz`)."""

    status: str
    reasons: list[HealthReason]
    """Empty when all is well, the gravest first."""


def status_router(site: Site) -> APIRouter:
    router = APIRouter(tags=["Status"])

    @router.get("/status", openapi_extra=described(Status))
    def status() -> Response:
        """Your own totals over all time, demo or not: a plain object without an envelope, true to the last commit."""
        return json_response(orjson.dumps(status_document(status_totals(site.host.own_store))))

    return router


_UNWELL: dict[int | str, dict[str, Any]] = {503: {"description": "The same object, with reasons."}}
_RETRY_AFTER_S = "5"


def _probed(status: str, reasons: list[HealthReason]) -> Response:
    response = json_response(orjson.dumps(Probed(status, reasons)))
    if reasons:
        response.status_code = 503
        response.headers["Retry-After"] = _RETRY_AFTER_S
    return response


def probes_router(site: Site) -> APIRouter:
    """Routes outside `/api/v1`, where orchestrators expect them."""
    router = APIRouter(tags=["Status"])

    # on the event loop, since every thread of the pool may be stuck
    @router.get("/healthz", openapi_extra=described(Probed), responses=_UNWELL)
    async def healthz() -> Response:
        """Whether the process is alive; 503 when a thread is stuck for good, so that a supervisor restarts it."""
        reasons = site.health_desk.wedged()
        return _probed("stuck" if reasons else "ok", reasons)

    @router.get("/readyz", openapi_extra=described(Probed), responses=_UNWELL)
    async def readyz() -> Response:
        """Whether data is taken; 503 while it is not, with what is wrong, since when and what to do."""
        reasons = await site.health_desk.ask()
        return _probed("not_ready" if reasons else "ready", reasons)

    @router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
    def metrics() -> Response:
        """The monitor's own counters, in the Prometheus text format."""
        return Response(metrics_text(site), media_type=CONTENT_TYPE)

    return router

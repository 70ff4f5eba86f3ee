"""Traces and what makes them slow."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from ralex_core.dashboard.api.described import SCOPE_PARAMETERS, described, parameter
from ralex_core.dashboard.contexts.traces import BottlenecksView, TraceDetail, TraceList
from ralex_core.dashboard.envelope import Envelope, answer
from ralex_core.dashboard.params import PAGE_SIZES, SCOPE_PARAMS, require_known
from ralex_core.dashboard.site import Site, query_of
from ralex_core.dashboard.traces import TRACE_PARAMS, read_traces, read_traces_request
from ralex_core.dashboard.traces_page import found_trace
from ralex_core.storage.queries.traces import TRACE_SORTS

TRACE_PARAMETERS = [
    parameter("q", "Part of the name of any operation of the trace, in any case, or a whole trace id."),
    parameter("errors", "1: only traces in which something failed.", words=("0", "1")),
    parameter("sort", "What to sort by; unknown values come last.", words=TRACE_SORTS),
    parameter("dir", "Direction.", words=("desc", "asc")),
    parameter("page", "Page, from 1.", kind="integer"),
    parameter("size", f"Rows per page, up to {PAGE_SIZES[-1]}.", kind="integer"),
]


def traces_router(site: Site) -> APIRouter:
    router = APIRouter(tags=["Traces"])

    @router.get("/bottlenecks", openapi_extra=described(Envelope[BottlenecksView], SCOPE_PARAMETERS))
    def bottlenecks(request: Request) -> Response:
        """What makes the traces of a range slow, largest gain first, and where their time goes; at most half a
        minute old."""
        query = query_of(request)
        require_known(query, SCOPE_PARAMS)
        return answer(site.bottlenecks.get(site.view(query)))

    @router.get("/traces", openapi_extra=described(Envelope[TraceList], [*SCOPE_PARAMETERS, *TRACE_PARAMETERS]))
    def traces(request: Request) -> Response:
        """A page of traces in which an operation started in the range, newest first unless asked otherwise."""
        query = query_of(request)
        require_known(query, (*SCOPE_PARAMS, *TRACE_PARAMS))
        return answer(read_traces(site.host.active_store(), site.view(query), read_traces_request(query)))

    @router.get("/traces/{trace_id:path}", openapi_extra=described(Envelope[TraceDetail]))
    def one(trace_id: str) -> Response:
        """One trace: waterfall, critical path, self time per kind and name, and what is conspicuous in it."""
        return answer(found_trace(site, trace_id))

    return router

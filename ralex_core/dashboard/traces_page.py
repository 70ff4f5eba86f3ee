"""The pages of traces: the list with the bottlenecks of the range, and one trace."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from ralex_core.dashboard.contexts.traces import TraceDetail
from ralex_core.dashboard.params import SCOPE_PARAMS, require_known
from ralex_core.dashboard.problems import not_found
from ralex_core.dashboard.site import Site, query_of
from ralex_core.dashboard.traces import (
    MAX_OPERATIONS,
    TRACE_PARAMS,
    read_traces,
    read_traces_request,
    trace_detail,
    trace_explorer,
)
from ralex_core.storage.queries import trace


def found_trace(site: Site, trace_id: str) -> TraceDetail:
    """One trace in full.

    Raises:
        RequestProblem: 404, none of this id is in the data that is shown.
    """
    told = trace_detail(trace(site.host.active_store(), trace_id, MAX_OPERATIONS), site.exact)
    if told is None:
        raise not_found(f"There is no trace {trace_id[:80]!r}. It may be older than what is kept.")
    return told


def traces_pages(router: APIRouter, site: Site) -> None:
    """Add the pages to the router of pages."""

    @router.get("/traces")
    def traces(request: Request) -> Response:
        query = query_of(request)
        require_known(query, (*SCOPE_PARAMS, *TRACE_PARAMS))
        view, asked = site.view(query), read_traces_request(query)
        answers = site.pool.ask(lambda: site.bottlenecks.get(view))
        listed = read_traces(site.host.active_store(), view, asked)
        return site.page(
            request,
            "traces.html",
            page="traces",
            title="Traces",
            context={"explorer": trace_explorer(listed, view, asked), "bottlenecks": answers.result()},
            view=view,
        )

    @router.get("/traces/{trace_id:path}")
    def one(request: Request, trace_id: str) -> Response:
        told = found_trace(site, trace_id)
        return site.page(
            request,
            "trace.html",
            page="trace",
            title=told.name,
            context={"told": told, "back_href": _back(request)},
        )


def _back(request: Request) -> str:
    """The list the reader came from, with its filters; else the list as it opens."""
    referer = request.headers.get("referer", "")
    _, found, query = referer.partition(f"{request.base_url}traces?")
    return f"/traces?{query}" if found else "/traces"

"""Single operations: pages of them, one with its trace and price, and what people decide about it."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import Any, Literal

import orjson
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from ralex_core.dashboard.api.described import LIST_PARAMETERS, SCOPE_PARAMETERS, described
from ralex_core.dashboard.contexts.operations import ClaimView, OperationList, PriceView, TraceView
from ralex_core.dashboard.detail import detail
from ralex_core.dashboard.envelope import Envelope, answer
from ralex_core.dashboard.explorer import read_page
from ralex_core.dashboard.params import LIST_PARAMS, SCOPE_PARAMS, read_list_request, require_known
from ralex_core.dashboard.problems import not_found
from ralex_core.dashboard.reconciliations import bill_sentence
from ralex_core.dashboard.site import Site, query_of
from ralex_core.dashboard.waterfall import MAX_SPANS, trace_view
from ralex_core.errors import RalexError
from ralex_core.model.operation import Operation
from ralex_core.render import to_iso
from ralex_core.storage.queries import operation, trace
from ralex_core.storage.telemetry import Amendment


class OutcomeRequest(BaseModel):
    """What became of the result of an operation."""

    model_config = ConfigDict(extra="forbid")

    outcome: Literal["accepted", "rejected", "reworked", "failed", "unknown"] = Field(
        description="`unknown` takes back what was said before."
    )


@dataclass(frozen=True, slots=True)
class OperationAnswer:
    """An operation with every stored field, its claims, why this price, and its trace."""

    operation: dict[str, Any]
    claims: list[ClaimView]
    reconciliation: str | None
    price: PriceView
    trace: TraceView | None


@dataclass(frozen=True, slots=True)
class Changed:
    """Whether anything is different now."""

    changed: bool


def find_operation(site: Site, operation_id: str) -> Operation:
    """The stored operation.

    Raises:
        RequestProblem: 404, there is none of this id in the data that is shown.
    """
    found = operation(site.host.active_store(), operation_id)
    if found is None:
        raise not_found(f"There is no operation {operation_id[:80]!r}. It may be older than what is kept.")
    return found


def operations_router(site: Site) -> APIRouter:
    router = APIRouter(tags=["Operations"])

    @router.get(
        "/operations",
        openapi_extra=described(Envelope[OperationList], [*SCOPE_PARAMETERS, *LIST_PARAMETERS]),
    )
    def operations(request: Request) -> Response:
        """A page of operations, newest first unless asked otherwise."""
        query = query_of(request)
        require_known(query, (*SCOPE_PARAMS, *LIST_PARAMS))
        return answer(read_page(site.host.active_store(), site.view(query), read_list_request(query)))

    @router.get("/operations/{operation_id:path}/trace", openapi_extra=described(Envelope[TraceView]))
    def trace_of(operation_id: str) -> Response:
        """The waterfall of the trace an operation is part of; of the operation alone when it names no trace."""
        found = find_operation(site, operation_id)
        return answer(trace_view(_trace_of(site, found) or [found], operation_id))

    @router.get("/operations/{operation_id:path}", openapi_extra=described(Envelope[OperationAnswer]))
    def one(operation_id: str) -> Response:
        """One operation in full, with its claims and why this price."""
        found = find_operation(site, operation_id)
        told = detail(found, _trace_of(site, found), site.host.book, site.zone, "", bill_sentence(site, found))
        return answer(OperationAnswer(_all_fields(found), told.claims, told.reconciliation, told.price, told.trace))

    @router.post("/operations/{operation_id:path}/accept-claim", openapi_extra=described(Envelope[Changed]))
    async def accept_claim(operation_id: str) -> Response:
        """Take a quarantined claim back into the totals; noted in the audit log."""
        found = await asyncio.to_thread(find_operation, site, operation_id)
        if found.quarantine is None:
            return answer(Changed(False))
        claim = found.reported_usd if found.quarantine == "reported" else found.billed_usd
        amendment = Amendment(operation_id, accept_claim=True)
        return answer(Changed(await amend(site, amendment, "accept-claim", f"{found.quarantine} {claim}")))

    @router.post("/operations/{operation_id:path}/outcome", openapi_extra=described(Envelope[Changed]))
    async def set_outcome(operation_id: str, body: OutcomeRequest) -> Response:
        """Say what became of the result; noted in the audit log."""
        found = await asyncio.to_thread(find_operation, site, operation_id)
        if found.outcome == body.outcome:
            return answer(Changed(False))
        amendment = Amendment(operation_id, outcome=body.outcome)
        return answer(Changed(await amend(site, amendment, "set-outcome", f"{found.outcome} → {body.outcome}")))

    return router


async def amend(site: Site, amendment: Amendment, action: str, detail: str) -> bool:
    """Change a stored operation, and let everything that counted it count again. Returns whether it was there.

    It is noted in the audit log first, and the note is taken back when the store refuses: where this raises, nothing
    is different.
    """
    state = site.host.state
    note = await asyncio.to_thread(state.audit, action, amendment.operation_id, detail)
    try:
        changed = await asyncio.wrap_future(site.host.active_writer().amend([amendment]))
    except RalexError:
        with contextlib.suppress(RalexError):  # the first error is the one to tell
            await asyncio.to_thread(state.take_back, note)
        raise
    await asyncio.to_thread(site.costs_changed)
    return changed > 0


def _trace_of(site: Site, found: Operation) -> list[Operation]:
    return trace(site.host.active_store(), found.trace_id, MAX_SPANS, found.started_at) if found.trace_id else []


def _all_fields(found: Operation) -> dict[str, Any]:
    fields = found._asdict()
    fields["started_us"] = found.started_at
    fields["started_at"] = to_iso(found.started_at)
    try:
        fields["attributes"] = orjson.loads(found.attributes) if found.attributes else None
    except orjson.JSONDecodeError:
        fields["attributes"] = found.attributes
    return fields

"""Closing the books: statements, reconciliations with the provider, and pricing the past again."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from ralex_core.dashboard.api.described import described, parameter
from ralex_core.dashboard.books import STATEMENT_PARAMS, read_period, statement_of
from ralex_core.dashboard.contexts.books import (
    ReconciliationsView,
    ReconciliationView,
    RepricingView,
    StatementView,
)
from ralex_core.dashboard.envelope import Envelope, answer
from ralex_core.dashboard.params import read_moment, require_known
from ralex_core.dashboard.problems import RequestProblem, bad_parameter
from ralex_core.dashboard.reconciliations import (
    one_reconciliation,
    reconciliation_view,
    reconciliations_view,
    repricing_view,
)
from ralex_core.dashboard.site import Site, query_of
from ralex_core.dashboard.statement_csv import statement_csv
from ralex_core.errors import StoreError
from ralex_core.model.window import Window
from ralex_core.monitoring.books.keeper import MAX_REASON
from ralex_core.monitoring.books.period import BOUNDARIES

PERIOD_PARAMETERS = [
    parameter("day", "A day, such as 2026-11-24."),
    parameter("month", "A month, such as 2026-11; by default that of the newest operation."),
    parameter("boundary", "Whose midnights cut the days: the configured zone's (local) or UTC's.", words=BOUNDARIES),
]
_TRIGGER = "api"


class ReconcileRequest(BaseModel):
    """What to look up; by default what the settings say."""

    model_config = ConfigDict(extra="forbid")

    days: int | None = Field(
        default=None, ge=1, le=30, description="Days back that calls without a bill are looked up."
    )
    lookups: int | None = Field(default=None, ge=1, le=100_000, description="Most calls looked up.")
    trigger: str = Field(default=_TRIGGER, pattern="^(api|page|cli)$", description="From where it is asked for.")


class RepriceRequest(BaseModel):
    """Which calls to price again, and whether to do it or only to tell what would change."""

    model_config = ConfigDict(extra="forbid")

    apply: bool = Field(default=False, description="False: tell what would change, and change nothing.")
    start: str | None = Field(default=None, alias="from", description="ISO-8601; by default from the first call on.")
    end: str | None = Field(default=None, alias="to", description="ISO-8601; by default to the last call.")
    model: str | None = Field(default=None, max_length=500, description="Only this model, as operations name it.")
    by: str = Field(default=_TRIGGER, max_length=100, description="Who does it, for the audit log.")
    reason: str = Field(default="", max_length=MAX_REASON, description="Why, for the audit log.")


def books_router(site: Site) -> APIRouter:
    router = APIRouter(tags=["Books"])

    @router.get("/costs/statement", openapi_extra=described(Envelope[StatementView], PERIOD_PARAMETERS))
    def statement(request: Request) -> Response:
        """What each model cost in a day or month by each witness, how far they are apart, and what explains it."""
        query = query_of(request)
        require_known(query, STATEMENT_PARAMS)
        return answer(statement_of(site, read_period(site, query)))

    @router.get(
        "/costs/statement.csv",
        response_class=Response,
        responses={200: {"content": {"text/csv": {"schema": {"type": "string"}}}}},
        openapi_extra={"parameters": PERIOD_PARAMETERS},
    )
    def as_csv(request: Request) -> Response:
        """The same as CSV: a row per model, a row per day, and the total."""
        query = query_of(request)
        require_known(query, STATEMENT_PARAMS)
        shown = statement_of(site, read_period(site, query))
        name = f"statement-{shown.label}-{shown.boundary}.csv"
        headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
        return Response(statement_csv(shown), media_type="text/csv; charset=utf-8", headers=headers)

    @router.get("/costs/reconciliations", openapi_extra=described(Envelope[ReconciliationsView]))
    def reconciliations() -> Response:
        """Whether bills are fetched from OpenRouter, the latest runs, and what the newest one found."""
        return answer(reconciliations_view(site))

    @router.get("/costs/reconciliations/{number}", openapi_extra=described(Envelope[ReconciliationView]))
    def reconciliation(number: int) -> Response:
        """One reconciliation with all it found."""
        return answer(one_reconciliation(site, number))

    @router.post(
        "/costs/reconciliations", status_code=202, openapi_extra=described(Envelope[ReconciliationView], status=202)
    )
    def reconcile(body: ReconcileRequest) -> Response:
        """Begin a reconciliation with OpenRouter; it goes on in the background, and bills reach every total."""
        run = site.host.books.reconcile(body.trigger, days=body.days, lookups=body.lookups)
        return answer(reconciliation_view(run, []), 202)

    @router.post("/costs/reprice", openapi_extra=described(Envelope[RepricingView]))
    def reprice(body: RepriceRequest) -> Response:
        """Price stored calls again with the price book of now. Tells what would change; with `apply`, changes it and
        notes in the audit log who, why, and the totals before and after."""
        keeper, window = site.host.books, _window(site, body)
        if not body.apply:
            return answer(repricing_view(keeper.preview(window, body.model)))
        try:
            return answer(repricing_view(keeper.reprice(window, body.model, by=body.by, reason=body.reason)))
        except StoreError as error:
            raise RequestProblem(
                503,
                "repricing_interrupted",
                "The store refused, so the repricing stopped: calls before that may have their new price, the others "
                "have the old one. Do it again when the store takes data; that finishes it.",
                30,
            ) from error

    return router


def _window(site: Site, body: RepriceRequest) -> Window:
    """The window a request names: all that is stored when it names none.

    Raises:
        RequestProblem: 422, a time that cannot be read, or an end before the start; 409 while demo data is shown.
    """
    if site.host.demo_active:
        raise RequestProblem(409, "demo_shown", "Demo data is shown; prices of the real data can be seen without it.")
    start = 0 if body.start is None else read_moment("from", body.start, site.zone)
    now = site.host.clock.now_us()
    held = site.extent()
    end = max(now, held[1] if held else now) + 1 if body.end is None else read_moment("to", body.end, site.zone)
    if end <= start:
        raise bad_parameter("to", body.end or "", f"it must be later than 'from' ({body.start}).")
    return Window(start, end)

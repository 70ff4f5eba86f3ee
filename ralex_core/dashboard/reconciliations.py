"""Reconciliations and repricings as the page and the API tell them."""

from __future__ import annotations

from ralex_core.dashboard.contexts.books import (
    FindingView,
    ModelChangeView,
    ReconciliationsView,
    ReconciliationView,
    RepricingView,
)
from ralex_core.dashboard.problems import not_found
from ralex_core.dashboard.site import Site
from ralex_core.model.operation import Operation
from ralex_core.model.window import Window
from ralex_core.monitoring.books.repricing import ModelChange, Repricing
from ralex_core.render import to_iso
from ralex_core.storage.queries.reconciliation import is_routed
from ralex_core.storage.state_books import Finding, Lookup, Reconciliation

RUNS = 20
MOST_MODELS = 500


def reconciliations_view(site: Site) -> ReconciliationsView:
    """The latest runs; the newest one that has findings, or the newest, in full."""
    keeper = site.host.books
    runs = keeper.stored.runs(RUNS)
    latest = None
    for run in runs[:5]:
        found = keeper.stored.findings(run.id)
        if found or latest is None:
            latest = reconciliation_view(run, found)
        if found:
            break
    return ReconciliationsView(
        enabled=keeper.is_on,
        provider="openrouter",
        every_h=site.host.settings.openrouter.every_h,
        latest=latest,
        runs=[reconciliation_view(run, []) for run in runs],
    )


def one_reconciliation(site: Site, number: int) -> ReconciliationView:
    """One run with its findings.

    Raises:
        RequestProblem: 404, there is none of this number.
    """
    keeper = site.host.books
    run = next((run for run in keeper.stored.runs(1_000) if run.id == number), None)
    if run is None:
        raise not_found(f"There is no reconciliation {number}. The latest are at /api/v1/costs/reconciliations.")
    return reconciliation_view(run, keeper.stored.findings(number))


def reconciliation_view(run: Reconciliation, found: list[Finding]) -> ReconciliationView:
    return ReconciliationView(
        id=run.id,
        started_at=to_iso(run.started_at) or "",
        finished_at=to_iso(run.finished_at),
        trigger=run.trigger,
        state=run.state,
        message=run.message,
        looked_up=run.looked_up,
        billed=run.billed,
        not_found=run.not_found,
        unclear=run.unclear,
        remaining=run.remaining,
        before_usd=run.before_usd,
        after_usd=run.after_usd,
        findings=[finding_view(one) for one in found],
    )


def finding_view(one: Finding) -> FindingView:
    return FindingView(
        source=one.source,
        period=one.period,
        model=one.model,
        start_at=to_iso(one.start_at) or "",
        end_at=to_iso(one.end_at) or "",
        theirs_usd=one.theirs_usd,
        ours_usd=one.ours_usd,
        difference_usd=one.difference_usd,
        theirs_calls=one.theirs_calls,
        ours_calls=one.ours_calls,
        state=one.state,
        explanation=one.explanation,
    )


def findings_within(shown: ReconciliationsView, window: Window) -> list[FindingView]:
    """The latest findings whose UTC days lie in a window, unexplained ones first."""
    low, high = to_iso(window.start_us) or "", to_iso(window.end_us) or ""
    found = [] if shown.latest is None else shown.latest.findings
    inside = [one for one in found if low <= one.start_at < high]
    return sorted(
        inside, key=lambda one: (one.state != "unexplained", one.source != "key", one.model != "", one.start_at)
    )


def bill_sentence(site: Site, operation: Operation) -> str | None:
    """What became of asking for an operation's bill; None when it is not OpenRouter that charges."""
    if not is_routed(operation):
        return None
    keeper, generation = site.host.books, operation.provider_request_id
    lookup = keeper.lookup(generation) if generation is not None else None
    if lookup is not None:
        return _looked_up(site, operation, lookup)
    if operation.billed_usd is not None:
        return "the bill came with the answer, so it need not be looked up"
    if generation is None:
        return "it cannot be looked up: the call does not name its generation"
    if keeper.is_on:
        return "not looked up yet; the next reconciliation asks for it"
    return "not looked up: no key for OpenRouter is set"


def _looked_up(site: Site, operation: Operation, lookup: Lookup) -> str:
    at = site.exact(lookup.asked_at)
    if lookup.operation_id != operation.operation_id:
        return f"the same generation came in as operation {lookup.operation_id} too, which has the bill; looked up {at}"
    if lookup.outcome == "billed":
        own = "; with a key of your own, so it is the fee and the provider's charge" if lookup.is_byok else ""
        return f"billed{f' by {lookup.upstream}' if lookup.upstream else ''}{own}; looked up {at}"
    if lookup.outcome == "unclear":
        return f"OpenRouter knows the call, but not all of what it cost; looked up {at}"
    later = "not asked again" if lookup.next_at is None else f"asked again after {site.exact(lookup.next_at)}"
    return f"OpenRouter does not know the call; asked {lookup.tries}×, last {at}, {later}"


def repricing_view(made: Repricing) -> RepricingView:
    return RepricingView(
        applied=made.applied,
        start_at=to_iso(made.window.start_us) or "",
        end_at=to_iso(made.window.end_us) or "",
        model=made.model,
        examined_calls=made.examined,
        changed_calls=made.changed,
        before_usd=made.before_usd,
        after_usd=made.after_usd,
        difference_usd=made.after_usd - made.before_usd,
        price_versions=made.versions,
        models=[_model(change) for change in made.by_model()[:MOST_MODELS]],
    )


def _model(change: ModelChange) -> ModelChangeView:
    return ModelChangeView(
        provider=change.provider,
        model=change.model,
        calls=change.operations,
        before_usd=change.before_usd,
        after_usd=change.after_usd,
        became_known=change.became_known,
        became_unknown=change.became_unknown,
        quarantined=change.quarantined,
        released=change.released,
    )

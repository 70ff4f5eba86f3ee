"""One operation in full: what is known of it, its claims and why this price, and the trace it is part of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import tzinfo
from typing import Literal, TypeVar, cast

import orjson

from ralex_core.dashboard.contexts.operations import (
    ClaimView,
    Fact,
    FactGroup,
    OperationDetail,
    PriceLineView,
    PriceView,
)
from ralex_core.dashboard.params import href
from ralex_core.dashboard.rows import operation_row
from ralex_core.dashboard.waterfall import trace_view
from ralex_core.model.operation import OUTCOMES, Operation
from ralex_core.monitoring.books.differences import CAUSES, explain_difference, is_same
from ralex_core.pricing.book import PriceBook
from ralex_core.pricing.explain import ExplainedClaim, PriceExplanation
from ralex_core.render import duration, exact, usd
from ralex_core.storage.queries.reconciliation import is_routed
from ralex_core.storage.queries.statement import Witness

MAX_ATTRIBUTE_TEXT = 4000

_WITNESS = {
    "billed": "what the provider charged",
    "computed": "the price book × the tokens",
    "reported": "what the client claims",
}
V = TypeVar("V")

ClaimState = Literal["used", "kept", "quarantined", "absent"]


def detail(
    op: Operation,
    trace: Sequence[Operation],
    book: PriceBook,
    zone: tzinfo,
    back_href: str,
    reconciliation: str | None = None,
) -> OperationDetail:
    """Everything about one operation. `trace` holds the operations of its trace by start time, or nothing;
    `reconciliation` is what became of asking its provider for the bill."""
    explained = book.explain(op)
    return OperationDetail(
        op=operation_row(op),
        title=op.name,
        subtitle=" · ".join(_subtitle(op)),
        facts=[group for group in _facts(op, zone) if group.facts],
        claims=[_claim(op, claim, book) for claim in explained.claims],
        reconciliation=reconciliation,
        price=price_view(op, explained),
        can_accept_claim=op.quarantine is not None,
        outcomes=[(outcome, outcome, outcome == op.outcome) for outcome in OUTCOMES],
        attributes=_attributes(op.attributes),
        trace=trace_view(trace, op.operation_id) if len(trace) > 1 else None,
        back_href=back_href,
    )


def _subtitle(op: Operation) -> list[str]:
    parts = [op.kind, op.model or "", duration(op.duration_ms) if op.duration_ms is not None else ""]
    parts += [usd(op.cost_usd) if op.cost_usd is not None else "", op.status]
    return [part for part in parts if part]


def _facts(op: Operation, zone: tzinfo) -> list[FactGroup]:
    return [
        FactGroup(
            "Timing",
            _known(
                Fact("Started", exact(op.started_at, zone)),
                _fact("Duration", op.duration_ms, duration),
                _fact("First token after", op.ttft_ms, duration),
                Fact("Status", op.status),
                _fact("Error", op.error_type, str),
                _fact("HTTP status", op.http_status, str),
                Fact("Attempt", str(op.attempt)) if op.attempt > 1 else None,
            ),
        ),
        FactGroup(
            "Model",
            _known(
                _linked("Model", op.model, "model"),
                _fact("Asked for", op.requested_model if op.requested_model != op.model else None, str),
                _fact("Provider", op.provider, str),
                _linked("Tier", op.tier, "tier"),
                _fact("Service tier", op.service_tier, str),
                _fact("Tokens in", op.input_tokens, lambda n: f"{n:,}"),
                _fact("of these read from cache", op.cache_read_tokens, lambda n: f"{n:,}"),
                _fact("of these written to cache", op.cache_write_tokens, lambda n: f"{n:,}"),
                _fact("Tokens out", op.output_tokens, lambda n: f"{n:,}"),
                _fact("of these reasoning", op.reasoning_tokens, lambda n: f"{n:,}"),
            ),
        ),
        FactGroup(
            "Who and what for",
            _known(
                _linked("Project", op.project, "project"),
                _linked("User", op.user_id, "user"),
                _linked("Session", op.session_id, "session"),
                _fact("Client", op.client, str),
                _fact("Service", op.service, str),
                _fact("Feature", op.feature, str),
                _fact("Workflow", op.workflow, str),
                _fact("Value", op.value_usd, usd),
            ),
        ),
        FactGroup(
            "Where it came from",
            _known(
                Fact("Door", op.door),
                _fact("Source", op.source, str),
                Fact("Operation id", op.operation_id, mono=True),
                _mono("Trace id", op.trace_id),
                _mono("Span id", op.span_id),
                _mono("Parent span", op.parent_span_id),
                _mono("Generation id" if is_routed(op) else "Provider's request id", op.provider_request_id),
                Fact("Revision", str(op.revision)) if op.revision else None,
            ),
        ),
    ]


def _known(*facts: Fact | None) -> list[Fact]:
    return [fact for fact in facts if fact is not None]


def _fact(label: str, value: V | None, text: Callable[[V], str]) -> Fact | None:
    return None if value is None else Fact(label, text(value))


def _mono(label: str, value: str | None) -> Fact | None:
    return None if value is None else Fact(label, value, mono=True)


def _linked(label: str, value: str | None, param: str) -> Fact | None:
    return None if value is None else Fact(label, value, href("/operations", [("range", "all"), (param, value)]))


def _claim(op: Operation, claim: ExplainedClaim, book: PriceBook) -> ClaimView:
    """What is stored decides: the book may have changed since, or a person may have accepted the claim."""
    stored = {"billed": op.billed_usd, "computed": op.computed_usd, "reported": op.reported_usd}[claim.basis]
    state: ClaimState = "kept"
    note = claim.note if claim.state in ("no_claim", "quarantined") and claim.note else ""
    if stored is None:
        state, note = "absent", ""
    elif claim.basis == op.quarantine:
        state = "quarantined"
    elif claim.basis == op.cost_basis:
        state = "used"
        if claim.state == "quarantined":
            note = "accepted by a person, although far off the price book"
    apart = None
    if state in ("used", "kept") and claim.basis != "computed" and claim.state != "no_claim":
        apart = _apart(op, cast(Witness, claim.basis), book)
    return ClaimView(
        basis=cast('Literal["billed", "computed", "reported"]', claim.basis),
        usd=stored,
        state=state,
        note="; ".join(part for part in (note or _WITNESS[claim.basis], apart) if part),
    )


def _apart(op: Operation, witness: Witness, book: PriceBook) -> str | None:
    """How far a claim is from what was computed, and why; None when they agree or there is nothing to compare."""
    claimed, computed = getattr(op, f"{witness}_usd"), op.computed_usd
    if claimed is None or computed is None or is_same(claimed, computed):
        return None
    cause = explain_difference(op, witness, book).cause
    more = "more" if claimed > computed else "less"
    return f"{usd(abs(claimed - computed))} {more} than computed: {CAUSES[cause] if cause else 'unexplained'}"


def price_view(op: Operation, explained: PriceExplanation) -> PriceView:
    """Why an operation costs what it costs, told with the price book of today."""
    saved = None
    if op.baseline_usd is not None and op.cost_usd is not None:
        saved = op.baseline_usd - op.cost_usd
    provider = f"{explained.matched_provider}/" if explained.matched_provider else ""
    return PriceView(
        sentence=_sentence(op, explained),
        matched=f"{provider}{explained.matched_model}" if explained.matched_model else None,
        version=op.price_version or explained.version,
        lines=[PriceLineView(line.label, line.quantity, line.usd_per_mtok, line.usd) for line in explained.lines],
        cliff=explained.cliff,
        quarantine=explained.quarantine if op.quarantine is not None else None,
        baseline_model=explained.baseline_model if op.baseline_usd is not None else None,
        baseline_usd=op.baseline_usd,
        saved_usd=saved,
    )


def _sentence(op: Operation, explained: PriceExplanation) -> str:
    if not op.billable:
        return f"Nobody is charged for an operation of kind {op.kind}, so it has no price."
    reasons = {
        "billed": "the provider's own figure, the best there is",
        "computed": "the price book's rates of that time × the tokens; the provider sent no bill",
        "reported": f"the client's own figure: no bill, and none could be computed ({explained.unknown_reason})",
    }
    if op.cost_usd is None or op.cost_basis not in reasons:
        sentence = f"The cost is not known: {explained.unknown_reason or 'no claim is left'}."
    else:
        sentence = f"{usd(op.cost_usd)} is {reasons[op.cost_basis]}."
    if explained.assumptions:
        sentence += f" Taken for granted: {'; '.join(explained.assumptions)}."
    if op.computed_usd is not None and explained.computed_usd is not None and op.computed_usd != explained.computed_usd:
        sentence += f" The book has changed since: today it says {usd(explained.computed_usd)}."
    return sentence


def _attributes(text: str | None) -> list[tuple[str, str]]:
    """The attributes as text, by name."""
    if not text:
        return []
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        return [("attributes", text[:MAX_ATTRIBUTE_TEXT])]
    if not isinstance(found, dict):
        return [("attributes", text[:MAX_ATTRIBUTE_TEXT])]
    pairs = cast(dict[str, object], found).items()
    return sorted((key, _attribute_text(value)) for key, value in pairs)


def _attribute_text(value: object) -> str:
    text = value if isinstance(value, str) else orjson.dumps(value).decode()
    return text if len(text) <= MAX_ATTRIBUTE_TEXT else text[:MAX_ATTRIBUTE_TEXT] + "…"

"""Why an operation costs what it costs, in full: the match, the bill, every claim, and the sentences a person reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from ralex_core.config import Settings
from ralex_core.model.money import decimal_text
from ralex_core.model.operation import Operation, Pricing
from ralex_core.pricing.catalogue import moment
from ralex_core.pricing.claims import is_claim, is_wild
from ralex_core.pricing.lookup import ModelPrices, Priced
from ralex_core.pricing.rates import Line, Usage

_PART_LABELS = {
    "input": "input",
    "cache_read": "cache read",
    "cache_write": "cache write",
    "cache_write_1h": "cache write, 1 h",
    "output": "output",
    "reasoning": "reasoning",
    "request": "request",
}


@dataclass(frozen=True, slots=True)
class ExplainedLine:
    """`quantity` units at `usd_per_mtok` (USD per million tokens; per request for `request`) make `usd`."""

    part: str
    label: str
    quantity: int
    usd_per_mtok: Decimal
    usd: Decimal


@dataclass(frozen=True, slots=True)
class ExplainedClaim:
    """One witness in basis order. `state`: used, kept (a better one decides), quarantined, no_claim or absent."""

    basis: str
    usd: Decimal | None
    state: str
    note: str | None


@dataclass(frozen=True, slots=True)
class PriceExplanation:
    """Everything behind one operation's price. Optional fields are None when they do not apply."""

    billable: bool
    provider: str | None
    model: str | None
    service_tier: str | None
    matched_provider: str | None
    matched_model: str | None
    assumptions: tuple[str, ...]
    """What was taken for granted to find the price, in words; empty when it is listed as the operation names it."""
    list_comment: str | None
    """What the price list itself says about the price."""
    source: str | None
    """`genai-prices` or `override`."""
    version: str | None
    price_from: str | None
    """ISO date-time since when this price holds; None is since ever, as far as the list knows."""
    price_until: str | None
    changes_by_hour: bool
    lines: tuple[ExplainedLine, ...]
    cliff: str | None
    """The sentence about the size of the request, on models whose price depends on it."""
    computed_usd: Decimal | None
    unknown_reason: str | None
    """Why there is no computed cost; None when there is."""
    claims: tuple[ExplainedClaim, ...]
    cost_usd: Decimal | None
    cost_basis: str | None
    quarantine: str | None
    """The sentence about the claim that is kept out of totals."""
    tier: str | None
    tier_reason: str
    baseline_model: str
    baseline_usd: Decimal | None

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready object, money as plain decimal strings."""
        return {name: _plain(getattr(self, name)) for name in self.__slots__}


def explain(
    operation: Operation, pricing: Pricing, prices: ModelPrices, usage: Usage | None, settings: Settings
) -> PriceExplanation:
    """Explain a pricing. `prices` and `usage` are what the pricing was made from."""
    priced = prices.at(operation.started_at)
    billable = operation.billable
    start, end = prices.period(operation.started_at)
    listed = prices.listed if priced.override is None else None
    computed = pricing.computed_usd
    return PriceExplanation(
        billable=billable,
        provider=operation.provider,
        model=operation.model or operation.requested_model,
        service_tier=operation.service_tier,
        matched_provider=listed.provider_id if listed else None,
        matched_model=priced.override.model if priced.override else listed.model_id if listed else None,
        assumptions=_assumptions(prices, priced),
        list_comment=listed.comment if listed else None,
        source=None if priced.rates is None else "override" if priced.override else "genai-prices",
        version=priced.version,
        price_from=_iso(start),
        price_until=_iso(end),
        changes_by_hour=prices.changes_by_hour and priced.override is None,
        lines=_lines(priced, usage) if computed is not None and billable else (),
        cliff=_cliff(priced, usage),
        computed_usd=computed,
        unknown_reason=None if computed is not None else _unknown_reason(operation, prices, priced, usage),
        claims=_claims(operation, pricing, settings) if billable else (),
        cost_usd=pricing.cost_usd,
        cost_basis=pricing.cost_basis,
        quarantine=quarantine_sentence(operation, pricing.quarantine, computed, settings.quarantine_factor)
        if pricing.quarantine and computed is not None
        else None,
        tier=pricing.tier,
        tier_reason=priced.tier.reason,
        baseline_model=settings.baseline_model,
        baseline_usd=pricing.baseline_usd,
    )


def quarantine_sentence(operation: Operation, which: str, computed: Decimal, factor: Decimal) -> str:
    """`reported $9,990.01 is 791,000× the computed $0.0126, …`"""
    claim = (operation.billed_usd if which == "billed" else operation.reported_usd) or Decimal(0)
    if computed == 0:
        compared = f"although the price book says it is free ({dollars(computed)})"
    elif claim >= computed:
        compared = f"is {_times(claim / computed)} the computed {dollars(computed)}"
    elif claim == 0:
        compared = f"is nothing against the computed {dollars(computed)}"
    else:
        compared = f"is 1/{_rounded(computed / claim)} of the computed {dollars(computed)}"
    limit = f"{factor.normalize():f}"
    return f"{which} {dollars(claim)} {compared}; more than {limit}× off, so it is kept but left out of totals"


def dollars(usd: Decimal) -> str:
    """Money in a sentence: cents from one dollar up, three significant digits below."""
    if usd >= 1:
        return f"${usd:,.2f}"
    return "$0" if usd == 0 else f"${usd:.{max(2, 2 - usd.adjusted())}f}"


def _times(ratio: Decimal) -> str:
    return f"{_rounded(ratio)}×"


def _rounded(ratio: Decimal) -> str:
    """Three significant digits, with thousands separators."""
    return f"{Decimal(f'{ratio:.3g}'):,f}"


def _assumptions(prices: ModelPrices, priced: Priced) -> tuple[str, ...]:
    if priced.override is not None:
        return (priced.override.note,) if priced.override.note else ()
    found = prices.notes
    if prices.free is not None:
        found = (*found, prices.free)
    return found


def _unknown_reason(operation: Operation, prices: ModelPrices, priced: Priced, usage: Usage | None) -> str:
    if not operation.billable:
        return f"nobody is charged for an operation of kind {operation.kind}"
    if priced.rates is None:
        if prices.problem is not None:
            return prices.problem
        return "the price list has this model, but no price per token"
    if usage is None:
        missing = [part for part in ("input", "output") if getattr(operation, f"{part}_tokens") is None]
        if missing:
            return f"{' and '.join(missing)} tokens are unknown"
    return "its parts contradict the totals: more cached or reasoning tokens than tokens at all"


def _lines(priced: Priced, usage: Usage | None) -> tuple[ExplainedLine, ...]:
    if priced.rates is None or usage is None:
        return ()
    lines: Sequence[Line] = priced.rates.lines(usage)
    return tuple(ExplainedLine(line.part, _PART_LABELS[line.part], *line[1:]) for line in lines)


def _cliff(priced: Priced, usage: Usage | None) -> str | None:
    if priced.rates is None or usage is None or priced.rates.cliff is None:
        return None
    over = priced.rates.band_for(usage.input).over
    if over < 0:
        return f"at most {priced.rates.cliff:,} input tokens: the base rates"
    return f"more than {over:,} input tokens: the whole request is charged at the rates for large requests"


def _claims(operation: Operation, pricing: Pricing, settings: Settings) -> tuple[ExplainedClaim, ...]:
    computed = pricing.computed_usd
    found: list[ExplainedClaim] = []
    for basis, usd in (
        ("billed", operation.billed_usd),
        ("computed", computed),
        ("reported", operation.reported_usd),
    ):
        state, note = "kept", None
        if usd is None:
            state = "absent"
        elif basis == pricing.cost_basis:
            state = "used"
        elif basis == "reported" and not is_claim(operation):
            state, note = "no_claim", "a client that does not know a price writes 0"
        elif basis != "computed" and is_wild(usd, computed, settings.quarantine_factor, settings.quarantine_min_usd):
            state = "quarantined"
            note = quarantine_sentence(operation, basis, computed or Decimal(0), settings.quarantine_factor)
        found.append(ExplainedClaim(basis, usd, state, note))
    return tuple(found)


def _iso(us: int | None) -> str | None:
    return None if us is None else moment(us).isoformat().replace("+00:00", "Z")


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return decimal_text(value)
    if isinstance(value, tuple):
        return [_plain(item) for item in value]  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, ExplainedLine | ExplainedClaim):
        return {name: _plain(getattr(value, name)) for name in value.__slots__}
    return value

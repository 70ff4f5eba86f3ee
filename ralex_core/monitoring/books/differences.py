"""Why a claim is not what the price book says: each known cause is an amount that can be worked out and compared.

A cause is *found* when the cost, worked out again with that one thing assumed otherwise, is the claim (to within
rounding). Three causes leave nothing to work out and are taken from what the operation itself says: a key of one's own
at a router, searches or audio beside the tokens, and a router's choice of host. Everything else is unexplained.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any, NamedTuple

import orjson

from ralex_core.model.operation import Operation
from ralex_core.model.window import DAY_US
from ralex_core.pricing.book import PriceBook, usage_of
from ralex_core.pricing.lookup import ModelPrices
from ralex_core.pricing.rates import Band, Rates, Usage
from ralex_core.storage.queries.statement import ROUNDING_RATIO, ROUNDING_USD, Witness

CAUSES: dict[str, str] = {
    "byok": "a key of one's own at OpenRouter: its fee and the provider's own charge, not the list price",
    "book_changed": "what the price book says today; it has changed since the call was priced",
    "cache_ignored": "cached tokens charged as plain input",
    "cache_left_out": "cached tokens not charged at all",
    "cache_twice": "cached tokens charged beside an input that holds them already",
    "cache_write_ttl": "cache writes charged at the other of their two prices (5 minutes, 1 hour): who claims it "
    "was not told which",
    "cliff_ignored": "the base rates, although the request is beyond the size where all of it gets dearer",
    "cliff_marginal": "the higher rates for the tokens beyond the size only, where the list charges all of them",
    "price_change": "the rates of another time: the price has changed",
    "service_tier": "the rates of another service tier",
    "region": "10 % more than the list: the premium for processing in one region",
    "reasoning_left_out": "reasoning not charged, where it is part of the output",
    "reasoning_twice": "reasoning charged beside an output that holds it already",
    "extras": "searches or audio, which have prices of their own that a count of tokens does not tell",
    "routing": "OpenRouter lists the cheapest host of a model; the one that answered asks more",
}
"""Cause → what the claim does. Order is the order in which causes are tried."""

SERVICE_TIERS = (None, "flex", "batch", "priority", "fast")
REGION_PREMIUM = Decimal("1.1")
MOST_ROUTED = Decimal(3)
"""A host that OpenRouter picks asks two to three times the list price at most."""


class Difference(NamedTuple):
    """A claim and the computed cost of one call. `cause` is a key of `CAUSES`, None when nothing known explains it."""

    operation: Operation
    witness: Witness
    claimed_usd: Decimal
    computed_usd: Decimal
    cause: str | None

    @property
    def usd(self) -> Decimal:
        """Claimed − computed."""
        return self.claimed_usd - self.computed_usd


def explain_difference(operation: Operation, witness: Witness, book: PriceBook) -> Difference:
    """The difference of one claim, with the first cause that explains it. Both claims must be there."""
    claimed, computed = getattr(operation, f"{witness}_usd"), operation.computed_usd
    assert claimed is not None and computed is not None  # noqa: S101 - the question asks for such calls only
    return Difference(operation, witness, claimed, computed, _cause(operation, witness, claimed, computed, book))


def prices_of(operation: Operation, book: PriceBook) -> ModelPrices:
    """The prices of the operation's model, as the book finds them."""
    return book.prices_of_model(
        operation.provider, operation.model or operation.requested_model, operation.service_tier
    )


def is_same(one: Decimal, other: Decimal) -> bool:
    """Whether two amounts are the same but for rounding; the ratio is of the second."""
    return abs(one - other) <= max(ROUNDING_USD, abs(other) * ROUNDING_RATIO)


def _cause(operation: Operation, witness: Witness, claimed: Decimal, computed: Decimal, book: PriceBook) -> str | None:
    said = _said(operation)
    if witness == "billed" and said.get("is_byok") is True:
        return "byok"
    prices = prices_of(operation, book)
    rates = prices.at(operation.started_at).rates
    usage = usage_of(operation)
    if rates is not None and usage is not None:
        for cause, amount in _otherwise(operation, book, prices, rates, usage):
            if is_same(claimed, amount) and not is_same(amount, computed):
                return cause
    if (said.get("web_searches") or said.get("audio_tokens")) and claimed > computed:
        return "extras"
    if witness == "billed" and operation.provider == "openrouter" and computed < claimed <= computed * MOST_ROUTED:
        return "routing"
    return None


def _otherwise(
    operation: Operation, book: PriceBook, prices: ModelPrices, rates: Rates, usage: Usage
) -> Iterator[tuple[str, Decimal]]:
    """What the call would cost if one thing were otherwise, in the order of `CAUSES`."""
    yield "book_changed", rates.cost(usage)
    cached = usage.cache_read + usage.cache_write
    if cached:
        plain = usage._replace(cache_read=0, cache_write=0, cache_write_1h=0)
        yield "cache_ignored", rates.cost(plain)
        yield "cache_left_out", rates.cost(plain._replace(input=usage.input - cached))
        yield (
            "cache_twice",
            rates.cost(usage) + rates.cost(plain) - rates.cost(plain._replace(input=usage.input - cached)),
        )
    if usage.cache_write:
        for hour in (0, usage.cache_write):
            yield "cache_write_ttl", rates.cost(usage._replace(cache_write_1h=hour))
    if rates.cliff is not None and usage.input > rates.cliff:
        yield "cliff_ignored", _flat(rates.base, usage, rates.digits)
        yield "cliff_marginal", _marginal(rates, usage)
    for at in _other_times(prices, operation.started_at):
        other = prices.at(at).rates
        if other is not None:
            yield "price_change", other.cost(usage)
    for tier in SERVICE_TIERS:
        if tier != operation.service_tier:
            model = operation.model or operation.requested_model
            other = book.prices_of_model(operation.provider, model, tier).at(operation.started_at).rates
            if other is not None:
                yield "service_tier", other.cost(usage)
    yield "region", rates.cost(usage) * REGION_PREMIUM
    if usage.reasoning:
        yield "reasoning_left_out", rates.cost(usage._replace(output=usage.output - usage.reasoning, reasoning=0))
        yield "reasoning_twice", rates.cost(usage._replace(output=usage.output + usage.reasoning))


def _flat(band: Band, usage: Usage, digits: int) -> Decimal:
    """The cost at one band's rates, whatever the size."""
    units = band.request + band.input * usage.input + band.output * usage.output
    units += band.cache_read * usage.cache_read + band.cache_write * usage.cache_write
    units += band.cache_write_1h * usage.cache_write_1h + band.reasoning * usage.reasoning
    return Decimal(units).scaleb(-digits)


def _marginal(rates: Rates, usage: Usage) -> Decimal:
    """Only the tokens beyond the size at the higher rates, input and output each counted by itself."""
    base, high, size = rates.base, rates.band_for(usage.input), rates.cliff or 0
    dearer = max(0, usage.input - size) * (high.input - base.input)
    dearer += max(0, usage.output - size) * (high.output - base.output)
    return _flat(base, usage, rates.digits) + Decimal(dearer).scaleb(-rates.digits)


def _other_times(prices: ModelPrices, started_at: int) -> list[int]:
    """Moments in every other span in which the model had one price; none where it never changed."""
    changes = list(prices.dates or ())
    found = [changes[0] - 1, *changes] if changes else []
    midnight = started_at - started_at % DAY_US
    return found + [midnight + hour for hour in prices.hours]


def _said(operation: Operation) -> dict[str, Any]:
    if operation.attributes is None:
        return {}
    try:
        found = orjson.loads(operation.attributes)
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}  # pyright: ignore[reportUnknownVariableType]

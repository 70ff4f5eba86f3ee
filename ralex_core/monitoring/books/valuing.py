"""What a stored operation costs by the price book of today, with what people decided about its claims."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ralex_core.model.operation import Operation, Pricing, with_pricing
from ralex_core.pricing.book import PriceBook

Valuing = Callable[[Operation], Operation]


def valuing(book: PriceBook, accepted: Mapping[str, str]) -> Valuing:
    """A function that prices an operation again. `accepted` names operations with the claim a person let count."""

    def value(operation: Operation) -> Operation:
        pricing = book.price(operation)
        if pricing.quarantine is not None and accepted.get(operation.operation_id) == pricing.quarantine:
            pricing = _accepted(operation, pricing)
        return with_pricing(operation, pricing)

    return value


def _accepted(operation: Operation, pricing: Pricing) -> Pricing:
    """As `Store.amend` does it: the claim counts where no better one does."""
    if pricing.quarantine == "billed":
        return pricing._replace(cost_usd=operation.billed_usd, cost_basis="billed", quarantine=None)
    if pricing.cost_usd is None:
        return pricing._replace(cost_usd=operation.reported_usd, cost_basis="reported", quarantine=None)
    return pricing._replace(quarantine=None)

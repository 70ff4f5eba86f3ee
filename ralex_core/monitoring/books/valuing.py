"""What a stored operation costs, decided anew, with what people decided about its claims."""

from __future__ import annotations

from collections.abc import Mapping

from ralex_core.model.operation import Operation, Pricing, with_pricing
from ralex_core.pricing.book import PriceBook


class Valuing:
    """Decides costs anew. `accepted` names operations with the claim (billed, reported) a person let count."""

    def __init__(self, book: PriceBook, accepted: Mapping[str, str]) -> None:
        self._book = book
        self._accepted = accepted

    def priced(self, operation: Operation) -> Operation:
        """Priced by the book of today."""
        return with_pricing(operation, self._with_decision(operation, self._book.price(operation)))

    def weighed(self, operation: Operation) -> Operation:
        """Its claims weighed again, with the computed cost it was given."""
        cost, basis, quarantine = self._book.weigh(operation)
        pricing = Pricing(
            operation.tier,
            operation.computed_usd,
            cost,
            basis,
            quarantine,
            operation.price_version,
            operation.baseline_usd,
        )
        return with_pricing(operation, self._with_decision(operation, pricing))

    def _with_decision(self, operation: Operation, pricing: Pricing) -> Pricing:
        """As `Store.amend` does it: an accepted claim counts where no better one does."""
        if pricing.quarantine is None or self._accepted.get(operation.operation_id) != pricing.quarantine:
            return pricing
        if pricing.quarantine == "billed":
            return pricing._replace(cost_usd=operation.billed_usd, cost_basis="billed", quarantine=None)
        if pricing.cost_usd is None:
            return pricing._replace(cost_usd=operation.reported_usd, cost_basis="reported", quarantine=None)
        return pricing._replace(quarantine=None)

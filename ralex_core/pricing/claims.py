"""Which witness of a cost is believed: basis order, and the quarantine of claims that are wildly off."""

from __future__ import annotations

from decimal import Decimal

from ralex_core.model.operation import Operation

Verdict = tuple[Decimal | None, str, str | None]
"""The cost, the claim it comes from, and the claim (if any) that is kept but left out. Made once per operation."""


def judge(operation: Operation, computed: Decimal | None, factor: Decimal, min_usd: Decimal) -> Verdict:
    """Billed, else computed, else reported, else unknown; a wild claim is passed over.

    When both claims are wild, `quarantine` names the billed one, which would have decided the cost.
    """
    billed, reported = operation.billed_usd, operation.reported_usd
    if billed is None and reported is None:
        return (computed, "unknown" if computed is None else "computed", None)
    quarantine = None
    if billed is not None:
        if not is_wild(billed, computed, factor, min_usd):
            wild = reported is not None and is_wild(reported, computed, factor, min_usd)
            return (billed, "billed", "reported" if wild and is_claim(operation) else None)
        quarantine = "billed"
    elif reported is not None and is_claim(operation) and is_wild(reported, computed, factor, min_usd):
        quarantine = "reported"
    if computed is not None:
        return (computed, "computed", quarantine)
    if reported is not None and is_claim(operation):
        return (reported, "reported", None)
    return (None, "unknown", None)


def is_wild(claim: Decimal, computed: Decimal | None, factor: Decimal, min_usd: Decimal) -> bool:
    """More than `factor` times off in either direction, and by more than `min_usd`; False without a computed cost."""
    if computed is None or claim == computed:
        return False
    if abs(claim - computed) <= min_usd:
        return False
    return claim > computed * factor or claim * factor < computed


def is_claim(operation: Operation) -> bool:
    """Whether the reported amount says anything: clients write 0 for models whose price they do not know."""
    return bool(operation.reported_usd) or (operation.input_tokens == 0 and operation.output_tokens == 0)

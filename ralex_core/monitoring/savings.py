"""What would save money, from what was really used: cheaper models, missed caches, work done for nothing."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from ralex_core.monitoring.cache import CacheSavings
from ralex_core.monitoring.what_if import Move
from ralex_core.render import count, percent, usd
from ralex_core.storage.queries.costs import Losses

Kind = Literal["cost_optimization", "caching", "reliability"]
Priority = Literal["high", "medium", "low"]

LEAST_RATIO = 0.01
LEAST_USD = Decimal("0.01")
"""A saving under a hundredth of what was spent, or under a cent, is not worth a decision."""
LOSS_RATIO = 0.05
HIGH, MEDIUM = 0.20, 0.05
"""Shares of the spending from which a saving is of high or medium priority."""
MAX_MOVES = 3


@dataclass(frozen=True, slots=True)
class Saving:
    """One thing that would have saved money in the scope, with what it rests on."""

    kind: Kind
    priority: Priority
    title: str
    evidence: str
    saving_usd: Decimal


def savings(spent_usd: Decimal, moves: list[Move], cache: CacheSavings, lost: Losses) -> list[Saving]:
    """The largest first; empty when there is nothing to gain. Moves that lose quality beyond doubt are left out."""
    found: list[Saving] = []
    for move in [move for move in moves if not move.worse][:MAX_MOVES]:
        amount = move.saving_usd if move.net_saving_usd is None else move.net_saving_usd
        what = move.key or ("operations without a name" if move.by == "name" else "work without a feature")
        title = f"Send “{what}” to {move.to_model} ({move.to_tier}) instead of {move.from_model} ({move.from_tier})"
        _add(found, "cost_optimization", title, move.evidence, amount, spent_usd, LEAST_RATIO)
    if cache.lost_usd is not None:
        paused = f", {usd(cache.lost_after_pause_usd)} of it after pauses of more than 5 minutes"
        evidence = (
            f"{count(cache.missed_tokens)} input tokens that the call before had sent too were paid in full; read from "
            f"the cache they would have cost {usd(cache.lost_usd)} less{paused if cache.lost_after_pause_usd else ''}."
        )
        title = "Keep the beginning of requests the same, so that the provider's cache can be read"
        _add(found, "caching", title, evidence, cache.lost_usd, spent_usd, LOSS_RATIO)
    failed = lost.failed
    if failed.cost_usd:
        evidence = f"{count(failed.calls)} of {count(lost.total.calls)} calls failed and cost {usd(failed.cost_usd)}."
        _add(found, "reliability", "Find out why calls fail", evidence, failed.cost_usd, spent_usd, LOSS_RATIO)
    return sorted(found, key=lambda saving: (-saving.saving_usd, saving.title))


def _add(
    found: list[Saving], kind: Kind, title: str, evidence: str, amount: Decimal, spent_usd: Decimal, least: float
) -> None:
    if amount < LEAST_USD or spent_usd <= 0:
        return
    share = float(amount / spent_usd)
    if share < least:
        return
    priority: Priority = "high" if share >= HIGH else "medium" if share >= MEDIUM else "low"
    found.append(Saving(kind, priority, title, f"{evidence} That is {percent(share)} of what was spent.", amount))

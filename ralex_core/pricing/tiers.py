"""Which price class a model belongs to: the tier that names it, else the first whose ceiling it is under."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from fnmatch import fnmatchcase
from typing import NamedTuple

from ralex_core.config import Tier


class TierChoice(NamedTuple):
    """The tier's name (None: it cannot be told) and why."""

    name: str | None
    reason: str


def choose_tier(tiers: Sequence[Tier], names: Sequence[str], blended_usd_per_mtok: Decimal | None) -> TierChoice:
    """Choose by the model's names (as written, and as the price list writes it), then by its blended price.

    A blended price is (3 × input + output) ÷ 4 in USD per million tokens; None when no price is known.
    """
    lowered = [name.lower() for name in names]
    for tier in tiers:
        for pattern in tier.models:
            if any(fnmatchcase(name, pattern.lower()) for name in lowered):
                return TierChoice(tier.name, f"named by the pattern {pattern}")
    if blended_usd_per_mtok is None:
        return TierChoice(None, "no price is known and no tier names the model")
    blended = f"blended price ${blended_usd_per_mtok.normalize():f} per million tokens"
    for tier in tiers:
        if tier.max_usd_per_mtok is None:
            return TierChoice(tier.name, blended)
        if blended_usd_per_mtok <= tier.max_usd_per_mtok:
            return TierChoice(tier.name, f"{blended} is at most ${tier.max_usd_per_mtok}")
    return TierChoice(None, f"{blended} is above every tier's ceiling")

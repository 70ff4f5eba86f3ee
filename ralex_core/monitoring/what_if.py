"""What would the same work have cost elsewhere: operations moved to a cheaper model, and any model as the baseline.

Nothing is estimated from averages: the usage of every call is priced again at the other model's rates of that time.
What such a price cannot know is said beside it: whether the cheaper model would have done the work as well.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from ralex_core.config import Settings
from ralex_core.model.window import Scope
from ralex_core.pricing.book import PriceBook
from ralex_core.pricing.lookup import ModelPrices
from ralex_core.pricing.repricing import Batch, breaks_of, cost_of
from ralex_core.render import count, percent, usd
from ralex_core.stats.intervals import wilson
from ralex_core.storage.queries.segments import measured
from ralex_core.storage.queries.usage import UsedRow, used
from ralex_core.storage.telemetry import Store

By = Literal["name", "feature"]

FEWEST_TOLD = 20
"""Calls with a known outcome before their success rate is given: below, an interval spans most of what is possible."""
MAX_MOVES = 200

Model = tuple[str | None, str]
"""(provider, model) as operations name them."""


@dataclass(frozen=True, slots=True)
class SuccessRate:
    """How often work with a known outcome was accepted. The ratio is None, with the reason, when too little is told."""

    calls: int
    """Calls with a known outcome."""
    ratio: float | None
    low: float | None
    high: float | None
    """A 95 % interval (Wilson)."""
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Move:
    """One operation (or feature) done by one model, moved to the most used model of a cheaper tier.

    Amounts are of the scope asked about. `saving_usd` is exact for the usage there was; `net_saving_usd` takes off what
    doing lost work again at the old model would cost, and is None where success rates are not known. Moves do not
    overlap: their savings add up.
    """

    by: By
    key: str | None
    """The operation's name or the feature; None where operations do not say."""
    from_tier: str
    from_model: str
    from_provider: str | None
    to_tier: str
    to_model: str
    to_provider: str | None
    calls: int
    """Calls that would move: those whose usage and cost are known."""
    other_calls: int
    """Calls of the same operation and model that cannot be priced again."""
    cost_usd: Decimal
    moved_usd: Decimal
    """The same usage at the cheaper model."""
    saving_usd: Decimal
    from_rate: SuccessRate
    to_rate: SuccessRate
    to_rate_of: Literal["operation", "model"]
    """Whether `to_rate` is of the same operation at the cheaper model, or of everything that model does."""
    lost_successes: float | None
    """Calls that would no longer succeed, by the two rates; None where one is not known."""
    net_saving_usd: Decimal | None
    worse: bool
    """The cheaper model's success rate is lower beyond doubt (the intervals do not meet)."""
    evidence: str

    @property
    def saving_ratio(self) -> float:
        """Saving ÷ cost of the calls that would move."""
        return float(self.saving_usd / self.cost_usd)


@dataclass(slots=True)
class _Group:
    """The usage of one key and model, over all stretches of prices."""

    calls: int = 0
    known: int = 0
    told: int = 0
    told_successes: int = 0
    cost_usd: Decimal = Decimal(0)

    def add(self, row: UsedRow) -> None:
        self.calls += row.calls
        self.known += row.batch.calls
        self.told += row.told
        self.told_successes += row.told_successes
        self.cost_usd += row.cost_usd

    @property
    def rate(self) -> SuccessRate:
        return success_rate(self.told_successes, self.told)


def success_rate(successes: int, told: int) -> SuccessRate:
    """The rate of calls with a known outcome, with its interval."""
    if told < FEWEST_TOLD:
        said = "none has" if not told else f"only {told} have"
        return SuccessRate(told, None, None, None, f"{said} a known outcome; {FEWEST_TOLD} are needed")
    bounds = wilson(successes, told)
    assert bounds is not None  # noqa: S101 - there are calls
    return SuccessRate(told, successes / told, *bounds)


def cheaper_moves(
    store: Store,
    scope: Scope,
    book: PriceBook,
    settings: Settings,
    *,
    by: By = "name",
    limit: int = 20,
) -> list[Move]:
    """Operations whose work would have cost less in a cheaper tier, the largest saving first, at most `limit`.

    For every operation (or feature) and model the work goes to the model that is used most in each cheaper tier, or to
    one that `tiers` names there when nothing is used; of several, to the one that leaves the largest saving (net of
    lost work where that is known). Moves that save nothing are left out, so an empty list means there is nothing to
    move. One scan of the operations in the scope: some 30 ms a million.
    """
    tiers = [tier.name for tier in settings.tiers]
    models = used_models(store, scope)
    prices = {model: book.prices_of_model(*model) for model, _, _ in models}
    targets = _targets(models, tiers, settings)
    for target in targets.values():
        prices.setdefault(target, book.prices_of_model(*target))
    breaks = breaks_of([prices[target] for target in targets.values()], scope.window)
    rows = used(store, scope, (by, "tier", "provider", "model"), breaks)
    groups: defaultdict[tuple[str | None, ...], _Group] = defaultdict(_Group)
    batches: defaultdict[tuple[str | None, ...], list[Batch]] = defaultdict(list)
    per_model: defaultdict[Model, _Group] = defaultdict(_Group)
    for row in rows:
        groups[row.group].add(row)
        batches[row.group].append(row.batch)
        if row.group[3] is not None:
            per_model[row.group[2], row.group[3]].add(row)
    found: list[Move] = []
    for group, work in groups.items():
        key, tier, provider, model = group
        if tier not in tiers or model is None or not work.known:
            continue
        moves: list[Move] = []
        for cheaper in tiers[: tiers.index(tier)]:
            target = targets.get(cheaper)
            if target is None:
                continue
            moved = priced_again(prices[target], batches[group])
            if moved is None or moved >= work.cost_usd:
                continue
            there = groups.get((key, cheaper, *target))
            same = there is not None and there.told >= FEWEST_TOLD
            rate = there.rate if there is not None and same else per_model[target].rate
            moves.append(_move(by, key, (tier, provider, model), (cheaper, *target), work, moved, rate, same))
        if moves:
            found.append(max(moves, key=lambda move: (_worth(move), move.to_tier)))
    found.sort(key=lambda move: (-move.saving_usd, str(move.key), move.from_model))
    return found[:limit]


def _worth(move: Move) -> Decimal:
    return move.saving_usd if move.net_saving_usd is None else move.net_saving_usd


def _move(
    by: By,
    key: str | None,
    here: tuple[str, str | None, str],
    there: tuple[str, str | None, str],
    work: _Group,
    moved: Decimal,
    rate: SuccessRate,
    same: bool,
) -> Move:
    saving = work.cost_usd - moved
    own = work.rate
    lost = net = None
    worse = False
    if own.ratio is not None and rate.ratio is not None:
        lost = max(0.0, own.ratio - rate.ratio) * work.known
        net = saving - Decimal(repr(lost)) * work.cost_usd / work.known
        worse = rate.high is not None and own.low is not None and rate.high < own.low
    return Move(
        by=by,
        key=key,
        from_tier=here[0],
        from_provider=here[1],
        from_model=here[2],
        to_tier=there[0],
        to_provider=there[1],
        to_model=there[2],
        calls=work.known,
        other_calls=work.calls - work.known,
        cost_usd=work.cost_usd,
        moved_usd=moved,
        saving_usd=saving,
        from_rate=own,
        to_rate=rate,
        to_rate_of="operation" if same else "model",
        lost_successes=lost,
        net_saving_usd=net,
        worse=worse,
        evidence=_evidence(work, moved, here[2], there[2], own, rate, same, lost, worse),
    )


def _evidence(
    work: _Group,
    moved: Decimal,
    here: str,
    there: str,
    own: SuccessRate,
    rate: SuccessRate,
    same: bool,
    lost: float | None,
    worse: bool,
) -> str:
    calls = "1 call" if work.known == 1 else f"{count(work.known)} calls"
    text = f"{calls} cost {usd(work.cost_usd)} on {here}; the same tokens cost {usd(moved)} on {there}."
    if own.ratio is not None and rate.ratio is not None:
        what = "" if same else " (all its work)"
        text += f" Accepted: {percent(own.ratio)} on {here}, {percent(rate.ratio)} on {there}{what}"
        if worse and lost is not None:
            text += f": about {count(lost)} results would be lost."
        else:
            text += ": no clear difference."
    elif own.ratio is None:
        text += f" How good the work is cannot be compared: of the calls on {here}, {own.reason}."
    else:
        text += f" How good the work would be is not known: of the calls on {there}, {rate.reason}."
    return text


def used_models(store: Store, scope: Scope) -> list[tuple[Model, str | None, int]]:
    """Models used in the scope: ((provider, model), tier, calls), the most used first. From rollups where possible."""
    rows = measured(store, scope, ("operations",), group=("provider", "model", "tier"), kind="llm")
    named = [((row[0], row[1]), row[2], row[3]) for row in rows if row[1] is not None and row[3]]
    return sorted(named, key=lambda row: (-row[2], str(row[0])))


def _targets(
    models: Sequence[tuple[Model, str | None, int]], tiers: Sequence[str], settings: Settings
) -> dict[str, Model]:
    """The model that work would move to, per tier: the most used one, else the first that the tier names."""
    found: dict[str, Model] = {}
    for model, tier, _ in models:
        if tier in tiers:
            found.setdefault(str(tier), model)
    for tier in settings.tiers:
        named = next((name for name in tier.models if not set(name) & set("*?[")), None)
        if named is not None:
            found.setdefault(tier.name, (None, named))
    return found


def priced_again(model: ModelPrices, batches: Iterable[Batch]) -> Decimal | None:
    """What calls would have cost at a model; None when its price is not known at the time of one of them."""
    total = Decimal(0)
    for batch in batches:
        if not batch.calls:
            continue
        cost = cost_of(model, batch)
        if cost is None:
            return None
        total += cost
    return total

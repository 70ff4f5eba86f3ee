"""What work was worth against what it cost: efficiency, and return on investment by one of three value models.

Every figure says what it rests on: how many calls were compared with what the baseline model spent on the same task
(matched), how many with their own usage at its price, and how many could not be compared. What cannot be known is None,
with the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from fnmatch import fnmatchcase
from typing import Any, Literal, TypeVar

from ralex_core.config import Settings
from ralex_core.model.window import Scope
from ralex_core.pricing.book import PriceBook
from ralex_core.pricing.repricing import breaks_of, cost_of
from ralex_core.stats.bootstrap import FEWEST_CLUSTERS, Interval, ratio_interval
from ralex_core.storage.queries.worth import (
    CLUSTER,
    Asking,
    Only,
    WorthRow,
    stored_models,
    stored_names,
    unmatched_usage,
    worth,
)
from ralex_core.storage.telemetry import Store

ValueModel = Literal["baseline", "time_saved", "explicit"]
Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Baseline:
    """The model that work is compared with."""

    model: str
    """As it was asked for, such as `anthropic/claude-opus-4-5`, or a model's name as operations have it."""
    stored: bool
    """Whether operations were priced at it when they came in: it is the `baseline_model` of the settings."""
    used_as: tuple[tuple[str | None, str], ...]
    """(provider, model) under which stored operations used it; empty when none did."""
    price_problem: str | None
    """Why it has no price; then only tasks that it has run itself can be compared."""


def baseline_of(store: Store, book: PriceBook, settings: Settings, model: str | None = None) -> Baseline:
    """The baseline by its name, by default that of the settings."""
    chosen = model or settings.baseline_model
    used_as = tuple(pair for pair in stored_models(store) if book.is_model(chosen, *pair))
    prices = book.prices_of_model(None, chosen)
    problem = None
    if prices.problem is not None and not prices.overrides:
        problem = prices.problem
    return Baseline(chosen, chosen == settings.baseline_model, used_as, problem)


@dataclass(slots=True)
class _Sums:
    """Sums of one group; see `WorthRow`."""

    calls: int = 0
    priced: int = 0
    cost_usd: Decimal = Decimal(0)
    successes: int = 0
    successes_priced: int = 0
    matched: int = 0
    matched_usd: Decimal = Decimal(0)
    matched_successes: int = 0
    same: int = 0
    same_usd: Decimal = Decimal(0)
    valued: int = 0
    value_usd: Decimal = Decimal(0)

    def add(self, other: _Sums) -> None:
        for name in _SUM_NAMES:
            setattr(self, name, getattr(self, name) + getattr(other, name))

    @classmethod
    def of(cls, row: WorthRow) -> _Sums:
        return cls(*row[1:])


_SUM_NAMES = WorthRow._fields[1:]


@dataclass(frozen=True, slots=True)
class Worth:
    """What the work of one group cost and was worth. Counts are of calls to models; amounts of those of known cost.

    `efficiency_ratio` is Σ baseline cost of successful calls ÷ Σ cost of all; `roi_ratio` is value ÷ cost by the value
    model asked for, and the same as the former for `baseline`. A None comes with its reason.
    """

    key: str | None
    calls: int
    priced: int
    successes: int
    cost_usd: Decimal
    baseline_usd: Decimal | None
    efficiency_ratio: float | None
    efficiency_reason: str | None
    value_usd: Decimal | None
    roi_ratio: float | None
    roi_reason: str | None
    matched: int
    """Calls compared with what the baseline model spent on the same task."""
    same_usage: int
    """Successful calls compared with their own usage at the baseline model's price."""
    not_compared: int
    """Successful calls of known cost that could not be compared: they count as worth nothing, so a ratio is a least."""
    valued: int
    """Operations that carry a value of their own (`time_saved`, `explicit`)."""
    interval: Interval | None = None
    """95 % bootstrap interval of `roi_ratio` over sessions."""
    interval_reason: str | None = None
    clusters: int = 0
    """Sessions (else tasks, else hours of a person's work) the interval was drawn from."""

    @property
    def coverage_ratio(self) -> float | None:
        """Calls of known cost ÷ calls; None without calls."""
        return self.priced / self.calls if self.calls else None

    @property
    def compared_ratio(self) -> float | None:
        """Successful calls that could be compared ÷ successful calls of known cost; None when none succeeded."""
        wanted = self.not_compared + self.same_usage + self.matched
        return (self.same_usage + self.matched) / wanted if wanted else None

    @property
    def cost_per_call_usd(self) -> Decimal | None:
        """Cost ÷ calls of known cost."""
        return self.cost_usd / self.priced if self.priced else None

    @property
    def cost_per_success_usd(self) -> Decimal | None:
        """Cost of all calls ÷ successful calls; None when none succeeded or nothing has a known cost."""
        return self.cost_usd / self.successes if self.successes and self.priced else None


@dataclass(frozen=True, slots=True)
class Valuation:
    """How worth is judged: the value model and the baseline. Made by `valuation`."""

    model: ValueModel
    baseline: Baseline
    asking: Asking
    problem: str | None = None
    """Why the value model cannot be applied."""


@dataclass(frozen=True, slots=True)
class Roi:
    """Return on investment of everything in a scope and of each tier, with intervals."""

    valuation: Valuation
    total: Worth
    tiers: list[Worth] = field(default_factory=list[Worth])
    """In the order of the settings' tiers, then others, the unknown tier last."""


def valuation(
    store: Store,
    book: PriceBook,
    settings: Settings,
    *,
    baseline: str | None = None,
    value_model: ValueModel | None = None,
) -> Valuation:
    """The value model and baseline asked for, by default those of the settings."""
    model = value_model or settings.value_model
    chosen = baseline_of(store, book, settings, baseline)
    saved: dict[str, Decimal] = {}
    problem = None
    if model == "time_saved":
        if settings.hourly_rate_usd is None or not settings.minutes_saved:
            problem = "set hourly_rate_usd and minutes_saved to value the time that operations save"
        else:
            saved = _saved_usd(stored_names(store), settings.minutes_saved, settings.hourly_rate_usd)
            if not saved:
                problem = "no stored operation has a name that minutes_saved gives minutes to"
    asking = Asking(chosen.used_as, chosen.stored, saved, model == "explicit")
    return Valuation(model, chosen, asking, problem)


def _saved_usd(names: Sequence[str], minutes: Mapping[str, Decimal], rate: Decimal) -> dict[str, Decimal]:
    """Dollars by name: of a name's own entry, else of the first pattern that it matches."""
    found: dict[str, Decimal] = {}
    for name in names:
        saved = minutes.get(name)
        if saved is None:
            saved = next((value for pattern, value in minutes.items() if fnmatchcase(name, pattern)), None)
        if saved is not None:
            found[name] = (saved * rate / 60).quantize(Decimal("1e-18"))
    return found


def worth_by(
    store: Store, scope: Scope, book: PriceBook, how: Valuation, column: str, keys: Sequence[str | None] | None = None
) -> dict[str | None, Worth]:
    """What the work was worth per value of a column of operations, or per those of `keys`. One or two scans."""
    only = None if keys is None else (column, keys)
    sums = _sums(store, scope, book, how, {"key": f"o.{column}"}, only)
    return {group[0]: _judged(group[0], found, how) for group, found in sums.items()}


def worth_of(store: Store, scope: Scope, book: PriceBook, how: Valuation) -> Worth:
    """What all of the work was worth, without an interval."""
    sums = _sums(store, scope, book, how, {})
    return _judged(None, sums.get((), _Sums()), how)


def worth_over_time(store: Store, scope: Scope, book: PriceBook, how: Valuation, bucket_us: int) -> dict[int, Worth]:
    """What the work was worth per bucket (its start); buckets without operations are absent."""
    sums = _sums(store, scope, book, how, {"bucket": f"o.started_at // {bucket_us} * {bucket_us}"})
    return {group[0]: _judged(None, found, how) for group, found in sums.items()}


def roi(store: Store, scope: Scope, book: PriceBook, how: Valuation, tiers: Sequence[str] = ()) -> Roi:
    """Value ÷ cost of everything and per tier, each with its interval over sessions.

    `tiers` is their order. A million operations take about a quarter of a second.
    """
    by_cluster = _sums(store, scope, book, how, {"cluster": CLUSTER, "tier": "o.tier"})
    place = {name: index for index, name in enumerate(tiers)}
    found = {group[1] for group, sums in by_cluster.items() if sums.calls or sums.valued}
    order = sorted(found, key=lambda tier: (tier is None, place.get(str(tier), len(place)), str(tier)))
    total = _with_interval(None, _grouped(by_cluster, lambda group: group[0]), how)
    per_tier = [
        _with_interval(tier, {group[0]: sums for group, sums in by_cluster.items() if group[1] == tier}, how)
        for tier in order
    ]
    return Roi(how, total, per_tier)


def _sums(
    store: Store, scope: Scope, book: PriceBook, how: Valuation, group: Mapping[str, str], only: Only | None = None
) -> dict[tuple[Any, ...], _Sums]:
    sums = {row.group: _Sums.of(row) for row in worth(store, scope, group, how.asking, only)}
    if how.baseline.stored:
        return sums
    for found in sums.values():
        found.same, found.same_usd = 0, Decimal(0)  # stored baselines are another model's
    if how.baseline.price_problem is not None:
        return sums
    prices = book.prices_of_model(None, how.baseline.model)
    for row in unmatched_usage(store, scope, group, how.asking, breaks_of([prices], scope.window), only):
        cost = cost_of(prices, row.batch) if row.batch.calls else None
        if cost is not None:
            sums[row.group].same += row.batch.calls
            sums[row.group].same_usd += cost
    return sums


def _grouped(sums: Mapping[tuple[Any, ...], _Sums], key: Callable[[tuple[Any, ...]], Key]) -> dict[Key, _Sums]:
    found: dict[Key, _Sums] = {}
    for group, one in sums.items():
        found.setdefault(key(group), _Sums()).add(one)
    return found


def _with_interval(key: str | None, clusters: Mapping[Any, _Sums], how: Valuation) -> Worth:
    whole = _Sums()
    for one in clusters.values():
        whole.add(one)
    judged = _judged(key, whole, how)
    # In order: DuckDB gives groups in any, and the bootstrap draws by place.
    used = [one for _, one in sorted(clusters.items()) if one.cost_usd or _value(one, how)]
    if judged.roi_ratio is None:
        return replace(judged, interval_reason=judged.roi_reason, clusters=len(used))
    interval = ratio_interval([float(_value(one, how)) for one in used], [float(one.cost_usd) for one in used])
    reason = None
    if interval is None:
        sessions = "1 session" if len(used) == 1 else f"{len(used)} sessions"
        reason = f"{sessions} say too little of how the ratio varies; {FEWEST_CLUSTERS} are needed"
    return replace(judged, interval=interval, interval_reason=reason, clusters=len(used))


def _value(sums: _Sums, how: Valuation) -> Decimal:
    return sums.matched_usd + sums.same_usd if how.model == "baseline" else sums.value_usd


def _judged(key: str | None, sums: _Sums, how: Valuation) -> Worth:
    baseline_usd, efficiency, why_not = _efficiency(sums, how)
    value, ratio, reason = baseline_usd, efficiency, why_not
    if how.model != "baseline":
        value, ratio, reason = _own_value(sums, how)
    return Worth(
        key=key,
        calls=sums.calls,
        priced=sums.priced,
        successes=sums.successes,
        cost_usd=sums.cost_usd,
        baseline_usd=baseline_usd,
        efficiency_ratio=efficiency,
        efficiency_reason=why_not,
        value_usd=value,
        roi_ratio=ratio,
        roi_reason=reason,
        matched=sums.matched,
        same_usage=sums.same,
        not_compared=max(0, sums.successes_priced - sums.matched_successes - sums.same),
        valued=sums.valued,
    )


def _efficiency(sums: _Sums, how: Valuation) -> tuple[Decimal | None, float | None, str | None]:
    """(baseline cost of what succeeded, its ratio to the cost of all, why one of them is None)."""
    if not sums.calls:
        return None, None, "no call to a model was made"
    if not sums.priced:
        return None, None, "the cost of no call is known"
    if sums.successes_priced and not sums.matched and not sums.same:
        if how.baseline.price_problem is not None:
            why = f"the baseline model {how.baseline.model} has no price ({how.baseline.price_problem})"
        else:
            why = "their token counts are not known"
        return None, None, f"no successful call can be compared: {why}, and the baseline model did none of their tasks"
    worth_usd = sums.matched_usd + sums.same_usd
    return (worth_usd, *_ratio(worth_usd, sums.cost_usd))


def _own_value(sums: _Sums, how: Valuation) -> tuple[Decimal | None, float | None, str | None]:
    if how.problem is not None:
        return None, None, how.problem
    if not sums.valued:
        said = "reported a value (value_usd)" if how.model == "explicit" else "has a name that minutes_saved lists"
        return None, None, f"no successful operation {said}"
    if not sums.priced:
        return sums.value_usd, None, "the cost of no call is known"
    return (sums.value_usd, *_ratio(sums.value_usd, sums.cost_usd))


def _ratio(value: Decimal, cost: Decimal) -> tuple[float | None, str | None]:
    return (float(value / cost), None) if cost else (None, "nothing was paid")

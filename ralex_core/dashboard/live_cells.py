"""The last 15 minutes as sums: per 5 seconds and per combination of what people filter by.

Everything held is additive, so a filtered view is the sum of the cells that match, a window is the sum of its
buckets, and an operation that is replaced is taken out by adding it with the opposite sign.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from operator import attrgetter
from typing import Any, TypeVar

from ralex_core.model.operation import UNSUCCESSFUL_OUTCOMES, Operation
from ralex_core.model.window import MINUTE_US, Filters
from ralex_core.stats.quantiles import bin_of
from ralex_core.storage.schema import MEASURES as STORED_MEASURES
from ralex_core.storage.telemetry import Store

BUCKET_US = 5_000_000
BUCKETS = 180
WINDOW_US = BUCKET_US * BUCKETS
AHEAD_US = 2 * MINUTE_US
"""Clocks of other machines may be ahead this far; what is dated later is not live."""

MAX_CELLS_PER_BUCKET = 120
"""Combinations kept apart per bucket. What comes beyond them counts in the unfiltered view, and under its project,
model and tier only: a bucket's memory has a limit, whatever is sent."""

MEASURES = (
    "operations",
    "errors",
    "billable",
    "priced",
    "basis_billed",
    "basis_computed",
    "basis_reported",
    "input_tokens",
    "cache_read_tokens",
    "output_tokens",
    "quarantined",
    "cost_usd",
    "reported_usd",
    "computed_usd",
    "billed_usd",
    "quarantined_usd",
    "baseline_success_usd",
)
"""Names as in `storage.schema.MEASURES`, and with the same meaning: live and stored figures agree."""

OPERATIONS = MEASURES.index("operations")
ERRORS = MEASURES.index("errors")
COST = MEASURES.index("cost_usd")
INPUT_TOKENS = MEASURES.index("input_tokens")
OUTPUT_TOKENS = MEASURES.index("output_tokens")

ZERO = Decimal(0)
_FIRST_MONEY = MEASURES.index("cost_usd")

Sums = list[int | Decimal]
Bins = dict[int, int]


CellKey = tuple[str | None, str | None, str | None, str | None, str | None, str, str]
KEY_FIELDS = ("project", "model", "tier", "user_id", "session_id", "kind", "name")
"""What keeps cells apart, in the order of a `CellKey`: the filters, and what rankings are made of."""

OTHER = "other"


def zeros() -> Sums:
    return [*([0] * _FIRST_MONEY), *([ZERO] * (len(MEASURES) - _FIRST_MONEY))]


_key_of = attrgetter(*KEY_FIELDS)


def add_sums(target: Sums, amounts: Sums, sign: int) -> None:
    for place, amount in enumerate(amounts):
        if amount:
            target[place] += amount * sign


def add_bins(target: Bins, amounts: Bins, sign: int) -> None:
    for bin, count in amounts.items():
        left = target.get(bin, 0) + count * sign
        if left:
            target[bin] = left
        else:
            target.pop(bin, None)


@dataclass(slots=True)
class Cell:
    """Sums and the latency histogram (of model calls) of one key in one bucket."""

    sums: Sums = field(default_factory=zeros)
    bins: Bins = field(default_factory=dict[int, int])


@dataclass(slots=True)
class Digest:
    """Cells added up, with the rankings a page shows. Adding one digest to another adds every part."""

    sums: Sums = field(default_factory=zeros)
    bins: Bins = field(default_factory=dict[int, int])
    tiers: dict[str, Decimal] = field(default_factory=dict[str, Decimal])
    models: dict[tuple[str, str | None], Sums] = field(default_factory=dict[tuple[str, str | None], Sums])
    names: dict[tuple[str, str], Sums] = field(default_factory=dict[tuple[str, str], Sums])

    def take(self, key: CellKey, cell: Cell) -> None:
        """Add one cell."""
        add_sums(self.sums, cell.sums, 1)
        add_bins(self.bins, cell.bins, 1)
        short: Sums = [cell.sums[OPERATIONS], cell.sums[ERRORS], cell.sums[COST]]
        _, model, tier_name, _, _, kind, name = key
        if kind == "llm":
            tier = tier_name or "unknown"
            self.tiers[tier] = self.tiers.get(tier, ZERO) + cell.sums[COST]
            add_sums(self.models.setdefault((model or "unknown", tier_name), [0, 0, ZERO]), short, 1)
        add_sums(self.names.setdefault((name, kind), [0, 0, ZERO]), short, 1)

    def merge(self, other: Digest, sign: int) -> None:
        """Add (`sign` 1) or take out (-1) another digest; rankings forget what has come down to nothing."""
        add_sums(self.sums, other.sums, sign)
        add_bins(self.bins, other.bins, sign)
        for tier, cost in other.tiers.items():
            self.tiers[tier] = self.tiers.get(tier, ZERO) + cost * sign
        _merge_ranking(self.models, other.models, sign)
        _merge_ranking(self.names, other.names, sign)


_K = TypeVar("_K")


def _merge_ranking(target: dict[_K, Sums], amounts: dict[_K, Sums], sign: int) -> None:
    for key, short in amounts.items():
        mine = target.setdefault(key, [0, 0, ZERO])
        add_sums(mine, short, sign)
        if not mine[0]:
            del target[key]


_counted = attrgetter(
    "kind",
    "status",
    "outcome",
    "duration_ms",
    "cost_basis",
    "quarantine",
    "input_tokens",
    "cache_read_tokens",
    "output_tokens",
    "cost_usd",
    "reported_usd",
    "computed_usd",
    "billed_usd",
    "baseline_usd",
)
_PLACE = {name: place for place, name in enumerate(MEASURES)}
_BASIS = {basis: _PLACE[f"basis_{basis}"] for basis in ("billed", "computed", "reported")}
_BILLABLE, _PRICED, _QUARANTINED = _PLACE["billable"], _PLACE["priced"], _PLACE["quarantined"]
_CACHE_READ, _BASELINE = _PLACE["cache_read_tokens"], _PLACE["baseline_success_usd"]
_REPORTED, _COMPUTED, _BILLED = _PLACE["reported_usd"], _PLACE["computed_usd"], _PLACE["billed_usd"]
_QUARANTINED_USD = _PLACE["quarantined_usd"]


def _count(cell: Cell, operation: Operation, sign: int) -> None:
    """Add one operation to its cell. Every commit passes here while somebody watches: only what is known is touched."""
    (
        kind,
        status,
        outcome,
        duration_ms,
        basis,
        quarantine,
        tokens_in,
        tokens_cached,
        tokens_out,
        cost,
        reported,
        computed,
        billed,
        baseline,
    ) = _counted(operation)
    sums = cell.sums
    sums[OPERATIONS] += sign
    if status == "error":
        sums[ERRORS] += sign
    if tokens_in:
        sums[INPUT_TOKENS] += tokens_in * sign
    if tokens_cached:
        sums[_CACHE_READ] += tokens_cached * sign
    if tokens_out:
        sums[OUTPUT_TOKENS] += tokens_out * sign
    if kind == "llm":
        sums[_BILLABLE] += sign
        if duration_ms is not None:
            bin = bin_of(duration_ms)
            count = cell.bins.get(bin, 0) + sign
            if count:
                cell.bins[bin] = count
            else:
                del cell.bins[bin]
        if cost is not None:
            sums[_PRICED] += sign
            if baseline and status == "ok" and outcome not in UNSUCCESSFUL_OUTCOMES:
                sums[_BASELINE] += baseline * sign
    if basis in _BASIS:
        sums[_BASIS[basis]] += sign
    if cost:
        sums[COST] += cost * sign
    if computed:
        sums[_COMPUTED] += computed * sign
    if quarantine is not None:
        sums[_QUARANTINED] += sign
        sums[_QUARANTINED_USD] += ((reported if quarantine == "reported" else billed) or ZERO) * sign
    if reported and quarantine != "reported":
        sums[_REPORTED] += reported * sign
    if billed and quarantine != "billed":
        sums[_BILLED] += billed * sign


class Cells:
    """All cells of the last 15 minutes. Not thread-safe: the hub holds its lock around every call."""

    def __init__(self) -> None:
        self._buckets: dict[int, dict[CellKey, Cell]] = {}
        self.overflowed = 0
        """Operations that found no cell of their own."""

    def add(self, operation: Operation, sign: int, now_us: int) -> int | None:
        """Add (`sign` 1) or take out (-1) an operation; its bucket's start, or None when it is not of these minutes."""
        started_at = operation.started_at
        if started_at <= now_us - WINDOW_US - BUCKET_US or started_at > now_us + AHEAD_US:
            return None
        start = started_at // BUCKET_US * BUCKET_US
        bucket = self._buckets.get(start)
        if bucket is None:
            bucket = self._buckets[start] = {}
        key = _key_of(operation)
        cell = bucket.get(key)
        if cell is None:
            cell = self._cell(bucket, key)
        _count(cell, operation, sign)
        return start

    def _cell(self, bucket: dict[CellKey, Cell], key: CellKey) -> Cell:
        """The cell of a key; a shared one when the bucket holds as many as it may."""
        cell = bucket.get(key)
        if cell is None and len(bucket) >= MAX_CELLS_PER_BUCKET:
            self.overflowed += 1
            key = (key[0], key[1], key[2], None, None, key[5], OTHER)
            cell = bucket.get(key)
            if cell is None and len(bucket) >= 2 * MAX_CELLS_PER_BUCKET:
                key = (None, None, None, None, None, key[5], OTHER)
                cell = bucket.get(key)
        if cell is None:
            cell = bucket[key] = Cell()
        return cell

    def digest(self, start: int, filters: Filters) -> Digest:
        """The cells of one bucket that the filters let through, added up."""
        digest = Digest()
        for key, cell in self._buckets.get(start, {}).items():
            if matches(filters, key):
                digest.take(key, cell)
        return digest

    def starts(self) -> Iterator[int]:
        return iter(list(self._buckets))

    def forget_before(self, start: int) -> None:
        for old in [bucket for bucket in self._buckets if bucket < start]:
            del self._buckets[old]

    def load(self, store: Store, now_us: int) -> None:
        """Start over with what a store holds of the last 15 minutes. Costs two aggregations of those minutes."""
        self._buckets = {}
        bounds = {"low": now_us - WINDOW_US, "high": now_us + AHEAD_US}
        groups = KEY_FIELDS
        # the operations themselves, not the rollups: those may be a second behind
        rows = store.query(
            f"select started_at // {BUCKET_US} * {BUCKET_US} as start_us, {', '.join(groups)}, "
            f"{', '.join(STORED_MEASURES[name][1] for name in MEASURES)} "
            "from operations where started_at >= $low and started_at < $high group by all",
            bounds,
        )
        for start, *row in rows:
            key, sums = _key(row[: len(groups)]), row[len(groups) :]
            cell = self._cell(self._buckets.setdefault(start, {}), key)
            add_sums(cell.sums, sums, 1)
        histograms = store.query(
            f"select started_at // {BUCKET_US} * {BUCKET_US} as start_us, {', '.join(groups)}, duration_bin, count(*) "
            "from operations where started_at >= $low and started_at < $high and kind = 'llm' "
            "and duration_bin is not null group by all",
            bounds,
        )
        for start, *row in histograms:
            cell = self._cell(self._buckets.setdefault(start, {}), _key(row[: len(groups)]))
            add_bins(cell.bins, {row[-2]: row[-1]}, 1)


def matches(filters: Filters, key: CellKey | tuple[str | None, ...]) -> bool:
    """Whether the filters let a key through, whose first five parts are those of `Filters`. "" is "not known"."""
    for values, value in (
        (filters.project, key[0]),
        (filters.model, key[1]),
        (filters.tier, key[2]),
        (filters.user_id, key[3]),
        (filters.session_id, key[4]),
    ):
        if values and (value or "") not in values:
            return False
    return True


TodayKey = tuple[str | None, str | None, str | None, str | None, str | None]
_today_key_of = attrgetter(*KEY_FIELDS[:5])

MAX_TODAY_KEYS = 20_000


def _key(columns: Sequence[Any]) -> CellKey:
    project, model, tier, user_id, session_id, kind, name = columns
    return project, model, tier, user_id, session_id, kind, name


class Today:
    """Spend since local midnight per combination of filters."""

    def __init__(self) -> None:
        self.day_start_us = 0
        self.day_end_us = 0
        self._sums: dict[TodayKey, list[Any]] = {}
        self._all: list[Any] = [ZERO, 0, 0]

    def begin(self, day_start_us: int, day_end_us: int) -> None:
        """Start a day with nothing spent."""
        self.day_start_us, self.day_end_us = day_start_us, day_end_us
        self._sums = {}
        self._all = [ZERO, 0, 0]

    def load(self, store: Store) -> None:
        """Start over with what a store holds of the day."""
        self.begin(self.day_start_us, self.day_end_us)
        rows = store.query(
            f"select {', '.join(KEY_FIELDS[:5])}, sum(cost_usd), count(*), count(cost_usd) from operations "
            "where kind = 'llm' and started_at >= $low and started_at < $high group by all",
            {"low": self.day_start_us, "high": self.day_end_us},
        )
        for *key, cost, billable, priced in rows:
            self._add((key[0], key[1], key[2], key[3], key[4]), cost or ZERO, billable, priced)

    def add(self, operation: Operation, sign: int) -> bool:
        """Add or take out an operation; returns whether it was of today."""
        if operation.kind != "llm" or not self.day_start_us <= operation.started_at < self.day_end_us:
            return False
        cost = operation.cost_usd
        if cost is None:
            self._add(_today_key_of(operation), ZERO, sign, 0)
        else:
            self._add(_today_key_of(operation), cost if sign == 1 else -cost, sign, sign)
        return True

    def _add(self, key: TodayKey, cost: Decimal, billable: int, priced: int) -> None:
        sums = self._sums.get(key)
        if sums is None:
            if len(self._sums) >= MAX_TODAY_KEYS:
                key = (key[0], key[1], key[2], None, None)
            sums = self._sums.setdefault(key, [ZERO, 0, 0])
        for held in (sums, self._all):
            held[0] += cost
            held[1] += billable
            held[2] += priced

    def total(self, filters: Filters) -> tuple[Decimal, int, int]:
        """(cost, billable calls, those with a known cost) of what the filters let through."""
        if not filters.items():
            return self._all[0], self._all[1], self._all[2]
        cost, billable, priced = ZERO, 0, 0
        for key, sums in self._sums.items():
            if matches(filters, key):
                cost += sums[0]
                billable += sums[1]
                priced += sums[2]
        return cost, billable, priced

"""Questions of a statement: what each model of each provider cost per day, and where two claims of a call differ.

Read from the operations themselves, because a day of a statement may be a local one, and because differences are of
calls that have both claims. Rows are of calls to models only.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal, NamedTuple

from ralex_core.model.operation import Operation
from ralex_core.model.window import Window
from ralex_core.storage.schema import MEASURES, MONEY
from ralex_core.storage.telemetry import Store

Witness = Literal["billed", "reported"]
WITNESSES: tuple[Witness, ...] = ("billed", "reported")
"""Whose claims are compared with the computed cost."""

ROUNDING_USD = Decimal("0.000001")
ROUNDING_RATIO = Decimal("0.001")
"""Two amounts are the same but for rounding when they are no further apart than either of these (the ratio: of the
computed cost). Providers and clients round to six decimals or fewer."""

_SUMMED = (
    "billable",
    "priced",
    "basis_billed",
    "basis_computed",
    "basis_reported",
    "input_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "output_tokens",
    "reasoning_tokens",
    "cost_usd",
    "billed_usd",
    "computed_usd",
    "reported_usd",
    "quarantined",
    "quarantined_usd",
)

_SAYS_NOTHING = "reported_usd = 0 and not coalesce(input_tokens = 0 and output_tokens = 0, false)"
"""As `pricing.claims.is_claim`: clients write 0 for a price they do not know."""


def _both(witness: Witness) -> str:
    """Calls of which the witness and the price book each say something that counts."""
    condition = f"{witness}_usd is not null and computed_usd is not null and quarantine is distinct from '{witness}'"
    return f"{condition} and not ({_SAYS_NOTHING})" if witness == "reported" else condition


@dataclass(frozen=True, slots=True)
class Compared:
    """The claims of one witness beside what the price book says of the same calls."""

    calls: int
    claimed_usd: Decimal
    computed_usd: Decimal

    @property
    def difference_usd(self) -> Decimal:
        """Claimed − computed: positive when the witness asks more."""
        return self.claimed_usd - self.computed_usd


@dataclass(frozen=True, slots=True)
class Sums:
    """What calls add up to. Money is USD; quarantined claims are in `quarantined_usd` only.

    `billed_calls` and its like count the calls of which a witness says something that counts: a sum over none of them
    is not known, not 0. `silent` counts calls whose client wrote a cost of 0 without meaning it. `billed` and
    `reported` compare over calls that have both claims.
    """

    calls: int
    priced: int
    basis_billed: int
    basis_computed: int
    basis_reported: int
    input_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    output_tokens: int
    reasoning_tokens: int
    cost_usd: Decimal
    billed_usd: Decimal
    computed_usd: Decimal
    reported_usd: Decimal
    quarantined: int
    quarantined_usd: Decimal
    billed_calls: int
    computed_calls: int
    reported_calls: int
    silent: int
    billed: Compared
    reported: Compared

    @property
    def coverage_ratio(self) -> float | None:
        """Calls with a known cost ÷ calls; None without calls."""
        return self.priced / self.calls if self.calls else None

    @property
    def basis_unknown(self) -> int:
        return self.calls - self.priced


class DaySums(NamedTuple):
    """One model of one provider on one day; `None` names are not known."""

    day_us: int
    provider: str | None
    model: str | None
    sums: Sums


def added(parts: Iterable[Sums]) -> Sums:
    """The sums of all parts; zeros without any."""
    listed = list(parts)
    values: dict[str, Any] = {
        name: sum((getattr(part, name) for part in listed), Decimal(0) if name.endswith("_usd") else 0)
        for name in Sums.__slots__
        if name not in WITNESSES
    }
    billed, reported = (_added([part.billed for part in listed]), _added([part.reported for part in listed]))
    return Sums(**values, billed=billed, reported=reported)


def _added(parts: Sequence[Compared]) -> Compared:
    return Compared(
        sum(part.calls for part in parts),
        sum((part.claimed_usd for part in parts), Decimal(0)),
        sum((part.computed_usd for part in parts), Decimal(0)),
    )


def statement_sums(store: Store, days: Sequence[Window]) -> list[DaySums]:
    """Sums per day, provider and model, by day, then by names; days must not overlap. Days without calls are absent."""
    if not days:
        return []
    selected = [f"{MEASURES[name][1]} as {name}" for name in _SUMMED]
    selected += [
        "count(billed_usd) filter (quarantine is distinct from 'billed')",
        "count(computed_usd)",
        f"count(reported_usd) filter (quarantine is distinct from 'reported' and not ({_SAYS_NOTHING}))",
        f"count(*) filter ({_SAYS_NOTHING})",
    ]
    for witness in WITNESSES:
        both = _both(witness)
        selected.append(f"count(*) filter ({both})")
        selected += [
            f"coalesce(sum({name}) filter ({both}), 0)::{MONEY}" for name in (f"{witness}_usd", "computed_usd")
        ]
    rows = store.query(
        "with days as (select unnest($starts::BIGINT[]) as day_start, unnest($ends::BIGINT[]) as day_end) "
        f"select day_start, provider, model, {', '.join(selected)} "
        "from operations join days on started_at >= day_start and started_at < day_end "
        "where started_at >= $low and started_at < $high and kind = 'llm' "
        "group by day_start, provider, model order by day_start, provider, model",
        {
            "starts": [day.start_us for day in days],
            "ends": [day.end_us for day in days],
            "low": min(day.start_us for day in days),
            "high": max(day.end_us for day in days),
        },
    )
    return [
        DaySums(row[0], row[1], row[2], Sums(*row[3:-6], billed=Compared(*row[-6:-3]), reported=Compared(*row[-3:])))
        for row in rows
    ]


def differing_calls(store: Store, window: Window, witness: Witness, limit: int) -> list[Operation]:
    """Calls whose claim is not the computed cost even but for rounding, furthest apart first, at most `limit`."""
    apart = f"abs({witness}_usd - computed_usd)"
    rows = store.query(
        f"select {', '.join(Operation._fields)} from operations "
        f"where started_at >= $low and started_at < $high and kind = 'llm' and {_both(witness)} "
        f"and {apart} > $least and {apart} > computed_usd * $ratio "
        f"order by {apart} desc, operation_id limit {int(limit)}",
        _rounding() | {"low": window.start_us, "high": window.end_us},
    )
    return [Operation._make(row) for row in rows]


def differing_count(store: Store, window: Window, witness: Witness) -> int:
    """How many calls `differing_calls` would list without a limit."""
    apart = f"abs({witness}_usd - computed_usd)"
    return store.query(
        "select count(*) from operations "
        f"where started_at >= $low and started_at < $high and kind = 'llm' and {_both(witness)} "
        f"and {apart} > $least and {apart} > computed_usd * $ratio",
        _rounding() | {"low": window.start_us, "high": window.end_us},
    )[0][0]


def _rounding() -> dict[str, Any]:
    return {"least": ROUNDING_USD, "ratio": ROUNDING_RATIO}


def quarantined_calls(store: Store, window: Window, limit: int) -> list[Operation]:
    """Calls with a claim in quarantine, largest claim first, at most `limit`."""
    rows = store.query(
        f"select {', '.join(Operation._fields)} from operations "
        "where started_at >= $low and started_at < $high and kind = 'llm' and quarantine is not null "
        "order by case quarantine when 'billed' then billed_usd else reported_usd end desc, operation_id "
        f"limit {int(limit)}",
        {"low": window.start_us, "high": window.end_us},
    )
    return [Operation._make(row) for row in rows]

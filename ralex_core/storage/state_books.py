"""What closing the books keeps in the state store: accepted claims, reconciliations, the look-ups of single calls."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Literal

import sqlalchemy as sa

from ralex_core.model.money import decimal_text
from ralex_core.storage import state_tables as tables
from ralex_core.storage.state import StateStore

ACCEPTED = "accept-claim"
"""The action under which a person's decision about a quarantined claim is in the audit log."""
KEPT_RUNS = 200

RunState = Literal["running", "done", "interrupted", "failed"]
FindingState = Literal["agrees", "explained", "unexplained"]
LookupOutcome = Literal["billed", "not_found", "unclear"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What a provider says of a UTC period (of one model; `model` empty: of all) beside what is stored."""

    source: Literal["key", "activity"]
    period: str
    """A date, or `day`, `week`, `month`: the window of that name up to when it was asked."""
    model: str
    start_at: int
    end_at: int
    theirs_usd: Decimal
    ours_usd: Decimal
    theirs_calls: int | None
    ours_calls: int
    state: FindingState
    explanation: str

    @property
    def difference_usd(self) -> Decimal:
        """Theirs − ours: positive when the provider asks more than what is stored."""
        return self.theirs_usd - self.ours_usd


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """One run. Counts are of calls; `remaining` ones wait for a later run."""

    id: int
    started_at: int
    finished_at: int | None
    trigger: str
    state: RunState
    message: str | None
    looked_up: int = 0
    billed: int = 0
    not_found: int = 0
    unclear: int = 0
    remaining: int = 0
    before_usd: Decimal = Decimal(0)
    after_usd: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class Lookup:
    """What became of asking for one call's bill."""

    generation_id: str
    operation_id: str
    asked_at: int
    next_at: int | None
    """When it is asked again; None: it is not."""
    tries: int
    outcome: LookupOutcome
    billed_usd: Decimal | None = None
    is_byok: bool | None = None
    upstream: str | None = None


def accepted_claims(state: StateStore) -> dict[str, str]:
    """Operation → which of its claims (billed, reported) a person has taken back into the totals."""
    statement = (
        sa.select(tables.audit.c.subject, tables.audit.c.detail)
        .where(tables.audit.c.action == ACCEPTED)
        .order_by(tables.audit.c.id)
    )
    with state.reading() as connection:
        return {row.subject: (row.detail or "").partition(" ")[0] for row in connection.execute(statement)}


class StoredReconciliations:
    """Runs, findings and look-ups. Any thread may use it."""

    def __init__(self, state: StateStore) -> None:
        self._state = state

    def begin(self, started_at: int, trigger: str) -> Reconciliation:
        """A new run. One that a process before us did not finish is closed as interrupted."""
        run = Reconciliation(0, started_at, None, trigger, "running", None)
        table = tables.reconciliations
        with self._state.writing() as connection:
            connection.execute(
                sa.update(table)
                .where(table.c.state == "running")
                .values(state="interrupted", finished_at=started_at, message="The monitor was stopped meanwhile.")
            )
            row = _row(run)
            del row["id"]
            made = connection.execute(sa.insert(table).values(**row)).inserted_primary_key
            assert made is not None  # noqa: S101 - an insert of one row has a key
            number = int(made[0])
            connection.execute(sa.delete(table).where(table.c.id <= number - KEPT_RUNS))
        return replace(run, id=number)

    def save(self, run: Reconciliation) -> None:
        """Keep how far a run is."""
        row = _row(run)
        with self._state.writing() as connection:
            connection.execute(
                sa.update(tables.reconciliations).where(tables.reconciliations.c.id == run.id).values(**row)
            )

    def add_findings(self, run: Reconciliation, found: Sequence[Finding]) -> None:
        rows = [{"run_id": run.id, **_row(one)} for one in found]
        if rows:
            with self._state.writing() as connection:
                connection.execute(sa.insert(tables.findings), rows)

    def runs(self, limit: int = 20) -> list[Reconciliation]:
        """The latest ones, newest first."""
        table = tables.reconciliations
        with self._state.reading() as connection:
            rows = connection.execute(sa.select(table).order_by(table.c.id.desc()).limit(limit)).mappings()
            return [Reconciliation(**_money(dict(row))) for row in rows]

    def findings(self, run_id: int) -> list[Finding]:
        """By source, period and model."""
        table = tables.findings
        order = (table.c.source, table.c.start_at, table.c.period, table.c.model)
        with self._state.reading() as connection:
            rows = connection.execute(sa.select(table).where(table.c.run_id == run_id).order_by(*order)).mappings()
            return [Finding(**_money({name: row[name] for name in row if name != "run_id"})) for row in rows]

    def save_lookups(self, found: Sequence[Lookup]) -> None:
        if found:
            with self._state.writing() as connection:
                connection.execute(tables.upsert(tables.lookups), [_row(one) for one in found])

    def lookups(self, generation_ids: Collection[str]) -> dict[str, Lookup]:
        """Those of these calls that were asked for."""
        table, wanted = tables.lookups, list(generation_ids)
        found: dict[str, Lookup] = {}
        with self._state.reading() as connection:
            for start in range(0, len(wanted), 500):
                chosen = table.c.generation_id.in_(wanted[start : start + 500])
                for row in connection.execute(sa.select(table).where(chosen)).mappings():
                    found[row["generation_id"]] = Lookup(**_money(dict(row)))
        return found


_MONEY = ("theirs_usd", "ours_usd", "before_usd", "after_usd", "billed_usd")


def _row(value: Any) -> dict[str, Any]:
    """The fields of a dataclass as columns: amounts as decimal text."""
    row = {name: getattr(value, name) for name in value.__slots__}
    return {name: decimal_text(item) if isinstance(item, Decimal) else item for name, item in row.items()}


def _money(row: dict[str, Any]) -> dict[str, Any]:
    return {name: Decimal(value) if name in _MONEY and value is not None else value for name, value in row.items()}

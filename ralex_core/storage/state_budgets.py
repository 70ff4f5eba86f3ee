"""The list of budgets in the state store. Every change leaves an entry in the audit log, in the same transaction."""

from __future__ import annotations

import dataclasses
import json
import secrets
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from ralex_core.budgeting.budget import Budget, checked
from ralex_core.clock import Clock
from ralex_core.errors import InvalidBudget
from ralex_core.model.money import decimal_text
from ralex_core.storage.state import StateStore
from ralex_core.storage.state_tables import audit
from ralex_core.storage.state_tables import budgets as table

MAX_BUDGETS = 200
KEPT_DELETED = 100
"""Deleted budgets that can be brought back, the latest. A number and not an age, which a clock that is ahead would make
of all of them."""

_FIELDS = tuple(field.name for field in dataclasses.fields(Budget))
_MONEY = ("soft_usd", "hard_usd")


class StoredBudgets:
    """Reads and writes budgets. Any thread may use it."""

    def __init__(self, state: StateStore, clock: Clock) -> None:
        self._state = state
        self._clock = clock

    def all(self) -> list[Budget]:
        """Every budget that is not deleted, in the order they were made."""
        with self._state.reading() as connection:
            return _current(connection)

    def get(self, budget_id: str) -> Budget | None:
        return next((budget for budget in self.all() if budget.id == budget_id), None)

    def deleted(self, budget_id: str) -> Budget | None:
        """A budget that was deleted and can be brought back."""
        statement = sa.select(table).where(table.c.id == budget_id, table.c.deleted_at.is_not(None))
        with self._state.reading() as connection:
            row = connection.execute(statement).mappings().first()
        return None if row is None else _budget(row)

    def add(self, budget: Budget) -> Budget:
        """Keep a new budget, under an id that is chosen for it.

        Raises:
            InvalidBudget: it makes no sense, its name is taken, or there are `MAX_BUDGETS` already.
        """
        made = dataclasses.replace(checked(budget), id=secrets.token_hex(6))
        now = self._clock.now_us()
        with self._state.writing() as connection:
            _require_room(connection, made)
            connection.execute(sa.insert(table).values(**_row(made), created_at=now, updated_at=now))
            self._note(connection, "add_budget", made)
        return made

    def change(self, budget: Budget) -> Budget | None:
        """Replace the budget of that id; None when there is none.

        Raises:
            InvalidBudget: it makes no sense, or its new name is taken.
        """
        checked(budget)
        with self._state.writing() as connection:
            known = {other.id for other in _current(connection)}
            if budget.id not in known:
                return None
            _require_free_name(connection, budget)
            values = {**_row(budget), "updated_at": self._clock.now_us()}
            connection.execute(sa.update(table).where(table.c.id == budget.id).values(**values))
            self._note(connection, "change_budget", budget)
        return budget

    def delete(self, budget_id: str) -> Budget | None:
        """Delete a budget; None when there is none. The last `KEPT_DELETED` can be brought back."""
        now = self._clock.now_us()
        with self._state.writing() as connection:
            found = next((budget for budget in _current(connection) if budget.id == budget_id), None)
            if found is None:
                return None
            connection.execute(sa.update(table).where(table.c.id == budget_id).values(deleted_at=now))
            deleted = sa.select(table.c.id).where(table.c.deleted_at.is_not(None), table.c.id != budget_id)
            latest = deleted.order_by(table.c.deleted_at.desc(), table.c.id).limit(KEPT_DELETED - 1)
            gone = table.c.id.not_in(latest), table.c.id != budget_id
            connection.execute(sa.delete(table).where(table.c.deleted_at.is_not(None), *gone))
            self._note(connection, "delete_budget", found)
        return found

    def restore(self, budget_id: str) -> Budget | None:
        """Bring a deleted budget back; None when there is none.

        Raises:
            InvalidBudget: another one has its name now, or there are `MAX_BUDGETS`.
        """
        found = self.deleted(budget_id)
        if found is None:
            return None
        with self._state.writing() as connection:
            _require_room(connection, found)
            values = {"deleted_at": None, "updated_at": self._clock.now_us()}
            connection.execute(sa.update(table).where(table.c.id == budget_id).values(**values))
            self._note(connection, "restore_budget", found)
        return found

    def _note(self, connection: sa.Connection, action: str, budget: Budget) -> None:
        detail = {name: value for name, value in _row(budget).items() if value is not None and name != "id"}
        row = {
            "at": self._clock.now_us(),
            "action": action,
            "subject": budget.id,
            "detail": json.dumps(detail, sort_keys=True),
        }
        connection.execute(sa.insert(audit), row)


def _current(connection: sa.Connection) -> list[Budget]:
    statement = sa.select(table).where(table.c.deleted_at.is_(None)).order_by(table.c.created_at, table.c.id)
    return [_budget(row) for row in connection.execute(statement).mappings()]


def _require_room(connection: sa.Connection, budget: Budget) -> None:
    if len(_current(connection)) >= MAX_BUDGETS:
        raise InvalidBudget("name", f"there are {MAX_BUDGETS} budgets already; delete one first")
    _require_free_name(connection, budget)


def _require_free_name(connection: sa.Connection, budget: Budget) -> None:
    name = budget.name.strip().casefold()
    if any(other.id != budget.id and other.name.strip().casefold() == name for other in _current(connection)):
        raise InvalidBudget("name", f"another budget is called {budget.name!r} already; choose another name")


def _row(budget: Budget) -> dict[str, Any]:
    values = {name: getattr(budget, name) for name in _FIELDS}
    return values | {name: decimal_text(values[name]) for name in _MONEY}


def _budget(row: sa.RowMapping) -> Budget:
    values: dict[str, Any] = {name: row[name] for name in _FIELDS}
    for name in _MONEY:
        values[name] = None if values[name] is None else Decimal(values[name])
    return Budget(**values)

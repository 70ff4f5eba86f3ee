from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from ralex_core.budgeting.budget import Budget
from ralex_core.clock import ManualClock
from ralex_core.errors import InvalidBudget
from ralex_core.storage.state import StateStore
from ralex_core.storage.state_budgets import MAX_BUDGETS, StoredBudgets

TEAM = Budget("", "Team", "day", scope="project", value="shop", soft_usd=Decimal("1.10"), hard_usd=Decimal(5))


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def state(tmp_path: Path, clock: ManualClock) -> Iterator[StateStore]:
    made = StateStore(tmp_path / "state.sqlite", clock)
    yield made
    made.close()


@pytest.fixture
def budgets(state: StateStore, clock: ManualClock) -> StoredBudgets:
    return StoredBudgets(state, clock)


def test_a_budget_comes_back_as_it_was_given_to_the_cent(budgets: StoredBudgets) -> None:
    exact = dataclasses.replace(TEAM, hard_usd=Decimal("5.000000000000000001"), timezone="Europe/Berlin")
    made = budgets.add(exact)
    assert made == dataclasses.replace(exact, id=made.id)
    assert budgets.all() == [made]
    assert budgets.get(made.id) == made
    assert budgets.get("other") is None


def test_names_are_kept_apart_whatever_their_case(budgets: StoredBudgets) -> None:
    first = budgets.add(TEAM)
    with pytest.raises(InvalidBudget, match="another budget is called 'TEAM' already"):
        budgets.add(dataclasses.replace(TEAM, name="TEAM"))
    second = budgets.add(dataclasses.replace(TEAM, name="Other"))
    with pytest.raises(InvalidBudget, match="choose another name"):
        budgets.change(dataclasses.replace(second, name="team "))
    assert budgets.change(dataclasses.replace(first, hard_usd=Decimal(9))) is not None


def test_a_budget_that_makes_no_sense_is_not_kept(budgets: StoredBudgets) -> None:
    made = budgets.add(TEAM)
    for wrong in (dataclasses.replace(TEAM, name="x", hard_usd=Decimal(0)), dataclasses.replace(made, period="year")):
        with pytest.raises(InvalidBudget):
            budgets.add(wrong)
        with pytest.raises(InvalidBudget):
            budgets.change(wrong)
    assert budgets.all() == [made]


def test_the_last_hundred_that_were_deleted_can_be_brought_back(budgets: StoredBudgets, clock: ManualClock) -> None:
    made: list[str] = []
    for number in range(102):
        made.append(budgets.add(dataclasses.replace(TEAM, name=f"b{number}")).id)
        clock.advance(1)
        budgets.delete(made[-1])
    assert [budgets.deleted(one) is None for one in made[:3]] == [True, True, False]
    assert budgets.deleted(made[-1]) is not None


def test_what_is_deleted_can_be_brought_back_whatever_the_clock(budgets: StoredBudgets, clock: ManualClock) -> None:
    made, other = budgets.add(TEAM), budgets.add(dataclasses.replace(TEAM, name="Other"))
    assert budgets.delete(made.id) == made
    assert budgets.all() == [other]
    assert budgets.deleted(made.id) == made
    assert budgets.delete(made.id) is None
    assert budgets.change(made) is None
    assert budgets.restore(made.id) == made
    assert budgets.restore(made.id) is None
    assert {budget.name for budget in budgets.all()} == {"Team", "Other"}
    budgets.delete(made.id)
    taken = budgets.add(TEAM)
    with pytest.raises(InvalidBudget, match="called 'Team' already"):
        budgets.restore(made.id)
    clock.advance(400 * 86400)
    budgets.delete(taken.id)
    assert budgets.restore(made.id) == made


def test_every_change_is_in_the_audit_log(budgets: StoredBudgets, state: StateStore) -> None:
    made = budgets.add(TEAM)
    budgets.change(dataclasses.replace(made, soft_usd=None))
    budgets.delete(made.id)
    budgets.restore(made.id)
    log = state.audit_log()[::-1]
    assert [(entry.action, entry.subject) for entry in log] == [
        (f"{what}_budget", made.id) for what in ("add", "change", "delete", "restore")
    ]
    assert json.loads(log[0].detail or "") == {
        "name": "Team", "period": "day", "scope": "project", "value": "shop", "soft_usd": "1.1", "hard_usd": "5",
    }  # fmt: skip


def test_there_is_an_end_to_the_list(budgets: StoredBudgets, state: StateStore) -> None:
    from ralex_core.storage.state_tables import budgets as table

    with state.writing() as connection:
        rows = [
            {"id": f"{n}", "name": f"b{n}", "scope": "all", "period": "day", "hard_usd": "1"}
            | {"created_at": n, "updated_at": n}
            for n in range(MAX_BUDGETS)
        ]
        connection.execute(table.insert(), rows)
    with pytest.raises(InvalidBudget, match="there are 200 budgets already"):
        budgets.add(TEAM)

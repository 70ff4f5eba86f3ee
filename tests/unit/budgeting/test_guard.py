"""The guard, one situation at a time."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from ralex_core.budgeting.budget import Budget, CallScope
from ralex_core.budgeting.guard import BudgetGuard
from ralex_core.clock import ManualClock
from ralex_core.errors import BudgetExceeded
from ralex_core.model.operation import Operation

NOON = round(datetime(2026, 3, 10, 12, tzinfo=UTC).timestamp() * 1e6)
ANY = CallScope()


def usd(text: str) -> Decimal:
    return Decimal(text)


def day(limit: str = "1", **changes: object) -> Budget:
    return Budget(**{"id": "b", "name": "Budget", "period": "day", "hard_usd": usd(limit), **changes})  # type: ignore[arg-type]


def guard_of(*budgets: Budget, clock: ManualClock | None = None, hears_commits: bool = True) -> BudgetGuard:
    return BudgetGuard(budgets, clock=clock or ManualClock(NOON), hears_commits=hears_commits)


def committed(identifier: str, cost: str | None, at_us: int = NOON, **changes: object) -> Operation:
    return Operation(identifier, "llm", "call", at_us, cost_usd=None if cost is None else usd(cost), **changes)  # type: ignore[arg-type]


def spent(guard: BudgetGuard) -> Decimal:
    return guard.levels()[0].spent_usd


def test_a_limit_may_be_reached_and_not_passed() -> None:
    guard = guard_of(day())
    guard.reserve(ANY, usd("0.4"))
    guard.reserve(ANY, usd("0.6"))
    with pytest.raises(BudgetExceeded) as refused:
        guard.reserve(ANY, usd("0.000000000000000001"))
    error = refused.value
    assert (error.budget, error.budget_id, error.limit_usd, error.spent_usd, error.reserved_usd) == (
        "Budget",
        "b",
        1,
        0,
        1,
    )
    assert error.resets_at_us == round(datetime(2026, 3, 11, tzinfo=UTC).timestamp() * 1e6)
    assert "allows $1.00 per day for everything" in str(error)
    assert "There is room again at 2026-03-11 00:00 UTC" in str(error)


def test_a_call_dearer_than_the_budget_never_fits_and_is_told_so() -> None:
    with pytest.raises(BudgetExceeded, match="more than the whole budget") as refused:
        guard_of(day()).reserve(ANY, usd("1.5"))
    assert refused.value.resets_at_us is None


def test_a_soft_limit_warns_and_lets_the_call_go() -> None:
    guard = guard_of(day(soft_usd=usd("0.5"), hard_usd=None))
    assert guard.reserve(ANY, usd("0.5")).warnings == ()
    (warning,) = guard.reserve(ANY, usd("0.1")).warnings
    assert "'Budget' warns at $0.500 per day" in warning


def test_only_budgets_of_the_call_are_asked() -> None:
    budgets = [
        day("0.1", id=scope, name=scope, scope=scope, value=value)
        for scope, value in (
            ("project", "shop"),
            ("user", "ann"),
            ("model", "gpt-5*"),
            ("tier", "premium"),
            ("key", "ci"),
        )
    ]
    guard = guard_of(*budgets)
    free = CallScope("other", "bob", "claude-opus-4-5", "cheap", "laptop")
    guard.reserve(free, usd("5"))
    for field, value in (
        ("project", "shop"),
        ("user_id", "ann"),
        ("model", "gpt-5-mini"),
        ("tier", "premium"),
        ("key", "ci"),
    ):
        with pytest.raises(BudgetExceeded) as refused:
            guard.reserve(free._replace(**{field: value}), usd("0.2"))
        assert refused.value.budget_id in (field, "user")


def test_a_refused_call_holds_nothing_in_any_budget() -> None:
    guard = guard_of(day("10", id="wide"), day("0.1", id="narrow", scope="project", value="shop"))
    with pytest.raises(BudgetExceeded):
        guard.reserve(CallScope("shop"), usd("1"))
    assert [level.reserved_usd for level in guard.levels()] == [0, 0]


def test_a_commit_takes_the_place_of_what_was_settled() -> None:
    guard = guard_of(day())
    reservation = guard.reserve(ANY, usd("0.5"))
    guard.settle(reservation, usd("0.2"), "op")
    assert spent(guard) == usd("0.2")
    guard.hear([committed("op", "0.21")])  # the store's word is the last one
    assert spent(guard) == usd("0.21")
    guard.settle(reservation, usd("0.2"), "op")
    guard.release(reservation)
    assert spent(guard) == usd("0.21")


def test_a_commit_that_is_heard_before_its_settlement_counts_once() -> None:
    guard = guard_of(day())
    reservation = guard.reserve(ANY, usd("0.5"))
    guard.hear([committed("op", "0.2")])
    guard.settle(reservation, usd("0.2"), "op")
    assert (spent(guard), guard.levels()[0].reserved_usd) == (usd("0.2"), 0)


def test_reading_the_store_again_forgets_nothing_that_is_not_in_it() -> None:
    guard = guard_of(day())
    guard.settle(guard.reserve(ANY, usd("0.5")), usd("0.2"), "spooled")
    guard.reserve(ANY, usd("0.1"))
    guard.load([day()], lambda budget, window: [(NOON, usd("0.3"))])
    level = guard.levels()[0]
    assert (level.spent_usd, level.reserved_usd) == (usd("0.5"), usd("0.1"))
    guard.hear([committed("spooled", "0.2")])
    assert spent(guard) == usd("0.5")


def test_an_unknown_cost_counts_at_the_reserve_until_it_is_known() -> None:
    guard = guard_of(day())
    guard.settle(guard.reserve(ANY, usd("0.5")), None, "op")
    guard.hear([committed("op", None)])
    assert spent(guard) == usd("0.5")
    guard.hear([committed("op", "0.1", revision=1)])
    assert spent(guard) == usd("0.1")


def test_an_unknown_cost_counts_what_the_operation_says_was_reserved() -> None:
    guard = guard_of(day())
    guard.hear([committed("op", None, attributes=json.dumps({"reserved_usd": "0.25"}))])
    guard.hear([committed("odd", None, attributes='{"reserved_usd": "much"}')])
    guard.hear([committed("broken", None, attributes="reserved_usd {")])
    assert spent(guard) == usd("0.25")


def test_a_call_of_unknown_worst_case_goes_alone() -> None:
    guard = guard_of(day(), day("5", id="month", period="month"))
    guard.settle(guard.reserve(ANY, usd("0.3")), usd("0.3"), "a")
    reservation = guard.reserve(ANY, None)
    assert (reservation.reserved_usd, reservation.worst_known) == (usd("0.7"), False)
    with pytest.raises(BudgetExceeded, match=r"\$0\.700 is held for calls under way"):
        guard.reserve(ANY, usd("0.01"))
    with pytest.raises(BudgetExceeded, match="what this call costs at worst is not known"):
        guard.reserve(ANY, None)
    guard.settle(reservation, usd("0.01"), "b")
    assert guard.reserve(ANY, usd("0.69")).reserved_usd == usd("0.69")


def test_without_a_hard_limit_an_unknown_worst_case_holds_nothing() -> None:
    guard = guard_of(day(soft_usd=usd("1"), hard_usd=None))
    assert guard.reserve(ANY, None).reserved_usd == 0
    assert guard.reserve(ANY, None).reserved_usd == 0


def test_a_reservation_that_nobody_settles_counts_as_spent() -> None:
    clock = ManualClock(NOON)
    guard = BudgetGuard([day()], clock=clock, hears_commits=True, expires_s=600)
    reservation = guard.reserve(ANY, usd("0.4"))
    clock.advance(599)
    assert guard.levels()[0].reserved_usd == usd("0.4")
    clock.advance(1)
    level = guard.levels()[0]
    assert (level.spent_usd, level.reserved_usd) == (usd("0.4"), 0)
    guard.load([day()], lambda budget, window: [])
    assert spent(guard) == usd("0.4")
    guard.settle(reservation, usd("0.1"), "late")  # better late than never
    assert spent(guard) == usd("0.1")


def test_a_new_day_begins_with_the_whole_budget() -> None:
    clock = ManualClock(NOON)
    zone = ZoneInfo("America/New_York")
    guard = BudgetGuard([day()], clock=clock, zone=zone, hears_commits=True)
    guard.settle(guard.reserve(ANY, usd("1")), usd("1"), "a")
    late = guard.reserve(ANY, usd("0"))
    clock.advance(15 * 3600)  # 03:00 UTC is still the day before in New York
    with pytest.raises(BudgetExceeded):
        guard.reserve(ANY, usd("0.1"))
    clock.advance(3600)
    assert guard.reserve(ANY, usd("1")).reserved_usd == 1
    assert guard.stale
    guard.settle(late, usd("0.5"), "late")  # it belongs to the day it began in
    assert spent(guard) == 0
    guard.hear([committed("late", "0.5", at_us=late.at_us)])
    assert spent(guard) == 0


def test_a_rolling_budget_forgets_minute_by_minute() -> None:
    clock = ManualClock(NOON)
    budget = day(period="rolling", rolling_hours=1)
    guard = guard_of(budget, clock=clock)
    guard.settle(guard.reserve(ANY, usd("0.6")), usd("0.6"), "a")
    clock.advance(1800)
    guard.settle(guard.reserve(ANY, usd("0.4")), usd("0.4"), "b")
    with pytest.raises(BudgetExceeded, match="in any 1 hours") as refused:
        guard.reserve(ANY, usd("0.1"))
    assert refused.value.resets_at_us == NOON + 3600_000_000 + 60_000_000
    with pytest.raises(BudgetExceeded) as refused:
        guard.reserve(ANY, usd("0.7"))
    assert refused.value.resets_at_us == NOON + 5400_000_000 + 60_000_000
    clock.advance(1859)
    with pytest.raises(BudgetExceeded):
        guard.reserve(ANY, usd("0.1"))
    clock.advance(1)
    assert guard.reserve(ANY, usd("0.6")).reserved_usd == usd("0.6")


def test_what_the_store_told_of_a_rolling_budget_leaves_when_its_time_has_come() -> None:
    clock = ManualClock(NOON)
    guard = guard_of(clock=clock)
    budget = day(period="rolling", rolling_hours=48)
    guard.load([budget], lambda budget, window: [(NOON - 47 * 3600_000_000, usd("0.7")), (NOON, usd("0.2"))])
    assert spent(guard) == usd("0.9")
    clock.advance(2 * 3600)
    assert spent(guard) == usd("0.2")


def test_budgets_may_change_while_calls_are_under_way() -> None:
    guard = guard_of(day())
    first = guard.reserve(CallScope("shop"), usd("0.5"))
    guard.settle(guard.reserve(CallScope("shop"), usd("0.1")), usd("0.1"), "a")
    guard.settle(guard.reserve(CallScope("other"), usd("0.1")), None, "b")
    shop = day("0.65", id="shop", scope="project", value="shop")
    guard.load([shop], lambda budget, window: [])
    level = guard.levels()[0]
    assert (level.spent_usd, level.reserved_usd) == (usd("0.1"), usd("0.5"))
    with pytest.raises(BudgetExceeded):
        guard.reserve(CallScope("shop"), usd("0.06"))
    guard.settle(first, usd("0.2"), "c")
    assert spent(guard) == usd("0.3")


def test_an_operation_that_is_replaced_counts_once() -> None:
    guard = guard_of(day())
    guard.hear([committed("a", "0.1", revision=1)])
    assert guard.stale  # an earlier revision may be in the store
    guard.hear([committed("a", "0.3", revision=2)])
    assert spent(guard) == usd("0.3")


def test_a_call_that_moved_to_an_earlier_period_lets_the_store_be_read_again() -> None:
    guard = guard_of(day())
    guard.hear([committed("a", "0.4")])
    assert not guard.stale
    guard.hear([committed("a", "0.4", at_us=NOON - 24 * 3600_000_000, revision=1)])
    assert guard.stale


def test_what_started_in_an_earlier_period_or_is_no_call_counts_nothing() -> None:
    guard = guard_of(day())
    guard.hear(
        [committed("old", "0.5", at_us=NOON - 24 * 3600_000_000), committed("tool", "0.5")._replace(kind="tool")]
    )
    assert spent(guard) == 0


def test_an_operation_of_a_later_period_is_read_when_that_begins() -> None:
    guard = guard_of(day())
    guard.hear([committed("ahead", "0.5", at_us=NOON + 24 * 3600_000_000)])
    assert (spent(guard), guard.stale) == (0, True)


def test_a_key_budget_counts_operations_that_carry_its_label() -> None:
    guard = guard_of(day(scope="key", value="ci"))
    guard.hear(
        [
            committed("a", "0.1", attributes='{"gateway_key": "ci"}'),
            committed("b", "0.2", attributes='{"gateway_key": "laptop"}'),
            committed("c", "0.4", attributes='["gateway_key"]'),
            committed("d", "0.8"),
        ]
    )
    assert spent(guard) == usd("0.1")


def test_without_commits_what_is_settled_stays_for_its_period() -> None:
    clock = ManualClock(NOON)
    guard = guard_of(day(), clock=clock, hears_commits=False)
    for number in range(3):
        guard.settle(guard.reserve(ANY, usd("0.3")), usd("0.3"), f"{number}")
    with pytest.raises(BudgetExceeded):
        guard.reserve(ANY, usd("0.2"))
    guard.load([day("2")])
    assert spent(guard) == usd("0.9")
    clock.advance(12 * 3600)
    assert spent(guard) == 0


@pytest.mark.parametrize("worst", ["-0.01", "NaN", "Infinity"])
def test_what_is_no_amount_is_refused(worst: str) -> None:
    with pytest.raises(ValueError, match="finite number of dollars"):
        guard_of(day()).reserve(ANY, usd(worst))


def test_digits_beyond_the_eighteenth_are_rounded_up() -> None:
    guard = guard_of(day("0.000000000000000001"))
    guard.reserve(ANY, usd("1e-30"))
    with pytest.raises(BudgetExceeded):
        guard.reserve(ANY, usd("1e-30"))


def test_what_was_a_call_and_is_none_any_more_lets_the_store_be_read_again() -> None:
    guard = guard_of(day())
    guard.hear([committed("a", "0.4")])
    guard.hear([committed("other", None)._replace(kind="task", revision=1)])
    assert not guard.stale
    guard.hear([committed("a", None)._replace(kind="task", revision=1 << 40, attributes='{"counted.not":{}}')])
    assert guard.stale


def test_a_call_that_another_model_may_answer_is_held_in_its_budget_too() -> None:
    dear = day("0.5", id="dear", name="Dear", scope="model", value="dear")
    guard = guard_of(day(), dear)
    cheap, other = CallScope(model="cheap"), CallScope(model="dear")
    with pytest.raises(BudgetExceeded, match="Dear"):
        guard.reserve(cheap, usd("0.6"), [other])
    held = guard.reserve(cheap, usd("0.5"), [other])
    assert [level.reserved_usd for level in guard.levels()] == [usd("0.5")] * 2
    guard.load([day(), dear])
    assert [level.reserved_usd for level in guard.levels()] == [usd("0.5")] * 2
    guard.settle(held, usd("0.1"), "a")
    guard.hear([committed("a", "0.1", model="cheap")])
    assert [level.spent_usd for level in guard.levels()] == [usd("0.1"), 0]


def test_without_budgets_and_calls_nothing_of_a_commit_is_looked_at() -> None:
    looked_at: list[str] = []

    class Watched(Operation):
        __slots__ = ()

        def __getattribute__(self, name: str) -> object:
            looked_at.append(name)
            return super().__getattribute__(name)

    guard = guard_of()
    guard.hear([Watched(*committed("a", "0.1"))])
    assert looked_at == []
    held = guard.reserve(ANY, usd("0.1"))  # a budget may come while it is under way
    guard.hear([committed("b", "0.1")])
    guard.load([day()], lambda _budget, _window: [(NOON, usd("0.1"))])
    guard.settle(held, usd("0.1"), "b")
    assert spent(guard) == usd("0.1")

"""Budgets over a real store: what the guard is told, and what is said of each."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from ralex_core.budgeting.budget import Budget, CallScope
from ralex_core.clock import ManualClock
from ralex_core.config import Settings
from ralex_core.errors import BudgetExceeded, InvalidBudget
from ralex_core.model.window import DAY_US, HOUR_US, MINUTE_US
from ralex_core.monitoring.budget_keeper import BudgetKeeper
from ralex_core.monitoring.budgets import Budgeting
from ralex_core.pricing.book import PriceBook
from ralex_core.selfmetrics import SelfMetrics
from ralex_core.storage.duckdb_store import DuckDBStore
from ralex_core.storage.state import StateStore
from ralex_core.storage.telemetry import Amendment
from ralex_core.storage.writer import BatchWriter
from tests.support.operations import make_operation

NOON = round(datetime(2026, 6, 15, 12, tzinfo=UTC).timestamp()) * 1_000_000  # a Monday
MIDNIGHT = NOON - 12 * HOUR_US


class Monitor:
    """Stores, writer and keeper over one directory, which may be opened again."""

    def __init__(self, home: Path, clock: ManualClock, daily: str | None = None) -> None:
        self.clock = clock
        self.settings = Settings(home=home, timezone="UTC", daily_budget_usd=daily)  # type: ignore[arg-type]
        self.metrics = SelfMetrics()
        self.store = DuckDBStore(home / "t.duckdb", clock=clock)
        self.writer = BatchWriter(self.store, queue_operations=10_000, metrics=self.metrics)
        self.writer.start()
        self.state = StateStore(home / "s.sqlite", clock)
        self.keeper = BudgetKeeper(
            self.settings,
            state=self.state,
            store=self.store,
            writer=self.writer,
            clock=clock,
            metrics=self.metrics,
        )

    def spend(self, identifier: str, cost: str | None, at_us: int = NOON - HOUR_US, **changes: object) -> None:
        basis = "unknown" if cost is None else "computed"
        amount = None if cost is None else Decimal(cost)
        operation = make_operation(
            identifier, started_at=at_us, cost_usd=amount, computed_usd=amount, cost_basis=basis, **changes
        )
        self.writer.submit([operation]).result()

    def spent(self, place: int = 0) -> Decimal:
        self.writer.run(lambda: None).result()  # listeners have heard of every commit
        return self.keeper.guard.levels()[place].spent_usd

    def answers(self) -> Budgeting:
        self.writer.flush()
        return Budgeting(self.store, self.clock.now_us(), UTC, self.keeper.guard.levels())

    def close(self) -> None:
        self.writer.close()
        self.store.close()
        self.state.close()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOON)


@pytest.fixture
def monitor(tmp_path: Path, clock: ManualClock) -> Iterator[Monitor]:
    made = Monitor(tmp_path, clock)
    yield made
    made.close()


def hard(limit: str = "1", **changes: object) -> Budget:
    return Budget(**{"id": "", "name": "Budget", "period": "day", "hard_usd": Decimal(limit), **changes})  # type: ignore[arg-type]


def test_a_new_budget_begins_with_what_its_period_has_cost_already(monitor: Monitor) -> None:
    monitor.spend("yesterday", "5", MIDNIGHT - 1)
    monitor.spend("today", "0.6", MIDNIGHT)
    monitor.keeper.add(hard())
    assert monitor.spent() == Decimal("0.6")
    with pytest.raises(BudgetExceeded):
        monitor.keeper.guard.reserve(CallScope(), Decimal("0.5"))


def test_what_was_committed_a_moment_ago_is_read_though_no_rollup_tells_of_it(monitor: Monitor) -> None:
    monitor.keeper.add(hard())
    for number in range(5):
        monitor.spend(f"{number}", "0.1", NOON - number)
        monitor.keeper.reload()
        assert monitor.spent() == Decimal("0.1") * (number + 1)


def test_spending_is_the_same_after_a_restart(monitor: Monitor, tmp_path: Path) -> None:
    monitor.keeper.add(hard("1"))
    held = monitor.keeper.guard.reserve(CallScope(), Decimal("0.7"))
    monitor.keeper.guard.settle(held, None, "unknown")
    monitor.spend("unknown", None, held.at_us, attributes=json.dumps({"reserved_usd": "0.7"}))
    monitor.spend("known", "0.2")
    assert monitor.spent() == Decimal("0.9")
    monitor.close()
    again = Monitor(tmp_path, monitor.clock)
    try:
        assert again.spent() == Decimal("0.9")
        with pytest.raises(BudgetExceeded):
            again.keeper.guard.reserve(CallScope(), Decimal("0.2"))
    finally:
        again.close()


def test_each_scope_counts_its_own(monitor: Monitor) -> None:
    for name, scope, value in (
        ("p", "project", "shop"),
        ("u", "user", "ann"),
        ("m", "model", "gpt-5-mini"),
        ("t", "tier", "cheap"),
        ("k", "key", "ci"),
        ("kk", "key", "c*"),
        ("all", "all", None),
        ("none", "project", "nothing-*"),
    ):
        monitor.keeper.add(hard("100", name=name, scope=scope, value=value))
        monitor.clock.advance(1)
    monitor.spend("1", "1", project="shop")
    monitor.spend("2", "2", user_id="ann")
    monitor.spend("3", "4", model="gpt-5-mini-2025-08-07")
    monitor.spend("4", "8", tier="cheap")
    monitor.spend("5", "16", attributes='{"gateway_key": "ci"}')
    expected = [1, 2, 4, 8, 16, 16, 31, 0]
    assert [monitor.spent(place) for place in range(8)] == expected
    monitor.keeper.reload()  # the store says the same as the commits did
    assert [monitor.spent(place) for place in range(8)] == expected


def test_a_rolling_budget_reads_when_what_was_spent(monitor: Monitor, clock: ManualClock) -> None:
    monitor.spend("old", "0.5", NOON - 2 * HOUR_US + MINUTE_US)
    monitor.spend("older", "0.9", NOON - 3 * HOUR_US)
    monitor.spend("new", "0.2", NOON - MINUTE_US)
    monitor.keeper.add(hard(period="rolling", rolling_hours=2))
    assert monitor.spent() == Decimal("0.7")
    clock.advance(180)
    assert monitor.spent() == Decimal("0.2")


def test_the_store_is_read_again_when_it_must_be(monitor: Monitor, clock: ManualClock) -> None:
    monitor.keeper.add(hard("10"))
    assert not monitor.keeper.refresh()
    quarantined = {"reported_usd": Decimal(3), "quarantine": "reported"}
    monitor.spend("claimed", None, **quarantined)
    monitor.writer.amend([Amendment("claimed", accept_claim=True)]).result()
    clock.advance(29)
    assert not monitor.keeper.refresh()
    clock.advance(1)
    assert monitor.keeper.refresh()
    assert monitor.spent() == 3
    monitor.spend("again", "1", revision=1)
    monitor.writer.run(lambda: None).result()
    clock.advance(1)
    assert monitor.keeper.refresh()
    assert monitor.spent() == 4


def test_a_replaced_operation_counts_once_when_the_store_has_been_read(monitor: Monitor, clock: ManualClock) -> None:
    monitor.spend("a", "0.5")
    monitor.keeper.add(hard("10"))
    monitor.spend("a", "0.7", revision=1)
    assert monitor.keeper.guard.stale
    clock.advance(1)
    assert monitor.keeper.refresh()
    assert monitor.spent() == Decimal("0.7")


def test_the_setting_makes_a_budget_that_cannot_be_changed_here(tmp_path: Path, clock: ManualClock) -> None:
    monitor = Monitor(tmp_path, clock, daily="5")
    try:
        (built_in,) = monitor.keeper.all()
        assert (built_in.name, built_in.soft_usd, built_in.hard_usd) == ("Daily budget", 5, None)
        with pytest.raises(InvalidBudget, match="comes from the setting daily_budget_usd"):
            monitor.keeper.change(built_in)
        with pytest.raises(InvalidBudget, match="comes from the setting daily_budget_usd"):
            monitor.keeper.delete("daily")
        with pytest.raises(InvalidBudget, match="makes a budget called 'Daily budget'"):
            monitor.keeper.add(hard(name="daily BUDGET"))
    finally:
        monitor.close()


# --- how a budget stands --------------------------------------------------------------------------------------------


def a_month_of_work(monitor: Monitor, per_hour: str = "0.1") -> None:
    """Every hour of the last 28 days the same, so that every projection is known in advance."""
    operations = [
        make_operation(
            f"h{n}",
            started_at=NOON - n * HOUR_US - 30 * MINUTE_US,
            cost_usd=Decimal(per_hour),
            model="claude-opus-4-5",
            provider="anthropic",
            tier="premium",
        )
        for n in range(28 * 24)
    ]
    monitor.writer.submit(operations).result()


def test_an_even_day_ends_at_24_hours_of_its_rate(monitor: Monitor) -> None:
    a_month_of_work(monitor)
    budget = monitor.keeper.add(hard("2"))
    status = monitor.answers().status(budget)
    assert status.spent_usd == status.spend.cost_usd == Decimal("1.2")
    assert (status.remaining_usd, status.used_ratio) == (Decimal("0.8"), 0.6)
    assert status.burn_usd_per_hour == Decimal("0.1")
    assert status.projection is not None
    assert float(status.projection.mean_usd) == pytest.approx(2.4, rel=0.02)
    assert status.state == "warn"
    assert status.runs_out_at_us is not None
    assert status.runs_out_at_us == pytest.approx(NOON + 8 * HOUR_US, abs=45 * MINUTE_US)
    assert status.may_run_out_at_us is not None
    assert status.may_run_out_at_us <= status.runs_out_at_us
    assert status.fan[0].at_us == NOON
    assert status.fan[-1].at_us == MIDNIGHT + DAY_US
    assert [p.mean_usd for p in status.fan] == sorted(p.mean_usd for p in status.fan)


def test_a_limit_out_of_reach_never_runs_out(monitor: Monitor) -> None:
    a_month_of_work(monitor)
    status = monitor.answers().status(monitor.keeper.add(hard("50")))
    assert (status.state, status.runs_out_at_us, status.may_run_out_at_us, status.fan) == ("ok", None, None, [])
    assert monitor.answers().status(status.budget, whole_fan=True).fan[-1].mean_usd > 2


def test_a_limit_that_is_reached_is_over_and_has_run_out(monitor: Monitor) -> None:
    a_month_of_work(monitor)
    status = monitor.answers().status(monitor.keeper.add(hard("1.2")))
    assert (status.state, status.remaining_usd, status.runs_out_at_us) == ("over", 0, None)


def test_a_passed_soft_limit_warns(monitor: Monitor) -> None:
    monitor.spend("a", "0.6")
    status = monitor.answers().status(monitor.keeper.add(hard("100", soft_usd=Decimal("0.5"))))
    assert status.state == "warn"


def test_without_history_the_present_rate_tells_when_money_runs_out(monitor: Monitor) -> None:
    monitor.spend("a", "0.5", NOON - 30 * MINUTE_US)
    status = monitor.answers().status(monitor.keeper.add(hard("1")))
    assert status.projection is None
    assert status.runs_out_at_us == NOON + HOUR_US
    assert monitor.answers().status(hard("90", id="other")).runs_out_at_us is None


def test_a_rolling_budget_runs_out_when_more_comes_than_leaves(monitor: Monitor) -> None:
    for n in range(12):
        monitor.spend(f"a{n}", "0.1", NOON - n * 10 * MINUTE_US - MINUTE_US)  # 0.6 an hour, for two hours
    budget = monitor.keeper.add(hard("2", period="rolling", rolling_hours=4))
    status = monitor.answers().status(budget)
    assert status.projection is None
    assert status.spent_usd == Decimal("1.2")
    # 0.2 in the last quarter of an hour, and nothing leaves for two hours: the 0.8 that is left lasts one
    assert status.runs_out_at_us == NOON + HOUR_US
    calm = monitor.keeper.add(hard("3.5", name="calm", period="rolling", rolling_hours=4))
    assert monitor.answers().status(calm).runs_out_at_us is None


def test_what_is_held_is_not_left(monitor: Monitor) -> None:
    budget = monitor.keeper.add(hard("1"))
    monitor.keeper.guard.reserve(CallScope(), Decimal("0.4"))
    status = monitor.answers().status(budget)
    assert (status.spent_usd, status.held_usd, status.remaining_usd) == (0, Decimal("0.4"), Decimal("0.6"))


def test_calls_of_unknown_cost_show_in_the_coverage(monitor: Monitor) -> None:
    monitor.spend("a", "0.5")
    monitor.spend("b", None)
    monitor.spend("c", None, attributes='{"reserved_usd": "0.25"}')
    status = monitor.answers().status(monitor.keeper.add(hard()))
    assert status.spend.coverage_ratio == pytest.approx(1 / 3)
    assert (status.spend.cost_usd, status.spend.at_reserve_usd) == (Decimal("0.5"), Decimal("0.25"))
    assert status.spent_usd == Decimal("0.75")


def test_history_says_which_periods_kept_to_the_limit(monitor: Monitor) -> None:
    for days_ago, cost in ((3, "0.5"), (2, "1.5"), (1, "1")):
        monitor.spend(f"d{days_ago}", cost, NOON - days_ago * DAY_US)
    budget = monitor.keeper.add(hard("1"))
    history = monitor.answers().history(budget)
    assert [(float(past.spent_usd), past.kept) for past in history] == [(0.5, True), (1.5, False), (1.0, True)]
    assert history[-1].window.end_us == MIDNIGHT
    assert Budgeting(monitor.store, NOON - 30 * DAY_US, UTC).history(budget) == []


@pytest.mark.parametrize("period", ["hour", "day", "week", "month"])
def test_the_course_of_a_period_ends_at_what_is_spent(monitor: Monitor, period: str) -> None:
    a_month_of_work(monitor)
    budget = monitor.keeper.add(hard("50", period=period))
    answers = monitor.answers()
    course = answers.course(budget)
    assert course[0] == (answers.status(budget).window.start_us, 0)
    assert course[-1] == (NOON, answers.status(budget).spent_usd)
    assert [sum for _, sum in course] == sorted(sum for _, sum in course)


def test_the_course_of_a_rolling_period_is_its_sum_at_each_time(monitor: Monitor) -> None:
    a_month_of_work(monitor)
    budget = monitor.keeper.add(hard("50", period="rolling", rolling_hours=5))
    course = monitor.answers().course(budget)
    assert course[-1] == (NOON, Decimal("0.5"))
    assert {float(amount) for _, amount in course} <= {0.4, 0.5, 0.6}


def test_an_alternative_says_what_the_day_would_end_at(monitor: Monitor) -> None:
    a_month_of_work(monitor)
    usage = {"provider": "openai", "model": "gpt-5-nano", "tier": "cheap"}
    monitor.spend("cheap", "0.0001", NOON - 2 * HOUR_US, **usage)
    answers = monitor.answers()
    status = answers.status(monitor.keeper.add(hard("2")), whole_fan=True)
    (found,) = answers.alternatives(status, PriceBook(monitor.settings), monitor.settings)
    assert (found.move.from_model, found.move.to_model) == ("claude-opus-4-5", "gpt-5-nano")
    assert status.projection is not None
    rest = status.projection.mean_usd - status.projection.so_far_usd
    assert 0 < found.saving_usd < rest
    assert found.ends_at_usd == status.spent_usd + rest - found.saving_usd
    without = Budgeting(monitor.store, NOON - 27 * DAY_US, UTC)
    assert without.alternatives(without.status(status.budget), PriceBook(monitor.settings), monitor.settings) == []

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from ralex_core.config import Settings
from ralex_core.model.operation import Operation
from ralex_core.model.window import DAY_US, Scope, Window
from ralex_core.monitoring import value
from ralex_core.monitoring.value import Worth, roi, valuation, worth_by, worth_of, worth_over_time
from ralex_core.pricing.book import PriceBook, usage_of
from ralex_core.storage.duckdb_store import DuckDBStore
from tests.support.prices import at, book_in, call
from tests.support.spending import CHEAP, JANUARY, PREMIUM, STANDARD, random_calls, spent

DAY = Scope(Window(JANUARY, JANUARY + DAY_US))
D = Decimal


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> PriceBook:
    return book_in(tmp_path_factory.mktemp("home"))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[DuckDBStore]:
    made = DuckDBStore(tmp_path / "t.duckdb")
    yield made
    made.close()


def done(model: str, usd: str, n: int = 1, **fields: Any) -> list[Operation]:
    """Calls without token counts that a provider billed."""
    return [call(model, None, None, started_at=JANUARY + i, billed_usd=D(usd), **fields) for i in range(n)]


def used(model: str, n: int = 1, **fields: Any) -> list[Operation]:
    """Calls of 10,000 tokens in and 1,000 out: $0.075 at the default baseline, Opus 4.5."""
    return [call(model, 10_000, 1_000, started_at=JANUARY + i, **fields) for i in range(n)]


class Ledger:
    """Asks for the worth of what is stored."""

    def __init__(self, store: DuckDBStore, book: PriceBook, calls: list[Operation], **settings: Any) -> None:
        store.write(spent(book, calls))
        store.refresh_rollups()
        self.store, self.book = store, book
        self.settings = Settings(home=store.path.parent, **settings)

    def total(self, scope: Scope = DAY, **options: Any) -> Worth:
        how = valuation(self.store, self.book, self.settings, **options)
        return worth_of(self.store, scope, self.book, how)


def test_same_usage_is_the_baseline_where_no_task_repeats(store: DuckDBStore, book: PriceBook) -> None:
    calls = [*used(CHEAP, 8), *used(CHEAP, 1, outcome="rejected"), *used(CHEAP, 1, status="error")]
    found = Ledger(store, book, calls).total()
    # eight of ten succeeded; all ten cost 0.003 + 0.0025
    assert (found.calls, found.successes, found.cost_usd) == (10, 8, D("0.055"))
    assert found.baseline_usd == D("0.6")
    assert found.efficiency_ratio == pytest.approx(0.6 / 0.055)
    assert (found.matched, found.same_usage, found.not_compared) == (0, 8, 0)
    assert found.cost_per_success_usd == D("0.055") / 8


@pytest.mark.parametrize("model", [PREMIUM, "gemini-2.5-pro", "o3"])
def test_any_model_as_the_baseline_is_priced_call_by_call(store: DuckDBStore, book: PriceBook, model: str) -> None:
    calls = spent(book, random_calls(11, 400))
    ledger = Ledger(store, book, random_calls(11, 400))
    expected = cost = D(0)
    for one in calls:
        cost += one.cost_usd or 0
        fine = one.status == "ok" and one.outcome in ("unknown", "accepted")
        if fine and one.cost_usd is not None and usage_of(one) is not None:
            expected += book.price(one._replace(model=model)).computed_usd or 0
    found = ledger.total(Scope(Window(at("2025-01-01"), at("2027-01-01"))), baseline=model)
    assert (found.cost_usd, found.baseline_usd) == (cost, expected)


def test_the_same_task_beats_the_same_tokens(store: DuckDBStore, book: PriceBook) -> None:
    task: dict[str, Any] = {"workflow": "task:fix-42", "project": "shop"}
    calls = [
        *used(PREMIUM, 1, **task, session_id="opus"),  # 0.075
        *used(CHEAP, 20, **task, session_id="cheap"),  # a cheap model needs twenty calls: 0.11, and 1.50 at Opus
        *used(CHEAP, 1, workflow="task:fix-42", project="other", session_id="elsewhere"),  # another project's task
    ]
    ledger = Ledger(store, book, calls)
    how = valuation(store, book, ledger.settings)
    cheap = worth_by(store, DAY, book, how, "model")[CHEAP]
    assert (cheap.matched, cheap.same_usage) == (20, 1)
    assert cheap.baseline_usd == pytest.approx(D("0.075") + D("0.075"), abs=D("1e-15"))
    per_project = worth_by(store, DAY, book, how, "project")
    assert per_project["shop"].baseline_usd == pytest.approx(D("0.15"), abs=D("1e-15"))
    assert per_project["other"].same_usage == 1


def test_runs_of_the_baseline_are_averaged_and_failed_runs_are_worth_nothing(
    store: DuckDBStore, book: PriceBook
) -> None:
    calls = [
        *done(PREMIUM, "1.00", workflow="task:t", session_id="a"),
        *done(PREMIUM, "3.00", workflow="task:t", session_id="b"),
        *done("nobody-knows", "0.25", workflow="task:t", session_id="c"),
        *done("nobody-knows", "0.25", workflow="task:t", session_id="d", outcome="failed"),
        *done("nobody-knows", "0.25", 2, workflow="task:t", session_id="e", status="error"),
    ]
    Ledger(store, book, calls)
    how = valuation(store, book, Settings(home=store.path.parent))
    found = worth_by(store, DAY, book, how, "model")["nobody-knows"]
    assert (found.calls, found.cost_usd, found.baseline_usd) == (4, D("1.00"), D("2.00"))
    assert found.matched == 4


def test_a_task_that_the_baseline_ran_without_a_known_cost_is_not_matched(store: DuckDBStore, book: PriceBook) -> None:
    unknown = call(PREMIUM, None, None, started_at=JANUARY, workflow="task:t")
    found = Ledger(store, book, [unknown, *done("nobody-knows", "0.25", workflow="task:t")]).total()
    assert (found.matched, found.efficiency_ratio, found.not_compared) == (0, None, 1)


def test_operations_of_unknown_cost_are_in_neither_sum(store: DuckDBStore, book: PriceBook) -> None:
    calls = [*used(CHEAP, 1), call("nobody-knows", 10_000, 1_000, started_at=JANUARY)]
    found = Ledger(store, book, calls).total()
    assert (found.calls, found.priced, found.coverage_ratio) == (2, 1, 0.5)
    assert found.baseline_usd == D("0.075")


def test_what_cannot_be_known_is_none_with_the_reason(store: DuckDBStore, book: PriceBook) -> None:
    ledger = Ledger(store, book, used(CHEAP, 3))
    empty = ledger.total(Scope(Window(at("2020-01-01"), at("2020-01-02"))))
    assert (empty.efficiency_ratio, empty.efficiency_reason) == (None, "no call to a model was made")
    strange = ledger.total(baseline="acme/nothing-1")
    assert strange.efficiency_ratio is None
    assert "acme/nothing-1 has no price (no price list has this model)" in (strange.efficiency_reason or "")
    explicit = ledger.total(value_model="explicit")
    assert explicit.roi_ratio is None
    assert "reported a value" in (explicit.roi_reason or "")
    assert explicit.efficiency_ratio is not None
    saved = ledger.total(value_model="time_saved")
    assert "set hourly_rate_usd and minutes_saved" in (saved.roi_reason or "")


def test_nothing_delivered_is_worth_zero(store: DuckDBStore, book: PriceBook) -> None:
    found = Ledger(store, book, used(CHEAP, 2, outcome="rejected")).total()
    assert (found.efficiency_ratio, found.value_usd, found.cost_per_success_usd) == (0.0, D(0), None)


def test_the_value_that_callers_report(store: DuckDBStore, book: PriceBook) -> None:
    calls = [
        *done(CHEAP, "0.50", 2, value_usd=D("4.00")),
        *done(CHEAP, "0.50", 1, value_usd=D("9.00"), outcome="rejected"),
        *done(CHEAP, "0.50", 1),
        *[call(None, None, None, kind="task", name="release", started_at=JANUARY, value_usd=D(12))],
    ]
    found = Ledger(store, book, calls).total(value_model="explicit")
    assert (found.valued, found.value_usd, found.cost_usd, found.roi_ratio) == (3, D(20), D(2), 10.0)


def test_the_time_that_operations_save(store: DuckDBStore, book: PriceBook) -> None:
    calls = [
        *done(CHEAP, "1.00", 2, name="write tests"),
        *done(CHEAP, "1.00", 1, name="write tests", outcome="failed"),
        *done(CHEAP, "1.00", 1, name="review pull request"),
        *done(CHEAP, "1.00", 1, name="chat"),
    ]
    minutes = {"write tests": D(30), "review *": D("7.5"), "write *": D(1)}
    ledger = Ledger(store, book, calls, hourly_rate_usd=D(80), minutes_saved=minutes)
    found = ledger.total(value_model="time_saved")
    # twice half an hour at 80, and an eighth of an hour
    assert (found.valued, found.value_usd, found.roi_ratio) == (3, D(90), 18.0)


def test_roi_per_tier_has_an_interval_where_there_are_sessions_enough(store: DuckDBStore, book: PriceBook) -> None:
    calls = [one for i in range(30) for one in used(CHEAP, 1 + i % 3, session_id=f"s{i}")]
    calls += [one for i in range(5) for one in used(STANDARD, 1, session_id=f"s{i}")]
    ledger = Ledger(store, book, calls)
    how = valuation(store, book, ledger.settings)
    found = roi(store, DAY, book, how, ("cheap", "standard", "premium"))
    assert [tier.key for tier in found.tiers] == ["cheap", "standard"]
    cheap, standard = found.tiers
    assert cheap.roi_ratio == pytest.approx(0.075 / 0.0055)
    assert cheap.interval is not None
    assert cheap.interval.low == pytest.approx(cheap.interval.high), "every call is worth the same"
    assert (standard.interval, standard.clusters) == (None, 5)
    assert "5 sessions say too little" in (standard.interval_reason or "")
    assert found.total.clusters == 30
    assert found.total.interval is not None
    assert found.total.interval.low < (found.total.roi_ratio or 0) < found.total.interval.high
    assert sum(tier.cost_usd for tier in found.tiers) == found.total.cost_usd
    assert roi(store, DAY, book, how).total == found.total, "the same input gives the same interval"


def test_the_interval_does_not_depend_on_the_order_of_sessions(
    store: DuckDBStore, book: PriceBook, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = [one for i in range(40) for one in used(CHEAP, 1 + i % 7, session_id=f"s{i}")]
    calls += [one for i in range(40) for one in used(STANDARD, 1 + i % 3, session_id=f"s{i}")]
    ledger = Ledger(store, book, calls)
    how = valuation(store, book, ledger.settings)
    found = roi(store, DAY, book, how)
    ask = value.worth

    def reversed_rows(*arguments: Any) -> list[Any]:
        return ask(*arguments)[::-1]

    monkeypatch.setattr(value, "worth", reversed_rows)
    assert roi(store, DAY, book, how) == found


def test_worth_over_time_adds_up_to_the_whole(store: DuckDBStore, book: PriceBook) -> None:
    ledger = Ledger(store, book, random_calls(5, 300))
    scope = Scope(Window(at("2025-01-01"), at("2027-01-01")))
    how = valuation(store, book, ledger.settings)
    buckets = worth_over_time(store, scope, book, how, 7 * DAY_US)
    whole = worth_of(store, scope, book, how)
    assert len(buckets) > 10
    assert sum(one.calls for one in buckets.values()) == whole.calls
    assert sum(one.cost_usd for one in buckets.values()) == whole.cost_usd
    assert sum((one.baseline_usd or D(0) for one in buckets.values()), D(0)) == whole.baseline_usd


def test_a_way_of_working_is_not_a_task(store: DuckDBStore, book: PriceBook) -> None:
    """Everything `interactive` is not the same work."""
    calls = [*done(PREMIUM, "9.00", workflow="interactive"), *used(CHEAP, 1, workflow="interactive")]
    ledger = Ledger(store, book, calls)
    found = worth_by(store, DAY, book, valuation(store, book, ledger.settings), "model")[CHEAP]
    assert (found.matched, found.same_usage, found.baseline_usd) == (0, 1, D("0.075"))

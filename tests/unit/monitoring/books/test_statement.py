from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from ralex_core.clock import ManualClock
from ralex_core.model.operation import Operation, with_pricing
from ralex_core.model.window import DAY_US, HOUR_US
from ralex_core.monitoring.books.period import Period, day_period, month_period
from ralex_core.monitoring.books.statement import make_statement
from ralex_core.pricing.book import PriceBook
from ralex_core.storage.duckdb_store import DuckDBStore
from ralex_core.storage.queries import status_totals
from tests.support.operations import T0, make_operation, random_operations
from tests.support.prices import book_in, call

D = Decimal
UTC_DAY = day_period(date(2026, 1, 1), "utc", ZoneInfo("Europe/Berlin"), "Europe/Berlin")
JANUARY = month_period(date(2026, 1, 1), "utc", ZoneInfo("UTC"), "UTC")


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> PriceBook:
    return book_in(tmp_path_factory.mktemp("home"))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[DuckDBStore]:
    made = DuckDBStore(tmp_path / "t.duckdb", clock=ManualClock(T0 + 40 * DAY_US), retention_days=20)
    yield made
    made.close()


def written(store: DuckDBStore, operations: Sequence[Operation]) -> DuckDBStore:
    store.write(operations)
    store.refresh_rollups()
    return store


def gpt_4o(book: PriceBook, number: int, hours: float = 0, **fields: object) -> Operation:
    operation = call(
        "gpt-4o",
        1000,
        100,
        provider="openai",
        operation_id=f"o{number}",
        started_at=T0 + round(hours * HOUR_US),
        **fields,
    )
    return with_pricing(operation, book.price(operation))


def test_a_statement_adds_up_to_what_the_operations_say(store: DuckDBStore, book: PriceBook) -> None:
    written(store, random_operations(3, 900, span_us=31 * DAY_US))
    made, whole = make_statement(store, JANUARY, book), status_totals(store)
    total = made.total
    assert (total.cost_usd, total.computed_usd, total.reported_usd) == (
        whole.total_usd,
        whole.computed_usd,
        whole.reported_usd,
    )
    assert (total.calls, total.quarantined, total.quarantined_usd, total.coverage_ratio) == (
        whole.llm_operations,
        whole.quarantined_count,
        whole.quarantined_usd,
        whole.coverage_ratio,
    )
    assert sum(day.sums.cost_usd for day in made.days) == total.cost_usd == sum(x.sums.cost_usd for x in made.lines)
    assert total.quarantined and len(made.quarantined) == total.quarantined
    assert total.reported.difference_usd == total.reported.computed_usd  # each claim is twice what was computed


def test_a_day_cut_at_local_midnight_is_another_than_the_utc_one(store: DuckDBStore, book: PriceBook) -> None:
    written(store, [gpt_4o(book, 1, -0.5), gpt_4o(book, 2, 0.5), gpt_4o(book, 3, 23.5)])
    local = day_period(date(2026, 1, 1), "local", ZoneInfo("Europe/Berlin"), "Europe/Berlin")

    def calls(period: Period) -> int:
        return make_statement(store, period, book).total.calls

    assert (calls(UTC_DAY), calls(local)) == (2, 2)
    assert calls(day_period(date(2026, 1, 2), "local", ZoneInfo("Europe/Berlin"), "Europe/Berlin")) == 1
    assert calls(day_period(date(2025, 12, 31), "utc", ZoneInfo("UTC"), "UTC")) == 1


def test_differences_are_of_calls_with_both_claims_only(store: DuckDBStore, book: PriceBook) -> None:
    written(
        store,
        [
            gpt_4o(book, 1, billed_usd=D("0.004"), reported_usd=D("0.0035")),
            gpt_4o(book, 2),
            gpt_4o(book, 3, reported_usd=D(0)),  # a client that does not know the price
            gpt_4o(book, 4, billed_usd=D("99")),  # wild
            make_operation(
                "unpriced", model="x", computed_usd=None, cost_usd=D(1), reported_usd=D(1), cost_basis="reported"
            ),
        ],
    )
    total = make_statement(store, UTC_DAY, book).total
    assert (total.billed.calls, total.billed.difference_usd) == (1, D("0.0005"))
    assert (total.reported.calls, total.reported.difference_usd) == (1, D(0))
    assert (total.silent, total.quarantined, total.quarantined_usd) == (1, 1, D(99))
    assert (total.billed_calls, total.computed_calls, total.reported_calls) == (1, 4, 2)
    assert total.cost_usd == D("0.004") + 3 * D("0.0035") + D(1)


def test_unexplained_lines_come_first_and_say_what_they_know(store: DuckDBStore, book: PriceBook) -> None:
    opus = call("claude-opus-4-5", 1_000_000, 100_000, provider="anthropic", operation_id="big", started_at=T0)
    odd = [gpt_4o(book, number, reported_usd=D("0.0065")) for number in range(4)]
    made = make_statement(written(store, [with_pricing(opus, book.price(opus)), *odd]), UTC_DAY, book)
    first, second = made.lines
    assert (first.model, first.state, first.unexplained_usd) == ("gpt-4o", "unexplained", D("0.012"))
    assert [(one.cause, one.calls, one.difference_usd) for one in first.explanations] == [(None, 4, D("0.012"))]
    assert (second.model, second.state, second.explanations) == ("claude-opus-4-5", "alone", ())
    assert made.unexplained_usd == D("0.012")


def test_less_than_a_cent_is_not_flagged(store: DuckDBStore, book: PriceBook) -> None:
    made = make_statement(written(store, [gpt_4o(book, 1, reported_usd=D("0.0135"))]), UTC_DAY, book)
    assert (made.lines[0].state, made.lines[0].unexplained_usd) == ("agrees", D("0.01"))


def test_calls_that_retention_deleted_are_counted_and_not_itemised(store: DuckDBStore, book: PriceBook) -> None:
    written(store, [gpt_4o(book, 1), gpt_4o(book, 2, 24 * 30)])
    store.apply_retention(T0 + 40 * DAY_US)
    made = make_statement(store, JANUARY, book)
    assert (made.total.calls, made.deleted_calls, made.deleted_usd) == (1, 1, D("0.0035"))


def test_a_period_without_calls_is_a_statement_of_nothing(store: DuckDBStore, book: PriceBook) -> None:
    made = make_statement(store, UTC_DAY, book)
    assert (made.total.calls, made.total.coverage_ratio, made.lines, len(made.days)) == (0, None, (), 1)

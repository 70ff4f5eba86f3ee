from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from ralex_core.model.window import DAY_US, MINUTE_US, Scope, Window
from ralex_core.monitoring.cache import cache_savings
from ralex_core.pricing.book import PriceBook
from ralex_core.storage.duckdb_store import DuckDBStore
from tests.support.prices import book_in, call
from tests.support.spending import JANUARY, STANDARD, random_calls, spent

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


def turn(minute: int, input_tokens: int, read: int | None, written: int = 0, session: str | None = "s"):
    return call(
        STANDARD,
        input_tokens,
        100,
        started_at=JANUARY + minute * MINUTE_US,
        cache_read_tokens=read,
        cache_write_tokens=written,
        session_id=session,
    )


def test_savings_and_misses_by_hand(store: DuckDBStore, book: PriceBook) -> None:
    turns = [
        turn(0, 10_000, 0, written=9_000),
        turn(1, 12_000, 9_000),  # 10,000 were sent before, 9,000 read: 1,000 missed
        turn(11, 15_000, 0),  # after ten minutes: 12,000 missed
        turn(12, 800, 0, session="short"),
        turn(13, 900, 0, session="short"),  # too short to be cached
        turn(14, 50_000, 0, session=None),
    ]
    store.write(spent(book, turns))
    found = cache_savings(store, DAY, book)
    # Sonnet 4.5, per million: input 3, read 0.3, write 3.75
    assert found.read_saved_usd == D("9000") * (D("3") - D("0.3")) / 1_000_000
    assert found.write_extra_usd == D("9000") * D("0.75") / 1_000_000
    assert found.saved_usd == D("0.0243") - D("0.00675")
    assert (found.missed_tokens, found.missed_after_pause_tokens) == (13_000, 12_000)
    assert found.lost_usd == D("13000") * D("2.7") / 1_000_000
    assert found.lost_after_pause_usd == D("12000") * D("2.7") / 1_000_000
    assert (found.calls, found.told) == (6, 6)


def test_what_is_saved_is_the_difference_to_the_same_calls_without_a_cache(store: DuckDBStore, book: PriceBook) -> None:
    calls = spent(book, random_calls(21, 400))
    store.write(calls)
    expected = D(0)
    for one in calls:
        plain = one._replace(cache_read_tokens=0, cache_write_tokens=0, cache_write_1h_tokens=0)
        cost, without = book.price(one).computed_usd, book.price(plain).computed_usd
        if one.input_tokens is not None and cost is not None and without is not None:
            expected += without - cost
    found = cache_savings(store, Scope(Window(JANUARY - 400 * DAY_US, JANUARY + 400 * DAY_US)), book)
    assert found.saved_usd == expected


def test_calls_that_do_not_tell_are_no_zero(store: DuckDBStore, book: PriceBook) -> None:
    store.write(spent(book, [turn(0, 10_000, None)]))
    found = cache_savings(store, DAY, book)
    assert (found.saved_usd, found.lost_usd, found.read_ratio) == (None, None, None)
    assert found.reason == "no call tells what it read from a cache"
    assert (found.calls, found.told) == (1, 0)

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from ralex_core.config import Settings, Tier
from ralex_core.model.operation import Operation
from ralex_core.model.window import DAY_US, Filters, Scope, Window
from ralex_core.monitoring.what_if import FEWEST_TOLD, cheaper_moves, priced_again
from ralex_core.pricing.book import PriceBook, usage_of
from ralex_core.pricing.repricing import breaks_of
from ralex_core.storage.duckdb_store import DuckDBStore
from ralex_core.storage.queries.usage import used
from tests.support.prices import at, book_in, call
from tests.support.spending import CHEAP, JANUARY, PREMIUM, STANDARD, random_calls, spent

WINDOW = Window(at("2025-01-01"), at("2027-01-01"))


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> PriceBook:
    return book_in(tmp_path_factory.mktemp("home"))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[DuckDBStore]:
    made = DuckDBStore(tmp_path / "t.duckdb")
    yield made
    made.close()


def fill(store: DuckDBStore, operations: list[Operation]) -> None:
    store.write(operations)
    store.refresh_rollups()


@pytest.mark.parametrize(
    "model", [CHEAP, "gemini-2.5-pro", STANDARD, PREMIUM, "o3", "deepseek-chat", "claude-opus-4-6"]
)
def test_sums_priced_again_cost_exactly_what_the_calls_cost_one_by_one(
    store: DuckDBStore, book: PriceBook, model: str
) -> None:
    calls = spent(book, random_calls(3, 600))
    fill(store, calls)
    expected: defaultdict[str, Decimal] = defaultdict(Decimal)
    number: defaultdict[str, int] = defaultdict(int)
    for one in calls:
        if one.cost_usd is not None and usage_of(one) is not None:
            alone = book.price(one._replace(model=model, provider=None)).computed_usd
            assert alone is not None
            expected[one.name] += alone
            number[one.name] += 1
    prices = book.prices_of_model(None, model)
    rows = used(store, Scope(WINDOW), ("name",), breaks_of([prices], WINDOW))
    for name, usd in expected.items():
        batches = [row.batch for row in rows if row.group == (name,)]
        assert sum(batch.calls for batch in batches) == number[name]
        assert priced_again(prices, batches) == usd


def edits(model: str, n: int, outcome: str = "unknown", **fields: object) -> list[Operation]:
    return [
        call(model, 10_000, 1_000, name="edit", started_at=JANUARY + number, outcome=outcome, **fields)
        for number in range(n)
    ]


def moves_of(store: DuckDBStore, book: PriceBook, tmp_path: Path, **options: object):
    settings = options.pop("settings", None) or Settings(home=tmp_path)
    scope = Scope(Window(JANUARY, JANUARY + DAY_US), options.pop("filters", Filters()))  # type: ignore[arg-type]
    return cheaper_moves(store, scope, book, settings, **options)  # type: ignore[arg-type]


def test_a_move_says_what_the_same_tokens_cost_in_the_cheaper_tier(
    store: DuckDBStore, book: PriceBook, tmp_path: Path
) -> None:
    fill(store, spent(book, [*edits(PREMIUM, 10), *edits(CHEAP, 3)]))
    (move,) = moves_of(store, book, tmp_path)
    # 10,000 in and 1,000 out: 0.05 + 0.025 at 5 and 25 dollars a million, 0.003 + 0.0025 at 0.3 and 2.5
    assert (move.key, move.from_model, move.to_model) == ("edit", PREMIUM, CHEAP)
    assert (move.from_tier, move.to_tier, move.calls, move.other_calls) == ("premium", "cheap", 10, 0)
    assert (move.cost_usd, move.moved_usd, move.saving_usd) == (Decimal("0.75"), Decimal("0.055"), Decimal("0.695"))
    assert move.from_rate.ratio is None
    assert move.net_saving_usd is None
    assert not move.worse
    assert "10 calls cost $0.750 on claude-opus-4-5; the same tokens cost $0.0550 on gemini-2.5-flash" in move.evidence
    assert "cannot be compared" in move.evidence


def test_what_would_be_lost_is_taken_off_where_outcomes_are_known(
    store: DuckDBStore, book: PriceBook, tmp_path: Path
) -> None:
    good = edits(PREMIUM, 95, "accepted") + edits(PREMIUM, 5, "rejected")
    poor = edits(CHEAP, 40, "accepted") + edits(CHEAP, 60, "rejected")
    fill(store, spent(book, good + poor))
    (move,) = moves_of(store, book, tmp_path)
    assert (move.from_rate.ratio, move.to_rate.ratio, move.to_rate_of) == (0.95, 0.4, "operation")
    assert move.worse
    assert move.lost_successes == pytest.approx(55)
    # 55 of 100 calls are done again at $0.075
    assert move.net_saving_usd == pytest.approx(Decimal("6.95") - 55 * Decimal("0.075"))
    assert "about 55 results would be lost" in move.evidence


def test_too_few_outcomes_are_no_success_rate(store: DuckDBStore, book: PriceBook, tmp_path: Path) -> None:
    few = FEWEST_TOLD - 1
    fill(store, spent(book, [*edits(PREMIUM, few, "accepted"), *edits(CHEAP, 30, "accepted")]))
    (move,) = moves_of(store, book, tmp_path)
    assert move.from_rate.ratio is None
    assert move.from_rate.reason == f"only {few} have a known outcome; {FEWEST_TOLD} are needed"
    assert move.to_rate.ratio == 1.0
    assert move.lost_successes is None


def test_there_is_nothing_to_move_to_without_a_cheaper_model(
    store: DuckDBStore, book: PriceBook, tmp_path: Path
) -> None:
    fill(store, spent(book, edits(PREMIUM, 5)))
    assert moves_of(store, book, tmp_path) == []
    tiers = (Tier(name="cheap", max_usd_per_mtok=Decimal(1), models=("gpt-5-*", CHEAP)), Tier(name="premium"))
    settings = Settings(home=tmp_path, tiers=tiers)
    (move,) = moves_of(store, book, tmp_path, settings=settings)
    assert (move.to_model, move.to_provider, move.to_tier) == (CHEAP, None, "cheap")
    assert move.to_rate.calls == 0


def test_calls_of_unknown_usage_do_not_move_and_are_counted(
    store: DuckDBStore, book: PriceBook, tmp_path: Path
) -> None:
    billed = call(PREMIUM, None, None, name="edit", started_at=JANUARY, billed_usd=Decimal(9))
    fill(store, spent(book, [*edits(PREMIUM, 2), billed, *edits(CHEAP, 1)]))
    (move,) = moves_of(store, book, tmp_path)
    assert (move.calls, move.other_calls, move.cost_usd) == (2, 1, Decimal("0.15"))


def test_moves_by_feature_and_filter(store: DuckDBStore, book: PriceBook, tmp_path: Path) -> None:
    mine = edits(STANDARD, 4, feature="search", user_id="ann")
    fill(store, spent(book, [*mine, *edits(PREMIUM, 4, user_id="ben"), *edits(CHEAP, 1, user_id="ann")]))
    moves = moves_of(store, book, tmp_path, by="feature", filters=Filters(user_id=("ann",)))
    assert [(move.key, move.from_model, move.by) for move in moves] == [("search", STANDARD, "feature")]
    assert len(moves_of(store, book, tmp_path, by="feature", limit=1)) == 1

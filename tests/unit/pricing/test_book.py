"""What the price book does with an operation besides arithmetic."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path

import pytest

from ralex_core.model.operation import Pricing
from ralex_core.pricing import book as book_module
from ralex_core.pricing.book import PriceBook
from tests.support.prices import MTOK, at, book_in, call

D = Decimal


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> PriceBook:
    return book_in(tmp_path_factory.mktemp("home"))


@pytest.mark.parametrize("kind", ["api", "db", "tool", "task"])
def test_what_nobody_is_charged_for_has_no_price(book: PriceBook, kind: str) -> None:
    assert book.price(call("gpt-4o", 1000, 10, kind=kind, reported_usd=D(1))) == Pricing()


@pytest.mark.parametrize(("input_tokens", "output_tokens"), [(None, 10), (10, None), (None, None)])
def test_unknown_usage_is_unknown_and_never_zero(
    book: PriceBook, input_tokens: int | None, output_tokens: int | None
) -> None:
    operation = call("gpt-4o", input_tokens, output_tokens)
    pricing = book.price(operation)
    assert (pricing.computed_usd, pricing.cost_usd, pricing.cost_basis) == (None, None, "unknown")
    assert pricing.baseline_usd is None
    assert pricing.price_version is None
    assert pricing.tier == "standard"
    assert "tokens are unknown" in (book.explain(operation).unknown_reason or "")


def test_an_embedding_needs_no_output_tokens(book: PriceBook) -> None:
    assert book.price(call("text-embedding-3-small", MTOK, None, provider="openai")).computed_usd == D("0.02")


@pytest.mark.parametrize(
    "parts",
    [
        {"cache_read_tokens": 900, "cache_write_tokens": 200},
        {"cache_write_tokens": 10, "cache_write_1h_tokens": 20},
        {"reasoning_tokens": 101},
    ],
)
def test_parts_that_exceed_their_total_are_not_priced(book: PriceBook, parts: dict[str, int]) -> None:
    operation = call("claude-sonnet-4-5", 1000, 100, **parts)
    assert book.price(operation).computed_usd is None
    assert "contradict the totals" in (book.explain(operation).unknown_reason or "")


def test_an_hour_of_cache_without_a_total_of_writes_is_the_total(book: PriceBook) -> None:
    one = call("claude-sonnet-4-5", 1000, 0, cache_write_1h_tokens=1000)
    assert book.price(one).computed_usd == D("0.006")


def test_the_model_that_answered_is_priced_before_the_one_that_was_asked_for(book: PriceBook) -> None:
    asked = call(None, MTOK, 0, requested_model="gpt-4o")
    assert book.price(asked).computed_usd == D("2.5")
    assert book.price(asked._replace(model="gpt-4o-mini")).computed_usd == D("0.15")


def test_the_baseline_is_the_same_usage_at_the_baseline_model_at_that_time(tmp_path: Path) -> None:
    book = book_in(tmp_path, baseline_model="openai/o3")
    before, after = (call("gpt-4o-mini", MTOK, MTOK, started_at=at(day)) for day in ("2025-06-09", "2025-06-11"))
    assert book.price(before).baseline_usd == 50
    assert book.price(after).baseline_usd == 10
    assert book.price(before._replace(model="a-model-nobody-knows")).baseline_usd == 50


def test_a_baseline_without_a_price_is_reported_and_compares_nothing(tmp_path: Path) -> None:
    book = book_in(tmp_path, baseline_model="a-model-nobody-knows")
    assert book.price(call("gpt-4o", 1000, 10)).baseline_usd is None
    (problem,) = book.problems()
    assert "a-model-nobody-knows has no price" in problem


def test_the_default_baseline_has_a_price(book: PriceBook) -> None:
    assert book.problems() == []


def test_the_version_names_the_price_list(book: PriceBook) -> None:
    version = book.price(call("gpt-4o", 1, 1)).price_version
    assert version is not None
    assert version.startswith("genai-prices ")


def test_price_all_keeps_order_and_every_other_field(book: PriceBook) -> None:
    given = [call("gpt-4o", number, number, operation_id=f"{number}", user_id=f"u{number}") for number in range(50)]
    priced = book.price_all(given)
    assert [one.operation_id for one in priced] == [one.operation_id for one in given]
    assert [one.user_id for one in priced] == [one.user_id for one in given]
    assert [one.cost_usd for one in priced] == [book.price(one).cost_usd for one in given]


def test_invented_model_names_do_not_fill_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(book_module, "_MAX_MODELS", 50)
    book = book_in(tmp_path)
    for number in range(200):
        book.price(call(f"invented-{number}", 1, 1))
    assert len(book._models) <= 50
    assert book.price(call("gpt-4o", MTOK, 0)).computed_usd == D("2.5")


def test_threads_get_the_same_prices(tmp_path: Path) -> None:
    book = book_in(tmp_path)
    operations = [call(model, 1000, 1000) for model in ("gpt-4o", "claude-sonnet-4-5", "o3", "nobody")] * 25
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(book.price, operations))
    assert found == [book.price(operation) for operation in operations]


def test_the_price_list_is_not_loaded_before_something_is_priced(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from ralex_core.config import Settings; "
        "from ralex_core.pricing.book import PriceBook; "
        f"PriceBook(Settings(home=Path({str(tmp_path)!r}))); print('genai_prices' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert run.stdout.strip() == "False"

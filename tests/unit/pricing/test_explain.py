"""Why this price."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from ralex_core.pricing.book import PriceBook
from tests.support.prices import at, book_in, call

D = Decimal


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> PriceBook:
    return book_in(tmp_path_factory.mktemp("home"))


def test_the_bill_names_every_part_its_rate_and_its_amount(book: PriceBook) -> None:
    operation = call(
        "claude-sonnet-4-5[1m]",
        250_000,
        5_000,
        cache_read_tokens=100_000,
        cache_write_tokens=50_000,
        provider="anthropic",
    )
    found = book.explain(operation)
    assert [(line.label, line.quantity, line.usd_per_mtok, line.usd) for line in found.lines] == [
        ("input", 100_000, D(6), D("0.6")),
        ("cache read", 100_000, D("0.6"), D("0.06")),
        ("cache write", 50_000, D("7.5"), D("0.375")),
        ("output", 5_000, D("22.5"), D("0.1125")),
    ]
    assert sum(line.usd for line in found.lines) == found.computed_usd == D("1.1475")
    assert found.cliff == "more than 200,000 input tokens: the whole request is charged at the rates for large requests"
    assert found.tier == "standard"
    assert "blended price $6 per million tokens" in found.tier_reason


def test_a_dated_price_says_since_when_it_holds(book: PriceBook) -> None:
    found = book.explain(call("o3", 1000, 1000, started_at=at("2025-07-01")))
    assert (found.price_from, found.price_until) == ("2025-06-10T00:00:00Z", None)
    earlier = book.explain(call("o3", 1000, 1000, started_at=at("2025-06-01")))
    assert (earlier.price_from, earlier.price_until) == (None, "2025-06-10T00:00:00Z")


def test_a_price_that_changes_with_the_hour_says_so(book: PriceBook) -> None:
    assert book.explain(call("deepseek-chat", 1, 1, provider="deepseek")).changes_by_hour
    assert not book.explain(call("gpt-4o", 1, 1)).changes_by_hour


def test_every_claim_is_listed_in_basis_order_with_what_became_of_it(book: PriceBook) -> None:
    found = book.explain(call("gpt-4o", 1_000_000, 0, reported_usd=D(900), billed_usd=D("2.4")))
    assert [(claim.basis, claim.state) for claim in found.claims] == [
        ("billed", "used"),
        ("computed", "kept"),
        ("reported", "quarantined"),
    ]
    assert found.quarantine is not None
    unknown = book.explain(call("nobody-knows", 10, 10, reported_usd=D(0)))
    assert [(claim.basis, claim.state) for claim in unknown.claims] == [
        ("billed", "absent"),
        ("computed", "absent"),
        ("reported", "no_claim"),
    ]


def test_when_both_claims_are_wild_both_are_shown_as_quarantined(book: PriceBook) -> None:
    found = book.explain(call("gpt-4o", 1_000_000, 0, reported_usd=D(900), billed_usd=D(800)))
    assert [claim.state for claim in found.claims] == ["quarantined", "used", "quarantined"]


def test_an_operation_nobody_is_charged_for_says_that(book: PriceBook) -> None:
    found = book.explain(call(None, None, None, kind="tool"))
    assert not found.billable
    assert found.claims == ()
    assert found.unknown_reason == "nobody is charged for an operation of kind tool"


def test_the_explanation_is_plain_json_with_exact_amounts(book: PriceBook) -> None:
    plain = book.explain(call("gpt-4o", 123, 7)).to_json()
    assert json.loads(json.dumps(plain))["computed_usd"] == "0.0003775"
    assert plain["lines"][0] == {
        "part": "input",
        "label": "input",
        "quantity": 123,
        "usd_per_mtok": "2.5",
        "usd": "0.0003075",
    }

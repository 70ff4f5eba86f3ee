"""Basis order and quarantine."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from ralex_core.model.operation import Pricing
from ralex_core.pricing.book import PriceBook
from tests.support.prices import MTOK, book_in, call

D = Decimal
UNKNOWN_MODEL = "a-model-nobody-knows"


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> PriceBook:
    return book_in(tmp_path_factory.mktemp("home"))


def judged(book: PriceBook, model: str = "gpt-4o", tokens: int | None = MTOK, **claims: D) -> Pricing:
    """gpt-4o: a million tokens in cost exactly $2.50."""
    return book.price(call(model, tokens, 0 if tokens is not None else None, **claims))


@pytest.mark.parametrize(
    ("claims", "cost", "basis"),
    [
        ({"billed_usd": D("2.4"), "reported_usd": D("2.6")}, D("2.4"), "billed"),
        ({"reported_usd": D("2.6")}, D("2.5"), "computed"),
        ({}, D("2.5"), "computed"),
    ],
)
def test_billed_beats_computed_beats_reported(book: PriceBook, claims: dict[str, D], cost: D, basis: str) -> None:
    pricing = judged(book, **claims)
    assert (pricing.cost_usd, pricing.cost_basis, pricing.quarantine) == (cost, basis, None)


def test_a_model_without_a_price_is_believed_its_claims(book: PriceBook) -> None:
    assert judged(book, UNKNOWN_MODEL, reported_usd=D("7"))[2:4] == (D("7"), "reported")
    assert judged(book, UNKNOWN_MODEL, reported_usd=D("7"), billed_usd=D("6"))[2:4] == (D("6"), "billed")
    assert judged(book, UNKNOWN_MODEL)[2:4] == (None, "unknown")


def test_a_reported_zero_for_tokens_is_no_claim(book: PriceBook) -> None:
    assert judged(book, UNKNOWN_MODEL, reported_usd=D(0))[2:4] == (None, "unknown")
    assert judged(book, UNKNOWN_MODEL, tokens=None, reported_usd=D(0))[2:4] == (None, "unknown")
    assert judged(book, reported_usd=D(0)).quarantine is None
    assert judged(book, UNKNOWN_MODEL, tokens=0, reported_usd=D(0))[2:4] == (D(0), "reported")


@pytest.mark.parametrize(
    ("reported", "quarantined"),
    [
        ("25", False),  # exactly 10 times: not more than 10 times
        ("25.000001", True),
        ("0.25", False),
        ("0.249999", True),
        ("2.6", False),
    ],
)
def test_a_claim_more_than_ten_times_off_either_way_is_quarantined(
    book: PriceBook, reported: str, quarantined: bool
) -> None:
    pricing = judged(book, reported_usd=D(reported))
    assert pricing.quarantine == ("reported" if quarantined else None)
    assert (pricing.cost_usd, pricing.cost_basis) == (D("2.5"), "computed")


def test_a_wild_difference_of_a_few_cents_is_left_alone(book: PriceBook) -> None:
    # 1,000 tokens cost $0.0025; twenty times that is off by less than five cents
    assert book.price(call("gpt-4o", 1000, 0, reported_usd=D("0.05"))).quarantine is None
    assert book.price(call("gpt-4o", 1000, 0, reported_usd=D("0.06"))).quarantine == "reported"


def test_a_wild_bill_falls_back_to_the_computed_cost(book: PriceBook) -> None:
    pricing = judged(book, billed_usd=D(1000), reported_usd=D("2.5"))
    assert (pricing.cost_usd, pricing.cost_basis, pricing.quarantine) == (D("2.5"), "computed", "billed")


def test_a_wild_report_beside_a_sound_bill_is_quarantined_too(book: PriceBook) -> None:
    pricing = judged(book, billed_usd=D("2.5"), reported_usd=D(1000))
    assert (pricing.cost_usd, pricing.cost_basis, pricing.quarantine) == (D("2.5"), "billed", "reported")


def test_a_bill_for_a_free_model_is_quarantined(book: PriceBook) -> None:
    operation = call("openrouter/x/y:free", 1000, 10, billed_usd=D("0.5"))
    assert book.price(operation).quarantine == "billed"
    assert "although the price book says it is free" in (book.quarantine_reason(operation) or "")


def test_nothing_can_be_wild_when_nothing_was_computed(book: PriceBook) -> None:
    assert judged(book, UNKNOWN_MODEL, reported_usd=D(10**6)).quarantine is None


def test_the_factor_and_the_least_amount_are_settings(tmp_path: Path) -> None:
    strict = book_in(tmp_path, quarantine_factor=D(2), quarantine_min_usd=D(0))
    assert strict.price(call("gpt-4o", 1000, 0, reported_usd=D("0.0051"))).quarantine == "reported"


def test_the_reason_is_a_sentence_with_both_amounts(book: PriceBook) -> None:
    high = call("gemini/gemini-2.5-pro-preview-03-25", 10_023, 10, reported_usd=D("9990.01252875"))
    assert book.quarantine_reason(high) == (
        "reported $9,990.01 is 791,000× the computed $0.0126; more than 10× off, so it is kept but left out of totals"
    )
    low = call("gpt-4o", MTOK, 0, billed_usd=D("0.01"))
    assert (book.quarantine_reason(low) or "").startswith("billed $0.0100 is 1/250 of the computed $2.50;")
    nothing = call("gpt-4o", MTOK, 0, billed_usd=D(0))
    assert (book.quarantine_reason(nothing) or "").startswith("billed $0 is nothing against the computed $2.50;")
    assert book.quarantine_reason(call("gpt-4o", MTOK, 0, reported_usd=D("2.5"))) is None

"""Each known cause of a difference, worked out by hand."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from ralex_core.model.operation import Operation, with_pricing
from ralex_core.monitoring.books.differences import CAUSES, Difference, explain_difference
from ralex_core.monitoring.books.price_fit import fitted_rates
from ralex_core.pricing.book import PriceBook
from tests.support.prices import at, book_in, call

D = Decimal


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> PriceBook:
    return book_in(tmp_path_factory.mktemp("home"))


def priced(book: PriceBook, *arguments: Any, **fields: Any) -> Operation:
    operation = call(*arguments, **fields)
    return with_pricing(operation, book.price(operation))


SONNET = ("claude-sonnet-4-5", 10_000, 1_000)
CACHED = {"provider": "anthropic", "cache_read_tokens": 6_000, "cache_write_tokens": 2_000, "cache_write_1h_tokens": 0}

CASES: list[tuple[str, tuple[Any, ...], dict[str, Any], str]] = [
    # (cause, call, fields, the claim as a person works it out)
    # in 2,000 plain × $3 + 6,000 read × $0.30 + 2,000 written × $3.75, out 1,000 × $15 = $0.0303
    ("cache_ignored", SONNET, CACHED, "0.045"),  # 10,000 × 3 + 15,000
    ("cache_left_out", SONNET, CACHED, "0.021"),  # 2,000 × 3 + 15,000
    (
        "cache_twice",
        SONNET,
        CACHED,
        "0.0543",
    ),  # the whole input at $3 and the cached parts again: 30,000 + 9,300 + 15,000
    ("cache_write_ttl", SONNET, CACHED, "0.0348"),  # the 2,000 at the $6 of an hour
    # 250,000 in, 5,000 out: the whole request at $6 and $22.50 is $1.6125
    ("cliff_ignored", ("claude-sonnet-4-5", 250_000, 5_000), {"provider": "anthropic"}, "0.825"),
    ("cliff_marginal", ("claude-sonnet-4-5", 250_000, 5_000), {"provider": "anthropic"}, "0.975"),
    # o3 in May 2025 was $10 and $40; since 10 June $2 and $8
    ("price_change", ("o3", 1_000, 100), {"provider": "openai", "started_at": at("2025-05-01")}, "0.0028"),
    ("price_change", ("o3", 1_000, 100), {"provider": "openai", "started_at": at("2025-07-01")}, "0.014"),
    ("region", ("gpt-4o", 1_000, 100), {"provider": "openai"}, "0.00385"),  # $0.0035 × 1.1
    ("reasoning_left_out", ("o3-mini", 1_000, 500), {"provider": "openai", "reasoning_tokens": 400}, "0.00154"),
    ("reasoning_twice", ("o3-mini", 1_000, 500), {"provider": "openai", "reasoning_tokens": 400}, "0.00506"),
    ("extras", ("gpt-4o", 1_000, 100), {"provider": "openai", "attributes": '{"web_searches":2}'}, "0.0235"),
]


@pytest.mark.parametrize(("cause", "given", "fields", "claim"), CASES, ids=[f"{case[0]} {case[3]}" for case in CASES])
def test_a_known_cause_is_found(
    book: PriceBook, cause: str, given: tuple[Any, ...], fields: dict[str, Any], claim: str
) -> None:
    found = explain_difference(priced(book, *given, reported_usd=D(claim), **fields), "reported", book)
    assert (found.cause, found.claimed_usd) == (cause, D(claim))


@pytest.mark.parametrize("claim", ["0.0089", "0.0034", "12"])
def test_what_no_cause_gives_is_unexplained(book: PriceBook, claim: str) -> None:
    operation = priced(book, "gpt-4o", 1_000, 100, provider="openai", reported_usd=D(claim))
    assert explain_difference(operation, "reported", book).cause is None


def test_a_bill_of_a_router_is_explained_by_its_own_key_or_by_its_hosts(book: PriceBook) -> None:
    own_key = priced(
        book, "openai/gpt-4o", 1_000, 100, provider="openrouter", billed_usd=D("0.0049"), attributes='{"is_byok":true}'
    )
    assert explain_difference(own_key, "billed", book).cause == "byok"
    routed = own_key._replace(attributes=None)
    assert explain_difference(routed, "billed", book).cause == "routing"
    assert explain_difference(routed._replace(billed_usd=D("0.002")), "billed", book).cause is None
    assert explain_difference(routed._replace(provider="openai"), "billed", book).cause is None


def test_a_price_that_was_corrected_since_explains_itself(tmp_path: Path) -> None:
    then, now = book_in(tmp_path), book_in(tmp_path, '[[price]]\nmodel="gpt-4o"\ninput=5\noutput=15\n')
    operation = priced(then, "gpt-4o", 1_000, 100, provider="openai", reported_usd=D("0.0065"))
    assert explain_difference(operation, "reported", now).cause == "book_changed"


def test_every_cause_has_its_words() -> None:
    assert {case[0] for case in CASES} | {"byok", "routing", "book_changed", "service_tier"} == set(CAUSES)


def differences(book: PriceBook, claims: list[tuple[int, int, str]]) -> list[Difference]:
    calls = [priced(book, "gpt-4o", a, b, provider="openai", reported_usd=D(usd)) for a, b, usd in claims]
    return [explain_difference(operation, "reported", book) for operation in calls]


def test_the_rates_that_claims_have_in_common_are_found(book: PriceBook) -> None:
    # worked out at $5 and $15, rounded to six decimals as clients do; one of ten is something else
    sizes = [(1_234, 56), (50_000, 900), (7_000, 2_000), (321, 400), (90_000, 10), (4_321, 987), (11, 222), (2_000, 3)]
    claims = [(a, b, f"{(a * 5 + b * 15) / 1e6:.6f}") for a, b in [*sizes, (600, 600)]]
    found = fitted_rates(differences(book, [*claims, (1_000, 100, "0.25")]))
    assert found is not None
    assert (found.calls, round(found.input_usd, 2), round(found.output_usd, 2)) == (9, D(5), D(15))


def test_claims_without_rates_in_common_have_none(book: PriceBook) -> None:
    assert fitted_rates(differences(book, [(1_000, 100 * n, f"0.0{7 * n % 10 + 1}") for n in range(1, 9)])) is None
    assert fitted_rates(differences(book, [(1_000, 100, "0.0065")] * 4)) is None
    assert fitted_rates(differences(book, [(1_000 * n, 100 * n, f"{0.0065 * n}") for n in range(1, 9)])) is None

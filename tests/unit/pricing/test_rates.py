"""Exact integer rates, cliffs and the lines of a bill."""

from __future__ import annotations

from decimal import Decimal, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ralex_core.pricing.rates import FREE, Rates, Usage

D = Decimal
SONNET = Rates(
    [
        (
            -1,
            {"input": D(3), "output": D(15), "cache_read": D("0.3"), "cache_write": D("3.75"), "cache_write_1h": D(6)},
        ),
        (
            200_000,
            {
                "input": D(6),
                "output": D("22.5"),
                "cache_read": D("0.6"),
                "cache_write": D("7.5"),
                "cache_write_1h": D(12),
            },
        ),
    ]
)
tokens = st.integers(min_value=0, max_value=2_000_000)


@st.composite
def usages(draw: st.DrawFn) -> Usage:
    read, written, rest = draw(tokens), draw(tokens), draw(tokens)
    one_hour = draw(st.integers(0, written))
    output = draw(tokens)
    return Usage(read + written + rest, output, read, written, one_hour, draw(st.integers(0, output)))


def test_a_cached_token_costs_its_own_rate_and_nothing_besides() -> None:
    usage = Usage(input=10_000, output=500, cache_read=6_000, cache_write=3_000, cache_write_1h=1_000)
    by_hand = (1_000 * D(3) + 6_000 * D("0.3") + 2_000 * D("3.75") + 1_000 * D(6) + 500 * D(15)) / 1_000_000
    assert SONNET.cost(usage) == by_hand == D("0.0258")


@pytest.mark.parametrize(
    ("count", "usd"), [(199_000, "0.672"), (200_000, "0.675"), (200_001, "1.312506"), (250_000, "1.6125")]
)
def test_passing_the_cliff_reprices_the_whole_request(count: int, usd: str) -> None:
    assert SONNET.cost(Usage(count, 5_000)) == D(usd)


@given(usages())
def test_the_lines_of_a_bill_add_up_to_the_cost(usage: Usage) -> None:
    assert sum((line.usd for line in SONNET.lines(usage)), D(0)) == SONNET.cost(usage)


def test_a_part_without_a_price_of_its_own_is_charged_as_what_it_is_part_of() -> None:
    plain = Rates([(-1, {"input": D(2), "output": D(8)})])
    assert plain.cost(Usage(1_000_000, 0, cache_read=400_000, cache_write=300_000, cache_write_1h=100_000)) == D(2)
    no_hour = Rates([(-1, {"input": D(2), "output": D(8), "cache_write": D(3)})])
    assert no_hour.cost(Usage(1_000_000, 0, cache_write=1_000_000, cache_write_1h=1_000_000)) == D(3)


def test_reasoning_with_a_price_of_its_own_leaves_the_output() -> None:
    rates = Rates([(-1, {"input": D(2), "output": D(8), "reasoning": D(3)})])
    assert rates.cost(Usage(0, 1_000_000, reasoning=250_000)) == D("6.75")


def test_a_price_per_request_is_charged_once() -> None:
    rates = Rates([(-1, {"input": D(1), "output": D(1), "request": D("0.012")})])
    assert rates.cost(Usage(1000, 1000)) == D("0.014")
    assert [line.part for line in rates.lines(Usage(1000, 1000))] == ["input", "output", "request"]


def test_prices_finer_than_money_are_rounded_half_even_at_the_eighteenth_decimal() -> None:
    rates = Rates([(-1, {"input": D("0.0000000000005"), "output": D(1)})])
    assert [rates.cost(Usage(count, 0)) for count in (1, 2, 3)] == [D(0), D("1e-18"), D("2e-18")]
    noisy = Rates([(-1, {"input": D("0.15000000000000002"), "output": D(1)})])
    assert noisy.cost(Usage(1_000_000, 0)) == D("0.15000000000000002")


def test_a_host_program_that_computes_with_few_digits_changes_nothing() -> None:
    with localcontext() as context:
        context.prec = 3
        assert SONNET.cost(Usage(123_456, 7_891)) == D("0.488733")


def test_what_is_free_costs_zero_and_says_so() -> None:
    assert FREE.cost(Usage(10**9, 10**9)) == 0
    assert FREE.free
    assert not SONNET.free


def test_the_blended_price_weighs_input_three_to_one() -> None:
    assert SONNET.blended_usd_per_mtok == D(6)

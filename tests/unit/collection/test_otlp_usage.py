"""Token counts of every dialect come to one meaning: all input, all output."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ralex_core.collection import semconv
from ralex_core.collection.otlp_usage import Usage, count_of, milliseconds_of, usage_of

ORDER = (
    "input_tokens",
    "output_tokens",
    "total_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "cache_write_1h_tokens",
    "reasoning_tokens",
    "thoughts_tokens",
    "tool_use_tokens",
)


def usage(*, exclusive_input: bool = False, **numbers: Any) -> Usage:
    return usage_of([numbers.get(name) for name in ORDER], exclusive_input=exclusive_input)


def test_the_order_is_that_of_the_alias_table() -> None:
    assert tuple(semconv.NUMBER_ALIASES)[: len(ORDER)] == ORDER


def test_parts_that_fit_into_their_totals_are_parts_as_the_conventions_say() -> None:
    found = usage(
        input_tokens=1000, cache_read_tokens=800, cache_write_tokens=100, output_tokens=50, reasoning_tokens=40
    )
    assert found == Usage(1000, 800, 100, None, 50, 40)


def test_more_cached_tokens_than_input_can_only_be_beside_it() -> None:
    assert usage(input_tokens=10, cache_read_tokens=800, cache_write_tokens=100).input_tokens == 910


def test_a_total_that_fits_only_with_the_cached_tokens_beside_proves_that_they_are() -> None:
    apart = usage(input_tokens=1000, cache_read_tokens=500, output_tokens=100, total_tokens=1600)
    assert apart.input_tokens == 1500
    inside = usage(input_tokens=1000, cache_read_tokens=500, output_tokens=100, total_tokens=1100)
    assert inside.input_tokens == 1000


def test_a_sender_known_to_leave_cached_tokens_out_is_always_corrected() -> None:
    found = usage(exclusive_input=True, input_tokens=1000, cache_read_tokens=5, output_tokens=1)
    assert found.input_tokens == 1005


def test_reasoning_beside_output_is_added_when_the_numbers_prove_it() -> None:
    assert usage(input_tokens=5, output_tokens=10, reasoning_tokens=90).output_tokens == 100
    apart = usage(input_tokens=100, output_tokens=50, reasoning_tokens=20, total_tokens=170)
    assert apart.output_tokens == 70
    inside = usage(input_tokens=100, output_tokens=50, reasoning_tokens=20, total_tokens=150)
    assert inside.output_tokens == 50


def test_gemini_counts_thoughts_beside_output_and_tool_use_beside_input() -> None:
    found = usage(input_tokens=100, cache_read_tokens=30, output_tokens=20, thoughts_tokens=7, tool_use_tokens=5)
    assert found == Usage(105, 30, None, None, 27, 7)


def test_tokens_written_for_an_hour_are_part_of_the_tokens_written() -> None:
    found = usage(input_tokens=100, cache_write_1h_tokens=40)
    assert (found.cache_write_tokens, found.cache_write_1h_tokens) == (40, 40)


def test_what_is_not_said_stays_unknown() -> None:
    assert usage() == Usage(None, None, None, None, None, None)
    assert usage(cache_read_tokens=5) == Usage(None, 5, None, None, None, None)


counts = st.none() | st.integers(0, 10_000)


@given(st.lists(counts, min_size=9, max_size=9), st.booleans())
def test_parts_never_exceed_their_totals(numbers: list[int | None], exclusive: bool) -> None:
    found = usage_of(list(numbers), exclusive_input=exclusive)
    if found.input_tokens is not None:
        cached = (found.cache_read_tokens or 0) + (found.cache_write_tokens or 0)
        assert found.input_tokens >= cached
    if found.output_tokens is not None:
        assert found.output_tokens >= (found.reasoning_tokens or 0)
    assert (found.cache_write_tokens or 0) >= (found.cache_write_1h_tokens or 0)


@pytest.mark.parametrize(
    ("value", "count"),
    [
        (7, 7),
        ("7", 7),
        (7.0, 7),
        (0, 0),
        (7.5, None),
        (-1, None),
        ("seven", None),
        (float("inf"), None),
        (float("nan"), None),
        (True, 1),
        (10**12, None),
        ([1], None),
        (None, None),
    ],
)
def test_counts_are_whole_and_possible(value: Any, count: int | None) -> None:
    assert count_of(value) == count


@pytest.mark.parametrize(
    ("value", "milliseconds"),
    [(12, 12.0), ("12.5", 12.5), (-1, None), ("soon", None), (float("nan"), None), ([], None)],
)
def test_durations_are_finite_and_possible(value: Any, milliseconds: float | None) -> None:
    assert milliseconds_of(value) == milliseconds

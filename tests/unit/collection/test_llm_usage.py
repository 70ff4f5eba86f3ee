"""The arithmetic of usage: against the providers' documented examples, and for any numbers at all."""

from __future__ import annotations

from decimal import Decimal
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ralex_core.collection.llm_usage import (
    NO_USAGE,
    Usage,
    anthropic_usage,
    fields_of,
    openai_usage,
    stated_cost,
)
from tests.support.model_server import CHAT_USAGE, MESSAGES_USAGE, OPENROUTER_USAGE, RESPONSES_USAGE


def test_openai_counts_cached_and_reasoning_tokens_inside_the_totals() -> None:
    assert openai_usage(CHAT_USAGE) == Usage(1000, 800, None, None, 300, 200)
    assert openai_usage(RESPONSES_USAGE) == Usage(1000, 800, 0, None, 300, 200)


def test_openrouter_also_says_what_was_written_to_the_cache() -> None:
    assert openai_usage(OPENROUTER_USAGE) == Usage(1000, 800, 100, None, 300, 200)


def test_anthropic_counts_the_cache_outside_input() -> None:
    assert anthropic_usage(MESSAGES_USAGE) == Usage(1000, 600, 300, 100, 50, 20)


def test_anthropic_without_the_breakdown_by_time_does_not_know_the_hour_part() -> None:
    usage = {"input_tokens": 1, "cache_creation_input_tokens": 30, "cache_read_input_tokens": 0, "output_tokens": 5}
    assert anthropic_usage(usage) == Usage(31, 0, 30, None, 5, None)


def test_a_compaction_inside_a_call_is_added_to_its_totals() -> None:
    # The documented example: the totals are those of the message alone.
    usage = {
        "input_tokens": 23_000,
        "output_tokens": 1000,
        "iterations": [
            {"type": "compaction", "input_tokens": 180_000, "output_tokens": 3500},
            {"type": "message", "input_tokens": 23_000, "output_tokens": 1000},
        ],
    }
    assert anthropic_usage(usage) == Usage(203_000, None, None, None, 4500, None)


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        # xAI: 10,120 + 1,499 + 2,809 = 14,428
        (
            {
                "prompt_tokens": 10_120,
                "completion_tokens": 1499,
                "total_tokens": 14_428,
                "prompt_tokens_details": {"cached_tokens": 128},
                "completion_tokens_details": {"reasoning_tokens": 2809},
            },
            Usage(10_120, 128, None, None, 4308, 2809),
        ),
        # A proxy of Gemini's that leaves the output at 0
        (
            {
                "prompt_tokens": 21,
                "completion_tokens": 0,
                "total_tokens": 81,
                "completion_tokens_details": {"reasoning_tokens": 60},
            },
            Usage(21, None, None, None, 60, 60),
        ),
        # DeepSeek
        (
            {"prompt_tokens": 50, "completion_tokens": 5, "total_tokens": 55, "prompt_cache_hit_tokens": 30},
            Usage(50, 30, None, None, 5, None),
        ),
        # Embeddings
        ({"prompt_tokens": 8, "total_tokens": 8}, Usage(8, None, None, None, None, None)),
    ],
)
def test_numbers_that_prove_that_a_part_was_left_out_are_put_right(usage: dict[str, Any], expected: Usage) -> None:
    assert openai_usage(usage) == expected


def test_googles_thoughts_are_what_the_total_has_more_and_nobody_elses_are() -> None:
    usage = {"prompt_tokens": 20, "completion_tokens": 198, "total_tokens": 623}
    assert openai_usage(usage, "google") == Usage(20, None, None, None, 603, 405)
    assert openai_usage(usage, "openai") == Usage(20, None, None, None, 198, None)
    assert openai_usage(usage) == Usage(20, None, None, None, 198, None)


@pytest.mark.parametrize("nothing", [None, {}, [], "text", 7, {"prompt_tokens": None}, {"prompt_tokens": "many"}])
def test_what_is_not_said_is_not_known(nothing: Any) -> None:
    assert openai_usage(nothing) == NO_USAGE
    assert anthropic_usage(nothing) == NO_USAGE
    assert stated_cost(nothing) is None


COUNTS = st.one_of(st.none(), st.integers(-5, 10**6), st.floats(), st.booleans(), st.text(max_size=5))
CLEAN = st.one_of(st.none(), st.integers(0, 10**6))
OPENAI = st.fixed_dictionaries(
    {},
    optional={
        "prompt_tokens": COUNTS,
        "completion_tokens": COUNTS,
        "total_tokens": COUNTS,
        "input_tokens": COUNTS,
        "cached_tokens": COUNTS,
        "cache_creation_input_tokens": COUNTS,
        "prompt_tokens_details": st.one_of(
            st.none(),
            st.text(max_size=3),
            st.fixed_dictionaries(
                {},
                optional={
                    "cached_tokens": COUNTS,
                    "cache_write_tokens": COUNTS,
                    "cache_creation_token_details": st.fixed_dictionaries(
                        {}, optional={"ephemeral_1h_input_tokens": COUNTS}
                    ),
                },
            ),
        ),
        "completion_tokens_details": st.fixed_dictionaries({}, optional={"reasoning_tokens": COUNTS}),
    },
)
ANTHROPIC_PART = {
    "input_tokens": CLEAN,
    "output_tokens": CLEAN,
    "cache_read_input_tokens": CLEAN,
    "cache_creation_input_tokens": CLEAN,
    "cache_creation": st.one_of(
        st.none(),
        st.fixed_dictionaries({}, optional={"ephemeral_5m_input_tokens": CLEAN, "ephemeral_1h_input_tokens": CLEAN}),
    ),
    "output_tokens_details": st.fixed_dictionaries({}, optional={"thinking_tokens": CLEAN}),
}
ANTHROPIC = st.fixed_dictionaries(
    {},
    optional={
        **ANTHROPIC_PART,
        "iterations": st.lists(
            st.fixed_dictionaries({"type": st.sampled_from(["message", "compaction"])}, optional=ANTHROPIC_PART),
            max_size=3,
        ),
    },
)


def assert_consistent(usage: Usage) -> None:
    """As the native door demands (`native._check_parts`): what breaks this would be refused."""
    cached = (usage.cache_read_tokens or 0) + (usage.cache_write_tokens or 0)
    assert usage.input_tokens is None or cached <= usage.input_tokens
    assert (usage.cache_write_1h_tokens or 0) <= (usage.cache_write_tokens or 0)
    if usage.output_tokens is not None:
        assert (usage.reasoning_tokens or 0) <= usage.output_tokens
    assert all(count is None or (type(count) is int and count >= 0) for count in usage)


@given(OPENAI, st.sampled_from([None, "openai", "google"]))
def test_parts_never_exceed_their_totals_whatever_openais_usage_holds(usage: Any, provider: str | None) -> None:
    found = openai_usage(usage, provider)
    assert_consistent(found)
    if usage.get("prompt_tokens") is None and usage.get("input_tokens") is None:
        assert found.input_tokens is None
    if usage.get("completion_tokens") is None:
        assert found.output_tokens is None


@given(ANTHROPIC)
def test_parts_never_exceed_their_totals_whatever_anthropics_usage_holds(usage: Any) -> None:
    found = anthropic_usage(usage)
    assert_consistent(found)
    if usage.get("input_tokens") is None:
        assert found.input_tokens is None
    if usage.get("output_tokens") is None:
        assert found.output_tokens is None


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.data())
def test_a_consistent_usage_of_openais_is_left_as_it_is(prompt: int, completion: int, data: st.DataObject) -> None:
    cached = data.draw(st.integers(0, prompt))
    written = data.draw(st.integers(0, prompt - cached))
    reasoning = data.draw(st.integers(0, completion))
    usage = {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": cached, "cache_write_tokens": written},
        "completion_tokens_details": {"reasoning_tokens": reasoning},
    }
    assert openai_usage(usage, "google") == Usage(prompt, cached, written, None, completion, reasoning)


@given(*(st.integers(0, 10**6) for _ in range(5)))
def test_anthropics_input_is_the_sum_of_its_parts(plain: int, read: int, short: int, long: int, output: int) -> None:
    usage = {
        "input_tokens": plain,
        "cache_read_input_tokens": read,
        "cache_creation_input_tokens": short + long,
        "cache_creation": {"ephemeral_5m_input_tokens": short, "ephemeral_1h_input_tokens": long},
        "output_tokens": output,
    }
    assert anthropic_usage(usage) == Usage(plain + read + short + long, read, short + long, long, output, None)


@pytest.mark.parametrize(
    ("usage", "usd"),
    [
        (OPENROUTER_USAGE, "0.0123"),
        ({"cost": 0}, "0"),
        ({"cost": None}, None),
        ({"cost": -1}, None),
        ({"cost": True}, None),
        ({"cost": "much"}, None),
        ({"cost": {"total_cost": 0.006, "request_cost": 0.005}}, "0.006"),  # Perplexity
        ({"cost_in_usd_ticks": 232_856_000}, "0.0232856"),  # xAI
        # A key of one's own: the fee, and what the provider behind asks
        ({"cost": 0.001, "is_byok": True, "cost_details": {"upstream_inference_cost": 0.02}}, "0.021"),
        ({"cost": 0.001, "is_byok": True, "cost_details": {"upstream_inference_cost": None}}, None),
        ({"cost": 0.001, "is_byok": True}, None),
        ({"cost": 0.001, "is_byok": False, "cost_details": {"upstream_inference_cost": 0.02}}, "0.001"),
    ],
)
def test_the_cost_an_answer_states(usage: dict[str, Any], usd: str | None) -> None:
    assert stated_cost(usage) == (None if usd is None else Decimal(usd))


def test_fields_are_those_of_objects_and_of_what_objects_do_not_know_too() -> None:
    class Model(SimpleNamespace):
        __pydantic_extra__: ClassVar[dict[str, Any]] = {"cost": 1.5}

    assert fields_of(Model(prompt_tokens=1)) == {"prompt_tokens": 1, "cost": 1.5}
    assert fields_of({"a": 1}) == {"a": 1}
    assert fields_of(3) == {}

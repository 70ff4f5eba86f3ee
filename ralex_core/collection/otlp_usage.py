"""What a span says about tokens and money, brought to one meaning: all input, all output, their parts, one claim."""

from __future__ import annotations

from typing import Any

from ralex_core.collection.llm_usage import (
    NO_USAGE,
    Usage,
    count_of,
    input_with_cache,
    output_with_reasoning,
    usd_of,
)

__all__ = ["NO_USAGE", "Usage", "count_of", "milliseconds_of", "usage_of", "usd_of"]


def milliseconds_of(value: Any) -> float | None:
    """A finite duration ≥ 0 from a number or the text of one; anything else is not known."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if 0 <= number < 1e12 else None


def usage_of(numbers: list[Any], *, exclusive_input: bool) -> Usage:
    """Usage from the raw values of the attributes, in the order of `semconv.NUMBER_ALIASES`: input, output, total,
    cache read, cache write, cache write for an hour, reasoning, Gemini's thoughts, Gemini's tool-use tokens.

    The conventions say that cached tokens are inside input and reasoning inside output. Not every instrumentation
    keeps to it, so where the numbers themselves prove the contrary they are added:

    - `exclusive_input` (the sender is known to leave them out), more cached tokens than input, or a stated total
      that fits only when they are apart: cached tokens are added to input;
    - more reasoning than output, or a stated total that fits only when they are apart: reasoning is added to output;
    - Gemini's own `thoughts` and `tool` counts are always apart: thoughts are output, tool-use tokens input.
    """
    input_tokens, output_tokens = count_of(numbers[0]), count_of(numbers[1])
    if numbers[2:] == _NOTHING:
        return Usage(input_tokens, None, None, None, output_tokens, None)
    total, read, write, hour, reasoning, thoughts, tool = [count_of(number) for number in numbers[2:]]
    if hour is not None and (write is None or write < hour):
        write = hour
    if input_tokens is not None:
        cached = (read or 0) + (write or 0)
        if cached:
            input_tokens = input_with_cache(input_tokens, cached, output_tokens, total, exclusive=exclusive_input)
        input_tokens += tool or 0
    if output_tokens is not None:
        if thoughts is not None:
            output_tokens += thoughts
            reasoning = thoughts
        elif reasoning:
            output_tokens = output_with_reasoning(output_tokens, reasoning, input_tokens, total)
    return Usage(input_tokens, read, write, hour, output_tokens, reasoning)


_NOTHING: list[Any] = [None] * 7

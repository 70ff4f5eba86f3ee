"""What a span says about tokens and money, brought to one meaning: all input, all output, their parts, one claim."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, NamedTuple

from ralex_core.model.money import parse_usd

MAX_TOKENS = 10**12
"""A count beyond this is a mistake of the sender: a trillion tokens is more than any model reads in a year."""


class Usage(NamedTuple):
    """Tokens of one call. `input_tokens` includes the cached parts, `output_tokens` the reasoning; None is unknown."""

    input_tokens: int | None
    cache_read_tokens: int | None
    cache_write_tokens: int | None
    cache_write_1h_tokens: int | None
    output_tokens: int | None
    reasoning_tokens: int | None


NO_USAGE = Usage(None, None, None, None, None, None)


def count_of(value: Any) -> int | None:
    """A whole number ≥ 0 from a number or the text of one; anything else is not known."""
    if type(value) is not int:
        try:
            value = int(value) if not isinstance(value, float) or value.is_integer() else -1
        except (TypeError, ValueError, OverflowError):
            return None
    return value if 0 <= value < MAX_TOKENS else None


def milliseconds_of(value: Any) -> float | None:
    """A finite duration ≥ 0 from a number or the text of one; anything else is not known."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if 0 <= number < 1e12 else None


def usd_of(value: Any) -> Decimal | None:
    """A claim in dollars; None when the value is not an amount of money."""
    if type(value) is float and 0 < value < 1e9:
        text = repr(value)
        if len(text) <= 20 and "e" not in text:  # the usual case, without a second rounding
            return Decimal(text)
    try:
        return parse_usd(value)
    except ValueError:
        return None


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
        apart = total is not None and total == input_tokens + cached + (output_tokens or 0)
        if cached and (exclusive_input or cached > input_tokens or apart):
            input_tokens += cached
        input_tokens += tool or 0
    if output_tokens is not None:
        if thoughts is not None:
            output_tokens += thoughts
            reasoning = thoughts
        elif reasoning:
            apart = total is not None and total == (input_tokens or 0) + output_tokens + reasoning
            if reasoning > output_tokens or apart:
                output_tokens += reasoning
    return Usage(input_tokens, read, write, hour, output_tokens, reasoning)


_NOTHING: list[Any] = [None] * 7

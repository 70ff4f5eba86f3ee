"""The tokens and the money in a provider's own usage object, brought to one meaning. Pure: no SDK, no network.

`input_tokens` is all input, cached parts included; `output_tokens` all output, reasoning included. Every function
takes a parsed JSON object or the object an SDK made of it (`fields_of`), and says None for what it does not find.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, NamedTuple, cast

from ralex_core.model.money import parse_usd

MAX_TOKENS = 10**12
"""A count beyond this is a mistake of the sender: a trillion tokens is more than any model reads in a year."""

BILLED_BY = frozenset({"openrouter", "perplexity", "x-ai"})
"""Providers whose inline cost is what they charge. From anybody else (a proxy, say) it is the client's claim."""

THOUGHTS_LEFT_OUT = frozenset({"google"})
"""Providers whose OpenAI-compatible usage counts thoughts in the total only, without saying how many they are."""

TICKS_PER_USD = 10**10
"""xAI states its charge in these (`cost_in_usd_ticks`)."""


class Usage(NamedTuple):
    """Tokens of one call. `input_tokens` includes the cached parts, `output_tokens` the reasoning; None is unknown.

    The fields are those of `Operation`, by name. `cache_write_tokens` includes `cache_write_1h_tokens`.
    """

    input_tokens: int | None
    cache_read_tokens: int | None
    cache_write_tokens: int | None
    cache_write_1h_tokens: int | None
    output_tokens: int | None
    reasoning_tokens: int | None


NO_USAGE = Usage(None, None, None, None, None, None)


# Reading values


_NOTHING: Mapping[str, Any] = {}


def fields_of(value: Any) -> Mapping[str, Any]:
    """The fields of a parsed JSON object or of an SDK's model, also those the SDK does not know; else empty."""
    if isinstance(value, dict):
        return cast("dict[str, Any]", value)
    own: Mapping[str, Any] | None = getattr(value, "__dict__", None)
    if own is None:
        return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else _NOTHING
    extra: Mapping[str, Any] | None = getattr(value, "__pydantic_extra__", None)
    return {**own, **extra} if extra else own


def count_of(value: Any) -> int | None:
    """A whole number ≥ 0 from a number or the text of one; anything else is not known."""
    if value is None:
        return None
    if type(value) is not int:
        try:
            value = int(value) if not isinstance(value, float) or value.is_integer() else -1
        except (TypeError, ValueError, OverflowError):
            return None
    return value if 0 <= value < MAX_TOKENS else None


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


# Totals that include their parts


def input_with_cache(
    stated: int, cached: int, output: int | None, total: int | None, *, exclusive: bool = False
) -> int:
    """All input: the cached tokens are added where the sender leaves them out, or its own numbers prove that it did:
    more of them than input, or a stated total that fits only when they are apart.
    """
    if cached and (exclusive or cached > stated or (total is not None and total == stated + cached + (output or 0))):
        return stated + cached
    return stated


def output_with_reasoning(stated: int, reasoning: int, input_tokens: int | None, total: int | None) -> int:
    """All output: the reasoning is added where it is more than the output, or a stated total fits only when both are
    apart (xAI counts so).
    """
    if reasoning and (reasoning > stated or (total is not None and total == (input_tokens or 0) + stated + reasoning)):
        return stated + reasoning
    return stated


# Flavours


def openai_usage(usage: Any, provider: str | None = None) -> Usage:
    """Of chat completions, completions, embeddings and responses, by OpenAI and by whoever speaks like it.

    Also reads DeepSeek's `prompt_cache_hit_tokens`, OpenRouter's `cache_write_tokens` and what LiteLLM calls them.
    """
    fields = fields_of(usage)
    stated = _first(fields, "prompt_tokens", "input_tokens")
    output = _first(fields, "completion_tokens", "output_tokens")
    total = count_of(fields.get("total_tokens"))
    inputs = fields_of(fields.get("prompt_tokens_details") or fields.get("input_tokens_details"))
    outputs = fields_of(fields.get("completion_tokens_details") or fields.get("output_tokens_details"))
    read = _first(inputs, "cached_tokens")
    if read is None:
        read = _first(fields, "prompt_cache_hit_tokens", "cache_read_input_tokens", "cached_tokens")
    written = _first(inputs, "cache_write_tokens", "cache_creation_tokens")
    if written is None:
        written = count_of(fields.get("cache_creation_input_tokens"))
    kinds = fields_of(inputs.get("cache_creation_token_details"))
    written_1h = count_of(kinds.get("ephemeral_1h_input_tokens"))
    if written_1h is not None and (written is None or written < written_1h):
        written = written_1h
    reasoning = count_of(outputs.get("reasoning_tokens"))
    if stated is not None:
        stated = input_with_cache(stated, (read or 0) + (written or 0), output, total)
    if output is not None:
        if reasoning:
            output = output_with_reasoning(output, reasoning, stated, total)
        elif provider in THOUGHTS_LEFT_OUT and total is not None and stated is not None and total > stated + output:
            reasoning = total - stated - output
            output += reasoning
    return Usage(stated, read, written, written_1h, output, reasoning)


def anthropic_usage(usage: Any) -> Usage:
    """Of Anthropic's messages, whose `input_tokens` leave the cache out.

    A compaction is a sampling of its own inside the call, billed but left out of the totals; it is added.
    """
    fields = fields_of(usage)
    found = _anthropic_part(fields)
    iterations: Any = fields.get("iterations")
    if isinstance(iterations, list):
        for iteration in cast("list[Any]", iterations):
            part = fields_of(iteration)
            if part.get("type") == "compaction":
                found = _sum(found, _anthropic_part(part))
    return found


def anthropic_tokens(
    plain: int | None, read: int | None, written: int | None, written_5m: int | None, written_1h: int | None
) -> tuple[int | None, int | None]:
    """All input, and all that was written to the cache, from the parts Anthropic counts apart."""
    if written_5m is not None or written_1h is not None:
        written = (written_5m or 0) + (written_1h or 0)
    return (None if plain is None else plain + (read or 0) + (written or 0)), written


def _anthropic_part(fields: Mapping[str, Any]) -> Usage:
    read = count_of(fields.get("cache_read_input_tokens"))
    kinds = fields_of(fields.get("cache_creation"))
    written_1h = count_of(kinds.get("ephemeral_1h_input_tokens"))
    all_input, written = anthropic_tokens(
        count_of(fields.get("input_tokens")),
        read,
        count_of(fields.get("cache_creation_input_tokens")),
        count_of(kinds.get("ephemeral_5m_input_tokens")),
        written_1h,
    )
    output = count_of(fields.get("output_tokens"))
    reasoning = count_of(fields_of(fields.get("output_tokens_details")).get("thinking_tokens"))
    if output is not None and reasoning is not None and reasoning > output:
        reasoning = None  # the total is what is billed; a part that does not fit into it is not known
    return Usage(all_input, read, written, written_1h, output, reasoning)


def _sum(one: Usage, other: Usage) -> Usage:
    """Two samplings of one call. A total is known only when both are; a part that one does not mention counts as 0."""
    parts = [None if a is None and b is None else (a or 0) + (b or 0) for a, b in zip(one, other, strict=True)]
    found = Usage(*parts)
    return found._replace(
        input_tokens=None if one.input_tokens is None or other.input_tokens is None else found.input_tokens,
        output_tokens=None if one.output_tokens is None or other.output_tokens is None else found.output_tokens,
    )


def _first(fields: Mapping[str, Any], *names: str) -> int | None:
    for name in names:
        value = fields.get(name)
        if value is not None and (count := count_of(value)) is not None:
            return count
    return None


# Money


def stated_cost(usage: Any) -> Decimal | None:
    """What an answer says the call cost (US dollars); None when it says nothing of it, or not all.

    With a key of one's own at OpenRouter (`is_byok`) its `cost` is only its fee: what the provider behind it asks is
    added, and when that is not said the cost is not known.
    """
    fields = fields_of(usage)
    cost: Any = fields.get("cost")
    if cost is None:
        ticks = count_of(fields.get("cost_in_usd_ticks"))
        return None if ticks is None else Decimal(ticks) / TICKS_PER_USD
    if not isinstance(cost, int | float | str | Decimal):
        cost = fields_of(cost).get("total_cost")  # Perplexity itemises
    amount = usd_of(cost)
    if amount is None or fields.get("is_byok") is not True:
        return amount
    upstream = usd_of(fields_of(fields.get("cost_details")).get("upstream_inference_cost"))
    return None if upstream is None else amount + upstream

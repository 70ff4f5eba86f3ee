"""Which metrics say what was used, as data: metric name → what its value counts, attribute → which part.

A new metric is a new line here, never a branch elsewhere. `docs/otlp.md` explains the choices.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import NamedTuple

from ralex_core.collection import otlp_events, semconv

PARTS = ("input", "output", "total", "cache_read", "cache_write", "cache_write_1h", "reasoning", "thoughts", "tool")
"""Parts of usage, in the order of `otlp_usage.usage_of`."""
COST = "cost_usd"


class MetricRule(NamedTuple):
    """One metric that counts tokens or dollars."""

    family: str
    """Metrics of one family describe the same calls: their values become one operation."""
    assistant: otlp_events.Assistant
    parts: MappingProxyType[str, str]
    """Value of the attribute that tells the kind → part of the usage. "" is for a metric without one."""
    kind: tuple[str, ...] = ()
    """Attributes that tell the kind of token, best first."""
    ignored: frozenset[str] = frozenset()
    """Kinds that are the sum of others."""
    cache_apart: bool = False
    """Input leaves the cached tokens out."""
    provider: str | None = None
    models: str = ""
    """Beginning of the names of the provider's models, as in `EventRule.models`."""


def _parts(**parts: str) -> MappingProxyType[str, str]:
    return MappingProxyType(parts)


_CLAUDE = otlp_events.ASSISTANTS["claude_code."]

METRICS: dict[str, MetricRule] = {
    "claude_code.token.usage": MetricRule(
        "claude_code",
        _CLAUDE,
        _parts(input="input", output="output", cacheRead="cache_read", cacheCreation="cache_write"),
        kind=("type",),
        cache_apart=True,
        provider="anthropic",
        models="claude",
    ),
    "claude_code.cost.usage": MetricRule(
        "claude_code", _CLAUDE, MappingProxyType({"": COST}), provider="anthropic", models="claude"
    ),
    "codex.turn.token_usage": MetricRule(
        "codex",
        otlp_events.ASSISTANTS["codex."],
        _parts(
            input="input",
            cached_input="cache_read",
            cache_write_input="cache_write",
            output="output",
            reasoning_output="reasoning",
        ),
        kind=("token_type",),
        ignored=frozenset({"total", "non_cached_input"}),
        provider="openai",
    ),
    "gemini_cli.token.usage": MetricRule(
        "gemini_cli",
        otlp_events.ASSISTANTS["gemini_cli."],
        _parts(input="input", output="output", cache="cache_read", thought="thoughts", tool="tool"),
        kind=("type",),
        provider="google",
    ),
    "gen_ai.client.token.usage": MetricRule(
        "gen_ai",
        otlp_events.ASSISTANTS["gen_ai."],
        _parts(input="input", output="output", completion="output"),
        kind=("gen_ai.token.type",),
    ),
}
"""Metric name → rule. Other metrics are counted and not used."""

SAYS_THE_SAME: dict[str, tuple[str, ...]] = {"gen_ai.client.token.usage": ("gemini-cli", "gemini_cli", "codex")}
"""Metric → services whose own metrics count the same tokens, so that it is not used from them."""

FIELDS: dict[str, tuple[str, ...]] = {
    "session_id": otlp_events.FIELDS["session_id"],
    "user_id": otlp_events.FIELDS["user_id"],
    "provider": semconv.TEXT_ALIASES["provider"],
    "model": otlp_events.FIELDS["model"],
}
"""Field → the attributes of a data point (or of its resource) that say it, best first."""

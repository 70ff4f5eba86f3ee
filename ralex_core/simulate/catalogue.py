"""The models a simulated team may use: what they charge, how fast and how able they are."""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal

CHEAP, STANDARD, PREMIUM = 0, 1, 2
TIER_NAMES = ("cheap", "standard", "premium")

ABILITY_SLOPE = 7.0
"""How sharply success falls as tasks get harder: 7 takes it from 90 % to 10 % over 0.63 of difficulty."""

_PICO = Decimal("1e-12")


@dataclass(frozen=True, slots=True)
class SimulatedModel:
    """One model as the simulator plays it.

    Rates are micro-dollars per million tokens (integers: bills are exact); `ttft_s` and `tokens_per_s` are
    medians at no load; `ability` is the difficulty (0–1) at which half of the tasks end well.
    """

    provider: str
    name: str
    tier: int
    weight: float
    """How often the router takes it within its tier."""
    ability: float
    ttft_s: float
    tokens_per_s: float
    spread: float
    """Sigma of the lognormal of latency."""
    output_tokens: int
    """Median output of one call."""
    reasoning_ratio: float
    """Share of output that is reasoning; 0 for models that do not report it."""
    input_rate: int
    cached_rate: int
    cache_write_rate: int
    """0: the provider neither charges nor reports cache writes."""
    output_rate: int
    bills: bool
    """The provider says on each call what it charged (OpenRouter's inline cost)."""
    reported_bias: float
    """What the assistant's own arithmetic is off by: 0.06 says 6 % too much."""

    def charge(self, fresh: int, cached: int, written: int, output: int) -> Decimal:
        """What the provider charges, in dollars, exact. `fresh + cached + written` is the input."""
        micro = fresh * self.input_rate + cached * self.cached_rate + output * self.output_rate
        return (micro + written * (self.cache_write_rate or self.input_rate)) * _PICO

    def acceptance(self, difficulty: float) -> float:
        """Probability that a task of this difficulty ends well on this model."""
        return 1 / (1 + math.exp(-ABILITY_SLOPE * (self.ability - difficulty)))


MODELS = (
    SimulatedModel(
        provider="openrouter", name="deepseek/deepseek-v3.2", tier=CHEAP, weight=0.42, ability=0.6,
        ttft_s=1.1, tokens_per_s=48, spread=0.38, output_tokens=380, reasoning_ratio=0.0,
        input_rate=260_000, cached_rate=130_000, cache_write_rate=0, output_rate=380_000,
        bills=True, reported_bias=0.0,
    ),
    SimulatedModel(
        provider="openrouter", name="openai/gpt-5-mini", tier=CHEAP, weight=0.33, ability=0.63,
        ttft_s=0.85, tokens_per_s=95, spread=0.33, output_tokens=560, reasoning_ratio=0.45,
        input_rate=250_000, cached_rate=25_000, cache_write_rate=0, output_rate=2_000_000,
        bills=True, reported_bias=0.0,
    ),
    SimulatedModel(
        provider="google", name="gemini-2.5-flash", tier=CHEAP, weight=0.25, ability=0.56,
        ttft_s=0.45, tokens_per_s=180, spread=0.3, output_tokens=400, reasoning_ratio=0.0,
        input_rate=300_000, cached_rate=30_000, cache_write_rate=0, output_rate=2_500_000,
        bills=False, reported_bias=0.02,
    ),
    SimulatedModel(
        provider="anthropic", name="claude-haiku-4-5", tier=STANDARD, weight=0.34, ability=0.7,
        ttft_s=0.55, tokens_per_s=130, spread=0.28, output_tokens=430, reasoning_ratio=0.0,
        input_rate=1_000_000, cached_rate=100_000, cache_write_rate=1_250_000, output_rate=5_000_000,
        bills=False, reported_bias=0.0,
    ),
    SimulatedModel(
        provider="anthropic", name="claude-sonnet-4-5", tier=STANDARD, weight=0.46, ability=0.84,
        ttft_s=1.15, tokens_per_s=68, spread=0.32, output_tokens=560, reasoning_ratio=0.0,
        input_rate=3_000_000, cached_rate=300_000, cache_write_rate=3_750_000, output_rate=15_000_000,
        bills=False, reported_bias=-0.04,
    ),
    SimulatedModel(
        provider="openai", name="gpt-5", tier=STANDARD, weight=0.2, ability=0.82,
        ttft_s=1.6, tokens_per_s=62, spread=0.42, output_tokens=780, reasoning_ratio=0.5,
        input_rate=1_250_000, cached_rate=125_000, cache_write_rate=0, output_rate=10_000_000,
        bills=False, reported_bias=0.06,
    ),
    SimulatedModel(
        provider="anthropic", name="claude-opus-4-5", tier=PREMIUM, weight=0.78, ability=0.97,
        ttft_s=1.7, tokens_per_s=55, spread=0.33, output_tokens=620, reasoning_ratio=0.0,
        input_rate=5_000_000, cached_rate=500_000, cache_write_rate=6_250_000, output_rate=25_000_000,
        bills=False, reported_bias=0.0,
    ),
    SimulatedModel(
        provider="openrouter", name="anthropic/claude-opus-4.5", tier=PREMIUM, weight=0.22, ability=0.97,
        ttft_s=1.95, tokens_per_s=52, spread=0.36, output_tokens=620, reasoning_ratio=0.0,
        input_rate=5_000_000, cached_rate=500_000, cache_write_rate=6_250_000, output_rate=25_000_000,
        bills=True, reported_bias=0.0,
    ),
)  # fmt: skip

MODELS_OF_TIER = tuple(tuple(model for model in MODELS if model.tier == tier) for tier in range(len(TIER_NAMES)))
WEIGHTS_OF_TIER = tuple(tuple(model.weight for model in models) for models in MODELS_OF_TIER)
PROVIDERS = tuple(sorted({model.provider for model in MODELS}))


COMPLETION_MODELS = tuple(model for model in MODELS if model.name in ("gemini-2.5-flash", "openai/gpt-5-mini"))
"""Fast and cheap enough to finish a line while it is typed."""

"""Operations for tests: plausible, seeded, every field within reach."""

from __future__ import annotations

import random
from decimal import Decimal
from typing import Any

from ralex_core.model.operation import Operation

T0 = 1_767_225_600_000_000
"""2026-01-01T00:00:00Z in µs."""


def make_operation(identifier: str = "op-1", **changes: Any) -> Operation:
    """A priced llm operation; give fields by name to change them."""
    values: dict[str, Any] = {
        "operation_id": identifier,
        "kind": "llm",
        "name": "chat",
        "started_at": T0,
        "duration_ms": 1200.0,
        "provider": "openai",
        "model": "gpt-4o",
        "input_tokens": 1000,
        "output_tokens": 100,
        "computed_usd": Decimal("0.0035"),
        "cost_usd": Decimal("0.0035"),
        "cost_basis": "computed",
        "tier": "standard",
    }
    return Operation(**(values | changes))


def random_operations(seed: int, count: int, *, start_us: int = T0, span_us: int = 86_400_000_000) -> list[Operation]:
    """`count` operations of all kinds spread over `span_us`, some failed, some of unknown cost, some quarantined."""
    rng = random.Random(seed)
    return [_random_operation(rng, index, seed, start_us, span_us) for index in range(count)]


def _random_operation(rng: random.Random, index: int, seed: int, start_us: int, span_us: int) -> Operation:
    kind = rng.choice(("llm", "llm", "llm", "tool", "task", "db"))
    llm = kind == "llm"
    known = llm and rng.random() < 0.9
    cost = Decimal(rng.randrange(1, 10**9)).scaleb(-9) if known else None
    wild = known and rng.random() < 0.02
    return Operation(
        operation_id=f"{seed}-{index}",
        kind=kind,
        name=rng.choice(("chat", "edit", "plan", "run tests")),
        started_at=start_us + rng.randrange(span_us),
        duration_ms=rng.lognormvariate(6, 1.2) if rng.random() < 0.97 else None,
        status=rng.choices(("ok", "error", "cancelled"), (90, 8, 2))[0],
        project=rng.choice(("alpha", "beta", None)),
        client=rng.choice(("terminal", "web", None)),
        user_id=rng.choice(("ann", "ben", "çelik")),
        session_id=f"s{rng.randrange(40)}",
        provider=rng.choice(("openai", "anthropic")) if llm else None,
        model=rng.choice(("gpt-4o", "claude-sonnet-4-5", "gpt-4o-mini")) if llm else None,
        tier=rng.choice(("cheap", "standard", "premium", None)) if llm else None,
        input_tokens=rng.randrange(5000) if llm else None,
        output_tokens=rng.randrange(800) if llm else None,
        reported_usd=Decimal("999.99") if wild else (cost * 2 if cost is not None else None),
        computed_usd=cost,
        cost_usd=cost,
        cost_basis=("computed" if known else "unknown") if llm else None,
        quarantine="reported" if wild else None,
        baseline_usd=cost * 7 if cost is not None else None,
        outcome=rng.choice(("unknown", "accepted", "rejected", "reworked")),
        attributes='{"n":1}' if rng.random() < 0.3 else None,
    )

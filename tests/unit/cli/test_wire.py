"""Operations as lines a server takes."""

from __future__ import annotations

from decimal import Decimal

import orjson

from ralex_core.cli.wire import as_line
from ralex_core.model.operation import Operation


def test_a_line_says_what_a_sender_may_say() -> None:
    operation = Operation(
        "id", "llm", "chat", 1_794_214_800_000_000, 12.5, provider="openrouter", model="m",
        input_tokens=3, output_tokens=0,
        billed_usd=Decimal("0.000000123"), tier="cheap", cost_usd=Decimal(1), outcome="accepted", door="demo",
        attributes='{"a":1}',
    )  # fmt: skip
    line = as_line(operation)
    assert line.endswith(b"\n")
    assert orjson.loads(line) == {
        "operation_id": "id",
        "kind": "llm",
        "name": "chat",
        "started_at": 1_794_214_800_000_000,
        "duration_ms": 12.5,
        "provider": "openrouter",
        "model": "m",
        "input_tokens": 3,
        "output_tokens": 0,
        "billed_usd": "0.000000123",
        "outcome": "accepted",
        "attributes": {"a": 1},
    }

"""Price books for tests: one with no overrides, or one with the overrides given as TOML text."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ralex_core.config import Settings
from ralex_core.model.operation import Operation
from ralex_core.pricing.book import PriceBook

MTOK = 1_000_000


def book_in(home: Path, overrides: str | None = None, **settings: Any) -> PriceBook:
    """A price book whose data directory is `home`."""
    if overrides is not None:
        (home / "prices.toml").write_text(overrides, encoding="utf-8")
    return PriceBook(Settings(home=home, **settings))


def at(text: str) -> int:
    """UTC microseconds of an ISO date or date-time; without an offset it is UTC."""
    moment = datetime.fromisoformat(text)
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return round(moment.timestamp()) * 1_000_000


def call(model: str | None, input_tokens: int | None, output_tokens: int | None, **fields: Any) -> Operation:
    """One model call, by default at 2026-01-15T12:00Z."""
    values: dict[str, Any] = {
        "operation_id": "op",
        "kind": "llm",
        "name": "chat",
        "started_at": at("2026-01-15T12:00:00"),
        "model": model,
        "input_tokens": input_tokens,
        "output_tokens": output_tokens,
    }
    return Operation(**(values | fields))

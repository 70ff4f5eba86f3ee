"""Priced calls to models for tests of what work costs and is worth."""

from __future__ import annotations

import random
from collections.abc import Sequence

from ralex_core.model.operation import Operation
from ralex_core.pricing.book import PriceBook
from tests.support.prices import at, call

CHEAP, STANDARD, PREMIUM = "gemini-2.5-flash", "claude-sonnet-4-5", "claude-opus-4-5"
JANUARY = at("2026-01-01")


def spent(book: PriceBook, calls: Sequence[Operation]) -> list[Operation]:
    """The calls with their prices, each under an id of its own."""
    return book.price_all([one._replace(operation_id=f"call-{number}") for number, one in enumerate(calls)])


def random_calls(seed: int, n: int) -> list[Operation]:
    """Calls of a few models and people whose prices change within them: by date, by hour, by size, by cached part."""
    rng = random.Random(seed)
    found: list[Operation] = []
    for number in range(n):
        size = rng.choice((50, 5_000, 199_999, 200_001, 280_000))
        read = rng.randrange(size // 2)
        write = rng.randrange(size // 4)
        output = rng.randrange(4_000)
        unknown = rng.random() < 0.1
        found.append(
            call(
                rng.choice((CHEAP, STANDARD, PREMIUM, "o3", "deepseek-chat", "gemini-2.5-pro", "nobody-knows-1")),
                None if unknown else size,
                output,
                operation_id=f"{seed}-{number}",
                name=rng.choice(("edit", "plan", "chat")),
                feature=rng.choice(("search", None)),
                started_at=at("2025-05-01") + rng.randrange(400 * 86_400_000_000),
                cache_read_tokens=rng.choice((read, None)),
                cache_write_tokens=rng.choice((write, None)),
                cache_write_1h_tokens=rng.choice((write // 2, None)),
                reasoning_tokens=rng.choice((output // 2, None)),
                session_id=rng.choice((f"s{rng.randrange(30)}", None)),
                user_id=rng.choice(("ann", "ben")),
                project=rng.choice(("alpha", None)),
                status=rng.choices(("ok", "error", "cancelled"), (90, 8, 2))[0],
                attempt=rng.choices((1, 2), (9, 1))[0],
                outcome=rng.choice(("unknown", "accepted", "rejected", "reworked", "failed")),
            )
        )
    return found

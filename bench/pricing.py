"""What pricing costs: the price book against `genai_prices.calc_price`, on the same operations, in CPU time.

    .venv/bin/python bench/pricing.py [--operations 50000]

Prints microseconds per operation for both and their ratio. The book also compares with the baseline model, chooses
the tier and judges claims; `calc_price` only prices.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import genai_prices

from ralex_core.config import Settings
from ralex_core.model.operation import Operation
from ralex_core.pricing.book import PriceBook

MODELS = (
    ("anthropic", "claude-sonnet-4-5"),
    ("anthropic", "claude-haiku-4-5"),
    ("anthropic", "claude-opus-4-6"),
    ("openai", "gpt-5-mini"),
    ("openai", "o3"),
    ("google", "gemini-2.5-pro"),
    ("deepseek", "deepseek-chat"),
    ("openrouter", "anthropic/claude-3.7-sonnet"),
    ("openrouter", "qwen/qwen3-coder"),
)
DAYS_90_US = 90 * 86_400_000_000
START_US = 1_772_323_200_000_000


def operations(count: int) -> list[Operation]:
    """A mix of providers, cached prompts, large requests, and one reported cost in three."""
    source = random.Random(7)
    made: list[Operation] = []
    for number in range(count):
        provider, model = source.choice(MODELS)
        total = source.choice((900, 12_000, 60_000, 230_000))
        made.append(
            Operation(
                operation_id=f"{number:032x}",
                kind="llm",
                name="chat",
                started_at=START_US + source.randrange(DAYS_90_US),
                provider=provider,
                model=model,
                input_tokens=total,
                cache_read_tokens=total // 2,
                cache_write_tokens=total // 10,
                output_tokens=source.randrange(20, 4000),
                reported_usd=Decimal("0.01") if number % 3 == 0 else None,
            )
        )
    return made


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--operations", type=int, default=50_000)
    count = arguments.parse_args().operations
    batch = operations(count)
    with tempfile.TemporaryDirectory() as home:
        book = PriceBook(Settings(home=Path(home)))
        book.price_all(batch[:1000])

        def price_in_batches() -> None:
            for start in range(0, count, 2000):
                book.price_all(batch[start : start + 2000])

        book_us = min(_cpu_us(price_in_batches, count) for _ in range(5))

    sample = batch[: max(1, count // 25)]

    def peer() -> None:
        for one in sample:
            genai_prices.calc_price(
                genai_prices.Usage(
                    input_tokens=one.input_tokens,
                    output_tokens=one.output_tokens,
                    cache_read_tokens=one.cache_read_tokens,
                    cache_write_tokens=one.cache_write_tokens,
                ),
                one.model or "",
                provider_id=one.provider,
                genai_request_timestamp=datetime.fromtimestamp(one.started_at / 1e6, UTC),
            )

    peer()
    peer_us = min(_cpu_us(peer, len(sample)) for _ in range(3))
    print(f"price book          {book_us:8.2f} µs per operation ({count:,} operations, warm)")
    print(f"genai_prices        {peer_us:8.2f} µs per call")
    print(f"ratio               {peer_us / book_us:8.1f} × faster")


def _cpu_us(work: object, count: int) -> float:
    start = time.process_time()
    work()  # type: ignore[operator]
    return (time.process_time() - start) / count * 1e6


if __name__ == "__main__":
    main()

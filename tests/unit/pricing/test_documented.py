"""What docs/prices.md shows works as it says."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path

from tests.support.prices import MTOK, at, book_in, call
from tests.support.repository import ROOT


def test_the_example_of_own_prices_does_what_its_comments_say(tmp_path: Path) -> None:
    text = (ROOT / "docs/prices.md").read_text(encoding="utf-8")
    example = re.search(r"```toml\n(.*?)```", text, re.DOTALL)
    assert example is not None
    book = book_in(tmp_path, example[1])
    coder = call("deepseek-coder", MTOK, MTOK, provider="deepseek", started_at=at("2024-11-01"))
    assert book.price(coder).computed_usd == Decimal("0.42")
    sonnet = call("claude-sonnet-4-5-20250929", MTOK // 10, 0, provider="anthropic", started_at=at("2026-03-01"))
    assert book.price(sonnet).computed_usd == Decimal("0.24")
    assert book.price(sonnet._replace(started_at=sonnet.started_at - 1)).computed_usd == Decimal("0.3")
    assert book.price(call("llama3.3:70b", 5, 5, provider="ollama")).computed_usd == 0


def test_the_figures_it_quotes_are_right(tmp_path: Path) -> None:
    book = book_in(tmp_path)
    assert book.price(call("claude-sonnet-4-5", 250_000, 5_000)).computed_usd == Decimal("1.6125")
    assert book.price(call("gemini/gemini-2.5-pro-preview-03-25", 10_023, 10)).computed_usd == Decimal("0.01262875")

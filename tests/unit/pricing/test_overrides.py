"""The overrides file: what it may say, and what it does to prices."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from ralex_core.errors import ConfigError
from ralex_core.pricing.overrides import load_overrides
from tests.support.prices import MTOK, at, book_in, call

D = Decimal
DEEPSEEK_2024 = """
[[price]]
model = "deepseek/deepseek-coder"
input = 0.14
output = 0.28
cache_read = 0.014
until = 2025-02-08T16:00:00Z
note = "the price until February 2025"
"""


def test_without_a_file_there_are_no_overrides(tmp_path: Path) -> None:
    assert load_overrides(tmp_path / "prices.toml") == ()


def test_an_override_holds_during_its_time_only(tmp_path: Path) -> None:
    book = book_in(tmp_path, DEEPSEEK_2024)
    last = call("deepseek/deepseek-coder", MTOK, MTOK, started_at=at("2025-02-08T16:00:00") - 1)
    after = last._replace(started_at=last.started_at + 1)
    assert book.price(last).computed_usd == D("0.42")
    assert book.price(after).computed_usd is None
    explained = book.explain(last)
    assert explained.source == "override"
    assert explained.assumptions == ("the price until February 2025",)
    assert explained.price_until == "2025-02-08T16:00:00Z"


def test_a_price_version_names_the_override_and_changes_with_its_price(tmp_path: Path) -> None:
    first = book_in(tmp_path, DEEPSEEK_2024).price(call("deepseek/deepseek-coder", 1, 1, started_at=at("2024-12-01")))
    second = book_in(tmp_path, DEEPSEEK_2024.replace("0.28", "0.29")).price(
        call("deepseek/deepseek-coder", 1, 1, started_at=at("2024-12-01"))
    )
    assert first.price_version is not None
    assert first.price_version.startswith("override ")
    assert len(first.price_version) == len("override ") + 8
    assert first.price_version != second.price_version


def test_the_first_entry_that_matches_wins_and_comes_before_the_price_list(tmp_path: Path) -> None:
    book = book_in(
        tmp_path,
        """
        [[price]]
        model = "claude-opus-*"
        input = 1
        output = 2
        [[price]]
        model = "*"
        provider = "ollama"
        input = 0
        output = 0
        """,
    )
    assert book.price(call("claude-opus-4-5", MTOK, MTOK)).computed_usd == 3
    assert book.price(call("anthropic/claude-opus-4-5", MTOK, MTOK)).computed_usd == 3
    assert book.price(call("claude-sonnet-4-5", MTOK, 0)).computed_usd == 6
    local = book.price(call("llama3.3", MTOK, MTOK, provider="ollama"))
    assert (local.computed_usd, local.tier) == (0, "cheap")


def test_a_cached_part_the_override_does_not_price_costs_as_plain_input(tmp_path: Path) -> None:
    book = book_in(tmp_path, '[[price]]\nmodel = "m"\ninput = "0.5"\noutput = 1\ncache_read = 0.1')
    usage = call("m", MTOK, 0, cache_read_tokens=MTOK // 2, cache_write_tokens=MTOK // 4)
    assert book.price(usage).computed_usd == D("0.25") + D("0.05")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("not toml", "not valid TOML"),
        ("price = 3", r"\[\[price\]\] entries only"),
        ("[prices]\nx = 1", r"entries only, not prices"),
        ("[[price]]\ninput = 1\noutput = 1", "Price override 1 in .*model is missing"),
        ('[[price]]\nmodel = "m"\ninput = 1', "output is missing"),
        ('[[price]]\nmodel = "m"\ninput = -1\noutput = 1', "input must not be negative"),
        ('[[price]]\nmodel = "m"\ninput = nan\noutput = 1', "input must not be negative or infinite"),
        ('[[price]]\nmodel = "m"\ninput = true\noutput = 1', "input must be a number"),
        ('[[price]]\nmodel = "m"\ninput = "cheap"\noutput = 1', "input must be a number"),
        ('[[price]]\nmodel = "m"\ninput = 2000000\noutput = 1', "more than a dollar per token"),
        ('[[price]]\nmodel = "m"\ninput = 1\noutput = 1\noutptu = 2', "unknown field 'outptu'"),
        ('[[price]]\nmodel = "m"\ninput = 1\noutput = 1\nfrom = "2025-01-01"', "from must be a date .* without quotes"),
        ('[[price]]\nmodel = "m"\ninput = 1\noutput = 1\nfrom = 2025-01-01T10:00:00', "from needs a time zone"),
        (
            '[[price]]\nmodel = "m"\ninput = 1\noutput = 1\nfrom = 2025-02-01\nuntil = 2025-02-01',
            "until must be after from",
        ),
        (
            '[[price]]\nmodel = "a"\ninput = 1\noutput = 1\n[[price]]\nmodel = 7\ninput = 1\noutput = 1',
            "Price override 2 in .*model must be text",
        ),
    ],
)
def test_a_wrong_file_is_one_clear_sentence(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        book_in(tmp_path, text)


def test_a_file_that_cannot_be_read_says_so(tmp_path: Path) -> None:
    (tmp_path / "prices.toml").mkdir()
    with pytest.raises(ConfigError, match="cannot be read"):
        book_in(tmp_path)

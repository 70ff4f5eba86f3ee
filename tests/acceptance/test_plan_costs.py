"""Cost calculation is accurate: amounts worked out by hand from the vendors' published prices, to the last digit."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from ralex_core.model.money import parse_usd
from ralex_core.model.operation import Operation
from ralex_core.pricing.book import PriceBook
from tests.support.prices import MTOK, at, book_in, call
from tests.support.shared import shared_path

D = Decimal


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> PriceBook:
    return book_in(tmp_path_factory.mktemp("home"))


class Case(NamedTuple):
    """One call and what it costs; `working` is the calculation a person would do."""

    title: str
    provider: str | None
    model: str
    tokens: dict[str, int]
    usd: str | None
    working: str
    started_at: str = "2026-01-15T12:00:00"


def used(input_tokens: int, output_tokens: int, **parts: int) -> dict[str, int]:
    return {"input_tokens": input_tokens, "output_tokens": output_tokens, **parts}


CASES = [
    # plain calls, at list prices
    Case("claude-haiku-4-5", "anthropic", "claude-haiku-4-5", used(12_345, 678), "0.015735", "12345×1 + 678×5"),
    Case("claude-opus-4-5", "anthropic", "claude-opus-4-5", used(1_000, 2_000), "0.055", "1000×5 + 2000×25"),
    Case("claude-opus-4-1", "anthropic", "claude-opus-4-1", used(1_000, 2_000), "0.165", "1000×15 + 2000×75"),
    Case("gpt-4o", "openai", "gpt-4o", used(321, 123), "0.0020325", "321×2.5 + 123×10"),
    Case("gpt-4o-mini", "openai", "gpt-4o-mini", used(638, 25), "0.0001107", "638×0.15 + 25×0.6"),
    Case("gpt-4.1", "openai", "gpt-4.1", used(777, 77), "0.00217", "777×2 + 77×8"),
    Case("gpt-5-mini", "openai", "gpt-5-mini", used(9_999, 1), "0.00250175", "9999×0.25 + 1×2"),
    Case("gemini-2.5-flash", "google", "gemini-2.5-flash", used(5_001, 2_003), "0.0065078", "5001×0.3 + 2003×2.5"),
    Case("grok-3", "x-ai", "grok-3", used(100, 100), "0.0018", "100×3 + 100×15"),
    Case("codestral", "mistral", "codestral-latest", used(3_000, 1_000), "0.0018", "3000×0.3 + 1000×0.9"),
    Case("llama on groq", "groq", "llama-3.3-70b-versatile", used(10_000, 10_000), "0.0138", "10000×0.59 + 10000×0.79"),
    Case("nothing used", "openai", "gpt-4o", used(0, 0), "0", "0"),
    # 1: cached tokens are part of the input and must not be charged twice
    Case(
        "cache read and write",
        "anthropic",
        "claude-sonnet-4-5",
        used(100_000, 1_000, cache_read_tokens=80_000, cache_write_tokens=15_000),
        "0.11025",
        "5000×3 + 80000×0.3 + 15000×3.75 + 1000×15",
    ),
    Case(
        "OpenAI's cached input",
        "openai",
        "gpt-5",
        used(50_000, 400, cache_read_tokens=48_000),
        "0.0125",
        "2000×1.25 + 48000×0.125 + 400×10",
    ),
    # 3 and 11: unknown is not zero
    Case("a stream cut before its usage", "openai", "gpt-4o", {"input_tokens": 1_000}, None, "output unknown"),
    Case("no usage at all", "anthropic", "claude-sonnet-4-5", {}, None, "unknown"),
    Case("a router", "openrouter", "openrouter/auto", used(1_000, 1_000), None, "which model is unknown"),
    Case("free is a known zero", "openrouter", "qwen/qwen3-coder:free", used(1_000, 1_000), "0", "free"),
    # 7 and 8: passing a cliff charges the whole request at the higher rates
    Case("199k in", "anthropic", "claude-sonnet-4-5", used(199_000, 5_000), "0.672", "199000×3 + 5000×15"),
    Case("200k in", "anthropic", "claude-sonnet-4-5", used(200_000, 5_000), "0.675", "200000×3 + 5000×15"),
    Case("a token more", "anthropic", "claude-sonnet-4-5", used(200_001, 5_000), "1.312506", "200001×6 + 5000×22.5"),
    Case("250k in", "anthropic", "claude-sonnet-4-5", used(250_000, 5_000), "1.6125", "250000×6 + 5000×22.5"),
    Case(
        "250k in, nearly all of it cached",
        "anthropic",
        "claude-sonnet-4-5",
        used(250_000, 5_000, cache_read_tokens=240_000),
        "0.3165",
        "10000×6 + 240000×0.6 + 5000×22.5",
    ),
    Case("Gemini at its cliff", "google", "gemini-2.5-pro", used(200_000, 1_000), "0.26", "200000×1.25 + 1000×10"),
    Case(
        "Gemini past its cliff", "google", "gemini-2.5-pro", used(200_001, 1_000), "0.5150025", "200001×2.5 + 1000×15"
    ),
    # 9: how long a cache write lives decides its price, where the list knows the difference
    Case(
        "cached for an hour",
        "anthropic",
        "claude-sonnet-4-5",
        used(10_000, 100, cache_write_tokens=8_000, cache_write_1h_tokens=6_000),
        "0.051",
        "2000×3 + 2000×3.75 + 6000×6 + 100×15",
    ),
    Case(
        "the same through OpenRouter, whose list has one price for writes",
        "openrouter",
        "anthropic/claude-sonnet-4.5",
        used(10_000, 100, cache_write_tokens=8_000, cache_write_1h_tokens=6_000),
        "0.0375",
        "2000×3 + 8000×3.75 + 100×15",
    ),
    # 10: marks at the end of a name
    Case("[1m]", None, "claude-sonnet-4-5[1m]", used(250_000, 5_000), "1.6125", "250000×6 + 5000×22.5"),
    Case(":nitro", "openrouter", "openai/gpt-5-mini:nitro", used(4_000, 100), "0.0012", "4000×0.25 + 100×2"),
    Case("a date", None, "claude-sonnet-4-5-20250929", used(1_000, 100), "0.0045", "1000×3 + 100×15"),
    Case(
        "Bedrock in a region costs a tenth more",
        "aws.bedrock",
        "us.anthropic.claude-haiku-4-5-20251001-v1:0",
        used(10_000, 1_000),
        "0.0165",
        "10000×1.1 + 1000×5.5",
    ),
    Case(
        "Bedrock anywhere does not",
        "aws.bedrock",
        "global.anthropic.claude-haiku-4-5-20251001-v1:0",
        used(10_000, 1_000),
        "0.015",
        "10000×1 + 1000×5",
    ),
    # 15: the price at the time of the call, not of the calculation
    Case(
        "o3, last second of the old price",
        "openai",
        "o3",
        used(1_000, 1_000),
        "0.05",
        "1000×10 + 1000×40",
        "2025-06-09T23:59:59",
    ),
    Case(
        "o3, first second of the new price",
        "openai",
        "o3",
        used(1_000, 1_000),
        "0.01",
        "1000×2 + 1000×8",
        "2025-06-10T00:00:00",
    ),
    Case(
        "Opus 4.6 while large requests cost more",
        "anthropic",
        "claude-opus-4-6",
        used(250_000, 1_000),
        "2.5375",
        "250000×10 + 1000×37.5",
        "2026-03-12T23:59:59",
    ),
    Case(
        "Opus 4.6 since they do not",
        "anthropic",
        "claude-opus-4-6",
        used(250_000, 1_000),
        "1.275",
        "250000×5 + 1000×25",
        "2026-03-13T00:00:00",
    ),
    Case("DeepSeek by day", "deepseek", "deepseek-chat", used(MTOK, MTOK), "1.37", "0.27 + 1.1", "2026-01-15T16:29:59"),
    Case(
        "DeepSeek by night",
        "deepseek",
        "deepseek-chat",
        used(MTOK, MTOK),
        "0.685",
        "0.135 + 0.55",
        "2026-01-15T16:30:00",
    ),
    Case(
        "DeepSeek before dawn",
        "deepseek",
        "deepseek-chat",
        used(MTOK, MTOK),
        "0.685",
        "0.135 + 0.55",
        "2026-01-15T00:29:59",
    ),
    # 17 and 18: a price per request; reasoning inside the output, with a price of its own
    Case("a search model", "perplexity", "sonar", used(1_000, 1_000), "0.014", "1000×1 + 1000×1, + 0.012 a request"),
    Case(
        "reasoning with its own price",
        "perplexity",
        "sonar-deep-research",
        used(1_000, 10_000, reasoning_tokens=8_000),
        "0.042",
        "1000×2 + 2000×8 + 8000×3",
    ),
    Case(
        "reasoning at the price of output",
        "openai",
        "o3",
        used(1_000, 10_000, reasoning_tokens=8_000),
        "0.082",
        "1000×2 + 10000×8",
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.title)
def test_cost_calculation_accuracy(book: PriceBook, case: Case) -> None:
    operation = call(case.model, None, None, provider=case.provider, started_at=at(case.started_at))
    priced = book.price(operation._replace(**case.tokens))
    expected = None if case.usd is None else D(case.usd)
    assert priced.computed_usd == expected, case.working
    assert priced.cost_usd == expected
    assert priced.cost_basis == ("unknown" if expected is None else "computed")


def test_ten_million_cheap_calls_add_up_without_a_rounding_error(book: PriceBook) -> None:
    one = book.price(call("gpt-4o-mini", 7, 3)).computed_usd
    assert one == D("0.00000285")
    assert one * 10_000_000 == D("28.5")


def aider_sends() -> Iterator[Operation]:
    """The message_send events of the published Aider log, as an importer would hand them over."""
    with gzip.open(shared_path("data/aider_analytics.jsonl.gz"), "rt", encoding="utf-8") as lines:
        for number, line in enumerate(lines):
            event: dict[str, Any] = json.loads(line, parse_float=str)
            if event["event"] != "message_send":
                continue
            properties = event["properties"]
            cost = parse_usd(properties["cost"])
            yield call(
                properties["main_model"],
                properties["prompt_tokens"],
                properties["completion_tokens"],
                operation_id=str(number),
                started_at=int(event["time"]) * 1_000_000,
                reported_usd=cost or None,
            )


def test_a_real_log_is_priced_and_its_one_wild_claim_found(tmp_path: Path) -> None:
    book = book_in(tmp_path)
    sends = book.price_all(list(aider_sends()))
    assert len(sends) == 5314
    wild = [one for one in sends if one.quarantine]
    assert [one.reported_usd for one in wild] == [D("9990.01252875")]
    assert wild[0].computed_usd == wild[0].cost_usd == D("0.01262875")
    assert "791,000× the computed $0.0126" in (book.quarantine_reason(wild[0]) or "")
    reported = sum((one.reported_usd for one in sends if one.reported_usd and not one.quarantine), D(0))
    assert round(reported, 6) == D("183.026087")

    compared = [one for one in sends if one.reported_usd and one.computed_usd is not None and not one.quarantine]
    said = sum((one.reported_usd for one in compared if one.reported_usd), D(0))
    computed = sum((one.computed_usd for one in compared if one.computed_usd), D(0))
    assert abs(computed / said - 1) < D("0.01"), "two independent price tables, a year apart, within one percent"
    assert sum(one.cost_usd is not None for one in sends) / len(sends) > 0.93


def test_most_of_what_the_client_reported_is_confirmed_to_the_cent(tmp_path: Path) -> None:
    """Per model: where the client's table and ours agree on the price, the sums agree to rounding."""
    book = book_in(tmp_path)
    sends = [one for one in book.price_all(list(aider_sends())) if one.reported_usd and not one.quarantine]
    for model in (
        "anthropic/claude-3-7-sonnet-20250219",
        "fireworks_ai/accounts/fireworks/models/deepseek-v3",
        "openrouter/anthropic/claude-3.7-sonnet",
        "o3-mini",
        "gemini/gemini-2.5-pro-preview-05-06",
        "gpt-4o",
    ):
        mine = [one for one in sends if one.model == model]
        said = sum((one.reported_usd for one in mine if one.reported_usd), D(0))
        computed = sum((one.computed_usd for one in mine if one.computed_usd), D(0))
        assert len(mine) > 15
        assert abs(said - computed) < D("0.01"), model

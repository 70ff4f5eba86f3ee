"""Which tier a model is in."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from ralex_core.config import DEFAULT_TIERS, Tier
from ralex_core.pricing.tiers import choose_tier
from tests.support.prices import at, book_in, call

D = Decimal


@pytest.mark.parametrize(
    ("blended", "tier"),
    [("0", "cheap"), ("1.0", "cheap"), ("1.01", "standard"), ("8", "standard"), ("8.0001", "premium")],
)
def test_a_model_is_in_the_first_tier_whose_ceiling_it_is_under(blended: str, tier: str) -> None:
    assert choose_tier(DEFAULT_TIERS, ["m"], D(blended)).name == tier


def test_a_tier_that_names_a_model_has_it_whatever_it_costs() -> None:
    tiers = (*DEFAULT_TIERS[:2], Tier(name="premium", models=("*Haiku*", "openai/gpt-4o")))
    assert choose_tier(tiers, ["claude-haiku-4-5"], D("0.1")) == ("premium", "named by the pattern *Haiku*")
    assert choose_tier(tiers, ["openai/gpt-4o"], None).name == "premium"


def test_without_a_price_or_a_name_the_tier_is_unknown() -> None:
    assert choose_tier(DEFAULT_TIERS, ["m"], None).name is None


def test_above_every_ceiling_the_tier_is_unknown() -> None:
    assert choose_tier((Tier(name="small", max_usd_per_mtok=D(1)),), ["m"], D(2)).name is None


def test_the_tier_follows_the_price_of_its_time_but_not_the_hour(tmp_path: Path) -> None:
    book = book_in(tmp_path)
    # o3 fell from (10, 40) to (2, 8) on 2025-06-10
    assert book.price(call("o3", 1, 1, started_at=at("2025-06-09T23:59:59"))).tier == "premium"
    assert book.price(call("o3", 1, 1, started_at=at("2025-06-10"))).tier == "standard"
    # deepseek-v4-pro blends to 0.99 off-peak and 1.98 at peak: it stays what it is at its dearest
    peak, quiet = at("2026-09-01T02:00:00"), at("2026-09-01T23:00:00")
    dear, cheap = (call("deepseek-v4-pro", 1000, 1000, started_at=when, provider="deepseek") for when in (peak, quiet))
    assert book.price(dear).computed_usd == 2 * (book.price(cheap).computed_usd or 0)
    assert {book.price(dear).tier, book.price(cheap).tier} == {"standard"}


def test_a_faster_service_tier_costs_more_and_is_the_same_model(tmp_path: Path) -> None:
    book = book_in(tmp_path)
    when = at("2026-11-01")
    standard = book.price(call("gpt-5-mini", 1000, 1000, provider="openai", started_at=when))
    priority = book.price(call("gpt-5-mini", 1000, 1000, provider="openai", started_at=when, service_tier="priority"))
    assert standard.computed_usd is not None
    assert priority.computed_usd is not None
    assert priority.computed_usd > standard.computed_usd
    assert priority.tier == standard.tier

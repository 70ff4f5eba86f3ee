"""The simulated bills against the price book: two independent tables that must agree, but for what is planted."""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal
from pathlib import Path

import pytest

from ralex_core.config import Settings
from ralex_core.model.operation import Operation
from ralex_core.model.window import DAY_US, Window
from ralex_core.pricing.book import PriceBook
from ralex_core.simulate import Team, simulate
from ralex_core.simulate.catalogue import MODELS, TIER_NAMES

MONDAY_US = 1_794_182_400_000_000  # 2026-11-09 00:00 UTC


@pytest.fixture(scope="module")
def calls(tmp_path_factory: pytest.TempPathFactory) -> list[Operation]:
    home: Path = tmp_path_factory.mktemp("home")
    book = PriceBook(Settings(home=home))
    window = Window(MONDAY_US, MONDAY_US + 10 * DAY_US)
    return [operation for operation in book.price_all(list(simulate(Team(7), window))) if operation.kind == "llm"]


def test_nearly_every_call_has_a_known_cost(calls: list[Operation]) -> None:
    priced = sum(call.cost_usd is not None for call in calls)
    assert 0.97 < priced / len(calls) < 1, "failed and cut calls leave some unknown, as they do in life"
    assert all(call.cost_usd is not None for call in calls if call.status == "ok")


def test_every_basis_but_the_client_s_word_decides_somewhere(calls: list[Operation]) -> None:
    assert {call.cost_basis for call in calls} == {"billed", "computed", "unknown"}


def test_the_price_book_puts_every_model_into_the_tier_it_plays(calls: list[Operation]) -> None:
    played = {model.name: TIER_NAMES[model.tier] for model in MODELS}
    assert {(call.model, call.tier) for call in calls} == set(played.items())


@pytest.mark.parametrize("model", [model for model in MODELS if not model.bills], ids=lambda model: model.name)
def test_reported_costs_are_off_by_what_was_planted(calls: list[Operation], model: object) -> None:
    assert isinstance(model, type(MODELS[0]))
    sums: defaultdict[str, Decimal] = defaultdict(Decimal)
    for call in calls:
        if call.model == model.name and call.reported_usd and call.computed_usd and not call.quarantine:
            sums["reported"] += call.reported_usd
            sums["computed"] += call.computed_usd
    assert float(sums["reported"] / sums["computed"]) == pytest.approx(1 + model.reported_bias, abs=0.005)


def test_wild_claims_are_rare_and_quarantined() -> None:
    book = PriceBook(Settings(home=Path("nowhere")))
    month = Window(MONDAY_US - 30 * DAY_US, MONDAY_US)
    wild = [operation for operation in book.price_all(list(simulate(Team(7), month))) if operation.quarantine]
    assert 1 <= len(wild) <= 20
    assert {operation.quarantine for operation in wild} == {"reported"}


def test_routing_pays(calls: list[Operation]) -> None:
    """The reason for the product: work that ended well would have cost more at the baseline than all work did cost."""
    worth = sum(call.baseline_usd or 0 for call in calls if call.outcome not in ("rejected", "reworked", "failed"))
    spent = sum(call.cost_usd or 0 for call in calls)
    assert 1.3 < worth / spent < 5

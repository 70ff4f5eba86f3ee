"""The overview in one sentence and seven tiles."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from ralex_core.dashboard.contexts.rows import Basis, LatencySeries, TodayView, TotalsView
from ralex_core.dashboard.headline import headline, tiles

TOTALS = TotalsView(
    operations=100,
    llm_operations=60,
    errors=0,
    error_ratio=0.0,
    operations_per_minute=1.5,
    billable=60,
    priced=60,
    input_tokens=1000,
    output_tokens=100,
    cache_read_tokens=0,
    cost_usd=Decimal("3.12"),
    reported_usd=Decimal(0),
    computed_usd=Decimal("3.12"),
    billed_usd=Decimal(0),
    efficiency_ratio=4.0,
    coverage_ratio=1.0,
    quarantined_count=0,
    quarantined_usd=Decimal(0),
    p50_ms=600.0,
    p95_ms=2100.0,
    p99_ms=8000.0,
    basis=Basis(0, 60, 0, 0),
)
TODAY = TodayView(Decimal("3.12"), Decimal(5), Decimal("4.6"), "2026-01-01T00:00:00.000000Z", 1.0)


def sentence(today: TodayView = TODAY, totals: TotalsView = TOTALS, before: TotalsView | None = TOTALS) -> str:
    return " ".join(phrase.text for phrase in headline(today, totals, before, "24 hours", "/operations?quarantined=1"))


def test_a_good_day_in_one_sentence() -> None:
    assert sentence() == "$3.12 of $5.00 today, on course for $4.60; p95 2.1 s, as usual; no errors."


def test_what_is_wrong_is_said_and_coloured() -> None:
    totals = replace(TOTALS, errors=9, error_ratio=0.09, p95_ms=6300.0, coverage_ratio=0.5, quarantined_count=1)
    today = replace(TODAY, cost_usd=Decimal("5.01"))
    phrases = headline(today, totals, TOTALS, "24 hours", "/operations?quarantined=1")
    assert [phrase.tone for phrase in phrases] == ["bad", "warn", "bad", "warn", "warn"]
    assert phrases[-1].href == "/operations?quarantined=1"
    assert phrases[-1].text == "1 claim is quarantined."
    assert "200 % slower" in phrases[1].text


def test_the_budget_warns_before_it_is_spent() -> None:
    assert headline(replace(TODAY, projected_usd=Decimal(6)), TOTALS, None, "24 hours", "")[0].tone == "warn"
    assert headline(replace(TODAY, budget_usd=None), TOTALS, None, "24 hours", "")[0].tone == "neutral"


def test_nothing_known_is_not_called_good() -> None:
    empty = replace(TOTALS, operations=0, error_ratio=None, p95_ms=None, coverage_ratio=None, cost_usd=Decimal(0))
    assert sentence(totals=empty, before=None).endswith("nothing ran in this range.")
    untimed = replace(TOTALS, p95_ms=None)
    assert "no call was timed" in sentence(totals=untimed)


def test_an_old_log_says_what_it_cost_although_today_cost_nothing() -> None:
    today = replace(TODAY, cost_usd=Decimal(0), budget_usd=None, projected_usd=None)
    assert sentence(today=today, before=None).startswith("$0 today, $3.12 in this range (24 hours);")


def tile_of(key: str, totals: TotalsView, before: TotalsView | None):
    latency = LatencySeries(1, [], [], [], [], [], [])
    found = tiles(TODAY, totals, before, [], latency, "range=24h", "24 hours")
    return next(tile for tile in found if tile.key == key)


def test_changes_are_good_or_bad_by_what_they_mean() -> None:
    slower = tile_of("latency", replace(TOTALS, p95_ms=4200.0), TOTALS)
    assert slower.change is not None and (slower.change.text, slower.change.tone) == ("+100 %", "bad")
    worth = tile_of("efficiency", replace(TOTALS, efficiency_ratio=6.0), TOTALS)
    assert worth.change is not None and (worth.change.text, worth.change.tone) == ("+50 %", "good")
    busier = tile_of("rate", replace(TOTALS, operations_per_minute=3.0), TOTALS)
    assert busier.change is not None and busier.change.tone == "neutral"


def test_without_a_period_before_there_is_no_change() -> None:
    assert tile_of("latency", TOTALS, None).change is None
    assert tile_of("errors", TOTALS, TOTALS).change is None  # from nothing to nothing


def test_what_is_not_known_is_a_dash() -> None:
    empty = replace(TOTALS, efficiency_ratio=None, coverage_ratio=None, p95_ms=None)
    for key in ("efficiency", "coverage", "latency"):
        assert tile_of(key, empty, None).value == "—"

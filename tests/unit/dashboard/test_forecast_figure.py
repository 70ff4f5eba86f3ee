from __future__ import annotations

import dataclasses
from datetime import UTC
from decimal import Decimal
from zoneinfo import ZoneInfo

from ralex_core.dashboard.contexts.forecast import CourseView, ForecastView, SpentView
from ralex_core.dashboard.forecast_figure import HEIGHT, WIDTH, figure_of

D = Decimal


def view(*, foretold: bool = True) -> ForecastView:
    """A day at noon: $4 spent, $6 foretold."""
    course = CourseView(
        "2026-06-15T12:00:00Z", "2026-06-16T00:00:00Z", D(2), D(1), D(4), D(6), D(5), D(10)
    )  # fmt: skip
    return ForecastView(
        horizon="day",
        step="hour",
        made_at="2026-06-15T12:00:00Z",
        start_at="2026-06-15T00:00:00Z",
        end_at="2026-06-16T00:00:00Z",
        timezone="UTC",
        so_far_usd=D(4),
        coverage_ratio=1.0,
        mean_usd=D(6) if foretold else None,
        low_usd=D(5) if foretold else None,
        high_usd=D(10) if foretold else None,
        naive_usd=D(7) if foretold else None,
        claims_15=False,
        claim="",
        methods=[],
        backtest=None,
        steps=None,
        spent=[SpentView("2026-06-15T00:00:00Z", "2026-06-15T12:00:00Z", D(4))],
        course=[course] if foretold else [],
        account=None,
        past=[],
    )


def test_lines_meet_now_and_the_band_holds_the_course() -> None:
    drawn = figure_of(view(), UTC)
    assert drawn.now_x == WIDTH / 2
    assert drawn.top_usd == 10 * 1.06
    y = {usd: f"{HEIGHT * (1 - usd / 10.6):.1f}" for usd in (0, 4, 5, 6, 10)}
    assert drawn.spent == f"M0.0 {y[0]}L160.0 {y[4]}"
    assert drawn.course == f"M160.0 {y[4]}L320.0 {y[6]}"
    assert drawn.band == f"M160.0 {y[4]}L320.0 {y[10]}L320.0 {y[5]}L160.0 {y[4]}Z"
    assert drawn.naive_y == round(HEIGHT * (1 - 7 / 10.6), 1)


def test_without_a_forecast_only_what_was_spent_is_drawn() -> None:
    drawn = figure_of(view(foretold=False), UTC)
    assert (drawn.course, drawn.band, drawn.naive_y) == ("", "", None)
    assert drawn.spent.startswith("M0.0")


def test_round_dollars_and_hours_stand_beside_the_drawing() -> None:
    drawn = figure_of(view(), UTC)
    assert [mark.label for mark in drawn.dollars] == ["$2.50", "$5.00", "$7.50"]  # $10.00 would stand outside
    assert drawn.dollars[1].y == round(HEIGHT * (1 - 5 / 10.6), 1)
    assert [(mark.x_percent, mark.label, mark.anchor) for mark in drawn.times] == [
        (0, "00:00", "start"),
        (25, "06:00", "middle"),
        (50, "12:00", "middle"),
        (75, "18:00", "middle"),
        (100, "24:00", "end"),
    ]


def test_days_stand_where_they_begin_also_when_clocks_change() -> None:
    zone = ZoneInfo("Europe/Berlin")  # 2026-03-29 has 23 hours
    week = dataclasses.replace(
        view(foretold=False), horizon="week", start_at="2026-03-22T23:00:00Z", end_at="2026-03-29T22:00:00Z", spent=[]
    )
    assert [mark.label for mark in figure_of(week, zone).times] == ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]
    assert figure_of(week, zone).times[6].x_percent == round(100 * 144 / 167, 2)
    day = dataclasses.replace(week, horizon="day", start_at="2026-03-28T23:00:00Z")
    assert figure_of(day, zone).times[1].x_percent == round(100 * 5 / 23, 2)


def test_nothing_spent_and_nothing_foretold_has_no_dollars() -> None:
    assert figure_of(dataclasses.replace(view(foretold=False), spent=[]), UTC).dollars == []

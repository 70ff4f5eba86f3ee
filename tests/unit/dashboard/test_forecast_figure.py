from __future__ import annotations

from decimal import Decimal

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
    drawn = figure_of(view())
    assert drawn.now_x == WIDTH / 2
    assert drawn.top_usd == 10 * 1.06
    y = {usd: f"{HEIGHT * (1 - usd / 10.6):.1f}" for usd in (0, 4, 5, 6, 10)}
    assert drawn.spent == f"M0.0 {y[0]}L160.0 {y[4]}"
    assert drawn.course == f"M160.0 {y[4]}L320.0 {y[6]}"
    assert drawn.band == f"M160.0 {y[4]}L320.0 {y[10]}L320.0 {y[5]}L160.0 {y[4]}Z"
    assert drawn.naive_y == round(HEIGHT * (1 - 7 / 10.6), 1)


def test_without_a_forecast_only_what_was_spent_is_drawn() -> None:
    drawn = figure_of(view(foretold=False))
    assert (drawn.course, drawn.band, drawn.naive_y) == ("", "", None)
    assert drawn.spent.startswith("M0.0")

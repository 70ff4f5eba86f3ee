from __future__ import annotations

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

from ralex_core.model.window import HOUR_US
from ralex_core.monitoring.books.period import date_at, day_period, month_period, previous_and_next

BERLIN = ZoneInfo("Europe/Berlin")


def utc(*parts: int) -> int:
    return round(datetime(*parts, tzinfo=UTC).timestamp()) * 1_000_000  # type: ignore[arg-type]


def test_a_utc_day_and_a_local_day_of_the_same_date_are_different_windows() -> None:
    local = day_period(date(2026, 6, 15), "local", BERLIN, "Europe/Berlin")
    universal = day_period(date(2026, 6, 15), "utc", BERLIN, "Europe/Berlin")
    assert (local.window.start_us, local.window.end_us) == (utc(2026, 6, 14, 22), utc(2026, 6, 15, 22))
    assert (universal.window.start_us, universal.window.end_us) == (utc(2026, 6, 15), utc(2026, 6, 16))
    assert (local.zone_name, universal.zone_name) == ("Europe/Berlin", "UTC")


def test_the_days_of_a_month_follow_each_other_without_a_hole_even_when_clocks_change() -> None:
    march = month_period(date(2026, 3, 17), "local", BERLIN, "Europe/Berlin")
    assert (march.label, len(march.days)) == ("2026-03", 31)
    assert [a.window.end_us for a in march.days[:-1]] == [b.window.start_us for b in march.days[1:]]
    assert {day.date.day: day.window.length_us // HOUR_US for day in march.days}[29] == 23
    assert sum(day.window.length_us for day in march.days) == march.window.length_us


def test_before_and_after_a_month_are_months() -> None:
    assert previous_and_next(month_period(date(2026, 1, 9), "utc", BERLIN, "")) == (date(2025, 12, 1), date(2026, 2, 1))
    assert previous_and_next(day_period(date(2026, 3, 1), "utc", BERLIN, "")) == (date(2026, 2, 28), date(2026, 3, 2))
    assert len(month_period(date(2028, 2, 1), "utc", BERLIN, "").days) == 29


def test_a_moment_has_two_dates() -> None:
    late = utc(2026, 6, 14, 22, 30)
    assert (date_at(late, "utc", BERLIN), date_at(late, "local", BERLIN)) == (date(2026, 6, 14), date(2026, 6, 15))

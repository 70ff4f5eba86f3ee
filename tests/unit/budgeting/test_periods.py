from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ralex_core.budgeting.periods import past_windows, period_window
from ralex_core.model.window import HOUR_US

BERLIN = ZoneInfo("Europe/Berlin")
ZONES = ("UTC", "Europe/Berlin", "America/Havana", "Africa/Cairo", "America/Santiago", "Asia/Kathmandu", "Pacific/Apia")


def us(year: int, month: int, day: int, hour: int = 0, minute: int = 0, zone: object = UTC) -> int:
    return round(datetime(year, month, day, hour, minute, tzinfo=zone).timestamp() * 1e6)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("period", "start", "end"),
    [
        ("hour", (2026, 3, 29, 14), (2026, 3, 29, 15)),
        ("day", (2026, 3, 29), (2026, 3, 30)),
        ("week", (2026, 3, 23), (2026, 3, 30)),
        ("month", (2026, 3, 1), (2026, 4, 1)),
    ],
)
def test_periods_begin_and_end_on_the_local_clock(
    period: str, start: tuple[int, int, int], end: tuple[int, int, int]
) -> None:
    window = period_window(period, us(2026, 3, 29, 14, 30, BERLIN), BERLIN)
    assert (window.start_us, window.end_us) == (us(*start, zone=BERLIN), us(*end, zone=BERLIN))


def test_days_of_a_clock_change_have_23_and_25_hours() -> None:
    spring = period_window("day", us(2026, 3, 29, 12, zone=BERLIN), BERLIN)
    autumn = period_window("day", us(2026, 10, 25, 12, zone=BERLIN), BERLIN)
    assert (spring.length_us, autumn.length_us) == (23 * HOUR_US, 25 * HOUR_US)


def test_the_hour_that_comes_twice_is_two_hours() -> None:
    first = us(2026, 10, 25, 0, 30)  # 02:30 summer time
    windows = {period_window("hour", first + n * HOUR_US, BERLIN).start_us for n in range(2)}
    assert len(windows) == 2


def test_hours_of_a_zone_with_a_crooked_offset_begin_at_its_full_hours() -> None:
    window = period_window("hour", us(2026, 1, 1, 12, 0), ZoneInfo("Asia/Kathmandu"))  # 17:45 there
    assert window.start_us == us(2026, 1, 1, 11, 15)


@given(
    period=st.sampled_from(("hour", "day", "week", "month")),
    zone=st.sampled_from(ZONES),
    now=st.integers(us(2000, 1, 1), us(2040, 1, 1)),
)
def test_every_moment_is_in_one_period_and_periods_follow_without_a_gap(period: str, zone: str, now: int) -> None:
    here = ZoneInfo(zone)
    window = period_window(period, now, here)
    assert window.start_us <= now < window.end_us
    assert period_window(period, window.start_us, here) == window
    assert period_window(period, window.end_us - 1, here) == window
    (before,) = past_windows(period, now, here, 1)
    assert before.end_us == window.start_us
    assert period_window(period, window.end_us, here).start_us == window.end_us


def test_a_rolling_period_is_as_long_as_asked_and_less_than_a_step_longer() -> None:
    now = us(2026, 3, 29, 14, 30) + 17_000_000
    window = period_window("rolling", now, BERLIN, rolling_hours=5)
    assert (window.start_us, window.end_us) == (us(2026, 3, 29, 9, 30), us(2026, 3, 29, 14, 31))


def test_past_rolling_periods_lie_end_to_end() -> None:
    now = us(2026, 3, 29, 14, 30)
    windows = list(past_windows("rolling", now, BERLIN, 2, rolling_hours=48))
    assert [window.length_us for window in windows] == [48 * HOUR_US] * 2
    assert windows[0].start_us == windows[1].end_us


def test_an_unknown_period_is_named() -> None:
    with pytest.raises(ValueError, match="'year' is not a period"):
        period_window("year", 0, UTC)

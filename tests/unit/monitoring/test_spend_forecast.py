from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from ralex_core.clock import ManualClock
from ralex_core.model.window import DAY_US, HOUR_US, Filters
from ralex_core.monitoring.projection import project
from ralex_core.monitoring.spend_forecast import HORIZONS, spend_forecast
from ralex_core.storage.duckdb_store import DuckDBStore
from tests.support.operations import make_operation

BERLIN = ZoneInfo("Europe/Berlin")
EVERYTHING = Filters()


def micros(*parts: int) -> int:
    return round(datetime(*parts, tzinfo=BERLIN).timestamp()) * 1_000_000  # type: ignore[arg-type]


NOW = micros(2026, 10, 22, 12, 20)
"""A Thursday noon; on Sunday the clocks go back."""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DuckDBStore]:
    """70 days of three calls an hour, dear from 9 to 18 o'clock on the local clock, free at weekends."""
    made = DuckDBStore(tmp_path_factory.mktemp("store") / "t.duckdb", clock=ManualClock(NOW))
    operations = []
    today = datetime.fromtimestamp(NOW / 1e6, BERLIN).replace(hour=0, minute=0)
    for days_ago in range(70, -1, -1):
        day = today - timedelta(days=days_ago)
        for minute in range(10, 24 * 60, 20):
            hour = minute // 60
            started = round(day.replace(hour=hour, minute=minute % 60).timestamp()) * 1_000_000
            cost = Decimal(0) if day.weekday() > 4 else Decimal(3 if 9 <= hour < 18 else "0.3")
            if started < NOW:
                operations.append(make_operation(f"{days_ago}-{minute}", started_at=started, cost_usd=cost))
    made.write(operations)
    made.refresh_rollups()
    yield made
    made.close()


WORKDAY = 9 * 9 + 15 * 0.9


def test_the_course_adds_up_to_the_projection_and_what_was_spent_to_what_was_spent(store: DuckDBStore) -> None:
    for horizon in HORIZONS:
        made = spend_forecast(store, EVERYTHING, horizon, NOW, BERLIN)
        assert made.projection is not None
        assert made.projection == project(store, EVERYTHING, made.window, NOW, BERLIN)
        so_far = made.projection.so_far_usd
        assert float(sum(point.cost_usd for point in made.spent)) == pytest.approx(float(so_far))
        assert float(so_far + sum(point.mean_usd for point in made.course)) == pytest.approx(
            float(made.projection.mean_usd)
        )
        last = made.course[-1]
        assert (last.total_mean_usd, last.total_low_usd, last.total_high_usd) == (
            made.projection.mean_usd,
            made.projection.low_usd,
            made.projection.high_usd,
        )
        edges = [*(point.window for point in made.spent), *(point.window for point in made.course)]
        assert edges[0].start_us == made.window.start_us and edges[-1].end_us == made.window.end_us
        assert all(one.end_us == other.start_us for one, other in itertools.pairwise(edges))


def test_a_day_is_told_by_the_hour_and_follows_the_working_day(store: DuckDBStore) -> None:
    made = spend_forecast(store, EVERYTHING, "day", NOW, BERLIN)
    assert made.projection is not None
    assert float(made.projection.mean_usd) == pytest.approx(WORKDAY, rel=0.03)
    by_hour = {datetime.fromtimestamp(point.window.start_us / 1e6, BERLIN).hour: point for point in made.course}
    assert sorted(by_hour) == list(range(12, 24))
    assert by_hour[12].window.length_us == 40 * HOUR_US / 60
    assert float(by_hour[15].mean_usd) == pytest.approx(9, rel=0.05)
    assert float(by_hour[21].mean_usd) == pytest.approx(0.9, rel=0.1)
    assert made.projection.within_15_earned


def test_a_week_over_the_change_of_the_clock_has_a_day_of_25_hours(store: DuckDBStore) -> None:
    made = spend_forecast(store, EVERYTHING, "week", NOW, BERLIN)
    assert made.window.length_us == 7 * DAY_US + HOUR_US
    assert [point.window.length_us for point in made.course[1:]] == [DAY_US, DAY_US, DAY_US + HOUR_US]
    assert made.projection is not None
    assert float(made.projection.mean_usd) == pytest.approx(5 * WORKDAY, rel=0.03)
    saturday = made.course[2]
    assert float(saturday.mean_usd) < 0.05 * WORKDAY
    assert float(made.course[1].mean_usd) == pytest.approx(WORKDAY, rel=0.05)
    assert made.steps is not None and made.steps.origins >= 6


def test_hours_on_the_day_of_the_change_keep_their_place_in_the_day(store: DuckDBStore) -> None:
    sunday = micros(2026, 10, 25, 0, 30)
    made = spend_forecast(store, EVERYTHING, "day", sunday, BERLIN)
    assert len(made.course) == 25
    assert made.projection is not None and made.projection.mean_usd < 3


def test_a_month_is_foretold_from_days(store: DuckDBStore) -> None:
    made = spend_forecast(store, EVERYTHING, "month", NOW, BERLIN)
    assert made.projection is not None
    workdays = 22
    assert float(made.projection.mean_usd) == pytest.approx(workdays * WORKDAY, rel=0.03)
    assert len(made.course) == 10


def test_nothing_is_foretold_of_nothing_and_midnight_has_no_past(store: DuckDBStore) -> None:
    none = spend_forecast(store, Filters(model=("other",)), "day", NOW, BERLIN)
    assert none.projection is None and none.course == () and none.steps is None
    midnight = spend_forecast(store, EVERYTHING, "day", micros(2026, 10, 22), BERLIN)
    assert midnight.spent == ()
    assert midnight.projection is not None and midnight.projection.so_far_usd == 0


def test_another_horizon_is_refused(store: DuckDBStore) -> None:
    with pytest.raises(ValueError, match="choose one of day, week, month"):
        spend_forecast(store, EVERYTHING, "year", NOW, BERLIN)  # type: ignore[arg-type]

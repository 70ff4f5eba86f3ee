from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from ralex_core.clock import ManualClock
from ralex_core.model.window import DAY_US, HOUR_US, MINUTE_US, Filters, Window
from ralex_core.monitoring.cost_analytics import day_window
from ralex_core.monitoring.projection import REMEMBER_US, Projector, project
from ralex_core.storage.duckdb_store import DuckDBStore
from tests.support.operations import make_operation

BERLIN = ZoneInfo("Europe/Berlin")
EVERYTHING = Filters()


def micros(*parts: int) -> int:
    return round(datetime(*parts, tzinfo=BERLIN).timestamp()) * 1_000_000  # type: ignore[arg-type]


NOW = micros(2026, 4, 15, 12, 0)
"""A Wednesday noon, 17 days after the clocks went forward."""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[DuckDBStore]:
    made = DuckDBStore(tmp_path / "t.duckdb", clock=ManualClock(NOW))
    yield made
    made.close()


def fill(store: DuckDBStore, days: int, *, until: int = NOW, cost: Decimal = Decimal("0.10"), **fields: object) -> None:
    """A call an hour from 8 to 20 o'clock on the local clock, `days` days back, and today until `until`."""
    today = datetime.fromtimestamp(NOW / 1e6, BERLIN).replace(hour=0, minute=0)
    operations = []
    for days_ago in range(days, -1, -1):
        for hour in range(8, 20):
            moment = (today - timedelta(days=days_ago)).replace(hour=hour, minute=30)
            started = round(moment.timestamp()) * 1_000_000
            if started < until:
                name = f"{days_ago}-{hour}-{fields.get('model', '')}"
                operations.append(make_operation(name, started_at=started, cost_usd=cost, **fields))
    store.write(operations)
    store.refresh_rollups()


def test_a_day_ends_where_days_like_it_ended_across_a_change_of_the_clock(store: DuckDBStore) -> None:
    fill(store, 40)
    made = project(store, EVERYTHING, day_window(NOW, BERLIN), NOW, BERLIN)
    assert made is not None
    assert made.so_far_usd == Decimal("0.4")
    assert float(made.mean_usd) == pytest.approx(1.2, rel=0.01)
    assert float(made.naive_usd) == pytest.approx(1.2)
    assert made.low_usd <= made.mean_usd <= made.high_usd
    assert made.within_15_earned
    assert made.method


def test_weeks_months_and_rolling_windows_are_projected_too(store: DuckDBStore) -> None:
    fill(store, 60)
    week = Window(micros(2026, 4, 13), micros(2026, 4, 20))
    month = Window(micros(2026, 4, 1), micros(2026, 5, 1))
    rolling = Window(NOW - 6 * DAY_US, NOW + DAY_US)
    for window, days, so_far in ((week, 7, "2.8"), (month, 30, "17.2"), (rolling, 7, "7.2")):
        made = project(store, EVERYTHING, window, NOW, BERLIN)
        assert made is not None
        assert made.so_far_usd == Decimal(so_far)
        assert float(made.mean_usd) == pytest.approx(1.2 * days, rel=0.02)


def test_an_hour_is_projected_from_hours(store: DuckDBStore) -> None:
    now = NOW - 15 * MINUTE_US
    store.write(
        [
            make_operation(f"m{minute}", started_at=now - minute * MINUTE_US, cost_usd=Decimal("0.01"))
            for minute in range(1, 48 * 60)
        ]
    )
    store.refresh_rollups()
    made = project(store, EVERYTHING, Window(NOW - HOUR_US, NOW), now, BERLIN)
    assert made is not None
    assert made.so_far_usd == Decimal("0.45")
    assert float(made.mean_usd) == pytest.approx(0.60, rel=0.02)


def test_the_interval_narrows_as_the_period_passes_and_is_one_number_at_its_end(store: DuckDBStore) -> None:
    fill(store, 50, until=NOW + 12 * HOUR_US)
    day = day_window(NOW, BERLIN)
    widths = []
    for hour in (8, 14, 18, 21):
        made = project(store, EVERYTHING, day, day.start_us + hour * HOUR_US, BERLIN)
        assert made is not None
        widths.append(made.high_usd - made.low_usd)
    assert widths == sorted(widths, reverse=True)
    over = project(store, EVERYTHING, day, day.end_us, BERLIN)
    assert over is not None
    assert over.low_usd == over.mean_usd == over.high_usd == over.so_far_usd == Decimal("1.2")


def test_filters_choose_whose_spend_is_projected(store: DuckDBStore) -> None:
    fill(store, 30, model="cheap-1", cost=Decimal("0.01"))
    fill(store, 30, model="dear-1", cost=Decimal("1"))
    made = project(store, Filters(model=("cheap-1",)), day_window(NOW, BERLIN), NOW, BERLIN)
    assert made is not None
    assert float(made.mean_usd) == pytest.approx(0.12, rel=0.01)


def test_too_little_history_says_nothing(store: DuckDBStore) -> None:
    day = day_window(NOW, BERLIN)
    assert project(store, EVERYTHING, day, NOW, BERLIN) is None
    fill(store, 1)
    assert project(store, EVERYTHING, day, NOW, BERLIN) is None
    assert project(store, Filters(model=("other",)), day, NOW, BERLIN) is None


def test_calls_of_unknown_cost_are_no_history_of_free_ones(store: DuckDBStore) -> None:
    fill(store, 30, cost_basis="unknown", computed_usd=None, cost=None)  # type: ignore[arg-type]
    assert project(store, EVERYTHING, day_window(NOW, BERLIN), NOW, BERLIN) is None


def test_a_period_that_has_not_begun_is_refused(store: DuckDBStore) -> None:
    with pytest.raises(ValueError, match="has not begun"):
        project(store, EVERYTHING, Window(NOW + 1, NOW + DAY_US), NOW, BERLIN)


def test_a_projector_reads_history_once_a_minute_and_what_was_spent_each_time(store: DuckDBStore) -> None:
    fill(store, 40)
    day, projector = day_window(NOW, BERLIN), Projector()
    first = projector.project(store, EVERYTHING, day, NOW, BERLIN)
    assert first == project(store, EVERYTHING, day, NOW, BERLIN)
    store.write([make_operation("now", started_at=NOW, cost_usd=Decimal(5))])
    store.refresh_rollups()
    second = projector.project(store, EVERYTHING, day, NOW + 1, BERLIN)
    assert first is not None and second is not None
    assert second.so_far_usd == first.so_far_usd + 5
    assert second.mean_usd - second.so_far_usd == first.mean_usd - first.so_far_usd
    later = projector.project(store, EVERYTHING, day, NOW + REMEMBER_US, BERLIN)
    assert later == project(store, EVERYTHING, day, NOW + REMEMBER_US, BERLIN)

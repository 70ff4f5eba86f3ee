from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from ralex_core.clock import ManualClock
from ralex_core.config import Settings
from ralex_core.model.window import HOUR_US
from ralex_core.monitoring.cost_analytics import day_window, spend_today
from ralex_core.storage.duckdb_store import DuckDBStore
from tests.support.operations import make_operation

BERLIN = ZoneInfo("Europe/Berlin")


def micros(*parts: int, zone: ZoneInfo = BERLIN) -> int:
    return round(datetime(*parts, tzinfo=zone).timestamp()) * 1_000_000  # type: ignore[arg-type]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(micros(2026, 6, 15, 12, 0))


@pytest.fixture
def store(tmp_path: Path, clock: ManualClock) -> Iterator[DuckDBStore]:
    made = DuckDBStore(tmp_path / "t.duckdb", clock=clock)
    yield made
    made.close()


def settings(tmp_path: Path, **changes: object) -> Settings:
    return Settings(home=tmp_path, timezone="Europe/Berlin", **changes)  # type: ignore[arg-type]


def test_the_day_is_the_local_one_and_has_its_own_length() -> None:
    assert day_window(micros(2026, 3, 29, 12), BERLIN).length_us == 23 * HOUR_US
    assert day_window(micros(2026, 10, 25, 12), BERLIN).length_us == 25 * HOUR_US
    utc_evening = round(datetime(2026, 6, 14, 22, 30, tzinfo=UTC).timestamp()) * 1_000_000
    assert day_window(utc_evening, BERLIN).start_us == micros(2026, 6, 15)


def test_today_is_what_was_spent_since_local_midnight(store: DuckDBStore, clock: ManualClock, tmp_path: Path) -> None:
    store.write(
        [
            make_operation("before", started_at=micros(2026, 6, 14, 23, 59), cost_usd=Decimal(5)),
            make_operation("first", started_at=micros(2026, 6, 15, 0, 0), cost_usd=Decimal("0.25")),
            make_operation("unknown", started_at=micros(2026, 6, 15, 3, 0), cost_usd=None, cost_basis="unknown"),
            make_operation("later", started_at=micros(2026, 6, 15, 11, 59), cost_usd=Decimal("0.50")),
        ]
    )
    store.refresh_rollups()
    today = spend_today(store, clock, settings(tmp_path, daily_budget_usd=Decimal(3)))
    assert today.cost_usd == Decimal("0.75")
    assert today.budget_ratio == 0.25
    assert today.coverage_ratio == pytest.approx(2 / 3)
    assert today.projected_usd is None


def test_the_projection_adds_what_the_rest_of_recent_days_cost(
    store: DuckDBStore, clock: ManualClock, tmp_path: Path
) -> None:
    noon = datetime(2026, 6, 15, 12, tzinfo=BERLIN)
    operations = [make_operation("now", started_at=micros(2026, 6, 15, 9), cost_usd=Decimal(1))]
    for days_ago, afternoon in ((1, "4"), (2, "4"), (3, "4"), (4, "4"), (5, "4")):
        day = noon - timedelta(days=days_ago)
        for hour, cost in ((9, "1"), (15, afternoon)):
            moment = round(day.replace(hour=hour).timestamp()) * 1_000_000
            operations.append(make_operation(f"{days_ago}-{hour}", started_at=moment, cost_usd=Decimal(cost)))
    store.write(operations)
    store.refresh_rollups()
    projection = spend_today(store, clock, settings(tmp_path)).projection
    assert projection is not None
    assert float(projection.mean_usd) == pytest.approx(1 + 4, rel=0.05)
    assert projection.low_usd <= projection.mean_usd <= projection.high_usd

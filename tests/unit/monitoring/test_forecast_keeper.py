from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from ralex_core.clock import ManualClock
from ralex_core.config import Settings
from ralex_core.model.window import DAY_US, HOUR_US
from ralex_core.monitoring.forecast_keeper import ForecastKeeper, account_of
from ralex_core.selfmetrics import SelfMetrics
from ralex_core.storage.duckdb_store import DuckDBStore
from ralex_core.storage.state import StateStore
from ralex_core.storage.state_forecasts import KeptForecast, StoredForecasts
from tests.support.operations import make_operation

MIDNIGHT = round(datetime(2026, 6, 15, tzinfo=UTC).timestamp()) * 1_000_000
NOW = MIDNIGHT + 12 * HOUR_US


def kept(**changes: object) -> KeptForecast:
    values: dict[str, object] = {
        "horizon": "day",
        "period_start": MIDNIGHT,
        "quarter": 2,
        "period_end": MIDNIGHT + DAY_US,
        "made_at": NOW,
        "so_far_usd": Decimal(4),
        "mean_usd": Decimal(10),
        "low_usd": Decimal(8),
        "high_usd": Decimal(13),
        "naive_usd": Decimal(12),
        "method": "mean of a rhythm",
        "origins": 40,
        "wape": 0.2,
        "naive_wape": 0.3,
        "within_15_ratio": 0.95,
        "naive_within_15_ratio": 0.7,
        "coverage_ratio": 0.96,
        "claimed": True,
    }
    return KeptForecast(**values | changes)  # type: ignore[arg-type]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW)


@pytest.fixture
def state(tmp_path: Path, clock: ManualClock) -> Iterator[StateStore]:
    made = StateStore(tmp_path / "state.sqlite", clock)
    yield made
    made.close()


@pytest.fixture
def store(tmp_path: Path, clock: ManualClock) -> Iterator[DuckDBStore]:
    made = DuckDBStore(tmp_path / "t.duckdb", clock=clock)
    started = range(NOW - 40 * DAY_US, NOW + DAY_US, HOUR_US)
    made.write([make_operation(f"op-{at}", started_at=at, cost_usd=Decimal("0.5")) for at in started if at < NOW])
    made.refresh_rollups()
    yield made
    made.close()


@pytest.fixture
def keeper(tmp_path: Path, state: StateStore, store: DuckDBStore, clock: ManualClock) -> ForecastKeeper:
    settings = Settings(home=tmp_path, timezone="UTC")
    return ForecastKeeper(settings, state=state, store=store, clock=clock, metrics=SelfMetrics())


def test_what_was_foretold_is_judged_by_what_came(
    keeper: ForecastKeeper, store: DuckDBStore, clock: ManualClock
) -> None:
    assert keeper.latest("day") is None
    keeper.refresh()
    made = keeper.latest("day")
    assert made is not None and made.projection is not None
    assert float(made.projection.mean_usd) == pytest.approx(12, rel=0.05)
    assert keeper.judged("day") == []
    store.write([make_operation("late", started_at=NOW + HOUR_US, cost_usd=Decimal(20))])
    store.refresh_rollups()
    clock.advance(12 * 3600)
    assert keeper.latest("day") is None
    keeper.refresh()
    judged = keeper.judged("day")
    assert [(one.quarter, one.actual_usd, one.mean_usd) for one in judged] == [(2, 26, made.projection.mean_usd)]
    account = account_of(judged)
    assert (account.forecasts, account.in_interval, account.within_15) == (1, 0, 0)
    assert account.wape == pytest.approx((26 - float(made.projection.mean_usd)) / 20)


def test_only_the_first_forecast_of_a_quarter_is_kept(
    keeper: ForecastKeeper, state: StateStore, clock: ManualClock
) -> None:
    for minutes in (0, 5, 5 * 60, 60, 6 * 60):
        clock.advance(minutes * 60)
        keeper.refresh()
    quarters = [(one.quarter, one.made_at) for one in keeper.judged("day")]
    assert quarters == [(3, NOW + (6 * 60 + 5) * 60_000_000), (2, NOW)]


def test_what_comes_late_is_judged_again_for_some_days(
    keeper: ForecastKeeper, store: DuckDBStore, clock: ManualClock
) -> None:
    keeper.refresh()
    clock.advance(86400)
    keeper.refresh()
    assert keeper.judged("day")[-1].actual_usd == 6
    store.write([make_operation("late", started_at=NOW + HOUR_US, cost_usd=Decimal(2))])
    store.refresh_rollups()
    keeper.refresh()
    assert keeper.judged("day")[-1].actual_usd == 8
    clock.advance(4 * 86400)
    keeper.refresh()
    store.write([make_operation("too-late", started_at=NOW + HOUR_US, cost_usd=Decimal(2))])
    store.refresh_rollups()
    keeper.refresh()
    assert keeper.judged("day")[-1].actual_usd == 8


def test_forecasts_of_the_last_400_days_are_kept_by_their_number(state: StateStore) -> None:
    stored = StoredForecasts(state)
    for number in range(1602):
        start = MIDNIGHT + number // 4 * DAY_US
        assert stored.keep(kept(period_start=start, period_end=start + DAY_US, quarter=number % 4))
    assert [stored.has("day", MIDNIGHT, quarter) for quarter in range(4)] == [False, False, True, True]
    assert stored.has("day", MIDNIGHT + 400 * DAY_US, 1)


def test_kept_forecasts_come_back_exactly_and_a_clock_ahead_deletes_none(state: StateStore) -> None:
    stored = StoredForecasts(state)
    exact = kept(mean_usd=Decimal("10.000000000000000001"), wape=None)
    assert stored.keep(exact)
    assert not stored.keep(kept(mean_usd=Decimal(11)))
    assert stored.has("day", MIDNIGHT, 2) and not stored.has("day", MIDNIGHT, 1)
    assert stored.judged("day") == []
    stored.judge("day", MIDNIGHT, Decimal("9.5"), NOW + DAY_US)
    assert stored.judged("day") == [
        kept(mean_usd=exact.mean_usd, wape=None, actual_usd=Decimal("9.5"), judged_at=NOW + DAY_US)
    ]
    assert stored.keep(
        kept(period_start=MIDNIGHT + 500 * DAY_US, period_end=MIDNIGHT + 501 * DAY_US, made_at=NOW + 500 * DAY_US)
    )
    assert len(stored.judged("day")) == 1


def test_an_account_counts_claims_that_were_kept_and_the_naive_forecast_beside(state: StateStore) -> None:
    found = account_of(
        [
            kept(actual_usd=Decimal("11.5")),
            kept(actual_usd=Decimal("8.69")),
            kept(actual_usd=Decimal(20), claimed=False),
            kept(actual_usd=None),
        ]
    )
    assert (found.forecasts, found.in_interval, found.within_15) == (3, 2, 1)
    assert (found.claimed, found.claims_kept) == (2, 1)
    rest = 7.5 + 4.69 + 16
    assert found.wape == pytest.approx((1.5 + 1.31 + 10) / rest)
    assert found.naive_wape == pytest.approx((0.5 + 3.31 + 8) / rest)
    nothing = account_of([])
    assert nothing.wape is None and nothing.naive_wape is None


def test_the_background_forecasts_at_once_and_stops(keeper: ForecastKeeper) -> None:
    keeper.start()
    keeper.stop()
    assert keeper.latest("month") is not None

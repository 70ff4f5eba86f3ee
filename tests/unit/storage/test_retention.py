"""Retention goes by a time that held for a day, and what it removes can be had back for a week."""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import duckdb
import pytest

from ralex_core.clock import ManualClock
from ralex_core.model.window import DAY_US, HOUR_US, MINUTE_US
from ralex_core.storage.clock_readings import ClockReadings
from ralex_core.storage.duckdb_store import DuckDBStore
from ralex_core.storage.trash import Trash
from tests.support.operations import T0, make_operation
from tests.support.resources import make_sample

NOW = T0 + 40 * DAY_US
Open = Callable[[ManualClock], DuckDBStore]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Open]:
    stores: list[DuckDBStore] = []

    def open_store(clock: ManualClock) -> DuckDBStore:
        for store in stores:
            store.close()
        stores[:] = [DuckDBStore(tmp_path / "t.duckdb", clock=clock, retention_days=30)]
        return stores[0]

    yield open_store
    for store in stores:
        store.close()


def with_history(opened: Open) -> DuckDBStore:
    """A store with an operation for each of the last 20 days, of a monitor that ran for the last of them."""
    clock = ManualClock(NOW - DAY_US)
    store = opened(clock)
    store.write([make_operation(f"op-{day}", started_at=NOW - day * DAY_US - HOUR_US) for day in range(20)])
    clock.advance(DAY_US / 1e6)
    assert store.apply_retention(clock.now_us()) == 0
    return store


def after_removal(opened: Open) -> DuckDBStore:
    """The same store 15 days later, of which retention has removed something."""
    with_history(opened)
    clock = ManualClock(NOW)
    store = opened(clock)
    clock.advance(15 * DAY_US / 1e6)
    assert store.apply_retention(clock.now_us()) > 0
    return store


def in_file(home: Path, statement: str) -> None:
    with duckdb.connect(str(home / "t.duckdb")) as connection:
        connection.execute(statement)


def count(store: DuckDBStore) -> int:
    return store.query("select count(*) from operations")[0][0]


@pytest.mark.parametrize("ahead_days", [12, 45, 400, 36_500])
def test_a_start_with_the_clock_ahead_deletes_nothing_and_what_comes_later_is_stored(
    opened: Open, ahead_days: int
) -> None:
    with_history(opened)
    wrong = ManualClock(NOW + ahead_days * DAY_US)
    store = opened(wrong)
    for _ in range(3):
        assert store.apply_retention(wrong.now_us()) == 0
        wrong.advance(3600)
    assert count(store) == 20
    doubt = store.retention_state().doubt
    assert doubt is not None
    assert f"ahead by {ahead_days:,} days" in doubt
    right = ManualClock(NOW + HOUR_US)
    store = opened(right)
    store.apply_retention(right.now_us())
    assert store.retention_floor_us < right.now_us() - 30 * DAY_US
    assert store.write([make_operation("later", started_at=right.now_us())]).inserted == 1
    assert "went back" in (store.retention_state().doubt or "")


def test_many_short_starts_with_the_clock_further_ahead_each_time_delete_nothing(opened: Open) -> None:
    store = with_history(opened)
    for start in range(1, 40):
        wrong = ManualClock(NOW + start * 10 * DAY_US)
        store = opened(wrong)
        assert store.apply_retention(wrong.now_us()) == 0
    assert count(store) == 20


def test_a_clock_that_is_behind_deletes_nothing_and_spoils_no_totals(opened: Open) -> None:
    store = after_removal(opened)
    left, totals = count(store), store.query("select sum(operations) from rollup_client_day")
    gone = store.query("select max(bucket) from rollup_client_hour where bucket < $f", {"f": store.retention_floor_us})
    wrong = ManualClock(T0 - 9000 * DAY_US)
    store = opened(wrong)
    assert store.apply_retention(wrong.now_us()) == 0
    assert count(store) == left
    assert store.write([make_operation("late", started_at=gone[0][0])]).expired == 1
    store.refresh_rollups()
    assert store.query("select sum(operations) from rollup_client_day") == totals


def test_a_store_made_while_the_clock_was_ahead_takes_operations_once_it_is_right(opened: Open) -> None:
    wrong = ManualClock(NOW + 400 * DAY_US)
    store = opened(wrong)
    store.write([make_operation("from the future", started_at=wrong.now_us())])
    for _ in range(8):
        wrong.advance(3600)
        store.apply_retention(wrong.now_us())
    right = ManualClock(NOW)
    store = opened(right)
    assert store.write([make_operation("now", started_at=NOW)]).inserted == 1
    store.apply_retention(NOW)
    assert store.write([make_operation("later", started_at=NOW + 1)]).inserted == 1
    assert count(store) == 3


def test_a_file_without_readings_is_compared_with_what_is_stored(opened: Open, tmp_path: Path) -> None:
    store = with_history(opened)
    store.close()
    in_file(tmp_path, "delete from meta where key = 'clock_readings'")
    wrong = ManualClock(NOW + 400 * DAY_US)
    store = opened(wrong)
    assert store.apply_retention(wrong.now_us()) == 0
    assert count(store) == 20


def test_a_floor_that_an_earlier_version_left_in_the_future_comes_back(opened: Open, tmp_path: Path) -> None:
    store = with_history(opened)
    store.close()
    in_file(tmp_path, "delete from meta where key = 'clock_readings'")
    for key in ("retention_floor", "minute_floor", "resources_thinned_until"):
        in_file(tmp_path, f"insert or replace into meta values ('{key}', '{NOW + 370 * DAY_US}')")
    clock = ManualClock(NOW + 2 * HOUR_US)
    store = opened(clock)
    assert store.write([make_operation("before", started_at=clock.now_us())]).inserted == 1
    store.apply_retention(clock.now_us())
    assert store.write([make_operation("after", started_at=clock.now_us())]).inserted == 1
    assert store.write([make_operation("old", started_at=NOW - 3 * DAY_US)]).expired == 1, (
        "its hour has lost operations"
    )
    store.refresh_rollups()
    minutes = store.query("select bucket from rollup_client_minute where bucket >= $low", {"low": NOW - 2 * DAY_US})
    assert (clock.now_us() // MINUTE_US * MINUTE_US,) in minutes
    store.write_resources([make_sample(clock.now_us() + second * 1_000_000) for second in range(0, 60, 5)])
    clock.advance(3 * DAY_US / 1e6)
    store.apply_retention(clock.now_us())
    assert store.query("select count(*) from resource_samples") == [(1,)]


def test_time_that_really_passes_is_believed_after_a_day_of_running_across_restarts(opened: Open) -> None:
    store, clock = with_history(opened), ManualClock(NOW)
    for start in range(5):
        clock = ManualClock(NOW + 25 * DAY_US + start * 7 * HOUR_US)
        store = opened(clock)
        for quarter in range(20):
            assert count(store) == 20 or 20 * start + quarter >= 96, "not before 24 hours of running"
            clock.advance(900)
            store.apply_retention(clock.now_us())
    assert store.retention_state().doubt is None
    assert 0 < count(store) < 20


def test_what_is_removed_is_kept_for_a_week_with_its_samples(opened: Open, tmp_path: Path) -> None:
    store = with_history(opened)
    store.write_resources([make_sample(T0 + DAY_US)])
    clock = ManualClock(NOW)
    store = opened(clock)
    clock.advance(15 * DAY_US / 1e6)
    deleted = store.apply_retention(clock.now_us())
    assert deleted > 0
    trash = Trash(tmp_path)
    (removal,) = trash.removals()
    assert removal.details["rows"] == {"operations": deleted, "resource_samples": 1}
    assert f"{deleted} operations" in removal.note
    assert stat.S_IMODE(trash.directory.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in removal.path.iterdir()} == {0o600}
    kept = store.query(f"select count(*) from read_parquet('{removal.path}/operations.parquet')")
    assert kept == [(deleted,)]
    for _ in range(4):
        clock.advance(900)
        store.apply_retention(clock.now_us())
    assert [one.name for one in trash.removals()] == [removal.name], "nothing more to remove: no empty files"
    clock.advance(6 * DAY_US / 1e6)
    store.apply_retention(clock.now_us())
    assert removal.name in [one.name for one in trash.removals()]
    clock.advance(2 * DAY_US / 1e6)
    store.apply_retention(clock.now_us())
    assert removal.name not in [one.name for one in trash.removals()]


def test_a_clock_ahead_does_not_empty_the_trash(opened: Open, tmp_path: Path) -> None:
    with_history(opened)
    clock = ManualClock(NOW)
    store = opened(clock)
    clock.advance(15 * DAY_US / 1e6)
    store.apply_retention(clock.now_us())
    wrong = ManualClock(NOW + 400 * DAY_US)
    store = opened(wrong)
    store.apply_retention(wrong.now_us())
    assert len(Trash(tmp_path).removals()) == 1


def test_nothing_is_deleted_when_the_trash_cannot_be_written(opened: Open, tmp_path: Path) -> None:
    with_history(opened)
    (tmp_path / "trash").write_text("a file in its place")
    clock = ManualClock(NOW)
    store = opened(clock)
    clock.advance(15 * DAY_US / 1e6)
    with pytest.raises(Exception, match="Nothing was removed"):
        store.apply_retention(clock.now_us())
    assert count(store) == 20


@pytest.mark.parametrize("text", [None, "", "nonsense", "{}", '["a"]', "[1.5]", "[true]", "[]"])
def test_readings_that_cannot_be_read_count_as_none(text: str | None) -> None:
    assert ClockReadings.parse(text, 0.0, seed_us=NOW).believed_us(NOW + DAY_US) == NOW


def test_a_running_clock_that_jumps_is_believed_only_after_a_day(opened: Open) -> None:
    readings = ClockReadings([], 0.0, seed_us=NOW)
    readings.note(NOW + HOUR_US, 3600.0)
    for quarter in range(1, 97):
        readings.note(NOW + 400 * DAY_US + quarter * 900_000_000, 3600.0 + quarter * 900)
        assert readings.believed_us(NOW + 500 * DAY_US) <= NOW + HOUR_US
    readings.note(NOW + 401 * DAY_US, 3600.0 + 97 * 900)
    assert readings.believed_us(NOW + 500 * DAY_US) > NOW + 399 * DAY_US

"""Samples of resources: written by kind, thinned to minutes after a day, let go of after a month."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ralex_core.clock import ManualClock
from ralex_core.model.window import DAY_US, MINUTE_US
from ralex_core.storage.duckdb_store import DuckDBStore
from ralex_core.storage.telemetry import StateChange
from tests.support.operations import T0
from tests.support.resources import make_gpu, make_process, make_sample

SECOND_US = 1_000_000
START = T0 // MINUTE_US * MINUTE_US


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(T0)


@pytest.fixture
def store(tmp_path: Path, clock: ManualClock) -> Iterator[DuckDBStore]:
    store = DuckDBStore(tmp_path / "t.duckdb", clock=clock)
    yield store
    store.close()


def keep_house(store: DuckDBStore, clock: ManualClock, at_us: int) -> None:
    """Apply retention by `at_us`: a day later, because that is when the clock's word for it is taken."""
    clock.advance((at_us + DAY_US - clock.now_us()) / 1e6)
    store.apply_retention(clock.now_us())


def test_each_kind_of_record_comes_back_as_it_was(store: DuckDBStore) -> None:
    change = StateChange(START, "cpu", "critical", "ok", 0.97, "CPU at 97 %")
    sample, process, gpu = make_sample(START, oom_kills=1), make_process(START), make_gpu(START, power_w=None)
    store.write_resources([gpu, change, sample, process])
    assert store.query("select * from resource_samples") == [tuple(sample)]
    assert store.query("select * from process_samples") == [tuple(process)]
    assert store.query("select * from gpu_samples") == [tuple(gpu)]
    assert store.query("select * from resource_states") == [tuple(change)]


def test_after_a_day_readings_become_minutes_of_means_and_sums(store: DuckDBStore, clock: ManualClock) -> None:
    for second in range(0, 120, 2):
        at = START + second * SECOND_US
        minute = second // 60
        store.write_resources(
            [
                make_sample(
                    at, cpu_ratio=0.2 + 0.4 * (second % 4 == 0), oom_kills=minute, load_1m=None if minute else 2.0
                )
            ]
        )
    keep_house(store, clock, START + DAY_US + 60 * SECOND_US)  # the first minute is a day old, the second not yet
    rows = store.query("select sampled_at, cpu_ratio, oom_kills, load_1m from resource_samples order by sampled_at")
    assert len(rows) == 31
    assert rows[0] == (START, pytest.approx(0.4), 0, 2.0)
    keep_house(store, clock, START + DAY_US + 16 * MINUTE_US)  # the clock is read every quarter of an hour
    rows = store.query("select sampled_at, cpu_ratio, oom_kills, load_1m from resource_samples order by sampled_at")
    assert rows == [(START, pytest.approx(0.4), 0, 2.0), (START + MINUTE_US, pytest.approx(0.4), 30, None)]


def test_minutes_keep_processes_and_cards_apart(store: DuckDBStore, clock: ManualClock) -> None:
    for second in range(0, 60, 10):
        at = START + second * SECOND_US
        store.write_resources(
            [
                make_process(at, 7, rss_bytes=100 + second),
                make_process(at, 7, started_at=2_000_000, rss_bytes=1),
                make_process(at, 8, name="codex", open_files=None),
                make_gpu(at),
                make_gpu(at, gpu="nvidia1", busy_ratio=None),
            ]
        )
    keep_house(store, clock, START + 2 * DAY_US)
    rows = store.query("select pid, started_at, name, rss_bytes, open_files from process_samples order by all")
    assert rows == [
        (7, 1_000_000, "claude", 125, 40),
        (7, 2_000_000, "claude", 1, 40),
        (8, 1_000_000, "codex", 300 << 20, None),
    ]
    assert store.query("select gpu, busy_ratio from gpu_samples order by gpu") == [
        ("nvidia0", pytest.approx(0.4)),
        ("nvidia1", None),
    ]


def test_a_month_is_kept_and_a_year_of_changes(store: DuckDBStore, clock: ManualClock) -> None:
    changes = [StateChange(START + n * DAY_US, "cpu", "ok", "warn", None, "") for n in (0, 40)]
    store.write_resources([*changes, *(make_sample(START + n * DAY_US) for n in range(0, 40))])
    keep_house(store, clock, START + 39 * DAY_US)
    assert store.query("select count(*), min(sampled_at) from resource_samples") == [(31, START + 9 * DAY_US)]
    assert len(store.query("select 1 from resource_states")) == 2
    keep_house(store, clock, START + 370 * DAY_US)
    assert store.query("select changed_at from resource_states") == [(START + 40 * DAY_US,)]


def test_retention_twice_changes_nothing_more(store: DuckDBStore, clock: ManualClock) -> None:
    store.write_resources([make_sample(START + n * 7 * SECOND_US) for n in range(200)])
    keep_house(store, clock, START + 2 * DAY_US)
    kept = store.query("select * from resource_samples order by sampled_at")
    keep_house(store, clock, START + 3 * DAY_US)
    assert store.query("select * from resource_samples order by sampled_at") == kept

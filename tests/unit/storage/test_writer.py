from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from ralex_core.errors import IntakeFull, StoreError
from ralex_core.model.operation import Operation
from ralex_core.model.window import Scope, Window
from ralex_core.selfmetrics import SelfMetrics
from ralex_core.storage import queries
from ralex_core.storage.duckdb_store import DuckDBStore
from ralex_core.storage.telemetry import Amendment, WriteResult
from ralex_core.storage.writer import GATHER_OPERATIONS, BatchWriter
from tests.support.operations import T0, make_operation, random_operations


class GatedStore(DuckDBStore):
    """A real store whose writes wait until the gate opens, and which refuses what it is told to refuse."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.gate = threading.Event()
        self.entered = threading.Event()
        self.poison: str | None = None
        self.batches: list[int] = []

    def write(self, operations: Sequence[Operation]) -> WriteResult:
        self.entered.set()
        assert self.gate.wait(10)
        if self.poison and any(operation.operation_id == self.poison for operation in operations):
            raise StoreError("poisoned")
        self.batches.append(len(operations))
        return super().write(operations)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[GatedStore]:
    made = GatedStore(tmp_path / "t.duckdb")
    yield made
    made.close()


@pytest.fixture
def writer(store: GatedStore) -> Iterator[BatchWriter]:
    made = BatchWriter(store, queue_operations=1000, metrics=SelfMetrics())
    made.start()
    yield made
    store.gate.set()
    made.close()


def held(writer: BatchWriter, store: GatedStore) -> None:
    """Put one operation in and wait until its commit hangs at the gate, so that what follows queues up."""
    writer.submit([make_operation("holder")])
    assert store.entered.wait(10)


def test_nothing_is_acknowledged_before_it_is_committed(writer: BatchWriter, store: GatedStore) -> None:
    future = writer.submit([make_operation("a")])
    assert store.entered.wait(10)
    assert not future.done()
    store.gate.set()
    assert future.result(10) == WriteResult(1, 0, 0)
    assert queries.operation(store, "a") is not None


def test_what_waits_together_is_committed_together(writer: BatchWriter, store: GatedStore) -> None:
    held(writer, store)
    futures = [writer.submit([make_operation(f"{n}-{m}") for m in range(10)]) for n in range(20)]
    store.gate.set()
    assert [future.result(10).inserted for future in futures] == [10] * 20
    assert store.batches == [1, 200]


def test_a_small_commit_waits_for_what_is_announced(store: GatedStore) -> None:
    store.gate.set()
    writer = BatchWriter(store, queue_operations=1000, metrics=SelfMetrics(), gather_s=60)
    writer.start()
    with writer.expecting() as second:
        with writer.expecting():
            futures = [writer.submit([make_operation("first")])]
        with second:
            futures.append(writer.submit([make_operation("second")]))
        assert [future.result(10).inserted for future in futures] == [1, 1]  # left twice, and counted once
    assert store.batches == [2]
    assert writer.submit([make_operation("alone")]).result(10).inserted == 1
    writer.close()


def test_what_is_announced_and_never_comes_is_not_waited_for_long(writer: BatchWriter, store: GatedStore) -> None:
    store.gate.set()
    with writer.expecting():
        assert writer.submit([make_operation("a")]).result(10).inserted == 1


def test_a_large_commit_waits_for_nothing(store: GatedStore) -> None:
    store.gate.set()
    writer = BatchWriter(store, queue_operations=10_000, metrics=SelfMetrics(), gather_s=60)
    writer.start()
    with writer.expecting():
        assert writer.submit(random_operations(1, GATHER_OPERATIONS)).result(10).inserted == GATHER_OPERATIONS
    writer.close()


def test_a_full_queue_refuses_and_takes_nothing(store: GatedStore) -> None:
    metrics = SelfMetrics()
    writer = BatchWriter(store, queue_operations=1000, metrics=metrics)
    writer.start()
    held(writer, store)
    writer.submit(random_operations(1, 900))
    with pytest.raises(IntakeFull, match="1000") as refusal:
        writer.submit(random_operations(2, 200))
    assert refusal.value.retry_after_s >= 1
    assert metrics.counters()["intake_refused_operations_total"] == 200
    store.gate.set()
    writer.close()
    assert queries.status_totals(store).operations == 901


def test_the_longest_wait_is_told_until_the_commit(writer: BatchWriter, store: GatedStore) -> None:
    assert writer.oldest_wait_s == 0
    held(writer, store)
    first = writer.submit([make_operation("later")])
    assert writer.oldest_wait_s > 0
    store.gate.set()
    first.result(10)
    writer.flush()
    assert writer.oldest_wait_s == 0


def test_rollups_are_behind_from_the_commit_until_they_caught_up(writer: BatchWriter, store: GatedStore) -> None:
    store.gate.set()
    assert writer.rollup_lag_s == 0
    writer.submit([make_operation("a")]).result(10)
    assert writer.rollup_lag_s > 0
    writer.flush()
    assert writer.rollup_lag_s == 0


def test_commits_and_batches_are_counted_by_size_and_duration(store: GatedStore) -> None:
    metrics = SelfMetrics()
    writer = BatchWriter(store, queue_operations=1000, metrics=metrics)
    writer.start()
    held(writer, store)
    writer.submit(random_operations(1, 40))
    store.gate.set()
    writer.close()
    assert metrics.observed("commit_operations")[()].ever.largest == 40
    assert metrics.observed("commit_seconds")[()].ever.count == 2
    assert metrics.observed("rollup_seconds")[()].ever.count >= 1


def test_each_submission_learns_of_its_own_duplicates(writer: BatchWriter, store: GatedStore) -> None:
    store.gate.set()
    writer.submit([make_operation("old")]).result(10)
    store.gate.clear()
    store.entered.clear()
    held(writer, store)
    first = writer.submit([make_operation("old"), make_operation("new")])
    second = writer.submit([make_operation("new"), make_operation("newer")])
    store.gate.set()
    assert first.result(10) == WriteResult(1, 0, 1, duplicate_ids=frozenset({"old"}))
    assert second.result(10) == WriteResult(1, 0, 1, duplicate_ids=frozenset({"new"}))


def test_one_bad_submission_does_not_take_the_others_with_it(writer: BatchWriter, store: GatedStore) -> None:
    held(writer, store)
    store.poison = "bad"
    good, bad = writer.submit([make_operation("good")]), writer.submit([make_operation("bad")])
    store.gate.set()
    assert good.result(10).inserted == 1
    with pytest.raises(StoreError, match="poisoned"):
        bad.result(10)
    assert writer.submit([make_operation("after")]).result(10).inserted == 1


def test_listeners_hear_of_what_was_stored_and_only_that(writer: BatchWriter, store: GatedStore) -> None:
    heard: list[str] = []
    writer.on_commit(lambda operations: heard.extend(operation.operation_id for operation in operations))
    store.gate.set()
    writer.submit([make_operation("a"), make_operation("a")]).result(10)
    writer.submit([make_operation("a"), make_operation("b")]).result(10)
    writer.flush()
    assert heard == ["a", "b"]


def test_listeners_get_the_revision_that_was_stored(writer: BatchWriter, store: GatedStore) -> None:
    heard: list[Operation] = []
    writer.on_commit(heard.extend)
    store.gate.set()
    highest = make_operation("a", started_at=T0 + 1, revision=2)
    writer.submit([make_operation("a"), highest, make_operation("a", started_at=T0 + 2, revision=1)]).result(10)
    writer.submit([make_operation("a", started_at=T0 + 3, revision=2)]).result(10)
    writer.flush()
    assert heard == [highest]


def test_a_listener_that_fails_harms_nobody(writer: BatchWriter, store: GatedStore) -> None:
    heard: list[int] = []

    def broken(operations: Sequence[Operation]) -> None:
        raise RuntimeError("listener")

    writer.on_commit(broken)
    writer.on_commit(lambda operations: heard.append(len(operations)))
    store.gate.set()
    assert writer.submit([make_operation("a")]).result(10).inserted == 1
    writer.flush()
    assert heard == [1]


def test_flush_waits_for_commits_and_rollups(writer: BatchWriter, store: GatedStore) -> None:
    store.gate.set()
    for n in range(5):
        writer.submit(random_operations(n, 100))
    writer.flush()
    rolled = store.query("select sum(operations) from rollup_model_day")[0][0]
    assert rolled == 500 == queries.status_totals(store).operations


def test_closing_commits_what_is_queued_and_refuses_what_comes_later(store: GatedStore) -> None:
    writer = BatchWriter(store, queue_operations=1000, metrics=SelfMetrics())
    writer.start()
    held(writer, store)
    queued = writer.submit([make_operation("queued")])
    store.gate.set()
    writer.close()
    assert queued.result(0).inserted == 1
    assert store.query("select sum(operations) from rollup_model_hour")[0][0] == 2
    with pytest.raises(IntakeFull, match="shutting down"):
        writer.submit([make_operation("late")])


def test_amendments_come_after_the_operations_they_are_about(writer: BatchWriter, store: GatedStore) -> None:
    held(writer, store)
    writer.submit([make_operation("a")])
    amended = writer.amend([Amendment("a", outcome="accepted")])
    store.gate.set()
    assert amended.result(10) == 1


def test_an_imported_old_log_is_counted_within_a_second_or_two(writer: BatchWriter, store: GatedStore) -> None:
    """Hours beyond the minutes that are kept cannot wait for the half-minute cadence: nothing else answers for them."""
    store.gate.set()
    writer.submit([make_operation("first", started_at=1_600_000_000_000_000)]).result(10)
    writer.flush()
    writer.submit([make_operation("second", started_at=1_600_000_000_000_000)]).result(10)
    deadline = threading.Event()
    for _ in range(100):
        if queries.totals(store, Scope(Window(1_599_999_000_000_000, 1_600_001_000_000_000))).operations == 2:
            return
        deadline.wait(0.1)
    raise AssertionError("the rollups never caught up")


def test_filter_values_know_what_was_just_stored(store: GatedStore) -> None:
    store.gate.set()
    store.write([make_operation("a", project="alpha", user_id="ann", session_id="s1")])
    store.refresh_rollups(coarse=False)
    for column, value in (("project", "alpha"), ("user_id", "ann"), ("session_id", "s1"), ("model", "gpt-4o")):
        assert queries.filter_values(store, column) == [(value, 1)]

"""One operation id is one stored operation, whatever its revisions say of its time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ralex_core.clock import ManualClock
from ralex_core.model.operation import Operation
from ralex_core.model.window import DAY_US, HOUR_US, Filters, Scope, Window
from ralex_core.storage import queries
from ralex_core.storage.duckdb_store import DuckDBStore
from ralex_core.storage.telemetry import Amendment
from tests.support.operations import T0, make_operation, random_operations

Open = Callable[[], DuckDBStore]
ALL = Scope(Window(T0 - 400 * DAY_US, T0 + 400 * DAY_US), Filters())


@pytest.fixture
def open_store(tmp_path: Path) -> Iterator[Open]:
    opened: list[DuckDBStore] = []

    def open_it() -> DuckDBStore:
        opened.append(DuckDBStore(tmp_path / "t.duckdb", clock=ManualClock(T0 + 2 * DAY_US)))
        return opened[-1]

    yield open_it
    for store in opened:
        store.close()


def starts(store: DuckDBStore) -> list[int]:
    return [row[0] for row in store.query("select started_at from operations where operation_id = 'a'")]


def per_hour(store: DuckDBStore) -> dict[int, int]:
    store.refresh_rollups()
    return dict(store.query("select bucket, sum(operations)::BIGINT from rollup_model_hour group by bucket"))


DISTANCES = [1, -1, 30_000_000, HOUR_US, -3 * HOUR_US, 90 * DAY_US, -365 * DAY_US]


@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize("again", ["at once", "after a restart", "after a thousand others"])
def test_an_id_with_another_time_is_a_duplicate(open_store: Open, distance: int, again: str) -> None:
    store = open_store()
    store.write([make_operation("a", revision=2)])
    if again == "after a restart":
        store.close()
        store = open_store()
    elif again == "after a thousand others":
        store.write(random_operations(1, 1000, start_us=T0 + DAY_US))
    for revision in (2, 1, 0):
        result = store.write([make_operation("a", started_at=T0 + distance, revision=revision), make_operation("b")])
        assert (result.replaced, "a" in result.duplicate_ids) == (0, True)
        assert "a" not in [operation.operation_id for operation in result.stored]
    assert starts(store) == [T0]


@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize("restart", [False, True])
def test_a_corrected_time_moves_the_operation(open_store: Open, distance: int, restart: bool) -> None:
    store = open_store()
    store.write([make_operation("a"), make_operation("stays", started_at=T0 + 10)])
    store.refresh_rollups()
    if restart:
        store.close()
        store = open_store()
    moved = make_operation("a", started_at=T0 + distance, revision=1)
    result = store.write([moved])
    assert (result.inserted, result.replaced, list(result.stored)) == (0, 1, [moved])
    assert starts(store) == [T0 + distance]
    hour = (T0 + distance) // HOUR_US * HOUR_US
    assert per_hour(store) == ({T0: 2} if hour == T0 else {T0: 1, hour: 1})
    assert queries.totals(store, ALL).operations == queries.status_totals(store).operations == 2


def test_the_highest_revision_of_one_batch_wins_whatever_their_times(open_store: Open) -> None:
    store = open_store()
    versions = [make_operation("a", started_at=T0 + n * DAY_US, revision=r) for n, r in enumerate((3, 8, 5, 8))]
    result = store.write(versions)
    assert (result.inserted, result.duplicates, list(result.stored)) == (1, 3, [versions[1]])
    assert starts(store) == [T0 + DAY_US]
    assert per_hour(store) == {T0 + DAY_US: 1}


def test_an_operation_is_amended_and_revalued_where_it_moved_to(open_store: Open) -> None:
    store = open_store()
    store.write([make_operation("a", baseline_usd=Decimal(7))])
    store.write([make_operation("a", started_at=T0 - 40 * DAY_US, revision=1, baseline_usd=Decimal(7))])
    store.refresh_rollups()
    assert store.amend([Amendment("a", outcome="rejected")]) == 1
    bill = Decimal("0.25")
    assert len(store.revalue(["a"], lambda op: op._replace(billed_usd=bill, cost_usd=bill, cost_basis="billed"))) == 1
    assert starts(store) == [T0 - 40 * DAY_US]
    store.refresh_rollups()
    found = queries.totals(store, ALL)
    assert (found.operations, found.cost_usd, found.baseline_success_usd) == (1, bill, 0)


def test_retention_neither_doubles_nor_loses_what_is_sent_again(tmp_path: Path) -> None:
    now = T0 + 10 * DAY_US
    store = DuckDBStore(tmp_path / "t.duckdb", clock=ManualClock(now), retention_days=3)
    try:
        store.write([make_operation("old"), make_operation("a", started_at=now, revision=1)])
        assert store.apply_retention(now) == 1
        known = store.write([make_operation("a", started_at=T0, revision=1)])
        assert (known.duplicates, known.expired) == (1, 0)  # it is stored, whatever time this one says
        moved = store.write([make_operation("a", started_at=T0, revision=2), make_operation("old")])
        assert (moved.duplicates, moved.expired, moved.expired_ids) == (0, 2, frozenset({"a", "old"}))
        both = store.write([make_operation("n", started_at=now), make_operation("n", started_at=T0, revision=1)])
        assert (both.inserted, both.duplicates, both.expired) == (0, 0, 2)  # none is stored, and none is said to be
        assert starts(store) == [now]
        assert store.write([make_operation("a", started_at=now - DAY_US, revision=3)]).replaced == 1
        assert starts(store) == [now - DAY_US]
    finally:
        store.close()


class Model:
    """What must be stored, told without a database."""

    def __init__(self) -> None:
        self.stored: dict[str, Operation] = {}

    def write(self, batch: list[Operation]) -> None:
        for operation in batch:
            known = self.stored.get(operation.operation_id)
            if known is None or operation.revision > known.revision:
                self.stored[operation.operation_id] = operation


versions = st.builds(
    lambda number, at, revision, tokens: make_operation(
        f"op-{number}", started_at=T0 + at, revision=revision, output_tokens=tokens
    ),
    st.integers(0, 12),
    st.one_of(st.integers(-3, 3), st.integers(-300 * DAY_US, DAY_US), st.sampled_from([0, HOUR_US, -60_000_000])),
    st.integers(0, 4),
    st.integers(0, 1000),
)
steps = st.lists(
    st.one_of(st.lists(versions, min_size=1, max_size=12), st.sampled_from(["restart", "rollups", "minutes"])),
    min_size=1,
    max_size=10,
)


@settings(max_examples=40, deadline=None)
@given(steps=steps)
def test_any_times_revisions_and_restarts_leave_one_operation_an_id(steps: list[list[Operation] | str]) -> None:
    clock, model = ManualClock(T0 + DAY_US), Model()
    with TemporaryDirectory() as directory:
        path = Path(directory) / "t.duckdb"
        store = DuckDBStore(path, clock=clock)
        try:
            for step in steps:
                if isinstance(step, list):
                    result = store.write(step)
                    before = dict(model.stored)
                    model.write(step)
                    changed = {key: op for key, op in model.stored.items() if before.get(key) is not op}
                    assert {op.operation_id: op for op in result.stored} == changed
                    assert result.inserted + result.replaced + result.duplicates == len(step)
                    assert result.replaced_ids == changed.keys() & before.keys()
                elif step == "restart":
                    store.close()
                    store = DuckDBStore(path, clock=clock)
                else:
                    store.refresh_rollups(coarse=step == "rollups")
            store.refresh_rollups()
            kept = list(model.stored.values())
            rows = store.query(f"select {', '.join(Operation._fields)} from operations")
            assert sorted(Operation._make(row) for row in rows) == sorted(kept)
            for grain, size in (("hour", HOUR_US), ("day", DAY_US)):
                expected: dict[int, tuple[int, int]] = {}
                for op in kept:
                    count, tokens = expected.get(op.started_at // size * size, (0, 0))
                    expected[op.started_at // size * size] = (count + 1, tokens + (op.output_tokens or 0))
                found = store.query(
                    f"select bucket, sum(operations)::BIGINT, sum(output_tokens)::BIGINT from rollup_model_{grain} "
                    "group by bucket"
                )
                assert {bucket: (count, tokens) for bucket, count, tokens in found} == expected
            assert queries.totals(store, ALL).output_tokens == sum(op.output_tokens or 0 for op in kept)
        finally:
            store.close()

"""Figures of database statements, against sums and percentiles worked out here."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ralex_core.model.operation import Operation
from ralex_core.model.window import HOUR_US, Filters, Scope, Window
from ralex_core.storage.duckdb_store import DuckDBStore
from ralex_core.storage.queries.database import (
    REPEATS,
    repeated_statements,
    slowest_calls,
    statement_callers,
    statement_figures,
    statement_over_time,
    statement_traits,
)
from tests.support.operations import T0, make_operation
from tests.support.statements import INSERT, LIST, OWNER, OWNERS_PER_LIST, REPORT, call, requests

END = T0 + 20 * HOUR_US
SCOPE = Scope(Window(T0, END))


def stored(values: dict[str, Any]) -> Operation:
    attributes = values.get("attributes")
    return Operation(**{**values, "attributes": json.dumps(attributes) if attributes is not None else None})


SENT = [stored(values) for values in requests(400, END, 20 * HOUR_US)]
BY_NAME: defaultdict[str, list[Operation]] = defaultdict(list)
for _operation in SENT:
    if _operation.kind == "db":
        BY_NAME[_operation.name].append(_operation)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DuckDBStore]:
    made = DuckDBStore(tmp_path_factory.mktemp("database") / "t.duckdb")
    made.write([*SENT, make_operation("a call to a model", started_at=T0 + HOUR_US)])
    made.refresh_rollups()
    yield made
    made.close()


def ranked(name: str) -> list[float]:
    return sorted(operation.duration_ms or 0 for operation in BY_NAME[name])


def test_statements_come_by_the_time_they_took(store: DuckDBStore) -> None:
    found = statement_figures(store, SCOPE)
    totals = {name: sum(ranked(name)) for name in BY_NAME}
    assert [row.name for row in found] == sorted(totals, key=lambda name: -totals[name])
    for row in found:
        values = ranked(row.name)
        assert row.calls == len(values)
        assert row.errors == sum(operation.status == "error" for operation in BY_NAME[row.name])
        assert row.total_ms == pytest.approx(totals[row.name])
        assert row.mean_ms == pytest.approx(totals[row.name] / len(values))
        assert row.p50_ms == pytest.approx(values[-(-len(values) // 2) - 1], rel=0.01)
        assert row.p95_ms == pytest.approx(values[-(-len(values) * 95 // 100) - 1], rel=0.01)
        assert row.max_ms == pytest.approx(values[-1], rel=0.01)


def test_system_and_rows_come_from_the_attributes(store: DuckDBStore) -> None:
    found = statement_traits(store, SCOPE)
    assert (found[LIST].rows, found[LIST].rows_known) == (20 * 400, 400)
    assert (found[INSERT].rows, found[INSERT].rows_known) == (0, 0)
    assert (found[OWNER].system, found[OWNER].namespace) == ("sqlite", "app.db")
    assert found[OWNER].calls == 40 * OWNERS_PER_LIST


def test_many_calls_under_one_parent_are_suspects(store: DuckDBStore) -> None:
    found = repeated_statements(store, SCOPE)
    assert set(found) == {OWNER}
    assert (found[OWNER].parents, found[OWNER].most) == (40, OWNERS_PER_LIST)
    assert found[OWNER].operation_id.startswith("owner-")


def test_as_many_calls_as_are_allowed_are_no_suspects(tmp_path: Path) -> None:
    store = DuckDBStore(tmp_path / "t.duckdb")
    store.write(
        [stored(call(f"c{number}", OWNER, T0 + number, 1.0, parent=("t", "p"))) for number in range(REPEATS)]
        + [stored(call(f"d{number}", LIST, T0 + number, 1.0)) for number in range(50)]
    )
    assert repeated_statements(store, SCOPE) == {}
    store.close()


def test_the_course_of_a_statement_adds_up(store: DuckDBStore) -> None:
    buckets = statement_over_time(store, SCOPE, INSERT, HOUR_US)
    assert sum(bucket.calls for bucket in buckets) == 400
    assert sum(bucket.errors for bucket in buckets) == 16
    first = sorted(op.duration_ms or 0 for op in BY_NAME[INSERT] if op.started_at < T0 + HOUR_US)
    assert buckets[0].p50_ms == pytest.approx(first[-(-len(first) // 2) - 1], rel=0.01)
    assert [bucket.start_us for bucket in buckets] == [T0 + hour * HOUR_US for hour in range(20)]


def test_the_slowest_calls_carry_their_sample_and_trace(store: DuckDBStore) -> None:
    found = slowest_calls(store, SCOPE, LIST, 5)
    assert [call.duration_ms for call in found] == ranked(LIST)[:-6:-1]
    assert all(call.sample and "= 42" in call.sample and call.rows == 20 and call.trace_id for call in found)
    assert slowest_calls(store, SCOPE, "SELECT nothing") == []


def test_callers_are_the_parents(store: DuckDBStore) -> None:
    (caller,) = statement_callers(store, SCOPE, OWNER)
    assert (caller.kind, caller.name) == ("api", "GET /tickets")
    assert (caller.calls, caller.parents) == (40 * OWNERS_PER_LIST, 40)
    assert statement_callers(store, SCOPE, REPORT) == []


def test_filters_and_window_are_kept_to(store: DuckDBStore) -> None:
    nobody = Scope(SCOPE.window, Filters(project=("none of ours",)))
    assert statement_figures(store, nobody) == []
    assert statement_traits(store, nobody) == {}
    assert repeated_statements(store, nobody) == {}
    half = Scope(Window(T0, T0 + 10 * HOUR_US))
    assert {row.name: row.calls for row in statement_figures(store, half)}[INSERT] == 200


def test_attributes_that_are_not_numbers_or_are_missing_are_unknown(tmp_path: Path) -> None:
    store = DuckDBStore(tmp_path / "t.duckdb")
    plain = {"kind": "db", "name": "SELECT ?", "started_at": T0, "duration_ms": None}
    store.write(
        [
            Operation("a", **plain),
            Operation("b", **plain, attributes='{"db.response.returned_rows": "many"}'),
            Operation("c", **plain, attributes='{"db.response.returned_rows": 3}'),
        ]
    )
    store.refresh_rollups()
    traits = statement_traits(store, SCOPE)["SELECT ?"]
    assert (traits.calls, traits.rows, traits.rows_known, traits.system) == (3, 3, 1, None)
    (row,) = statement_figures(store, SCOPE)
    assert (row.calls, row.mean_ms, row.p95_ms) == (3, None, None)
    assert slowest_calls(store, SCOPE, "SELECT ?") == []
    store.close()

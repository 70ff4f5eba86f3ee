"""Distinct operation names are limited per kind, for good, and it is told."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ralex_core.collection.cardinality import OTHER, REAL_NAME, NameCap
from ralex_core.model.operation import Operation
from ralex_core.selfmetrics import SelfMetrics
from ralex_core.storage.duckdb_store import DuckDBStore
from tests.support.operations import make_operation


@pytest.fixture
def store(tmp_path: Path) -> Iterator[DuckDBStore]:
    store = DuckDBStore(tmp_path / "telemetry.duckdb")
    yield store
    store.close()


def named(*names: str, kind: str = "api", attributes: str | None = None) -> list[Operation]:
    return [
        make_operation(operation_id=f"{kind}-{number}-{name}", kind=kind, name=name, attributes=attributes)
        for number, name in enumerate(names)
    ]


def names(operations: object) -> list[str]:
    return [operation.name for operation in operations]  # type: ignore[attr-defined]


def test_names_beyond_the_limit_are_other_and_keep_their_own_among_the_attributes(store: DuckDBStore) -> None:
    metrics = SelfMetrics()
    cap = NameCap(lambda: store, 2, metrics)
    taken = cap(named("GET /a", "GET /b", "GET /c/1", "GET /a", "GET /c/2", attributes='{"http.route":"/x"}'))
    assert names(taken) == ["GET /a", "GET /b", OTHER, "GET /a", OTHER]
    assert json.loads(taken[2].attributes or "") == {REAL_NAME: "GET /c/1", "http.route": "/x"}
    assert taken[0].attributes == '{"http.route":"/x"}'
    assert (metrics.counters()["names_capped_total"], cap.capped_kinds) == (2, ("api",))


@pytest.mark.parametrize("attributes", [None, "{}"])
def test_a_renamed_operation_without_attributes_has_its_name_only(store: DuckDBStore, attributes: str | None) -> None:
    cap = NameCap(lambda: store, 1, SelfMetrics())
    _, other = cap(named("a", 'b "quoted" \u2028', attributes=attributes))
    assert json.loads(other.attributes or "") == {REAL_NAME: 'b "quoted" \u2028'}


def test_each_kind_has_its_own_names(store: DuckDBStore) -> None:
    cap = NameCap(lambda: store, 1, SelfMetrics())
    assert names(cap([*named("a"), *named("b", kind="db"), *named("c", kind="tool"), *named("d")])) == [
        "a",
        "b",
        "c",
        OTHER,
    ]


def test_operations_with_known_names_come_back_as_they_are(store: DuckDBStore) -> None:
    cap = NameCap(lambda: store, 10, SelfMetrics())
    cap(named("a"))
    batch = named("a", "a")
    assert cap(batch) is batch
    assert cap.capped_kinds == ()


@pytest.mark.parametrize("rolled_up", [False, True])
def test_known_names_survive_a_restart(store: DuckDBStore, rolled_up: bool) -> None:
    store.write(list(NameCap(lambda: store, 2, SelfMetrics())(named("a", "b", "c"))))
    if rolled_up:
        store.refresh_rollups()
    again = NameCap(lambda: store, 2, SelfMetrics())
    assert names(again(named("d", "b", "a"))) == [OTHER, "b", "a"]


def test_of_more_stored_names_than_the_limit_the_most_used_stay(store: DuckDBStore) -> None:
    store.write([op for number in range(3) for op in named("often", kind="api")[:1]] + named("once", "seldom"))
    more = [make_operation(operation_id=f"m{number}", kind="api", name="often") for number in range(5)]
    store.write(more)
    cap = NameCap(lambda: store, 1, SelfMetrics())
    assert names(cap(named("once", "often", "seldom"))) == [OTHER, "often", OTHER]


def test_ten_thousand_routes_make_rollups_of_the_limit(store: DuckDBStore) -> None:
    cap = NameCap(lambda: store, 100, SelfMetrics())
    routes = [f"GET /users/{number}" for number in range(10_000)]
    store.write(list(cap(named(*routes))))
    store.refresh_rollups()
    assert store.query("select count(distinct name), sum(operations) from rollup_name_hour") == [(101, 10_000)]


def test_threads_admit_no_more_than_the_limit(store: DuckDBStore) -> None:
    metrics = SelfMetrics()
    cap = NameCap(lambda: store, 50, metrics)
    kept: list[str] = []

    def send(lane: int) -> None:
        for number in range(100):
            kept.extend(names(cap(named(f"{lane}-{number}"))))

    threads = [threading.Thread(target=send, args=(lane,)) for lane in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(kept) - {OTHER}) == 50
    assert metrics.counters()["names_capped_total"] == 350


@settings(max_examples=50, deadline=None)
@given(batches=st.lists(st.lists(st.sampled_from("abcdefgh"), max_size=6), max_size=6), limit=st.integers(1, 5))
def test_the_first_names_stay_and_no_operation_is_lost(batches: list[list[str]], limit: int) -> None:
    class Empty:
        def query(self, sql: str, parameters: object = None) -> list[tuple[str, str]]:
            return []

    cap = NameCap(lambda: Empty(), limit, SelfMetrics())  # type: ignore[arg-type, return-value]
    first: list[str] = []
    for batch in batches:
        for name in batch:
            if name not in first and len(first) < limit:
                first.append(name)
        expected = [name if name in first else OTHER for name in batch]
        assert names(cap(named(*batch))) == expected

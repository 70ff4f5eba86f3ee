"""Questions about whole traces, on a real store."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from ralex_core.clock import ManualClock
from ralex_core.model.operation import Operation
from ralex_core.model.window import HOUR_US, Filters, Scope, Window
from ralex_core.storage.duckdb_store import DuckDBStore
from ralex_core.storage.queries import sample_traces, timings, traces_page
from tests.support.traces import START_US, span

WINDOW = Window(START_US, START_US + HOUR_US)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[DuckDBStore]:
    opened = DuckDBStore(tmp_path / "t.duckdb", clock=ManualClock(START_US + HOUR_US))
    yield opened
    opened.close()


def traces(count: int) -> list[Operation]:
    """Trace n begins at n seconds, takes 100 + n ms and costs n cents; every tenth fails."""
    made: list[Operation] = []
    for n in range(count):
        name = f"t{n:04}"
        status = "error" if n % 10 == 0 else "ok"
        made.append(span("r", n * 1000, 100 + n, kind="api", name=f"GET /{n % 3}", trace=name, project="p"))
        made.append(
            span(
                "c", n * 1000 + 10, 50, "r", kind="llm", name="chat", trace=name, status=status, model=f"m{n % 2}"
            )._replace(cost_usd=Decimal(n) / 100)
        )
    return made


def ids(rows: list[object]) -> list[str]:
    return [row.trace_id for row in rows]  # type: ignore[attr-defined]


def test_a_page_of_traces_says_what_each_is(store: DuckDBStore) -> None:
    store.write(traces(30))
    page = traces_page(store, Scope(WINDOW), limit=3)
    assert (page.total, ids(page.rows)) == (30, ["t0029", "t0028", "t0027"])
    first = page.rows[0]
    assert (first.kind, first.name, first.operation_id, first.project) == ("api", "GET /2", "t0029-r", "p")
    assert (first.operations, first.errors, first.duration_ms) == (2, 0, pytest.approx(129))
    assert first.cost_usd == Decimal("0.29")


@pytest.mark.parametrize(
    ("sort", "first"), [("duration_ms", "t0029"), ("cost_usd", "t0029"), ("errors", "t0000"), ("started_at", "t0029")]
)
def test_traces_are_sorted_by_what_is_asked(store: DuckDBStore, sort: str, first: str) -> None:
    store.write(traces(30))
    assert traces_page(store, Scope(WINDOW), sort=sort, limit=5).rows[0].trace_id == first
    with pytest.raises(ValueError, match="sort by"):
        traces_page(store, Scope(WINDOW), sort="name")


def test_filters_and_search_choose_whole_traces(store: DuckDBStore) -> None:
    store.write(traces(30))
    odd = traces_page(store, Scope(WINDOW, Filters(model=("m1",))))
    assert odd.total == 15
    assert {row.operations for row in odd.rows} == {2}, "all of a trace, not only what the filter names"
    assert traces_page(store, Scope(WINDOW), errors=True).total == 3
    assert traces_page(store, Scope(WINDOW), search="get /1").total == 10
    assert traces_page(store, Scope(WINDOW), search="t0007").total == 1
    assert traces_page(store, Scope(WINDOW), search="nothing").rows == []


def test_a_trace_is_told_whole_when_it_reaches_out_of_the_window(store: DuckDBStore) -> None:
    store.write([span("r", -5000, 10_000, trace="t"), span("c", 1000, 10, "r", trace="t")])
    row = traces_page(store, Scope(WINDOW)).rows[0]
    assert (row.operations, row.duration_ms, row.operation_id) == (2, 10_000, "t-r")


def test_a_root_that_came_late_is_still_the_root(store: DuckDBStore) -> None:
    store.write([span("c", 0, 5, "r", trace="t"), span("r", 1, 10, trace="t")])
    assert traces_page(store, Scope(WINDOW)).rows[0].operation_id == "t-r"


def test_a_sample_stands_for_every_trace(store: DuckDBStore) -> None:
    store.write(traces(1000))
    drawn = sample_traces(store, Scope(WINDOW), traces=100)
    assert drawn.total == 1000
    assert len(drawn.traces) == 100
    assert sum(drawn.weights) == pytest.approx(1000)
    slow = [weight for trace, weight in zip(drawn.traces, drawn.weights, strict=True) if trace[0].trace_id >= "t0900"]  # type: ignore[operator]
    assert len(slow) == 50, "half of it is the slowest tenth"
    assert sum(slow) == pytest.approx(100, rel=0.02)
    assert all(len(trace) == 2 for trace in drawn.traces)
    again = sample_traces(store, Scope(WINDOW), traces=100)
    assert [trace[0].trace_id for trace in again.traces] == [trace[0].trace_id for trace in drawn.traces]


def test_a_sample_is_bounded_in_operations_and_says_what_did_not_fit(store: DuckDBStore) -> None:
    store.write(traces(10) + [span(str(n), n, 1, trace="large") for n in range(500)])
    drawn = sample_traces(store, Scope(WINDOW), operations=100)
    assert drawn.too_large == 1
    assert all(len(trace) == 2 for trace in drawn.traces)


def test_no_traces_give_an_empty_sample(store: DuckDBStore) -> None:
    store.write([span("a", 0, 5)._replace(trace_id=None)])
    drawn = sample_traces(store, Scope(WINDOW))
    assert (drawn.traces, drawn.total) == ([], 0)


def test_timings_hold_what_ran_whatever_its_trace(store: DuckDBStore) -> None:
    store.write(traces(5))
    starts, ends = timings(store, WINDOW, [("llm", "chat"), ("db", "none")])["llm", "chat"]
    assert sorted(starts) == [START_US + n * 1_000_000 + 10_000 for n in range(5)]
    assert sorted(ends) == [START_US + n * 1_000_000 + 60_000 for n in range(5)]

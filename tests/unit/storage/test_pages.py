"""Pages of operations, and the status, are those that looking through everything stored would give."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from ralex_core.clock import ManualClock
from ralex_core.model.operation import Operation
from ralex_core.model.window import DAY_US, HOUR_US, Filters, Scope, Window
from ralex_core.storage import queries
from ralex_core.storage.duckdb_store import DuckDBStore
from ralex_core.storage.queries.pages import EXACT_COLUMNS, SORTS
from tests.support.operations import T0, make_operation, random_operations

DAYS = 40
OLDER = random_operations(11, 3000, span_us=DAYS * DAY_US)
NEWER = random_operations(12, 60, start_us=T0 + DAYS * DAY_US, span_us=2 * HOUR_US)
STORED = OLDER + NEWER
WHOLE = Window(T0 + 3 * HOUR_US, T0 + DAYS * DAY_US + 3 * HOUR_US)
FILTERS = (
    Filters(),
    Filters(project=("alpha",)),
    Filters(project=("alpha", ""), tier=("cheap",)),
    Filters(model=("gpt-4o",)),
    Filters(tier=("",)),
    Filters(user_id=("ann",)),
    Filters(session_id=("s7",)),
    Filters(session_id=("s7",), model=("gpt-4o",)),
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DuckDBStore]:
    """Forty days that are rolled up, and two hours that are not."""
    opened = DuckDBStore(tmp_path_factory.mktemp("pages") / "t.duckdb", clock=ManualClock(T0 + DAYS * DAY_US))
    opened.write(OLDER)
    opened.refresh_rollups()
    opened.write(NEWER)
    yield opened
    opened.close()


def inside(filters: Filters, **equal: Any) -> list[Operation]:
    return [
        op
        for op in STORED
        if WHOLE.start_us <= op.started_at < WHOLE.end_us
        and all((getattr(op, column) or "") in values for column, values in filters.items())
        and all(getattr(op, column) == value for column, value in equal.items())
    ]


@pytest.mark.parametrize("filters", FILTERS, ids=repr)
@pytest.mark.parametrize("descending", [True, False])
@pytest.mark.parametrize("sort", SORTS)
def test_a_page_holds_what_comes_first(store: DuckDBStore, sort: str, descending: bool, filters: Filters) -> None:
    expected = inside(filters)
    known = sorted((v for op in expected if (v := getattr(op, sort)) is not None), reverse=descending)
    for offset in (0, 30):
        page = queries.operations_page(
            store, Scope(WHOLE, filters), sort=sort, descending=descending, limit=20, offset=offset
        )
        values = [getattr(row, sort) for row in page.rows]
        assert values == (known + [None] * (len(expected) - len(known)))[offset : offset + 20]
        assert (page.total, page.total_is_exact) == (len(expected), True)


@pytest.mark.parametrize("filters", FILTERS, ids=repr)
def test_a_page_of_what_is_asked_beside_the_filters_is_counted_too(store: DuckDBStore, filters: Filters) -> None:
    scope = Scope(WHOLE, filters)
    choices: tuple[dict[str, Any], ...] = (
        {"status": "error"},
        {"kind": "llm"},
        {"kind": "tool", "status": "ok"},
        {"basis": "computed"},
        {"basis": "reported", "status": "error"},
        {"quarantined": True, "kind": "llm"},
    )
    for asked in choices:
        equal = {{"basis": "cost_basis"}.get(name, name): value for name, value in asked.items()}
        equal |= {"quarantine": "reported"} if equal.pop("quarantined", False) else {}
        page = queries.operations_page(store, scope, **asked, limit=500)
        expected = inside(filters, **equal)
        assert page.total == len(expected)
        assert {row.operation_id for row in page.rows} <= {op.operation_id for op in expected}


def test_exact_columns_are_met_by_their_value_or_by_nothing(store: DuckDBStore) -> None:
    for column, value in (("client", "web"), ("client", ""), ("name", "chat"), ("provider", "openai")):
        page = queries.operations_page(store, Scope(WHOLE), exactly=[(column, value)])
        assert page.total == len(inside(Filters(), **{column: value or None}))
    for column in EXACT_COLUMNS:
        queries.operations_page(store, Scope(WHOLE), exactly=[(column, "x")])
    with pytest.raises(ValueError, match="cannot select by 'status'"):
        queries.operations_page(store, Scope(WHOLE), exactly=[("status", "ok")])


@pytest.mark.parametrize("filters", FILTERS, ids=repr)
@pytest.mark.parametrize("text", ["CHAT", "gpt-4o", "mini", "AN", "un t", "çelik", "s7", "12-3", "nothing of the kind"])
def test_a_text_finds_names_models_users_and_whole_ids(store: DuckDBStore, text: str, filters: Filters) -> None:
    page = queries.operations_page(store, Scope(WHOLE, filters), search=text, limit=500)
    low = text.lower()
    expected = {
        op.operation_id
        for op in inside(filters)
        if any(low in (value or "").lower() for value in (op.name, op.model, op.user_id))
        or text in (op.session_id, op.operation_id)
    }
    assert page.total == len(expected)
    assert {row.operation_id for row in page.rows} <= expected
    assert len(page.rows) == min(500, len(expected))


def test_a_name_is_found_as_soon_as_it_is_stored(store: DuckDBStore) -> None:
    assert queries.operations_page(store, Scope(WHOLE), search="run TESTS").rows[0].started_at >= T0 + DAYS * DAY_US


def test_traces_and_requests_are_found_by_their_whole_id(tmp_path: Path) -> None:
    opened = DuckDBStore(tmp_path / "t.duckdb", clock=ManualClock(T0 + DAY_US))
    try:
        opened.write(
            [
                make_operation("a", trace_id="t-1"),
                make_operation("b", trace_id="t-1", provider_request_id="gen-9"),
                make_operation("c", name="about t-1x"),
            ]
        )
        day = Scope(Window(T0, T0 + DAY_US))
        found = {
            text: sorted(row.operation_id for row in queries.operations_page(opened, day, search=text).rows)
            for text in ("gen-9", "gen-", "t-1x", "  ")
        }
        assert found == {"gen-9": ["b"], "gen-": [], "t-1x": ["c"], "  ": ["a", "b", "c"]}
        opened.write([make_operation("d", trace_id="t-2")])
        assert [row.operation_id for row in queries.operations_page(opened, day, search="t-2").rows] == ["d"]
    finally:
        opened.close()


def status_of(operations: list[Operation]) -> tuple[int, int, Decimal]:
    return (
        len(operations),
        sum(op.input_tokens or 0 for op in operations if op.input_tokens),
        sum((op.cost_usd or Decimal(0) for op in operations), Decimal(0)),
    )


def test_the_status_is_true_to_the_last_commit(tmp_path: Path) -> None:
    clock = ManualClock(T0 + DAYS * DAY_US)
    opened = DuckDBStore(tmp_path / "t.duckdb", clock=clock, retention_days=10)
    stored: list[Operation] = []

    def agrees() -> bool:
        found = queries.status_totals(opened)
        return (found.operations, found.input_tokens, found.total_usd) == status_of(stored)

    try:
        assert agrees()
        for batch, refresh in ((OLDER, False), (OLDER, True), (NEWER, False), (NEWER, True)):
            opened.write(batch)
            stored = list({op.operation_id: op for op in [*stored, *batch]}.values())
            assert agrees()
            if refresh:
                opened.refresh_rollups()
                assert agrees()
        late = [make_operation(f"late-{n}", started_at=T0 + n * 9 * DAY_US) for n in range(4)]
        opened.write(late)
        stored += late
        assert agrees()
        higher = replace_cost(stored[5], Decimal("12.5"))
        opened.write([higher])
        stored[5] = higher
        assert agrees()
        opened.apply_retention(clock.now_us())
        stored = [op for op in stored if op.started_at >= T0 + (DAYS - 10) * DAY_US]
        assert agrees()
        opened.write([make_operation("last", started_at=clock.now_us())])
        stored.append(make_operation("last", started_at=clock.now_us()))
        assert agrees()
    finally:
        opened.close()


def replace_cost(operation: Operation, cost: Decimal) -> Operation:
    return operation._replace(cost_usd=cost, revision=operation.revision + 1)

"""Many alike operations in one line, as a sender writes them and as the door reads them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ralex_core.collection import tables
from ralex_core.collection.native import JSON, NDJSON, Parsed, parse_operations
from tests.support.operations import T0

NOW_US = T0 + 1
COLUMNS = ["trace_id", "span_id", "parent_span_id", "started_at", "duration_ms", "attributes.rows"]


def a_table(rows: list[Any], **changes: Any) -> dict[str, Any]:
    common = {"name": "SELECT users", "kind": "db", "attributes": {"db.system.name": "sqlite"}}
    return {"common": common, "trace_prefix": "f" * 16, "columns": COLUMNS, "rows": rows} | changes


NO_TABLES: list[tuple[dict[str, Any], str]] = [
    ({"rows": 3}, "rows: must be an array of arrays of 6 values"),
    ({"rows": [[1, 2]]}, "rows: must be an array of arrays of 6 values"),
    ({"rows": [{}]}, "rows: must be an array of arrays of 6 values"),
    ({"columns": "name"}, "columns: must be an array"),
    ({"columns": [1]}, "columns: must be an array"),
    ({"columns": ["attributes"]}, "columns: an attribute has a column of its own"),
    ({"common": []}, "common: must be an object"),
    ({"common": {"attributes": [1]}}, "common: must be an object"),
    ({"trace_prefix": 5}, "trace_prefix: must be a text"),
    ({"trace_prefix": "a" * 101}, "trace_prefix: must be a text"),
    ({"name": "x"}, "name: no part of a table"),
]


def parse(*values: Any, content_type: str = NDJSON) -> Parsed:
    body = "".join(json.dumps(value) + "\n" for value in values).encode()
    return parse_operations(body, content_type, NOW_US, "api")


@pytest.mark.parametrize("content_type", [NDJSON, JSON])
def test_every_row_is_an_operation(content_type: str) -> None:
    rows = [[1, 2, None, T0, 1.5, 3], ["0" * 31 + "a", 2**64 - 1, "b" * 16, T0, None, None]]
    operations, rejected = parse(a_table(rows), content_type=content_type)
    assert not rejected
    first, second = operations
    assert (first.name, first.kind, first.door) == ("SELECT users", "db", "api")
    assert (first.trace_id, first.span_id, first.parent_span_id) == ("f" * 16 + f"{1:016x}", f"{2:016x}", None)
    assert (first.operation_id, first.started_at, first.duration_ms) == ("f" * 16 + f"{2:016x}", T0, 1.5)
    assert json.loads(first.attributes or "") == {"db.system.name": "sqlite", "rows": 3}
    assert (second.trace_id, second.span_id, second.parent_span_id) == ("0" * 31 + "a", "f" * 16, "b" * 16)
    assert (second.operation_id, second.duration_ms) == ("0" * 16 + "f" * 16, None)
    assert json.loads(second.attributes or "") == {"db.system.name": "sqlite"}


def test_records_that_are_not_taken_are_named_by_their_place_among_all_rows() -> None:
    rows = [[1, 2, None, T0, 1, 3], [1, 3, None, T0, -1, 3], [1, 4, None, T0, 1, 3]]
    operations, rejected = parse({"name": "before"}, a_table(rows), {"name": ""}, {"name": "after"})
    assert [index for index, _ in rejected] == [2, 4]
    assert rejected[0][1].startswith("duration_ms: must be between 0")
    assert [op.name for op in operations] == ["before", "SELECT users", "SELECT users", "after"]


def test_what_is_wrong_with_all_rows_is_said_of_each() -> None:
    common = {"name": "x", "kind": "nothing"}
    operations, rejected = parse(a_table([[1, n, None, T0, 1, 3] for n in range(3)], common=common), {"name": "after"})
    assert [index for index, _ in rejected] == [0, 1, 2]
    assert {reason.partition(":")[0] for _, reason in rejected} == {"kind"}
    assert [op.name for op in operations] == ["after"]


@pytest.mark.parametrize(("changes", "reason"), NO_TABLES)
def test_what_is_no_table_is_refused_with_the_reason(changes: dict[str, Any], reason: str) -> None:
    operations, rejected = parse(a_table([[1, 2, None, T0, 1, 3]]) | changes, {"name": "after"})
    assert [op.name for op in operations] == ["after"]
    assert [index for index, _ in rejected] == [0]
    assert rejected[0][1].startswith(reason)


def test_a_column_that_is_no_field_and_a_table_in_a_table_are_refused() -> None:
    operations, rejected = parse(
        a_table([[1]], columns=["colour"]),
        a_table([[1]], columns=["rows"]),
        a_table([[]], columns=[], common={"rows": []}),
    )
    assert not operations
    assert [reason.partition(":")[0] for _, reason in rejected] == ["colour", "rows", "rows"]


def test_a_small_body_does_not_become_a_huge_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "MAX_EXPANDED_BYTES", 5000)
    common = {"name": "x", "attributes": {"text": "y" * 1000}}
    wide = a_table([[]] * 3, common=common, columns=[])
    operations, rejected = parse(wide, wide, {"name": "after"})
    assert [op.name for op in operations] == ["x", "x", "x", "after"]
    assert [index for index, _ in rejected] == [3]
    assert "send fewer rows" in rejected[0][1]


def test_lines_and_their_number_are_those_of_single_operations() -> None:
    rows = [[1, n, None, T0, 1, n] for n in range(4)]
    plain = b'{"name":"common"}\n'
    start = tables.head(a_table([])["common"], "f" * 16, COLUMNS)
    payload = plain + start + json.dumps(rows).encode() + b"}\n" + plain
    assert tables.count(payload) == 6
    assert tables.count(plain * 3) == 3
    lines = tables.lines(payload)
    assert len(lines) == 6
    assert all(line.endswith(b"\n") for line in lines)
    assert parse_operations(b"".join(lines[1:-1]), NDJSON, NOW_US, "sdk") == parse_operations(
        start + json.dumps(rows).encode() + b"}\n", NDJSON, NOW_US, "sdk"
    )


def test_a_damaged_table_is_one_line_that_stops_nothing() -> None:
    payload = b'{"common":{},"rows":[[1,\n{"common":{},"rows":3}\n{"name":"a"}\n'
    assert tables.count(payload) == 3
    assert tables.lines(payload) == payload.splitlines(keepends=True)

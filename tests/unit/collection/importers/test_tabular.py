"""Tables become operations by the names of their columns, or by the map the user gives."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ralex_core.collection.importers.base import ImportOptions
from ralex_core.collection.importers.table import WELL_KNOWN
from ralex_core.collection.importers.tabular import TabularImporter
from ralex_core.errors import ConfigError
from ralex_core.model.operation import Operation
from tests.support.importing import Bench, read_all, read_growing, write_lines
from tests.support.shared import shared_path

START_US = 1_767_225_600_000_000
"""2026-01-01T00:00:00Z."""


def importer(columns: dict[str, str] | None = None, constants: dict[str, str] | None = None) -> TabularImporter:
    return TabularImporter(ImportOptions(zone=UTC, columns=columns or {}, constants=constants or {}))


def read(path: Path, by: TabularImporter | None = None) -> list[Operation]:
    operations, rejects = read_all(by or importer(), path)
    assert rejects == []
    return operations


def table(path: Path, *lines: str) -> Path:
    return write_lines(path, lines)


# --- which column is which field ---------------------------------------------


def test_columns_of_well_known_names_need_no_map(tmp_path: Path) -> None:
    (operation,) = read(
        table(
            tmp_path / "calls.csv",
            "Timestamp,Model,Prompt Tokens,completion_tokens,cost,user,latency_s,Repository,status,note,rank",
            "2026-01-01 00:00:00,gpt-4o,1200,30,$0.0033,ann,1.25,shop,success,short,7",
        )
    )
    assert (operation.kind, operation.name, operation.started_at) == ("llm", "imported", START_US)
    assert (operation.model, operation.requested_model) == ("gpt-4o", "gpt-4o")
    assert (operation.input_tokens, operation.output_tokens) == (1200, 30)
    assert (operation.reported_usd, operation.duration_ms) == (Decimal("0.0033"), 1250)
    assert (operation.user_id, operation.project, operation.status) == ("ann", "shop", "ok")
    assert (operation.door, operation.source) == ("importer", "files")
    assert json.loads(operation.attributes or "") == {"note": "short", "rank": 7}


def test_a_given_map_comes_before_well_known_names_and_constants_fill_the_rest(tmp_path: Path) -> None:
    path = table(tmp_path / "t.csv", "when,model,engine,n", "2026-01-01,ignored,gpt-4o,5")
    by = importer(
        {"started_at": "when", "model": "engine", "input_tokens": "n"}, {"name": "chat", "provider": "openai"}
    )
    (operation,) = read(path, by)
    assert (operation.model, operation.input_tokens) == ("gpt-4o", 5)
    assert (operation.name, operation.provider) == ("chat", "openai")
    assert json.loads(operation.attributes or "") == {"model": "ignored"}


def test_a_nested_value_of_json_lines_is_reached_with_dots(tmp_path: Path) -> None:
    record = {"time": 1_767_225_600, "usage": {"in": 7, "out": 2}}
    by = importer({"input_tokens": "usage.in", "output_tokens": "usage.out"})
    (operation,) = read(write_lines(tmp_path / "t.jsonl", [record]), by)
    assert (operation.input_tokens, operation.output_tokens) == (7, 2)


@pytest.mark.parametrize(
    "written",
    [
        *("1767225600", "1767225600000", "1767225600000000", "1767225600000000000", "1767225600.000"),
        *("2026-01-01T00:00:00Z", "2026-01-01T02:00:00+02:00", "2026-01-01 00:00:00.0000000", "2026-01-01"),
    ],
)
def test_times_are_read_in_every_usual_form(tmp_path: Path, written: str) -> None:
    (operation,) = read(table(tmp_path / "t.csv", "time,model", f"{written},x"))
    assert operation.started_at == START_US


def test_a_duration_follows_from_start_and_end(tmp_path: Path) -> None:
    (operation,) = read(table(tmp_path / "t.csv", "startTime,endTime", "2026-01-01T00:00:00Z,2026-01-01T00:00:02.5Z"))
    assert (operation.kind, operation.duration_ms) == ("task", 2500)


@pytest.mark.parametrize(
    ("written", "outcome"), [("1", "accepted"), ("0", "failed"), ("true", "accepted"), ("", "unknown")]
)
def test_whether_it_succeeded_is_the_outcome(tmp_path: Path, written: str, outcome: str) -> None:
    (operation,) = read(table(tmp_path / "t.csv", "time,resolved", f"2026-01-01,{written}"))
    assert operation.outcome == outcome


def test_a_column_that_only_happens_to_be_called_status_does_no_harm_unless_it_was_mapped(tmp_path: Path) -> None:
    path = table(tmp_path / "t.csv", "time,status", "2026-01-01,shipped")
    (operation,) = read(path)
    assert operation.status == "ok"
    _, rejects = read_all(importer({"status": "status"}), path)
    assert "column status: status must be one of" in rejects[0].reason


def test_prose_in_other_columns_is_left_out(tmp_path: Path) -> None:
    (operation,) = read(table(tmp_path / "t.csv", "time,essay", "2026-01-01," + "word " * 50))
    assert operation.attributes is None


def test_an_id_column_makes_rows_the_same_operation_and_without_one_equal_rows_are_counted(tmp_path: Path) -> None:
    named = table(tmp_path / "a.csv", "id,time", "x1,2026-01-01", "x1,2026-01-02")
    assert [operation.operation_id for operation in read(named)] == ["x1", "x1"]
    plain = table(tmp_path / "b.csv", "time,n", "2026-01-01,1", "2026-01-01,1")
    ids = [operation.operation_id for operation in read(plain)]
    assert len(set(ids)) == 2
    shifted = table(tmp_path / "c.csv", "time,n", "2025-12-31,1", "2026-01-01,1", "2026-01-01,1")
    assert [operation.operation_id for operation in read(shifted)][1:] == ids


# --- mistakes ----------------------------------------------------------------


def test_a_table_without_a_time_says_which_columns_it_has(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    path = table(tmp_path / "t.csv", "model,released", "x,2026-01-01")
    report = bench.run(importer(), path)
    assert report.failures == [
        "No column says when operations started. Name it with --column started_at=COLUMN; columns are: model, released."
    ]
    assert bench.run(importer({"started_at": "released"}), path).imported == 1


def test_a_mapped_column_that_is_not_there_is_named(tmp_path: Path) -> None:
    path = table(tmp_path / "t.csv", "time,n", "2026-01-01,1")
    with pytest.raises(ConfigError, match=r"There is no column 'm'\. Columns are: time, n"):
        read(path, importer({"model": "m"}))


@pytest.mark.parametrize("field", ["cost_usd", "tier", "revision", "colour"])
def test_a_field_that_cannot_be_set_is_refused_before_anything_is_read(field: str) -> None:
    with pytest.raises(ConfigError, match="A column cannot be mapped to"):
        importer({field: "x"})


def test_a_constant_that_cannot_be_read_is_refused_before_anything_is_read() -> None:
    with pytest.raises(ConfigError, match="A constant cannot be used: kind must be one of"):
        importer(constants={"kind": "banana"})


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("2026-01-01,1,2,3", "4 values where the header names 3 columns"),
        ("soon,1,2", "column time: started_at is not a time"),
        (",1,2", "column time: there is no time"),
        ("2026-01-01,few,2", "column input_tokens: input_tokens must be a number"),
        ("2026-01-01,1.5,2", "input_tokens must be a whole number"),
        ("2026-01-01,5,9", "input_tokens 5 must include the cached parts, which are 9"),
        ('2026-01-01,"1"x,2', "not a CSV row"),
    ],
)
def test_a_bad_row_is_rejected_with_its_line_and_the_rest_is_read(tmp_path: Path, row: str, reason: str) -> None:
    path = table(tmp_path / "t.csv", "time,input_tokens,cache_read_tokens", "2026-01-01,5,1", row, "2026-01-02,5,1")
    operations, rejects = read_all(importer(), path)
    assert len(operations) == 2
    assert [(item.line, reason in item.reason) for item in rejects] == [(3, True)], rejects


def test_text_that_is_not_utf_8_is_rejected(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(b"time,name\n2026-01-01,caf\xe9\n2026-01-01,tea\n")
    operations, rejects = read_all(importer(), path)
    assert ([operation.name for operation in operations], rejects[0].line) == (["tea"], 2)


# --- formats -----------------------------------------------------------------


def test_values_in_quotes_may_hold_delimiters_quotes_and_line_ends(tmp_path: Path) -> None:
    path = table(tmp_path / "t.csv", "time,name,note", '2026-01-01,"a, ""b""\nand c",x', "2026-01-02,d,y")
    assert [operation.name for operation in read(path)] == ['a, "b"\nand c', "d"]


def test_a_quote_that_is_never_closed_does_not_swallow_the_table(tmp_path: Path) -> None:
    rows = [f"2026-01-01,n{index}" for index in range(120)]
    path = table(tmp_path / "t.csv", "time,name", '2026-01-01,"open', *rows)
    operations, rejects = read_all(importer(), path)
    assert len(operations) == 120 - 49
    assert [("is not closed" in item.reason, item.line) for item in rejects] == [(True, 51)]
    half = table(tmp_path / "half.csv", "time,name", '2026-01-01,"open', "2026-01-02,x")
    operations, rejects = read_all(importer(), half)
    assert (operations, len(rejects)) == ([], 1)


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_the_delimiter_is_told_by_the_header(tmp_path: Path, delimiter: str) -> None:
    path = table(tmp_path / "t.csv", delimiter.join(("time", "name")), delimiter.join(("2026-01-01", "a,b")))
    assert [operation.name for operation in read(path)] == ["a,b"]


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(st.tuples(st.integers(0, 2), st.text(alphabet='ab",\n', max_size=6)), max_size=8),
    data=st.data(),
)
def test_a_table_read_in_pieces_gives_the_same_operations_as_one_read_whole(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[int, str]], data: st.DataObject
) -> None:
    directory = tmp_path_factory.mktemp("table")
    lines = ["time,name"]
    for day, name in rows:
        quoted = name.replace('"', '""')
        lines.append(f'2026-01-0{day + 1},"{quoted}"')
    content = ("\n".join(lines) + "\n").encode()
    cuts = data.draw(st.lists(st.integers(0, len(content)), max_size=5))
    whole = read_growing(importer(), directory / "whole.csv", content, [])
    # Half a line of JSON is no line; half a row may look like one, so a table must be whole when it is said to be.
    pieces = read_growing(importer(), directory / "growing.csv", content, cuts, rests=False)
    assert pieces.stored == whole.stored
    assert len(whole.stored) == len(rows)


def parquet(path: Path, select: str) -> Path:
    with duckdb.connect() as connection:
        connection.execute(f"copy ({select}) to '{path}' (format parquet)")
    return path


def test_a_parquet_file_is_read_with_its_types(tmp_path: Path) -> None:
    path = parquet(
        tmp_path / "t.parquet",
        "select timestamp '2026-01-01 00:00:00' as time, 'gpt-4o' as model, 12::bigint as input_tokens, "
        "0.25::decimal(9, 4) as cost, timestamptz '2026-01-01 00:00:01+00' as end_time, 1.5::double as score",
    )
    (operation,) = read(path)
    assert (operation.started_at, operation.duration_ms) == (START_US, 1000)
    assert (operation.model, operation.input_tokens, operation.reported_usd) == ("gpt-4o", 12, Decimal("0.2500"))
    assert json.loads(operation.attributes or "") == {"score": 1.5}


def test_a_parquet_import_goes_on_where_it_stopped_and_starts_over_when_the_file_changed(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    rows = "select timestamp '2026-01-01' + interval (i) second as time, i as n, {kind} as kind from range(5000) t(i)"
    path = parquet(tmp_path / "t.parquet", rows.format(kind="'llm'"))
    report = bench.run(importer(), path)
    assert (report.read, report.imported, report.rejected) == (5000, 5000, 0)
    assert bench.run(importer(), path).duplicates == 5000
    assert bench.run(importer(), path, resume="always").unchanged == 1
    parquet(path, rows.format(kind="'task'"))
    assert bench.run(importer(), path, resume="always").read == 5000


def test_a_bad_row_of_a_parquet_file_is_rejected_by_its_number(tmp_path: Path) -> None:
    path = parquet(
        tmp_path / "t.parquet",
        "select * from (values ('2026-01-01', 1), ('never', 2), ('2026-01-02', 3)) t(time, n)",
    )
    operations, rejects = read_all(importer(), path)
    assert len(operations) == 2
    assert [(item.line, "is not a time" in item.reason) for item in rejects] == [(2, True)]


def test_a_file_that_only_claims_to_be_parquet_is_named(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    path.write_bytes(b"not parquet at all, whatever the name says")
    bench = Bench(tmp_path)
    (failure,) = bench.run(importer(), path).failures
    assert failure.startswith(f"{path} is damaged or not a Parquet file")


# --- real tables -------------------------------------------------------------


def test_the_azure_trace_needs_no_map() -> None:
    operations = read(shared_path("data/azure_llm_code_trace.csv.gz"))
    assert len(operations) == len({operation.operation_id for operation in operations}) == 8819
    assert sum(operation.input_tokens or 0 for operation in operations) == 18_059_974
    first = datetime(2023, 11, 16, 18, 17, 3, 979_960, tzinfo=UTC)
    assert operations[0].started_at == round(first.timestamp() * 1_000_000)
    assert {operation.kind for operation in operations} == {"llm"}


def test_the_task_outcomes_need_only_their_date_named() -> None:
    operations = read(shared_path("data/coding_task_outcomes.csv.gz"), importer({"started_at": "released"}))
    assert len(operations) == 25 * 246
    outcomes: dict[str, int] = {}
    for operation in operations:
        outcomes[operation.outcome] = outcomes.get(operation.outcome, 0) + 1
    assert outcomes == {"accepted": 3109, "failed": 3041}
    assert len({operation.model for operation in operations}) == 25


def test_every_well_known_name_belongs_to_one_field() -> None:
    names: list[Any] = [name for names in WELL_KNOWN.values() for name in names]
    assert len(names) == len(set(names))


def test_outcomes_may_be_told_as_yes_and_no(tmp_path: Path) -> None:
    lines = ("started_at,model,solved,task", "2026-01-01,m,1,t-1", "2026-01-01,m,0,t-2", "2026-01-01,m,Rejected,t-3")
    mapped = importer({"outcome": "solved", "task": "task"})
    found = read(table(tmp_path / "tasks.csv", *lines), mapped)
    assert [(one.outcome, one.workflow) for one in found] == [
        ("accepted", "task:t-1"),
        ("failed", "task:t-2"),
        ("rejected", "task:t-3"),
    ]


@pytest.mark.parametrize(
    ("pair", "kept"),
    [
        (r'"\ud800":1', '{"?":1}'),
        (r'"a\udfffb":"c"', '{"a?b":"c"}'),
        (r'"k":"\ud800"', '{"k":"?"}'),
        ('"extra":100000000000000000000000', '{"extra":100000000000000000000000}'),
    ],
)
def test_what_no_store_can_keep_does_not_end_an_import(tmp_path: Path, pair: str, kept: str) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text('{"name":"a","started_at":"2026-01-01T00:00:00Z",' + pair + "}\n")
    operations, rejects = read_all(TabularImporter(ImportOptions()), path)
    assert rejects == []
    assert operations[0].attributes == kept

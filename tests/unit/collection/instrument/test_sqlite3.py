"""sqlite3 as programs use it, with every statement recorded and nothing about it changed."""

from __future__ import annotations

import asyncio
import gc
import os
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiosqlite
import pytest

from ralex_core.collection import active
from ralex_core.collection.guard import guard
from ralex_core.monitoring import instrument, operation
from tests.support.recorded import Recorded, attributes


@pytest.fixture
def db(recorded: Recorded) -> Iterator[sqlite3.Connection]:
    instrument.sqlite3()
    connection = sqlite3.connect(":memory:")
    connection.execute("create table t (a integer primary key, b)")
    connection.executemany("insert into t values (?, ?)", [(n, f"row {n}") for n in range(10)])
    connection.commit()
    recorded.clear()
    yield connection
    connection.close()


def rows(recorded: Recorded) -> list[tuple[str, Any]]:
    return [(op.name, attributes(op).get("db.response.returned_rows")) for op in recorded.all("db")]


def test_rows_are_counted_however_they_are_fetched(db: sqlite3.Connection, recorded: Recorded) -> None:
    assert len(db.execute("select * from t").fetchall()) == 10
    assert [row[0] for row in db.execute("select a from t")] == list(range(10))
    assert db.execute("select b from t where a = 3").fetchone() == ("row 3",)
    cursor = db.execute("select a, b from t")
    assert len(cursor.fetchmany(4)) == 4
    assert len(cursor.fetchmany(size=100)) == 6
    assert cursor.fetchmany() == []
    assert next(db.execute("select max(a) from t")) == (9,)
    gc.collect()
    assert rows(recorded) == [
        ("select * from t", 10),
        ("select a from t", 10),
        ("select b from t where a = ?", 1),
        ("select a, b from t", 10),
        ("select max(a) from t", 1),
    ]


def test_changes_batches_and_transactions_are_recorded(db: sqlite3.Connection, recorded: Recorded) -> None:
    db.execute("update t set b = 'x' where a < 5")
    db.commit()
    db.commit()
    with db:
        db.executemany("insert into t values (?, ?)", [(20, "a"), (21, "b")])
    db.execute("delete from t")
    db.rollback()
    db.executescript("create table u (a); drop table u;")
    found = [
        (op.name, {k: v for k, v in attributes(op).items() if "rows" in k or "size" in k}) for op in recorded.all()
    ]
    assert found == [
        ("update t set b = ? where a < ?", {"db.response.affected_rows": 5}),
        ("COMMIT", {}),
        ("insert into t values (?)", {"db.response.affected_rows": 2, "db.operation.batch.size": 2}),
        ("COMMIT", {}),
        ("delete from t", {"db.response.affected_rows": 12}),
        ("ROLLBACK", {}),
        ("create table u(a); drop table u", {}),
    ]


def test_a_statement_that_fails_is_recorded_and_raised(db: sqlite3.Connection, recorded: Recorded) -> None:
    with pytest.raises(sqlite3.OperationalError):
        db.execute("selec 'secret' from")
    with pytest.raises(sqlite3.IntegrityError):
        db.execute("insert into t values (1, 'again')")
    with pytest.raises(sqlite3.ProgrammingError):
        db.execute("select ?", ())
    with pytest.raises(sqlite3.ProgrammingError):
        db.executemany("select 1", [()])
    broken, again, unbound, many = recorded.all()
    assert (broken.status, broken.error_type) == ("error", "sqlite3.OperationalError")
    assert attributes(again)["db.response.status_code"] == "SQLITE_CONSTRAINT_PRIMARYKEY"
    assert (unbound.status, many.status) == ("error", "error")
    assert "secret" not in str(recorded.all())


def test_a_row_that_fails_fails_the_query(db: sqlite3.Connection, recorded: Recorded) -> None:
    db.create_function("explode", 1, lambda n: 1 // (n - 5))
    with pytest.raises(sqlite3.OperationalError):
        db.execute("select explode(a) from t").fetchall()
    assert recorded.one().status == "error"


def test_binary_and_huge_parameters_leave_no_trace(db: sqlite3.Connection, recorded: Recorded) -> None:
    db.execute("insert into t values (?, ?)", (77, b"\x00\xff" * 100_000))
    db.execute("insert into t values (:a, :b)", {"a": 78, "b": "s3cret" * 1000})
    first, second = recorded.all()
    assert len(first.attributes or "") < 400
    assert "s3cret" not in (second.attributes or "")


def test_an_abandoned_cursor_is_recorded_when_it_goes(db: sqlite3.Connection, recorded: Recorded) -> None:
    def some() -> Iterator[int]:
        for row in db.execute("select a from t"):
            yield row[0]

    rows_of = some()
    assert next(rows_of) == 0
    rows_of.close()
    gc.collect()
    assert rows(recorded) == [("select a from t", 1)]


def test_executing_again_ends_what_was_before(db: sqlite3.Connection, recorded: Recorded) -> None:
    cursor = db.cursor()
    cursor.execute("select a from t").fetchone()
    cursor.execute("select b from t").fetchone()
    cursor.close()
    assert rows(recorded) == [("select a from t", 1), ("select b from t", 1)]


def test_the_time_between_fetches_is_not_the_query_s(db: sqlite3.Connection, recorded: Recorded) -> None:
    cursor = db.execute("select a from t")
    cursor.fetchone()
    deadline = threading.Event()
    deadline.wait(0.05)
    cursor.fetchall()
    assert (recorded.one().duration_ms or 0) < 50


def test_queries_are_children_of_the_operation_around(db: sqlite3.Connection, recorded: Recorded) -> None:
    with operation("page", kind="api"):
        db.execute("select 1").fetchall()
    page, query = recorded.named("page"), recorded.named("select ?")
    assert (query.trace_id, query.parent_span_id) == (page.trace_id, page.span_id)
    assert query.started_at >= page.started_at


def test_classes_of_the_program_s_own_keep_working(recorded: Recorded) -> None:
    class Mine(sqlite3.Connection):
        def greet(self) -> str:
            return "mine"

    class MyCursor(sqlite3.Cursor):
        def double(self) -> list[Any]:
            return [row[0] * 2 for row in self.fetchall()]

    instrument.sqlite3()
    connection = sqlite3.connect(":memory:", factory=Mine)
    try:
        assert isinstance(connection, Mine)
        assert connection.greet() == "mine"
        cursor = connection.cursor(MyCursor)
        assert isinstance(cursor, MyCursor)
        assert cursor.execute("select 21").double() == [42]
        connection.row_factory = sqlite3.Row
        assert connection.execute("select 1 as one").fetchone()["one"] == 1
        with pytest.raises(TypeError):
            connection.cursor(factory=lambda _: None)  # type: ignore[call-overload]
    finally:
        connection.close()
    assert rows(recorded) == [("select ?", 1), ("select ? as one", 1)]


def test_a_connection_class_that_overrides_cursor_keeps_its_cursor(recorded: Recorded) -> None:
    class Mine(sqlite3.Connection):
        def cursor(self) -> Any:  # type: ignore[override]
            return "mine"

    instrument.sqlite3()
    connection = sqlite3.connect(":memory:", factory=Mine)
    assert connection.cursor() == "mine"
    assert connection.execute("select 1").fetchone() == (1,)
    connection.close()


def test_off_restores_connect_and_open_connections_fall_silent(db: sqlite3.Connection, recorded: Recorded) -> None:
    instrument.off()
    original = sqlite3.connect
    switch = instrument.sqlite3()
    assert sqlite3.connect is not original
    assert sqlite3.dbapi2.connect is sqlite3.connect or sqlite3.dbapi2.connect is not original
    switch.off()
    assert sqlite3.connect is original
    assert sqlite3.dbapi2.connect is original
    db.execute("select 1").fetchall()
    assert recorded.all() == []


def test_slow_queries_keep_a_sample_without_literals(recorded: Recorded) -> None:
    instrument.sqlite3(slow_ms=0)
    with sqlite3.connect(":memory:") as connection:
        connection.execute("select 'hunter2', 5").fetchall()
    connection.close()
    assert attributes(recorded.all()[0])["db.query.sample"] == "select <text>, <number>"
    instrument.sqlite3(slow_ms=60_000)
    recorded.clear()
    connection = sqlite3.connect(":memory:")
    connection.execute("select 'hunter2', 5").fetchall()
    connection.close()
    assert "db.query.sample" not in attributes(recorded.one())


def test_the_file_is_named_without_its_folder(recorded: Recorded, tmp_path: Path) -> None:
    instrument.sqlite3()
    for target in (tmp_path / "app.db", str(tmp_path / "app.db"), os.fsencode(tmp_path / "app.db")):
        connection = sqlite3.connect(target)
        connection.execute("select 1").fetchall()
        connection.close()
    connection = sqlite3.connect(f"file:{tmp_path}/app.db?mode=ro", uri=True)
    connection.execute("select 1").fetchall()
    connection.close()
    assert {attributes(op)["db.namespace"] for op in recorded.all()} == {"app.db"}
    assert str(tmp_path) not in str(recorded.all())


def test_connections_used_across_threads_lose_and_mix_nothing(recorded: Recorded, tmp_path: Path) -> None:
    instrument.sqlite3()
    shared = sqlite3.connect(":memory:", check_same_thread=False)
    lock = threading.Lock()

    def work(number: int) -> None:
        own = sqlite3.connect(":memory:")
        for _ in range(50):
            with operation(f"worker {number}"):
                own.execute("select 1").fetchall()
                with lock:
                    shared.execute("select 1, 2").fetchone()
        own.close()

    threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    shared.close()
    gc.collect()
    found = recorded.all()
    parents = {op.span_id: op.name for op in found if op.kind == "task"}
    queries = [op for op in found if op.kind == "db"]
    assert len(queries) == 600
    assert len({op.operation_id for op in found}) == 900
    assert all(op.parent_span_id in parents for op in queries)


def test_aiosqlite_is_recorded_too(recorded: Recorded) -> None:
    instrument.sqlite3()

    async def go() -> None:
        async with aiosqlite.connect(":memory:") as connection, connection.execute("select 1") as cursor:
            assert await cursor.fetchall() == [(1,)]

    asyncio.run(go())
    assert rows(recorded) == [("select ?", 1)]


def test_our_own_mistakes_stay_ours(db: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "raise_errors", False)
    before = guard.failures
    monkeypatch.setattr(active, "default_recorder", None)
    assert db.execute("select 1").fetchall() == [(1,)]
    assert guard.failures == before + 1


def test_a_programs_own_connection_does_what_it_did(recorded: Recorded) -> None:
    instrument.sqlite3()
    asked: list[str] = []

    class Loud(sqlite3.Cursor):
        def loud(self) -> str:
            return "loud"

    class Mine(sqlite3.Connection):
        def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
            asked.append(sql)
            return super().execute(sql, parameters)

        def cursor(self, factory: type[sqlite3.Cursor] = Loud) -> Any:  # type: ignore[override]
            return super().cursor(factory)

    connection = sqlite3.connect(":memory:", factory=Mine)
    assert connection.execute("select 1").fetchall() == [(1,)]
    assert connection.cursor().loud() == "loud"
    assert connection.cursor().execute("select 2, 3").fetchone() == (2, 3)
    connection.close()
    assert asked == ["select 1"]
    assert rows(recorded) == [("select ?", 1), ("select ?, ?", 1)]


def test_statements_and_row_factories_of_any_kind(db: sqlite3.Connection, recorded: Recorded) -> None:
    class Text(str):
        __slots__ = ()

    assert db.execute(Text("select 1")).fetchall() == [(1,)]

    def stop(cursor: sqlite3.Cursor, row: Any) -> Any:
        del cursor, row
        raise StopIteration(5)

    cursor = db.cursor()
    cursor.row_factory = stop
    with operation("around"):
        cursor.execute("select a from t")
        with pytest.raises(StopIteration) as stopped:
            next(cursor)
    assert stopped.value.value == 5
    assert rows(recorded) == [("select ?", 1), ("select a from t", 0)]

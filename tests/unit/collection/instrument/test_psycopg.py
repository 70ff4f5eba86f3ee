"""psycopg 3 against a real PostgreSQL."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql

from ralex_core.monitoring import instrument, operation
from tests.support import postgres
from tests.support.recorded import Recorded, attributes


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    if why := postgres.why_not():
        pytest.skip(why)
    with postgres.running() as address:
        with psycopg.connect(address) as connection:
            connection.execute("create table tasks (id integer primary key, title text, body bytea)")
        yield address


@pytest.fixture
def db(address: str, recorded: Recorded) -> Iterator[psycopg.Connection]:
    instrument.psycopg()
    with psycopg.connect(address) as connection:
        connection.execute("truncate tasks")
        connection.execute("insert into tasks select n, 'task ' || n from generate_series(1, 10) n")
        connection.commit()
        recorded.clear()
        yield connection
        connection.rollback()


def test_statements_are_recorded_with_rows_and_database(db: psycopg.Connection, recorded: Recorded) -> None:
    with operation("page"):
        assert len(db.execute("select id, title from tasks where id > %s", (5,)).fetchall()) == 5
    db.execute("update tasks set title = 'x' where id <= 3")
    db.commit()
    page, select, update, commit = recorded.all()[1], *[op for op in recorded.all() if op.kind == "db"]
    assert select.name == "select id, title from tasks where id > ?"
    assert attributes(select) | {"db.query.hash": ""} == {
        "db.system.name": "postgresql",
        "db.namespace": "postgres",
        "db.operation.name": "SELECT",
        "db.query.hash": "",
        "db.response.returned_rows": 5,
    }
    assert (select.trace_id, select.parent_span_id) == (page.trace_id, page.span_id)
    assert attributes(update)["db.response.affected_rows"] == 3
    assert commit.name == "COMMIT"


def test_composed_binary_and_batched_statements(db: psycopg.Connection, recorded: Recorded) -> None:
    composed = sql.SQL("select {} from {} where id = {}").format(
        sql.Identifier("title"), sql.Identifier("tasks"), sql.Literal(987654)
    )
    db.execute(composed)
    db.execute(b"select 1")
    with db.cursor() as cursor:
        cursor.executemany(
            "insert into tasks values (%s, %s, %s)", [(n, "t", b"\x00\xff" * 500) for n in range(20, 25)]
        )
    names = recorded.names()
    assert names == [
        'select "title" from "tasks" where id = ?',
        "select ?",
        "insert into tasks values (?)",
    ]
    batch = attributes(recorded.all()[2])
    assert (batch["db.operation.batch.size"], batch["db.response.affected_rows"]) == (5, 5)


def test_a_statement_that_fails_is_recorded_with_its_code(db: psycopg.Connection, recorded: Recorded) -> None:
    with pytest.raises(psycopg.errors.UndefinedTable):
        db.execute("select * from nowhere where secret = 'hunter2'")
    db.rollback()
    failed, rollback = recorded.all()
    assert (failed.status, failed.error_type) == ("error", "psycopg.errors.UndefinedTable")
    assert attributes(failed)["db.response.status_code"] == "42P01"
    assert rollback.name == "ROLLBACK"
    assert "hunter2" not in str(recorded.all())


def test_server_side_cursors_time_the_declaration(db: psycopg.Connection, recorded: Recorded) -> None:
    with db.cursor(name="portal") as cursor:
        cursor.execute("select * from tasks")
        assert len(cursor.fetchmany(3)) == 3
    assert recorded.names() == ["select * from tasks"]
    assert "db.response.returned_rows" not in attributes(recorded.one())


def test_async_connections_are_recorded_on_any_loop(address: str, recorded: Recorded) -> None:
    instrument.psycopg()

    async def go(number: int) -> None:
        async with await psycopg.AsyncConnection.connect(address) as connection:
            with operation(f"loop {number}"):
                cursor = await connection.execute("select generate_series(1, %s)", (number,))
                assert len(await cursor.fetchall()) == number
            with pytest.raises(psycopg.errors.DivisionByZero):
                await connection.execute("select 1/0")

    threads = [threading.Thread(target=lambda n=n: asyncio.run(go(n))) for n in (1, 2, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = [op for op in recorded.all("db") if "generate" in op.name]
    assert sorted(attributes(op)["db.response.returned_rows"] for op in found) == [1, 2, 3]
    parents = {op.span_id: op.name for op in recorded.all("task")}
    assert {parents[op.parent_span_id or ""] for op in found} == {"loop 1", "loop 2", "loop 3"}
    assert recorded.names("db").count("COMMIT") == 3


def test_off_restores_every_class(address: str, recorded: Recorded) -> None:
    classes = (psycopg.Cursor, psycopg.AsyncCursor, psycopg.ServerCursor, psycopg.Connection, psycopg.AsyncConnection)
    before = [dict(vars(cls)) for cls in classes]
    with instrument.psycopg(), psycopg.connect(address) as connection:
        connection.execute("select 1")
        assert [dict(vars(cls)) for cls in classes] != before
    assert [dict(vars(cls)) for cls in classes] == before
    assert recorded.names() == ["select ?", "COMMIT"]

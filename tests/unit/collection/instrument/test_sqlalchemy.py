"""SQLAlchemy engines, sync and async, over real drivers."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest
from sqlalchemy import Column, Engine, Integer, MetaData, String, Table, create_engine, insert, select, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import StaticPool

from ralex_core.monitoring import instrument, operation
from tests.support.recorded import Recorded, attributes

TASKS = Table("tasks", MetaData(), Column("id", Integer, primary_key=True), Column("title", String))


def engine_in_memory() -> Engine:
    return create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})


def filled(engine: Engine) -> Engine:
    with engine.begin() as connection:
        TASKS.create(connection)
        connection.execute(insert(TASKS), [{"id": n, "title": f"task {n}"} for n in range(10)])
    return engine


def rows(recorded: Recorded) -> list[tuple[str, Any]]:
    return [(op.name, attributes(op).get("db.response.returned_rows")) for op in recorded.all("db")]


def test_statements_of_one_engine_are_recorded_and_of_others_not(recorded: Recorded) -> None:
    mine, other = filled(engine_in_memory()), filled(engine_in_memory())
    instrument.sqlalchemy(mine)
    with operation("page"), mine.connect() as connection:
        assert len(connection.execute(select(TASKS).where(TASKS.c.id < 4)).all()) == 4
        assert connection.execute(select(TASKS.c.title).where(TASKS.c.id == 1)).scalar_one() == "task 1"
        assert [row.id for row in connection.execute(text("select id from tasks"))] == list(range(10))
        assert connection.execute(text("select id from tasks")).first() == (0,)
        partly = connection.execute(text("select title from tasks"))
        assert len(partly.fetchmany(3)) == 3
        partly.close()
    with other.connect() as connection:
        connection.execute(text("select 1")).all()
    gc.collect()
    select_all, select_title = (
        "SELECT tasks.id, tasks.title FROM tasks WHERE tasks.id < ?",
        "SELECT tasks.title FROM tasks WHERE tasks.id = ?",
    )
    found = rows(recorded)
    assert [name for name, _ in found] == [
        select_all,
        select_title,
        "select id from tasks",
        "select id from tasks",
        "select title from tasks",
    ]
    assert found[0][1] == 4
    assert found[1][1] == 1
    assert found[2][1] == 10
    assert found[4][1] == 3
    page = recorded.named("page")
    assert {op.parent_span_id for op in recorded.all("db")} == {page.span_id}
    mine.dispose()
    other.dispose()


def test_changes_batches_and_inserted_rows(recorded: Recorded) -> None:
    engine = engine_in_memory()
    instrument.sqlalchemy(engine)
    filled(engine)
    with engine.begin() as connection:
        connection.execute(TASKS.update().where(TASKS.c.id < 3).values(title="x"))
        result = connection.execute(insert(TASKS).returning(TASKS.c.id), [{"title": "a"}, {"title": "b"}])
        assert len(result.all()) == 2
    found = recorded.all("db")
    batch = next(op for op in found if op.name.startswith("INSERT"))
    assert attributes(batch)["db.operation.batch.size"] == 10
    update = next(op for op in found if op.name.startswith("UPDATE"))
    assert attributes(update)["db.response.affected_rows"] == 3
    assert attributes(update)["db.namespace"] == ":memory:"
    engine.dispose()


def test_a_statement_that_fails_is_recorded_once(recorded: Recorded) -> None:
    engine = engine_in_memory()
    instrument.sqlalchemy(engine)
    instrument.sqlalchemy()
    with engine.connect() as connection, pytest.raises(OperationalError):
        connection.execute(text("select * from nowhere where a = 'hunter2'"))
    failed = recorded.one("db")
    assert (failed.status, failed.error_type) == ("error", "sqlite3.OperationalError")
    assert "hunter2" not in str(recorded.all())
    engine.dispose()


def test_statements_are_recorded_once_with_the_driver_s_instrument_on(recorded: Recorded) -> None:
    instrument.sqlite3()
    sqlalchemy = instrument.sqlalchemy()
    engine = filled(engine_in_memory())
    recorded.clear()
    with engine.begin() as connection:
        assert len(connection.execute(text("select * from tasks")).all()) == 10
        connection.execute(text("delete from tasks"))
    assert recorded.names() == ["select * from tasks", "delete from tasks", "COMMIT"]
    sqlalchemy.off()
    recorded.clear()
    with engine.connect() as connection:
        connection.execute(text("select 1")).all()
    assert recorded.names() == ["select ?"], "the driver's instrument records again"
    engine.dispose()


def test_async_engines_are_recorded(recorded: Recorded) -> None:
    async def go() -> None:
        engine = create_async_engine("sqlite+aiosqlite://", poolclass=StaticPool)
        instrument.sqlite3()
        switch = instrument.sqlalchemy(engine)
        async with engine.connect() as connection:
            recorded.clear()
            with operation("page"):
                assert (await connection.execute(text("select 1"))).all() == [(1,)]
                assert [row async for row in await connection.stream(text("select 2"))] == [(2,)]
        assert instrument.sqlalchemy(engine) is switch
        await engine.dispose()

    asyncio.run(go())
    gc.collect()
    page = recorded.named("page")
    assert recorded.names("db") == ["select ?", "select ?"]
    assert {op.parent_span_id for op in recorded.all("db")} == {page.span_id}


def test_off_leaves_no_listener(recorded: Recorded) -> None:
    engine = engine_in_memory()
    names = ("before_cursor_execute", "after_cursor_execute", "engine_connect")
    before = [list(getattr(engine.dispatch, name)) for name in names]
    with instrument.sqlalchemy(engine), instrument.sqlalchemy():
        assert [list(getattr(engine.dispatch, name)) for name in names] != before
    assert [list(getattr(engine.dispatch, name)) for name in names] == before
    with engine.connect() as connection:
        connection.execute(text("select 1")).all()
    assert recorded.all() == []
    engine.dispose()

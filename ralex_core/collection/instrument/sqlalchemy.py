"""SQLAlchemy engines, sync and async: each statement from its execution to its last row, through SQLAlchemy's events.

Commits are announced before they happen, so their duration is not known here; the driver's instrument records them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from ralex_core.collection.guard import guard
from ralex_core.collection.instrument.leaf import now
from ralex_core.collection.instrument.queries import Query, begin, database, file_name, size_of

if TYPE_CHECKING:
    from ralex_core.collection.instrument.statements import Database
    from ralex_core.collection.instrument.switch import Switch

_HELD = "_ralex_query"
"""Where an execution context keeps its query while the statement is executed."""
_SYSTEMS = {"oracle": "oracle.db", "mssql": "microsoft.sql_server"}
"""Names of OpenTelemetry's conventions where SQLAlchemy's dialect has another."""


def install(switch: Switch, engine: Any, slow_ms: float) -> None:
    """Listen to one engine, or with None to all of them."""
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    target = Engine if engine is None else getattr(engine, "sync_engine", engine)
    events = _Events(switch, int(slow_ms * 1e6))
    for name in ("before_cursor_execute", "after_cursor_execute", "handle_error", "engine_connect"):
        listener = getattr(events, name)
        event.listen(target, name, listener)
        switch.undo_with(lambda name=name, listener=listener: event.remove(target, name, listener))


class _Events:
    def __init__(self, switch: Switch, slow_ns: int) -> None:
        self._switch = switch
        self._slow_ns = slow_ns
        self._databases: WeakKeyDictionary[Any, Database] = WeakKeyDictionary()

    def engine_connect(self, connection: Any) -> None:
        """Tell the driver's connection that its statements are recorded here."""
        try:
            driver = connection.connection.driver_connection
            driver = getattr(driver, "_conn", driver)  # aiosqlite's is in a thread of its own
            watch = getattr(driver, "ralex_watch", None)
            if watch is not None:
                watch.elsewhere = self._switch
            elif hasattr(driver, "__dict__"):
                driver.ralex_elsewhere = self._switch
        except Exception:
            guard.swallow("instrument sqlalchemy")

    def before_cursor_execute(
        self, connection: Any, cursor: Any, statement: str, parameters: Any, context: Any, executemany: bool
    ) -> None:
        if context is None or not self._switch.on or getattr(context, _HELD, None) is not None:
            return
        query = begin(self._database(connection.engine), statement, self._slow_ns)
        if query is not None:
            setattr(context, _HELD, (self._switch, query))

    def after_cursor_execute(
        self, connection: Any, cursor: Any, statement: str, parameters: Any, context: Any, executemany: bool
    ) -> None:
        query = self._release(context)
        if query is None:
            return
        query.executed()
        try:
            if executemany:
                query.batch = size_of(parameters)
            if cursor.description is None:
                query.changed(cursor.rowcount)
            elif executemany:
                query.changed(-1)  # SQLAlchemy fetches what an INSERT … RETURNING gives by itself
            else:
                context.cursor = _Fetching(cursor, query)
        except Exception:
            guard.swallow("instrument sqlalchemy")

    def handle_error(self, exception_context: Any) -> None:
        query = self._release(exception_context.execution_context)
        if query is not None:
            query.failed(exception_context.original_exception)

    def _release(self, context: Any) -> Query | None:
        held: tuple[Switch, Query] | None = getattr(context, _HELD, None)
        if held is None or held[0] is not self._switch:
            return None
        setattr(context, _HELD, None)
        return held[1]

    def _database(self, engine: Any) -> Database:
        found = self._databases.get(engine)
        if found is None:
            system = str(engine.dialect.name)
            name = engine.url.database
            found = database(_SYSTEMS.get(system, system), file_name(name) if system == "sqlite" else name)
            self._databases[engine] = found
        return found


class _Fetching:
    """A cursor of the driver whose fetches are timed and counted; everything else is the cursor's own."""

    def __init__(self, cursor: Any, query: Query) -> None:
        self._cursor = cursor
        self._query: Query | None = query

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cursor, name)

    def __iter__(self) -> Any:
        return iter(self.fetchall())

    def fetchone(self) -> Any:
        row = self._timed(self._cursor.fetchone)
        self._count(0 if row is None else 1, row is None)
        return row

    def fetchmany(self, *args: Any, **kwargs: Any) -> Any:
        rows = self._timed(self._cursor.fetchmany, *args, **kwargs)
        self._count(len(rows), not rows)
        return rows

    def fetchall(self) -> Any:
        rows = self._timed(self._cursor.fetchall)
        self._count(len(rows), True)
        return rows

    def close(self) -> Any:
        self._count(0, True)
        return self._cursor.close()

    def __del__(self) -> None:
        self._count(0, True)

    def _timed(self, fetch: Any, *args: Any, **kwargs: Any) -> Any:
        query = self._query
        if query is None:
            return fetch(*args, **kwargs)
        began = now()
        try:
            rows = fetch(*args, **kwargs)
        except BaseException as error:
            self._query = None
            query.failed(error, began)
            raise
        query.spent_ns += now() - began
        return rows

    def _count(self, rows: int, is_last: bool) -> None:
        query = self._query
        if query is None:
            return
        query.rows += rows
        if is_last:
            self._query = None
            query.returned()

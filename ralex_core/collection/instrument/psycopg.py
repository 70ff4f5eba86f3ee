"""psycopg 3: every cursor's statements, sync and async, whatever made the connection.

psycopg's cursors hold the whole result when `execute` returns, so its duration includes the transfer of all rows.
Server-side cursors fetch later: of those the declaration is timed, and the rows are not known.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ralex_core.collection.guard import guard
from ralex_core.collection.instrument.queries import Query, Watch, database, size_of

if TYPE_CHECKING:
    from ralex_core.collection.instrument.switch import Switch

SYSTEM = "postgresql"
_WATCH = "ralex_watch"
Begin = Callable[..., "Query | None"]


def install(switch: Switch, slow_ms: float) -> None:
    """Replace what executes statements in psycopg's cursor and connection classes."""
    import psycopg

    slow_ns = int(slow_ms * 1e6)

    def begin(connection: Any, text: object, ends_transaction: bool = False) -> Query | None:
        if not switch.on:
            return None
        try:
            watch: Watch | None = getattr(connection, _WATCH, None)
            if watch is None or watch.switch is not switch:
                watch = Watch(switch, database(SYSTEM, connection.info.dbname), slow_ns)
                watch.elsewhere = getattr(connection, "ralex_elsewhere", None)
                setattr(connection, _WATCH, watch)
            return watch.begin(_text(text, connection), ends_transaction=ends_transaction)
        except Exception:
            guard.swallow("instrument psycopg")
            return None

    for cursor in (psycopg.Cursor, psycopg.ServerCursor):
        switch.replace(cursor, "execute", lambda original: _execute(original, begin))
        switch.replace(cursor, "executemany", lambda original: _execute(original, begin, many=True))
    for cursor in (psycopg.AsyncCursor, psycopg.AsyncServerCursor):
        switch.replace(cursor, "execute", lambda original: _execute_async(original, begin))
        switch.replace(cursor, "executemany", lambda original: _execute_async(original, begin, many=True))
    for name in ("commit", "rollback"):
        switch.replace(psycopg.Connection, name, lambda original, name=name: _end(original, begin, name.upper()))
        switch.replace(
            psycopg.AsyncConnection, name, lambda original, name=name: _end_async(original, begin, name.upper())
        )


def _text(statement: object, connection: Any) -> object:
    """psycopg's composed statements as the text that is sent, their parameters left out."""
    as_string: Callable[[Any], str] | None = getattr(statement, "as_string", None)
    if as_string is not None:
        return as_string(connection)
    strings: Any = getattr(statement, "strings", None)  # a template string
    return "?".join(strings) if strings is not None else statement


def _executed(query: Query, cursor: Any, many: bool, parameters: object) -> None:
    query.executed()
    try:
        if many:
            query.batch = size_of(parameters)
        if cursor.description is None:
            query.changed(cursor.rowcount)
        elif cursor.rowcount >= 0:
            query.rows = cursor.rowcount
            query.returned()
        else:
            query.changed(-1)
    except Exception:
        guard.swallow("instrument psycopg")


def _execute(original: Callable[..., Any], begin: Begin, many: bool = False) -> Callable[..., Any]:
    def execute(self: Any, query: Any, params: Any = None, *args: Any, **kwargs: Any) -> Any:
        begun = begin(self.connection, query)
        if begun is None:
            return original(self, query, params, *args, **kwargs)
        try:
            result = original(self, query, params, *args, **kwargs)
        except BaseException as error:
            begun.failed(error)
            raise
        _executed(begun, self, many, params)
        return result

    return execute


def _execute_async(original: Callable[..., Any], begin: Begin, many: bool = False) -> Callable[..., Any]:
    async def execute(self: Any, query: Any, params: Any = None, *args: Any, **kwargs: Any) -> Any:
        begun = begin(self.connection, query)
        if begun is None:
            return await original(self, query, params, *args, **kwargs)
        try:
            result = await original(self, query, params, *args, **kwargs)
        except BaseException as error:
            begun.failed(error)
            raise
        _executed(begun, self, many, params)
        return result

    return execute


def _in_transaction(connection: Any) -> bool:
    """Whether there is anything to end; 0 is IDLE in libpq."""
    return not connection.closed and connection.pgconn.transaction_status != 0


def _end(original: Callable[..., Any], begin: Begin, statement: str) -> Callable[..., Any]:
    def end(self: Any) -> Any:
        begun = begin(self, statement, True) if _in_transaction(self) else None
        if begun is None:
            return original(self)
        try:
            result = original(self)
        except BaseException as error:
            begun.failed(error)
            raise
        begun.executed()
        begun.changed(-1)
        return result

    return end


def _end_async(original: Callable[..., Any], begin: Begin, statement: str) -> Callable[..., Any]:
    async def end(self: Any) -> Any:
        begun = begin(self, statement, True) if _in_transaction(self) else None
        if begun is None:
            return await original(self)
        try:
            result = await original(self)
        except BaseException as error:
            begun.failed(error)
            raise
        begun.executed()
        begun.changed(-1)
        return result

    return end

"""sqlite3: connections made while the instrument is on have cursors that time their statements and fetches.

`sqlite3.connect` is replaced; the connections are instances of a subclass of what the program asked for, so that the C
code between stays as it is. Commits and rollbacks count where a transaction was open: they are what waits for a disk.
"""

from __future__ import annotations

import sqlite3
import sqlite3.dbapi2
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, cast

from ralex_core.collection.guard import guard
from ralex_core.collection.instrument.binding import compiled
from ralex_core.collection.instrument.leaf import now
from ralex_core.collection.instrument.queries import Query, Watch, database, file_name, size_of, text_of

if TYPE_CHECKING:
    from ralex_core.collection.instrument.switch import Switch

SYSTEM = "sqlite"


def install(switch: Switch, slow_ms: float) -> None:
    """Replace `sqlite3.connect`."""
    slow_ns = int(slow_ms * 1e6)

    def make(original: Callable[..., sqlite3.Connection]) -> Callable[..., sqlite3.Connection]:
        def connect(*args: Any, **kwargs: Any) -> sqlite3.Connection:
            if not switch.on:
                return original(*args, **kwargs)
            asked: Any = args[5] if len(args) > 5 else kwargs.get("factory", sqlite3.Connection)
            watched = _connection_class(asked) if isinstance(asked, type) else None
            if watched is None:
                return original(*args, **kwargs)
            if len(args) > 5:
                args = (*args[:5], watched, *args[6:])
            else:
                kwargs["factory"] = watched
            connection = original(*args, **kwargs)
            name = file_name(args[0] if args else kwargs.get("database"))
            cast("Any", connection).ralex_watch = Watch(switch, database(SYSTEM, name), slow_ns)
            return connection

        return connect

    # Both are the same function, and one program says one and another the other.
    switch.replace(sqlite3, "connect", make)
    switch.replace(sqlite3.dbapi2, "connect", make)


_connection_classes: dict[type[Any], type[Any]] = {}
_cursor_classes: dict[type[Any], type[Any]] = {}


def _same(asked: type[Any]) -> dict[str, Any]:
    """What makes a subclass look like the class it stands for."""
    return {"__module__": asked.__module__, "__doc__": asked.__doc__}


def _connection_class(asked: type[Any]) -> type | None:
    """A subclass of what the program asked for, made once; None for what is no connection."""
    if issubclass(asked, _Connection):
        return asked
    if not issubclass(asked, sqlite3.Connection):
        return None
    if asked not in _connection_classes:
        # Behind the program's own class, whose methods call ours with `super`.
        bases = (_Connection,) if asked is sqlite3.Connection else (asked, _Connection)
        try:
            _connection_classes[asked] = type(asked.__name__, bases, _same(asked))
        except Exception:  # a metaclass or `__init_subclass__` of the program's
            guard.note("instrument sqlite3")
            return None
    return _connection_classes[asked]


def _cursor_class(asked: type[Any]) -> type:
    if issubclass(asked, _Batches):
        return asked
    if asked not in _cursor_classes:
        bases = {f"_base_{name}": getattr(asked, name) for name in ("execute", "fetchall", "fetchone")}
        _cursor_classes[asked] = type(asked.__name__, (_Cursor, asked), {**_same(asked), **bases})
    return _cursor_classes[asked]


class _Connection(sqlite3.Connection):
    ralex_watch: Watch | None = None

    def cursor(self, *args: Any, **kwargs: Any) -> Any:
        asked: Any = args[0] if args else kwargs.get("factory", sqlite3.Cursor)
        if isinstance(asked, type) and issubclass(asked, sqlite3.Cursor):
            return super().cursor(_cursor_class(asked))
        return super().cursor(*args, **kwargs)

    # The C code of these three makes a plain cursor, whatever `cursor` is overridden to make.

    def execute(self, sql: str, parameters: Any = (), /) -> Any:
        return _new_cursor(self, _plain_cursor).execute(sql, parameters)

    def executemany(self, sql: str, parameters: Iterable[Any], /) -> Any:
        return _new_cursor(self, _plain_cursor).executemany(sql, parameters)

    def executescript(self, sql_script: str, /) -> Any:
        return _new_cursor(self, _plain_cursor).executescript(sql_script)

    def commit(self) -> None:
        self._end("COMMIT", super().commit)

    def rollback(self) -> None:
        self._end("ROLLBACK", super().rollback)

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> Any:
        return self._end("COMMIT" if kind is None else "ROLLBACK", super().__exit__, kind, error, traceback)

    def _end(self, statement: str, end: Callable[..., Any], *args: Any) -> Any:
        """End a transaction; timed when there is one."""
        watch = self.ralex_watch
        query = watch.begin(statement, ends_transaction=True) if watch is not None and self.in_transaction else None
        if query is None:
            return end(*args)
        try:
            result = end(*args)
        except BaseException as failure:
            query.failed(failure)
            raise
        query.executed()
        query.changed(-1)
        return result


_new_cursor = sqlite3.Connection.cursor


class _Batches(sqlite3.Cursor):
    """What cursors have in common."""

    if TYPE_CHECKING:  # each kind of cursor has its own

        def _done(self) -> None:
            """Record what is under way: something else begins."""

    def executemany(self, sql: str, parameters: Iterable[Any], /) -> Any:
        return self._run(super().executemany, sql, parameters)

    def executescript(self, sql_script: str, /) -> Any:
        return self._run(super().executescript, sql_script)

    def _run(self, run: Callable[..., Any], sql: str, *parameters: Any) -> Any:
        """What returns no rows."""
        self._done()
        watch: Watch | None = getattr(self.connection, "ralex_watch", None)
        query = watch.begin(sql) if watch is not None else None
        if query is None:
            return run(sql, *parameters)
        try:
            result = run(sql, *parameters)
        except BaseException as error:
            query.failed(error)
            raise
        query.executed()
        query.batch = size_of(parameters[0]) if parameters else None
        query.changed(self.rowcount)
        return result


class _Cursor(_Batches):
    """Written out where the host's programs are hot: every call saved here is saved for every query."""

    _query: Query | None = None
    """Executed, with rows that may still be fetched."""
    # What the class we stand for has; `super()` costs more than the call itself.
    _base_execute: Callable[..., Any] = sqlite3.Cursor.execute
    _base_fetchall: Callable[..., list[Any]] = sqlite3.Cursor.fetchall
    _base_fetchone: Callable[..., Any] = sqlite3.Cursor.fetchone

    def execute(self, sql: str, parameters: Any = (), /) -> Any:
        if self._query is not None:
            self._done()
        watch: Watch | None = getattr(self.connection, "ralex_watch", None)
        if watch is None or not watch.switch.on or (watch.elsewhere is not None and watch.elsewhere.on):
            return self._base_execute(sql, parameters)
        try:
            query = Query(watch.database, sql if sql.__class__ is str else text_of(sql), watch.slow_ns)
        except Exception:
            guard.swallow("instrument sqlite3")
            return self._base_execute(sql, parameters)
        try:
            self._base_execute(sql, parameters)
        except BaseException as error:
            query.failed(error)
            raise
        query.spent_ns = now() - query.start_ns
        if self.description is None:
            query.changed(self.rowcount)
        else:
            self._query = query
        return self

    def fetchall(self) -> list[Any]:
        query = self._query
        if query is None:
            return self._base_fetchall()
        self._query = None
        began = now()
        try:
            rows = self._base_fetchall()
        except BaseException as error:
            query.failed(error, began)
            raise
        query.spent_ns += now() - began
        query.rows += len(rows)
        query.returned()
        return rows

    def fetchone(self) -> Any:
        query = self._query
        if query is None:
            return self._base_fetchone()
        began = now()
        try:
            row = self._base_fetchone()
        except BaseException as error:
            self._query = None
            query.failed(error, began)
            raise
        query.spent_ns += now() - began
        if row is None:
            self._query = None
            query.returned()
        else:
            query.rows += 1
        return row

    def fetchmany(self, *args: Any, **kwargs: Any) -> list[Any]:
        query = self._query
        if query is None:
            return super().fetchmany(*args, **kwargs)
        rows = self._fetch(query, super().fetchmany, *args, **kwargs)
        query.rows += len(rows)
        if not rows:
            self._done()
        return rows

    def __next__(self) -> Any:
        query = self._query
        if query is None:
            return super().__next__()
        try:
            row = self._fetch(query, super().__next__)
        except StopIteration:
            self._done()
            raise
        query.rows += 1
        return row

    def _fetch(self, query: Query, fetch: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        began = now()
        try:
            rows = fetch(*args, **kwargs)
        except StopIteration:
            raise
        except BaseException as error:
            self._query = None
            query.failed(error, began)
            raise
        query.spent_ns += now() - began
        return rows

    def close(self) -> None:
        self._done()
        super().close()

    def __del__(self) -> None:
        query = self._query
        if query is not None:
            self._query = None
            query.returned()

    def _done(self) -> None:
        query = self._query
        if query is not None:
            self._query = None
            query.returned()


def _compile() -> None:
    """Have the compiled half stand for sqlite3's own classes, which nearly all programs use."""
    if compiled is None:
        return
    try:
        connection, cursor = compiled.sqlite_classes(sqlite3.Connection, sqlite3.Cursor)
    except Exception:  # a Python whose sqlite3 is made in another way
        guard.note("instrument sqlite3, compiled")
        return
    _cursor_classes[sqlite3.Cursor] = type("Cursor", (cursor, _Batches), _same(sqlite3.Cursor))
    compiled.use_cursor(_cursor_classes[sqlite3.Cursor])
    _connection_classes[sqlite3.Connection] = type("Connection", (connection, _Connection), _same(sqlite3.Connection))


_compile()
_plain_cursor = _cursor_class(sqlite3.Cursor)

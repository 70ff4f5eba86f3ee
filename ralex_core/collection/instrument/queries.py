"""What the database instruments share: a query under way, which ends when its last row was fetched."""

from __future__ import annotations

from functools import lru_cache
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from ralex_core.collection import active
from ralex_core.collection.active import current, defaults, fail
from ralex_core.collection.guard import guard
from ralex_core.collection.instrument.leaf import now, place
from ralex_core.collection.instrument.statements import Database, Known, sample

if TYPE_CHECKING:
    from ralex_core.collection.instrument.switch import Switch

SLOW_MS = 100.0
"""A query that takes longer keeps a sample of its statement."""


@lru_cache(maxsize=256)
def database(system: str, namespace: str | None) -> Database:
    """The one `Database` of this name: connections to it share what is known of its statements."""
    return Database(system, namespace)


class Watch:
    """What the instrument of a driver needs to know of a connection."""

    __slots__ = ("database", "elsewhere", "slow_ns", "switch")

    def __init__(self, switch: Switch, database: Database, slow_ns: int) -> None:
        self.switch = switch
        self.database = database
        self.slow_ns = slow_ns
        self.elsewhere: Switch | None = None
        """An instrument above the driver (SQLAlchemy's) that records the same statements while it is on."""

    def begin(self, text: object, *, ends_transaction: bool = False) -> Query | None:
        """A query that begins now; None when nothing is to be recorded. Never raises."""
        if not self.switch.on or (self.elsewhere is not None and self.elsewhere.on and not ends_transaction):
            return None
        return begin(self.database, text, self.slow_ns)


def begin(database: Database, text: object, slow_ns: int) -> Query | None:
    """A query that begins now; None when that fails, which the guard deals with."""
    try:
        return Query(database, text if text.__class__ is str else text_of(text), slow_ns)  # pyright: ignore[reportArgumentType]
    except Exception:
        guard.swallow("instrument db")
        return None


class Query:
    """A statement from its execution to its last row; time between fetches, which is the host's, does not count."""

    __slots__ = (
        "_database",
        "_known",
        "_parent",
        "_slow_ns",
        "_span",
        "_text",
        "_trace",
        "batch",
        "rows",
        "spent_ns",
        "start_ns",
    )

    def __init__(self, database: Database, text: str, slow_ns: int) -> None:
        self._known = database.known.get(text) or database.statement(text)
        self._database = database
        self._text = text
        self._slow_ns = slow_ns
        above = current.get()
        if above is None:
            self._trace, self._span, self._parent = place(above)
        else:
            self._trace = above.trace
            self._parent = above.span
            self._span = next(active.numbers)
        self.rows = 0
        self.spent_ns = 0
        self.batch: int | None = None
        """Parameter sets of an `executemany`, where they can be counted."""
        self.start_ns = now()

    @classmethod
    def resumed(
        cls,
        watch: Watch,
        known: Known,
        text: str,
        trace: int | str,
        span: int,
        parent: int | str | None,
        start_ns: int,
        spent_ns: int,
        rows: int,
    ) -> Query:
        """One that the compiled half has begun, and leaves to this one because it failed or took long."""
        query = cls.__new__(cls)
        query._known, query._database, query._text, query._slow_ns = known, watch.database, text, watch.slow_ns
        query._trace, query._span, query._parent = trace, span, parent
        query.start_ns, query.spent_ns, query.rows, query.batch = start_ns, spent_ns, rows, None
        return query

    def executed(self) -> None:
        """The statement was executed; rows may follow."""
        self.spent_ns = now() - self.start_ns

    def failed(self, error: BaseException, since_ns: int = 0) -> None:
        """Record it as failed, `since_ns` being when the step that failed began; by default the execution."""
        self.spent_ns += now() - (since_ns or self.start_ns)
        fields: dict[str, Any] = {}
        fail(fields, error)
        code = getattr(error, "sqlstate", None) or getattr(error, "sqlite_errorname", None)
        if isinstance(code, str):
            fields["db.response.status_code"] = code[:40]
        self._put(self._known.name, fields)

    def returned(self) -> None:
        """Record it: `rows` were fetched."""
        spent_ns = self.spent_ns
        if spent_ns >= self._slow_ns:
            self._put(self._known.name, {"db.response.returned_rows": self.rows})
            return
        try:  # `_put`, spelled out
            recorder = active.default_recorder
            values = (
                self._known.returned,
                "db",
                self.rows,
                None,
                self._trace,
                self._span,
                self._parent,
                0,
                self.start_ns,
                self.start_ns + spent_ns,
                defaults.get(),
            )
            if recorder.rows is not None and recorder.rows.put(values):
                pass
            elif len(recorder.queue) < recorder.limit:
                recorder.append(values)
            else:
                recorder.put_slowly(values)
        except Exception:
            guard.swallow("instrument db")

    def changed(self, rows: int) -> None:
        """Record it: it returned no rows and changed some; -1 where the driver cannot tell."""
        if self.spent_ns < self._slow_ns and self.batch is None:
            self._put(self._known.affected, rows if rows >= 0 else None)
        else:
            self._put(self._known.name, {"db.response.affected_rows": rows} if rows >= 0 else {})

    def _put(self, name: Any, fields: Any) -> None:
        """Hand it to the recorder: prepared with its count, or its name with fields."""
        try:
            attributes = None
            if fields.__class__ is dict:
                attributes = self._known.attributes
                if self.batch is not None:
                    fields["db.operation.batch.size"] = self.batch
                if self.spent_ns >= self._slow_ns:
                    fields["db.query.sample"] = sample(self._text, backslash=self._database.backslash)
            start_ns = self.start_ns
            end_ns = start_ns + self.spent_ns
            around = defaults.get()
            values = (
                name,
                "db",
                fields,
                attributes,
                self._trace,
                self._span,
                self._parent,
                0,
                start_ns,
                end_ns,
                around,
            )
            recorder = active.default_recorder
            if len(recorder.queue) < recorder.limit:  # `Recorder.put`, spelled out: a call less
                recorder.append(values)
            else:
                recorder.put_slowly(values)
        except Exception:
            guard.swallow("instrument db")


def text_of(statement: object) -> str:
    """A statement as text, whatever a driver takes for one."""
    if isinstance(statement, str):
        return statement
    if isinstance(statement, bytes | bytearray | memoryview):
        return bytes(statement).decode("utf-8", "replace")  # pyright: ignore[reportUnknownArgumentType]
    return str(statement)


def size_of(parameters: object) -> int | None:
    """How many parameter sets an `executemany` got; None when counting would use them up."""
    return len(parameters) if isinstance(parameters, list | tuple) else None  # pyright: ignore[reportUnknownArgumentType]


def file_name(path: object) -> str:
    """The name of a SQLite file without its folder, which may name a person; `:memory:` for none."""
    try:
        text = path.decode("utf-8", "replace") if isinstance(path, bytes) else str(path or "")
        return PurePath(text.partition("?")[0].removeprefix("file:")).name[:100] or ":memory:"
    except Exception:  # the host's own __str__
        return ":memory:"

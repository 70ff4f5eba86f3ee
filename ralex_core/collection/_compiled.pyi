"""What `csrc` is compiled to, where there is a C compiler; `accelerator` tells whether it was."""

import sqlite3
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from ralex_core.collection.prepared import Prepared
from ralex_core.collection.recorder import Values

def is_main() -> bool:
    """Whether this is the main interpreter, the only one it serves."""

def bind(known: dict[str, Any], classes: dict[str, type], /) -> None:
    """Name the SDK's objects and classes; once, at import."""

def sqlite_classes(
    connection: type[sqlite3.Connection], cursor: type[sqlite3.Cursor], /
) -> tuple[type[sqlite3.Connection], type[sqlite3.Cursor]]:
    """Subclasses of both that time statements and fetches; made once."""

def use_cursor(cursor: type[sqlite3.Cursor], /) -> None:
    """The class of the cursors that a connection's `execute` makes."""

class Rows:
    """Prepared operations that wait for the recorder's thread."""

    limit: int
    """Rows that may wait; -1 takes none."""
    def __len__(self) -> int: ...
    def put(self, values: Values, /) -> bool:
        """Take a finished operation; returns whether it was: a prepared one, without defaults, with numbers for ids,
        while there is room."""
    def take(self, at_most: int, wall_minus_steady_ns: int, /) -> list[tuple[Prepared, int, bytes]]:
        """The oldest rows, at most so many, by what they have in common: (prepared, how many, their text as JSON)."""

class Answers:
    """What an application's requests were prepared as."""

class Request:
    """One request; what is rare about it is its Python subclass's."""

    _scope: MutableMapping[str, Any]
    _endpoints: Any
    _outer: Any
    _send: Callable[[MutableMapping[str, Any]], Awaitable[None]]
    _root: str
    _op: Any
    _token: Any
    _status: int
    _size: int
    _first_ns: int
    def __init__(
        self,
        scope: MutableMapping[str, Any],
        endpoints: Any,
        outer: Any,
        send: Callable[[MutableMapping[str, Any]], Awaitable[None]],
        traceparent: bool,
        timed: str,
        /,
    ) -> None: ...
    def send(self, message: MutableMapping[str, Any], /) -> Awaitable[None]:
        """Look at a message on its way out."""
    def left(self) -> None:
        """The application is done."""

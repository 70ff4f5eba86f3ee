"""Statements that are parsed once: parsing takes DuckDB a third to a half of what a question over rollups takes."""

from __future__ import annotations

from typing import Any, cast

import duckdb
from numpy.typing import NDArray

STATEMENTS_KEPT = 1000

_parsed: dict[str, duckdb.Statement] = {}


def parsed(connection: duckdb.DuckDBPyConnection, sql: str) -> duckdb.Statement:
    """The one statement in a text, to be executed with any parameters on any connection. Safe from several threads.

    Raises:
        duckdb.Error: the text is not SQL.
    """
    statement = _parsed.get(sql)
    if statement is None:
        (statement,) = connection.extract_statements(sql)
        if len(_parsed) >= STATEMENTS_KEPT:
            _parsed.clear()
        _parsed[sql] = statement
    return statement


def forget_statements() -> None:
    """For a store that closes: DuckDB reports what is kept of it beyond the interpreter's end. Others parse again."""
    _parsed.clear()


def column_of(rows: duckdb.DuckDBPyConnection, name: str) -> NDArray[Any]:
    """One column of what a statement found."""
    columns = cast("dict[str, NDArray[Any]]", rows.fetchnumpy())  # pyright: ignore[reportUnknownMemberType]
    return columns[name]


def over_batch(
    connection: duckdb.DuckDBPyConnection,
    sql: str,
    batch: dict[str, NDArray[Any]],
    parameters: dict[str, Any] | None = None,
) -> duckdb.DuckDBPyConnection:
    """Run a statement that reads columns as `batch`; the connection has the rows.

    DuckDB looks for that name among the variables here, which saves it a view that would be made anew each time.
    """
    return connection.execute(parsed(connection, sql), parameters or {})


def without_optimizer(connection: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyConnection:
    """Another connection to the same database, for statements in which there is nothing to optimise: looking at the 46
    columns of an insert takes DuckDB a fifth of what a small commit takes."""
    plain = connection.cursor()
    plain.execute("pragma disable_optimizer")
    return plain

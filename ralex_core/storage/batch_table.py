"""A batch of operations as DuckDB takes it in fastest: one numpy array a column, and no array where all rows agree."""

from __future__ import annotations

from collections.abc import Sequence
from math import nan
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ralex_core.model.operation import Operation
from ralex_core.storage.schema import (
    COLUMN_TYPES,
    COST_BIN,
    DURATION_BIN,
    ID_HASH,
    MONEY_COLUMNS,
    TRACE_HASH,
    UNKNOWN_COST_BIN,
)

_UNKNOWN_COUNT = -1
"""Stands for None in a column of whole numbers, none of which is negative; not-a-number does in those of durations.
DuckDB reads typed arrays as they are; object arrays, which hold text and nothing else, value by value and under
the interpreter lock."""


class BatchTable(NamedTuple):
    """`columns` to register under a name, and what to `select` from it to get the columns of `operations`."""

    columns: dict[str, NDArray[Any]]
    select: str


def latest_revisions(operations: Sequence[Operation]) -> list[Operation]:
    """One operation per id: the highest revision, the first of equals."""
    by_id: dict[str, Operation] = {}
    for operation in operations:
        known = by_id.setdefault(operation.operation_id, operation)
        if known is not operation and operation.revision > known.revision:
            by_id[operation.operation_id] = operation
    return list(by_id.values())


def batch_table(operations: Sequence[Operation]) -> BatchTable:
    """The operations column by column; at least one. `operation_id` is always among the columns."""
    count = len(operations)
    columns: dict[str, NDArray[Any]] = {}
    selected: list[str] = []
    for (name, kind), values in zip(COLUMN_TYPES.items(), zip(*operations, strict=True), strict=True):
        first = values[0]
        if (first is None or name in _SELDOM_TOLD_APART) and values.count(first) == count:
            selected.append(_literal(first, kind))
            continue
        if kind in _WHOLE:
            if None in values:
                values = [_UNKNOWN_COUNT if value is None else value for value in values]
                selected.append(f"nullif({name}, {_UNKNOWN_COUNT})")
            else:
                selected.append(name)
            columns[name] = np.fromiter(values, dtype=np.int64, count=count)
            continue
        if kind == "DOUBLE":
            columns[name] = np.fromiter((nan if value is None else value for value in values), np.float64, count)
            selected.append(f"case when isnan({name}) then null else {name} end")
            continue
        if name in MONEY_COLUMNS:
            values = [None if amount is None else str(amount) for amount in values]
        columns[name] = np.fromiter(values, dtype=object, count=count)
        selected.append(name)
    selected.append(_BIN if "duration_ms" in columns else "null")
    selected += [ID_HASH, TRACE_HASH if "trace_id" in columns else "null"]
    selected.append(COST_BIN if "cost_usd" in columns else UNKNOWN_COST_BIN)
    return BatchTable(columns, ", ".join(selected))


_BIN = f"case when isnan(duration_ms) then null else {DURATION_BIN} end"
_WHOLE = ("BIGINT", "INTEGER")
_SELDOM_TOLD_APART = frozenset(("kind", "status", "outcome", "door"))
"""Columns of a few fixed words, in which the rows of a batch often all say the same."""


def _literal(value: Any, kind: str) -> str:
    if value is None:
        return f"null::{kind}"
    return f"'{value}'"

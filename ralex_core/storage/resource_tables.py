"""Samples of resources in their tables: how they are written, thinned out and let go of.

The last day is kept reading by reading, what is older as one row a minute: 30 days of a machine are then some 85,000
rows and not 1.3 million, and no chart of a longer range shows more than minutes anyway.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

import duckdb

from ralex_core.model.window import DAY_US, MINUTE_US
from ralex_core.storage.schema import GPU_COLUMNS, PROCESS_COLUMNS, RESOURCE_COLUMNS, STATE_COLUMNS
from ralex_core.storage.telemetry import GpuSample, ProcessSample, ResourceRecord, ResourceSample, StateChange

SINGLE_READINGS_US = DAY_US
"""How long every reading is kept; then minutes."""
SAMPLES_KEPT_US = 30 * DAY_US
STATES_KEPT_US = 365 * DAY_US
"""Changes of state are few, and the history of a machine's troubles is worth a year."""

TABLES: dict[type[ResourceRecord], tuple[str, dict[str, str]]] = {
    ResourceSample: ("resource_samples", RESOURCE_COLUMNS),
    ProcessSample: ("process_samples", PROCESS_COLUMNS),
    GpuSample: ("gpu_samples", GPU_COLUMNS),
    StateChange: ("resource_states", STATE_COLUMNS),
}
_IDENTITY = {
    "resource_samples": (),
    "process_samples": ("pid", "started_at", "name"),
    "gpu_samples": ("gpu", "name"),
}
"""Columns that tell apart what is sampled; a minute is kept for each."""
_COUNTED = {"oom_kills"}
"""Columns that count events since the reading before: a minute's is their sum."""


def insert(connection: duckdb.DuckDBPyConnection, records: Sequence[ResourceRecord]) -> None:
    """Write records of any kind, each into its table; inside the caller's transaction."""
    ordered = sorted(records, key=lambda record: type(record).__name__)
    for kind, alike in groupby(ordered, key=type):
        table, columns = TABLES[kind]
        batch = {name: list(values) for name, values in zip(columns, zip(*alike, strict=True), strict=True)}
        typed = ", ".join(f"unnest(${name}::{column}[])" for name, column in columns.items())
        connection.execute(f"insert into {table} select {typed}", batch)


def expired(believed_us: int) -> Iterator[tuple[str, str]]:
    """Tables, each with the condition of its rows that are no longer kept; whole days, so that they go once a day."""
    for table in _IDENTITY:
        yield table, f"sampled_at < {(believed_us - SAMPLES_KEPT_US) // DAY_US * DAY_US}"
    yield "resource_states", f"changed_at < {(believed_us - STATES_KEPT_US) // DAY_US * DAY_US}"


def thin(connection: duckdb.DuckDBPyConnection, believed_us: int) -> None:
    """Make minutes of readings older than `SINGLE_READINGS_US`, inside the caller's transaction. Minutes that were made
    before are not touched again."""
    found = connection.execute("select value from meta where key = 'resources_thinned_until'").fetchone()
    low = int(found[0]) if found else 0
    high = (believed_us - SINGLE_READINGS_US) // MINUTE_US * MINUTE_US
    if high <= low:
        return
    for table, identity in _IDENTITY.items():
        _thin(connection, table, identity, low, high)
    connection.execute("insert or replace into meta values ('resources_thinned_until', $v)", {"v": str(high)})


def _thin(
    connection: duckdb.DuckDBPyConnection, table: str, identity: tuple[str, ...], low_us: int, high_us: int
) -> None:
    columns = next(columns for name, columns in TABLES.values() if name == table)
    window = {"low": low_us, "high": high_us}
    where = "where sampled_at >= $low and sampled_at < $high"
    minutes = ", ".join(_in_a_minute(name, kind, identity) for name, kind in columns.items())
    keys = ", ".join([f"sampled_at // {MINUTE_US}", *identity])
    connection.execute(
        f"create or replace temp table thinned as select {minutes} from {table} {where} group by {keys}", window
    )
    connection.execute(f"delete from {table} {where}", window)
    connection.execute(f"insert into {table} select * from thinned")
    connection.execute("drop table thinned")


def _in_a_minute(name: str, kind: str, identity: tuple[str, ...]) -> str:
    """One column of a minute's row: the mean, unless it is a time, an identity or a count of events."""
    if name == "sampled_at":
        return f"min(sampled_at) // {MINUTE_US} * {MINUTE_US} as sampled_at"
    if name in identity:
        return name
    if name in _COUNTED:
        return f"sum({name})::{kind} as {name}"
    return f"round(avg({name}))::{kind} as {name}" if kind == "BIGINT" else f"avg({name}) as {name}"

"""Rollups per minute, hour and day, recomputed for the buckets that changed.

Every write notes the buckets it touched in the same transaction, so a crash forgets none. `recompute` then rebuilds
exactly those: minutes from operations, hours from minutes (from operations where minutes are no longer kept), days
from hours. Late data and imports therefore come out as exact as live data.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import duckdb

from ralex_core.model.window import DAY_US
from ralex_core.storage.schema import GRAINS_US, LATENCY_CUBES, MEASURES, SUM_CUBES
from ralex_core.storage.statements import parsed

_FROM_OPERATIONS = ", ".join(f"{expression} as {name}" for name, (_, expression) in MEASURES.items())
_FROM_ROLLUP = ", ".join(f"sum({name})::{kind} as {name}" for name, (kind, _) in MEASURES.items())


class DirtyBuckets:
    """The minutes and hours whose rollups are behind; `pending` ones are in a transaction that has not committed."""

    def __init__(self, known: Iterable[tuple[str, int]] = ()) -> None:
        self._known: frozenset[tuple[str, int]] = frozenset(known)
        self._pending: set[tuple[str, int]] = set()

    def __bool__(self) -> bool:
        return bool(self._known)

    def add(self, buckets: set[tuple[str, int]]) -> list[tuple[str, int]]:
        """Note buckets; returns those that were not noted before and need a row."""
        fresh = buckets - self._known - self._pending
        self._pending |= fresh
        return sorted(fresh)

    def knows(self, buckets: set[tuple[str, int]]) -> bool:
        """Whether all of these are noted."""
        return buckets <= self._known

    def discard_pending(self) -> None:
        """A new transaction begins: what the last one did not commit was never noted."""
        self._pending.clear()

    def persisted(self) -> None:
        """The transaction committed: what was pending is known."""
        if self._pending:
            self._known |= self._pending
            self._pending.clear()

    def of(self, grain: str) -> list[int]:
        return sorted(bucket for name, bucket in self._known if name == grain)

    def first_hour_from(self, floor_us: int) -> int:
        """The first hour at or after `floor_us` whose rollup is behind; far in the future when none is.

        Called by readers on other threads: `_known` is replaced, never changed in place.
        """
        known = self._known
        return min((bucket for name, bucket in known if name == "hour" and bucket >= floor_us), default=1 << 62)

    def has_hour_before(self, floor_us: int) -> bool:
        """Whether an hour before `floor_us` is behind."""
        return any(name == "hour" and bucket < floor_us for name, bucket in self._known)

    def clear(self, *, coarse: bool) -> None:
        """The rollups caught up: all of them, or the minutes."""
        hours: set[tuple[str, int]] = set() if coarse else {item for item in self._known if item[0] != "minute"}
        self._known = frozenset(hours)


def aligned(time_us: int, grain: str) -> int:
    """The start of the bucket `time_us` is in."""
    size = GRAINS_US[grain]
    return time_us // size * size


def load_dirty(connection: duckdb.DuckDBPyConnection) -> DirtyBuckets:
    """What a process before us had not rolled up yet."""
    return DirtyBuckets(
        (grain, bucket) for grain, bucket in connection.execute("select grain, bucket from dirty").fetchall()
    )


def minute_floor(connection: duckdb.DuckDBPyConnection, now_us: int, keep_days: int) -> int:
    """From here on per-minute rollups are complete. Set when the store is made, moved only by `forget_minutes`."""
    row = connection.execute("select value from meta where key = 'minute_floor'").fetchone()
    if row is not None:
        return int(row[0])
    floor = aligned(now_us - keep_days * DAY_US, "hour")
    connection.execute("insert into meta values ('minute_floor', $floor)", {"floor": str(floor)})
    return floor


def lower_minute_floor(
    connection: duckdb.DuckDBPyConnection, dirty: DirtyBuckets, floor_us: int, now_us: int, keep_days: int
) -> int:
    """The floor was set by a clock that was ahead: bring it back inside the caller's transaction, and note the minutes
    from there on as behind. Returns the new floor, which is near `now_us` or what is stored, whichever is later."""
    minute = GRAINS_US["minute"]
    (newest,) = connection.execute(
        "select max(started_at) from operations where started_at < $floor", {"floor": floor_us}
    ).fetchall()[0]
    lower_us = aligned(min(max(now_us, newest or 0), floor_us) - keep_days * DAY_US, "hour")
    rows = connection.execute(
        f"select distinct started_at // {minute} * {minute} from operations "
        "where started_at >= $low and started_at < $floor",
        {"low": lower_us, "floor": floor_us},
    ).fetchall()
    mark_dirty(connection, dirty, (bucket for (bucket,) in rows), lower_us)
    connection.execute("insert or replace into meta values ('minute_floor', $floor)", {"floor": str(lower_us)})
    return lower_us


def mark_dirty(
    connection: duckdb.DuckDBPyConnection, dirty: DirtyBuckets, times_us: Iterable[int], floor_us: int
) -> None:
    """Note, in the writer's transaction, the buckets that operations at `times_us` fall into."""
    fresh = dirty.add(_buckets(times_us, floor_us))
    if fresh:
        connection.execute(
            "insert into dirty select unnest($grains::VARCHAR[]), unnest($buckets::BIGINT[])",
            {"grains": [grain for grain, _ in fresh], "buckets": [bucket for _, bucket in fresh]},
        )


def new_buckets(dirty: DirtyBuckets, times_us: Iterable[int], floor_us: int) -> bool:
    """Whether operations at `times_us` fall into buckets that are not noted yet."""
    return not dirty.knows(_buckets(times_us, floor_us))


def _buckets(times_us: Iterable[int], floor_us: int) -> set[tuple[str, int]]:
    minute, hour = GRAINS_US["minute"], GRAINS_US["hour"]
    minutes = {time // minute for time in times_us}
    buckets = {("hour", value * minute // hour * hour) for value in minutes}
    return buckets | {("minute", value * minute) for value in minutes if value * minute >= floor_us}


def recompute(connection: duckdb.DuckDBPyConnection, dirty: DirtyBuckets, floor_us: int, *, coarse: bool = True) -> int:
    """Rebuild dirty minutes, and with `coarse` hours and days, inside the caller's transaction; returns how many."""
    minutes = dirty.of("minute")
    _rebuild(connection, "minute", minutes)
    if not coarse:
        connection.execute("delete from dirty where grain = 'minute'")
        return len(minutes)
    hours = dirty.of("hour")
    days = sorted({aligned(hour, "day") for hour in hours})
    _rebuild(connection, "hour", [hour for hour in hours if hour >= floor_us], "minute")
    _rebuild(connection, "hour", [hour for hour in hours if hour < floor_us])
    _rebuild(connection, "day", days, "hour")
    connection.execute("delete from dirty")
    return len(minutes) + len(hours) + len(days)


def forget_minutes(connection: duckdb.DuckDBPyConnection, floor_us: int) -> None:
    """Drop per-minute rollups before `floor_us`; hours keep what they held."""
    tables = [f"rollup_{cube.name}_minute" for cube in SUM_CUBES if cube.by_minute]
    tables += [f"latency_{cube.name}_minute" for cube in LATENCY_CUBES if cube.by_minute]
    for table in tables:
        connection.execute(f"delete from {table} where bucket < $floor", {"floor": floor_us})
    connection.execute("insert or replace into meta values ('minute_floor', $floor)", {"floor": str(floor_us)})


def _rebuild(connection: duckdb.DuckDBPyConnection, grain: str, buckets: list[int], finer: str | None = None) -> None:
    """Delete and refill `buckets` of one grain, from the `finer` grain where the cube has it, else from operations."""
    if not buckets:
        return
    for cube in SUM_CUBES:
        if grain in cube.grains:
            source = f"rollup_{cube.name}_{finer}" if finer in cube.grains else None
            _refill(connection, f"rollup_{cube.name}_{grain}", grain, buckets, source, cube.dimensions)
    for cube in LATENCY_CUBES:
        if grain in cube.grains:
            source = f"latency_{cube.name}_{finer}" if finer in cube.grains else None
            _refill(connection, f"latency_{cube.name}_{grain}", grain, buckets, source, cube.dimensions, bins=True)


def _refill(
    connection: duckdb.DuckDBPyConnection,
    table: str,
    grain: str,
    buckets: list[int],
    source: str | None,
    dimensions: tuple[str, ...],
    *,
    bins: bool = False,
) -> None:
    size = GRAINS_US[grain]
    time = "bucket" if source else "started_at"
    parameters: dict[str, Any] = {"low": buckets[0], "high": buckets[-1] + size}
    chosen = in_table = ""
    if len(buckets) * size < parameters["high"] - parameters["low"]:  # there are holes between them
        parameters["buckets"] = buckets
        listed = "(select unnest($buckets::BIGINT[]))"
        chosen, in_table = f" and {time} // {size} * {size} in {listed}", f" and bucket in {listed}"
    keys = ["bucket_start", *dimensions]
    if not bins:
        values = _FROM_ROLLUP if source else _FROM_OPERATIONS
    elif source:
        keys.append("bin")
        values = "sum(n)::BIGINT"
    else:
        keys.append("duration_bin")
        values = "count(*)"
        chosen += " and duration_ms is not null"
    delete = f"delete from {table} where bucket >= $low and bucket < $high{in_table}"
    connection.execute(parsed(connection, delete), parameters)
    insert = (
        f"insert into {table} select {time} // {size} * {size} as bucket_start, {', '.join(keys[1:])}, {values} "
        f"from {source or 'operations'} where {time} >= $low and {time} < $high{chosen} group by {', '.join(keys)}"
    )
    connection.execute(parsed(connection, insert), parameters)

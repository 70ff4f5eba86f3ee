"""What the settings no longer keep: deleted by a time that may be believed, after it was written to `trash/`."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

import duckdb

from ralex_core.clock import Clock
from ralex_core.errors import ConfigError
from ralex_core.model.window import DAY_US
from ralex_core.render import to_iso
from ralex_core.storage import resource_tables, rollup
from ralex_core.storage.clock_readings import ClockReadings
from ralex_core.storage.schema import GRAINS_US
from ralex_core.storage.telemetry import RetentionState
from ralex_core.storage.trash import Removal, Trash

logger = logging.getLogger(__name__)

KIND = "retention"
_READINGS = "clock_readings"
_FLOOR = "retention_floor"
_KEYS = {
    "operations": "operation_id",
    "resource_samples": "sampled_at",
    "process_samples": "sampled_at, pid, started_at, name",
    "gpu_samples": "sampled_at, gpu",
    "resource_states": "changed_at, resource",
}
"""Columns that tell whether a row is stored already."""
_TIMES = {table: keys.partition(",")[0] for table, keys in _KEYS.items()} | {"operations": "started_at"}
_THINNED = "resources_thinned_until"
_NEWEST = (
    "select max(newest) from (select max(started_at) as newest from operations "
    "union all select max(sampled_at) from resource_samples)"
)


class Retention:
    """The clock readings, the floor and the trash of one store. Called on the thread that writes."""

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, clock: Clock, trash: Trash, retention_days: int | None
    ) -> None:
        self._clock = clock
        self._trash = trash
        self._days = retention_days
        now_us = clock.now_us()
        (newest,) = connection.execute(_NEWEST).fetchall()[0]
        seed_us = now_us if newest is None else min(now_us, newest)
        self._readings = ClockReadings.parse(_meta(connection, _READINGS), clock.monotonic(), seed_us=seed_us)
        self.floor_us = 0
        self.read_floor(connection)
        self.correct_marks(connection, now_us)
        self._doubt: str | None = None

    def read_floor(self, connection: duckdb.DuckDBPyConnection) -> None:
        self.floor_us = int(_meta(connection, _FLOOR) or 0)

    def state(self) -> RetentionState:
        now_us = self._clock.now_us()
        return RetentionState(self._readings.believed_us(now_us), self.floor_us, self._readings.doubt(now_us))

    def note(self, now_us: int) -> int:
        """Take a reading of the clock; returns the time that may be believed."""
        self._readings.note(now_us, self._clock.monotonic())
        doubt = self._readings.doubt(now_us)
        if doubt is not None and self._doubt is None:
            logger.warning("%s", doubt)
        self._doubt = doubt
        return self._readings.believed_us(now_us)

    def horizon_us(self, believed_us: int) -> int | None:
        """Operations that started before this are no longer kept; None: all are."""
        return None if self._days is None else rollup.aligned(believed_us - self._days * DAY_US, "day")

    def keep_in_trash(self, connection: duckdb.DuckDBPyConnection, believed_us: int) -> None:
        """Write what `delete` will remove to the trash, a Parquet file for each table; nothing when there is nothing.

        Raises:
            StoreFull: the trash could not be written; nothing may be deleted.
        """
        found = {
            table: count
            for table, where in self._expired(believed_us)
            if (count := connection.execute(f"select count(*) from {table} where {where}").fetchall()[0][0])
        }
        if not found:
            return
        where_of = dict(self._expired(believed_us))
        details = {
            "rows": found,
            "where": {table: where_of[table] for table in found},
            "horizon_us": self.horizon_us(believed_us),
        }
        last = next((one for one in reversed(self._trash.removals()) if one.kind == KIND), None)
        if last is not None and last.details == details:
            return  # written before, and then the deletion failed

        def fill(directory: Path) -> None:
            for table in found:
                file = str(directory / f"{table}.parquet").replace("'", "''")
                connection.execute(
                    f"copy (select * from {table} where {where_of[table]}) to '{file}' "
                    "(format parquet, compression zstd)"
                )

        rows = ", ".join(f"{count:,} {table.replace('_', ' ')}" for table, count in found.items())
        note = f"Retention removed {rows}: older than is kept, by {to_iso(believed_us)}."
        kept = self._trash.put(KIND, note, fill, now_us=self._clock.now_us(), details=details)
        logger.info("%s They are in %s for a week.", note, kept)

    def _expired(self, believed_us: int) -> Iterator[tuple[str, str]]:
        """Tables, each with the condition of its rows that are no longer kept."""
        horizon_us = self.horizon_us(believed_us)
        if horizon_us is not None:
            yield "operations", f"started_at < {horizon_us}"
        yield from resource_tables.expired(believed_us)

    def delete(self, connection: duckdb.DuckDBPyConnection, believed_us: int) -> int:
        """Delete what is no longer kept, inside the caller's transaction; returns how many operations."""
        deleted = 0
        for table, where in self._expired(believed_us):
            gone = connection.execute(f"delete from {table} where {where} returning 1").fetchall()
            deleted += len(gone) if table == "operations" else 0
        horizon_us = self.horizon_us(believed_us)
        if horizon_us is not None and horizon_us > self.floor_us:
            _set_meta(connection, _FLOOR, str(horizon_us))
        _set_meta(connection, _READINGS, self._readings.text())
        return deleted

    def committed(self, believed_us: int) -> None:
        """What `delete` did is on disk."""
        self.floor_us = max(self.floor_us, self.horizon_us(believed_us) or 0)
        self._trash.purge(believed_us)

    def take_back(self, connection: duckdb.DuckDBPyConnection, removals: Sequence[Removal]) -> list[int]:
        """Store what removals hold and lower the floor, inside the caller's transaction; returns when its operations
        started (UTC µs).

        Raises:
            ConfigError: the settings do not keep it.
        """
        times, floor_us = list[int](), self.floor_us
        for removal in removals:
            for file in sorted(removal.path.glob("*.parquet")):
                table, name = file.stem, str(file).replace("'", "''")
                (first,) = connection.execute(f"select min({_TIMES[table]}) from read_parquet('{name}')").fetchall()[0]
                if table == "operations":
                    self._refuse_what_is_not_kept(removal, first)
                    floor_us = min(floor_us, rollup.aligned(first, "day"))
                rows = connection.execute(
                    f"insert into {table} by name select * from read_parquet('{name}') as removed anti join {table} "
                    f"using ({_KEYS[table]}) returning {_TIMES[table]}"
                ).fetchall()
                times += [time for (time,) in rows if table == "operations"]
        _set_meta(connection, _FLOOR, str(floor_us))
        return times

    def _refuse_what_is_not_kept(self, removal: Removal, first_us: int) -> None:
        horizon_us = self.horizon_us(self._readings.believed_us(self._clock.now_us()))
        if horizon_us is not None and first_us < horizon_us:
            raise ConfigError(
                f"{removal.name} holds operations from {to_iso(first_us)} on, and retention_days = {self._days} would "
                "remove them again. Raise retention_days in config.toml first."
            )

    def correct_marks(self, connection: duckdb.DuckDBPyConnection, now_us: int) -> None:
        """A mark in the future was set by a clock that was ahead: bring it back to where it still does its work.

        The floor protects hours that have totals and no operations any more, so it may always be lowered to the end of
        the last hour before it that has totals, whether it is the clock of then or of now that is wrong.
        """
        if self.floor_us > now_us:
            (last,) = connection.execute(
                "select max(bucket) from rollup_client_hour where bucket < $floor", {"floor": self.floor_us}
            ).fetchall()[0]
            floor_us = 0 if last is None else min(last + GRAINS_US["hour"], self.floor_us)
            if floor_us < self.floor_us:
                _set_meta(connection, _FLOOR, str(floor_us))
                logger.warning(
                    "Operations before %s were refused, which is in the future: a clock was ahead. "
                    "From now on only those before %s are.",
                    to_iso(self.floor_us),
                    to_iso(floor_us),
                )
                self.floor_us = floor_us
        thinned_us = int(_meta(connection, _THINNED) or 0)
        if thinned_us > now_us:
            _set_meta(connection, _THINNED, str(now_us - resource_tables.SINGLE_READINGS_US))


def _meta(connection: duckdb.DuckDBPyConnection, key: str) -> str | None:
    found = connection.execute("select value from meta where key = $key", {"key": key}).fetchall()
    return found[0][0] if found else None


def _set_meta(connection: duckdb.DuckDBPyConnection, key: str, value: str) -> None:
    connection.execute("insert or replace into meta values ($key, $value)", {"key": key, "value": value})

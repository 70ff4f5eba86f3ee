"""The embedded telemetry store: one DuckDB file, owned by one process."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Collection, Generator, Sequence
from pathlib import Path
from typing import Any

import duckdb
import numpy as np

from ralex_core.clock import Clock, SystemClock
from ralex_core.errors import SchemaTooNew, StoreCorrupt, StoreError
from ralex_core.model.operation import Operation
from ralex_core.model.window import DAY_US
from ralex_core.private_files import private_directory
from ralex_core.selfmetrics import SelfMetrics
from ralex_core.storage import resource_tables, revaluing, rollup, upgrades
from ralex_core.storage.amending import amend
from ralex_core.storage.asking import asked_by
from ralex_core.storage.batch_table import batch_table, latest_revisions
from ralex_core.storage.duckdb_errors import translated
from ralex_core.storage.engine_memory import QUIET_LOG_BYTES, default_memory_mb, memory_settings
from ralex_core.storage.known_ids import KEY, Hashes, KnownIds
from ralex_core.storage.retention import Retention, RetentionState
from ralex_core.storage.schema import ID_HASH, SCHEMA_VERSION, ddl
from ralex_core.storage.statements import column_of, forget_statements, over_batch, parsed, without_optimizer
from ralex_core.storage.telemetry import Amendment, ResourceRecord, Revalued, WriteResult
from ralex_core.storage.trash import Removal, Trash
from ralex_core.storage.write_ahead_log import Mended, mend, put_back

_HASHES = f"select {ID_HASH} as id_hash from batch"
_STORED = """
    select operation_id, revision, started_at from operations
    where started_at between $low and $high and operation_id in (select operation_id from batch)
"""

_STORED_ONE = """
    select operation_id, revision, started_at from operations
    where started_at between $low and $high and id_hash = $id_hash
"""
"""The same for a single id, in less than half the time: it may give other ids with that hash."""

THREADS = min(4, os.cpu_count() or 1)
"""That work on one query. Batches are too small to be split, so writing gains nothing by a second; reading all of a
long history takes half as long. No more than four, so that one page does not take a whole workstation."""


class DuckDBStore:
    """A `Store` (see `storage.telemetry`) in one DuckDB file at `path`; created when it does not exist.

    `memory_mb` is what DuckDB may use, in MiB; by default what fits the machine.

    Raises:
        StoreLocked: another process has it open.
        StoreCorrupt: the file is not a DuckDB database, or not one of ours, or is damaged.
        SchemaTooNew: a newer version of this package wrote it.
        StoreFull: there is no room to create it.
        StoreError: the directory cannot be written.
    """

    def __init__(
        self,
        path: Path,
        *,
        clock: Clock | None = None,
        minute_rollup_days: int = 3,
        retention_days: int | None = None,
        memory_mb: int | None = None,
        metrics: SelfMetrics | None = None,
    ) -> None:
        self.path = path
        self._memory_mb = memory_mb or default_memory_mb()
        self._metrics = metrics
        self._clock = clock or SystemClock()
        self._minute_rollup_days = minute_rollup_days
        self._trash = Trash(path.parent)
        self._mended: Mended | None = None
        self._local = threading.local()
        self._generation = 0
        self._cursors: dict[int, duckdb.DuckDBPyConnection] = {}
        """Thread → its cursor; a thread that takes the number of one that ended takes its place."""
        self._cursors_lock = threading.Lock()
        self._write_lock = threading.RLock()
        self._connection = self._connect()
        self._appending = without_optimizer(self._connection)
        try:
            upgraded = self._prepare_schema()
            self._dirty = rollup.load_dirty(self._connection)
            self._minute_floor = rollup.minute_floor(self._connection, self._clock.now_us(), minute_rollup_days)
            self._retention = Retention(self._connection, self._clock, self._trash, retention_days)
            self._known: KnownIds | None = None
            """Read by the first write: who only reads does without."""
            if upgraded:
                self.refresh_rollups()
        except BaseException:
            self._connection.close()
            raise

    # --- opening -----------------------------------------------------------------------------------------------

    def _connect(self) -> duckdb.DuckDBPyConnection:
        try:
            private_directory(self.path.parent)
        except OSError as error:
            raise StoreError(
                f"Cannot create the directory {self.path.parent}: {error.strerror}. "
                "Choose another one with RALEX_MONITOR_HOME."
            ) from error
        try:
            settings: dict[str, Any] = {
                **memory_settings(self.path, self._memory_mb),
                # object arrays hold text only (see `batch_table`): one value tells, a thousand cost a third of writing
                "pandas_analyze_sample": 1,
                "threads": THREADS,
            }
            mended = mend(self.path, self._trash, self._clock.now_us())
            try:
                connection = duckdb.connect(str(self.path), config=settings)
            except duckdb.Error:
                if mended is not None:
                    put_back(mended, self.path)
                raise
            self._mended = mended or self._mended
            return connection
        except duckdb.Error as error:
            raise translated(error, self.path) from error

    def _prepare_schema(self) -> bool:
        """Make the tables of a new file, bring those of an old one up to date; whether they were."""
        connection = self._connection
        try:
            tables = {row[0] for row in connection.execute("select table_name from duckdb_tables()").fetchall()}
            if not tables:
                connection.execute("begin")
                for statement in ddl():
                    connection.execute(statement)
                connection.execute("commit")
                return False
            if "meta" not in tables or "operations" not in tables:
                raise StoreCorrupt(
                    f"{self.path} is a DuckDB file, but not a Ralex Monitor store. "
                    "Move it away or choose another RALEX_MONITOR_HOME."
                )
            version = int(self._meta("schema_version") or 0)
        except duckdb.Error as error:
            raise translated(error, self.path) from error
        if version > SCHEMA_VERSION:
            raise SchemaTooNew(
                f"{self.path} has schema {version}, this version knows {SCHEMA_VERSION}. "
                "Upgrade ralex-monitor, or choose another RALEX_MONITOR_HOME; the file was not touched."
            )
        try:
            if version < SCHEMA_VERSION:
                upgrades.upgrade(connection, version)
            upgrades.rehash(connection)
        except duckdb.Error as error:
            raise translated(error, self.path) from error
        return version < SCHEMA_VERSION

    def _meta(self, key: str) -> str | None:
        row = self._connection.execute("select value from meta where key = $key", {"key": key}).fetchone()
        return None if row is None else row[0]

    def _reopen(self) -> None:
        """After a fatal error DuckDB refuses everything until the file is opened again; commits are in its log."""
        with self._cursors_lock:  # one that stays open would keep the broken instance, and get it for us again
            for connection in (*self._cursors.values(), self._appending, self._connection):
                with contextlib.suppress(duckdb.Error):
                    connection.close()
            self._cursors.clear()
        self._connection = self._connect()
        self._appending = without_optimizer(self._connection)
        self._generation += 1
        try:
            self._dirty = rollup.load_dirty(self._connection)
        except duckdb.Error as error:
            raise translated(error, self.path) from error

    # --- writing (one thread at a time) ------------------------------------------------------------------------

    @contextlib.contextmanager
    def _transaction(self, *, appending: bool = False) -> Generator[duckdb.DuckDBPyConnection]:
        """All or nothing; DuckDB's errors come out as ours."""
        with self._write_lock:
            connection = self._appending if appending else self._connection
            self._dirty.discard_pending()
            try:
                connection.execute("begin")
                yield connection
                connection.execute("commit")
            except duckdb.Error as error:
                self._recover(connection, error)
                raise translated(error, self.path) from error
            except BaseException:
                with contextlib.suppress(duckdb.Error):
                    connection.execute("rollback")
                raise

    def _recover(self, connection: duckdb.DuckDBPyConnection, error: duckdb.Error) -> None:
        try:
            connection.execute("rollback")
        except duckdb.TransactionException:
            pass  # the failed commit already ended it
        except duckdb.Error:
            self._reopen()
            return
        if isinstance(error, duckdb.FatalException | duckdb.InternalException):
            self._reopen()

    def write(self, operations: Sequence[Operation]) -> WriteResult:
        if not operations:
            return WriteResult(0, 0, 0)
        with self._write_lock:
            batch = latest_revisions(operations)
            ids = [operation.operation_id for operation in batch]
            hashes, found = self._look_up(ids)
            fresh = batch
            if found:
                highest: dict[str, int] = {}
                for identifier, revision, _ in found:
                    highest[identifier] = max(revision, highest.get(identifier, revision))
                fresh = [op for op in batch if op.revision > highest.get(op.operation_id, -1)]
            expired = frozenset(op.operation_id for op in fresh if op.started_at < self._retention.floor_us)
            if expired:
                fresh = [op for op in fresh if op.operation_id not in expired]
            replaced: dict[str, list[int]] = {}
            if found:
                wanted = {op.operation_id for op in fresh}
                for identifier, _, started_at in found:
                    if identifier in wanted:
                        replaced.setdefault(identifier, []).append(started_at)
            if fresh:
                self._known_ids().add(hashes, [op.started_at for op in batch])  # first: it may hold what is not stored
                self._store(fresh, replaced)
        return _result(operations, ids, fresh, replaced.keys(), expired)

    def _store(self, fresh: list[Operation], replaced: dict[str, list[int]]) -> None:
        """Insert operations; those whose id is in `replaced` take the place of what is stored at these times."""
        times = [operation.started_at for operation in fresh]
        if not replaced:
            self._append(fresh, times)
            return
        with self._transaction() as connection:
            self._remove(connection, list(replaced), [time for stored in replaced.values() for time in stored])
            self._insert(connection, fresh)
            times += (time for stored in replaced.values() for time in stored)
            rollup.mark_dirty(connection, self._dirty, times, self._minute_floor)
        self._dirty.persisted()

    def _known_ids(self) -> KnownIds:
        if self._known is None:
            stored = self._appending.execute(f"select {KEY} as key from operations")
            self._known = KnownIds(column_of(stored, "key"))
        return self._known

    def _look_up(self, ids: list[str]) -> tuple[Hashes, list[tuple[str, int, int]]]:
        """The hashes of ids; and id, revision and start of the operations that are stored under them."""
        values = np.fromiter(ids, dtype=object, count=len(ids))
        found: list[tuple[str, int, int]] = []
        try:
            hashes: Hashes = column_of(over_batch(self._appending, _HASHES, {"operation_id": values}), "id_hash")
            for span in self._known_ids().places(hashes):
                bounds = {"low": span.low_us, "high": span.high_us}
                if len(span.positions) == 1:  # most often another id with the same hash
                    one = span.positions[0]
                    rows = self._connection.execute(
                        parsed(self._connection, _STORED_ONE), bounds | {"id_hash": int(hashes[one])}
                    ).fetchall()
                    found += (row for row in rows if row[0] == ids[one])
                    continue
                columns = {"operation_id": values[span.positions]}
                found += over_batch(self._connection, _STORED, columns, bounds).fetchall()
        except duckdb.Error as error:
            self._recover(self._appending, error)
            raise translated(error, self.path) from error
        return hashes, found

    def _append(self, batch: list[Operation], times: list[int]) -> None:
        """Store operations none of which is stored. Where no bucket becomes dirty by it, one statement is all there is
        to commit: each call into DuckDB that is saved is one less wait for the interpreter lock."""
        if rollup.new_buckets(self._dirty, times, self._minute_floor):
            with self._transaction(appending=True) as connection:
                self._insert(connection, batch)
                rollup.mark_dirty(connection, self._dirty, times, self._minute_floor)
            self._dirty.persisted()
            return
        with self._write_lock:
            try:
                self._insert(self._appending, batch)
            except duckdb.Error as error:
                self._recover(self._appending, error)
                raise translated(error, self.path) from error

    def _insert(self, connection: duckdb.DuckDBPyConnection, operations: list[Operation]) -> None:
        columns, select = batch_table(operations)
        over_batch(connection, f"insert into operations select {select} from batch", columns)

    def _remove(self, connection: duckdb.DuckDBPyConnection, ids: list[str], times: list[int]) -> None:
        """Delete the operations with these ids, which started at these times."""
        bounds = {"ids": ids, "low": min(times), "high": max(times)}
        connection.execute(
            "delete from operations where started_at between $low and $high "
            "and operation_id in (select unnest($ids::VARCHAR[]))",
            bounds,
        )

    def write_resources(self, samples: Sequence[ResourceRecord]) -> None:
        if not samples:
            return
        with self._transaction() as connection:
            resource_tables.insert(connection, samples)

    def amend(self, amendments: Sequence[Amendment]) -> int:
        changed = 0
        with self._transaction() as connection:
            for amendment in amendments:
                times = amend(connection, amendment)
                changed += len(times)
                rollup.mark_dirty(connection, self._dirty, times, self._minute_floor)
        self._dirty.persisted()
        return changed

    def revalue(self, ids: Sequence[str], change: Callable[[Operation], Operation]) -> list[Revalued]:
        if not ids:
            return []
        with self._write_lock:
            _, stored = self._look_up(list(dict.fromkeys(ids)))
            if not stored:
                return []
            times = [started_at for _, _, started_at in stored]
            with self._transaction() as connection:
                found = revaluing.changed(connection, ids, min(times), max(times), change)
                if found:
                    times = [one.after.started_at for one in found]
                    self._remove(connection, [one.after.operation_id for one in found], times)
                    self._insert(connection, [one.after for one in found])
                    rollup.mark_dirty(connection, self._dirty, times, self._minute_floor)
            self._dirty.persisted()
        return found

    def refresh_rollups(self, *, coarse: bool = True) -> int:
        if not (self._dirty if coarse else self._dirty.of("minute")):
            return 0
        with self._transaction() as connection:
            count = rollup.recompute(connection, self._dirty, self._minute_floor, coarse=coarse)
        self._dirty.clear(coarse=coarse)
        return count

    def fold_log(self) -> bool:
        with self._write_lock:
            try:
                if self._log_path.stat().st_size < QUIET_LOG_BYTES:
                    return False
                self._connection.execute("checkpoint")
            except FileNotFoundError:
                return False
            except duckdb.Error as error:
                self._recover(self._connection, error)
                raise translated(error, self.path) from error
        return True

    @property
    def _log_path(self) -> Path:
        return self.path.with_name(f"{self.path.name}.wal")

    def apply_retention(self, now_us: int) -> int:
        """Delete what the settings no longer keep. Hour and day rollups stay, so history keeps its totals.

        `now_us` is a reading of the clock. What is deleted goes by `clock_readings`, and into `trash/` first.
        """
        self.refresh_rollups()
        believed_us = self._retention.note(now_us)
        with self._write_lock:
            self._retention.keep_in_trash(self._connection, believed_us)
        with self._transaction() as connection:
            self._retention.correct_marks(connection, now_us)
            floor = rollup.aligned(believed_us - self._minute_rollup_days * DAY_US, "hour")
            if self._minute_floor > now_us:
                floor = rollup.lower_minute_floor(
                    connection, self._dirty, self._minute_floor, now_us, self._minute_rollup_days
                )
            elif floor > self._minute_floor:
                rollup.forget_minutes(connection, floor)
            else:
                floor = self._minute_floor
            resource_tables.thin(connection, believed_us)
            deleted = self._retention.delete(connection, believed_us)
        self._dirty.persisted()
        self._minute_floor = floor
        self._retention.committed(believed_us)
        if deleted:
            self._known = None  # read again by the next write, without what is gone
        return deleted

    def take_back(self, removals: Sequence[Removal]) -> int:
        """Store again what retention removed, so far as it is not stored; returns how many operations.

        Give all removals from the oldest wanted one on: there is one floor, and behind it every hour is whole.

        Raises:
            ConfigError: the settings do not keep it; nothing was changed.
        """
        with self._transaction() as connection:
            times = self._retention.take_back(connection, removals)
            rollup.mark_dirty(connection, self._dirty, times, self._minute_floor)
        self._dirty.persisted()
        self._known = None
        self._retention.read_floor(self._connection)
        self.refresh_rollups()
        return len(times)

    # --- reading (any thread) ----------------------------------------------------------------------------------

    @property
    def minute_floor_us(self) -> int:
        """From here on the per-minute rollups are complete."""
        return self._minute_floor

    @property
    def coarse_until_us(self) -> int:
        """From here on (and where there are minutes) hour and day rollups may be behind: minutes answer instead."""
        return self._dirty.first_hour_from(self._minute_floor)

    @property
    def needs_coarse(self) -> bool:
        """Whether hours are behind that have no minutes to answer for them: an old log was imported."""
        return self._dirty.has_hour_before(self._minute_floor)

    @property
    def retention_floor_us(self) -> int:
        """Operations that started before this were deleted by retention and are not taken in again."""
        return self._retention.floor_us

    @property
    def log_trouble(self) -> str | None:
        """What was found wrong with the write-ahead log when the file was opened, and where the original is."""
        return None if self._mended is None else self._mended.message

    def retention_state(self) -> RetentionState:
        """How far retention has come, and whether the clock is doubted."""
        return self._retention.state()

    def query(self, sql: str, parameters: dict[str, Any] | None = None) -> list[tuple[Any, ...]]:
        """Rows of a read-only statement, as of the last commit.

        Raises:
            StoreError: the statement failed; a damaged file says so.
        """
        started = time.perf_counter()
        try:
            cursor = self._cursor()
            return cursor.execute(parsed(cursor, sql), parameters or {}).fetchall()
        except duckdb.Error as error:
            raise translated(error, self.path) from error
        finally:
            if self._metrics is not None:
                self._metrics.observe("query_seconds", time.perf_counter() - started, (("question", asked_by()),))

    def _cursor(self) -> duckdb.DuckDBPyConnection:
        """This thread's own cursor: DuckDB connections are not to be shared between threads."""
        local = self._local
        if getattr(local, "generation", None) != self._generation:
            with self._cursors_lock:
                local.cursor = self._cursors[threading.get_ident()] = self._connection.cursor()
            local.generation = self._generation
        return local.cursor

    def copy_to(self, target: Path) -> None:
        """Write a consistent copy of the whole store to a new file, while it is in use."""
        with self._write_lock:
            try:
                name = self._connection.execute("select current_database()").fetchone()
                self._connection.execute(f"attach '{_quoted(str(target))}' as copy_target")
                try:
                    self._connection.execute(f'copy from database "{name[0] if name else ""}" to copy_target')
                finally:
                    self._connection.execute("detach copy_target")
            except duckdb.Error as error:
                raise translated(error, target) from error

    def close(self) -> None:
        with self._write_lock:
            try:
                self._appending.close()
                self._connection.close()
                forget_statements()
            except duckdb.Error as error:
                raise translated(error, self.path) from error


def _result(
    operations: Sequence[Operation],
    ids: list[str],
    fresh: list[Operation],
    replaced: Collection[str],
    expired: frozenset[str],
) -> WriteResult:
    """What storing `fresh`, of the given operations with these different ids, did."""
    too_old = sum(operation.operation_id in expired for operation in operations) if expired else 0
    duplicates: frozenset[str] = frozenset()
    if len(fresh) < len(ids):
        duplicates = frozenset(ids).difference(expired, (operation.operation_id for operation in fresh))
    return WriteResult(
        inserted=len(fresh) - len(replaced),
        replaced=len(replaced),
        duplicates=len(operations) - len(fresh) - too_old,
        replaced_ids=frozenset(replaced),
        duplicate_ids=duplicates,
        expired=too_old,
        expired_ids=expired,
        stored=fresh,
    )


def _quoted(text: str) -> str:
    return text.replace("'", "''")

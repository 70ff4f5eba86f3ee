"""The embedded telemetry store: one DuckDB file, owned by one process."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any

import duckdb
import numpy as np

from ralex_core.clock import Clock, SystemClock
from ralex_core.errors import SchemaTooNew, StoreCorrupt, StoreError
from ralex_core.model.operation import Operation
from ralex_core.model.window import DAY_US
from ralex_core.selfmetrics import SelfMetrics
from ralex_core.storage import resource_tables, revaluing, rollup, upgrades
from ralex_core.storage.amending import amend
from ralex_core.storage.asking import asked_by
from ralex_core.storage.batch_table import batch_table, latest_revisions
from ralex_core.storage.duckdb_errors import translated
from ralex_core.storage.recent_ids import RecentIds
from ralex_core.storage.retention import Retention, RetentionState
from ralex_core.storage.schema import SCHEMA_VERSION, ddl
from ralex_core.storage.statements import over_batch, parsed, without_optimizer
from ralex_core.storage.telemetry import Amendment, ResourceRecord, Revalued, WriteResult
from ralex_core.storage.trash import Removal, Trash
from ralex_core.storage.write_ahead_log import Mended, mend, put_back

_STORED_REVISIONS = """
    select operation_id, max(revision) from operations
    where started_at between $low and $high and operation_id in (select operation_id from batch)
    group by operation_id
"""

THREADS = min(4, os.cpu_count() or 1)
"""That work on one query. Batches are too small to be split, so writing gains nothing by a second; reading all of a
long history takes half as long. No more than four, so that one page does not take a whole workstation."""

MEMORY_LIMIT = "1GB"
"""Ceiling of DuckDB's own buffers; it spills to disk beyond it."""

LOG_LIMIT = "128MB"
"""Size of the write-ahead log that makes DuckDB fold it into the file. At its own 16 MB that is every second under load
and costs a third of all writing; a killed process reads the log back in about a second."""


class DuckDBStore:
    """A `Store` (see `storage.telemetry`) in one DuckDB file at `path`; created when it does not exist.

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
        metrics: SelfMetrics | None = None,
    ) -> None:
        self.path = path
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
            self._recent: RecentIds | None = RecentIds(self._last_start())
            if upgraded:
                self.refresh_rollups()
        except BaseException:
            self._connection.close()
            raise

    # --- opening -----------------------------------------------------------------------------------------------

    def _connect(self) -> duckdb.DuckDBPyConnection:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(
                f"Cannot create the directory {self.path.parent}: {error.strerror}. "
                "Choose another one with RALEX_MONITOR_HOME."
            ) from error
        try:
            settings: dict[str, Any] = {
                "memory_limit": MEMORY_LIMIT,
                "wal_autocheckpoint": LOG_LIMIT,
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

    def _last_start(self) -> int:
        # to the last row: the connection takes nothing else before a result is read to its end
        ((last,),) = self._connection.execute("select max(started_at) from operations").fetchall()
        return last or 0

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
        batch = latest_revisions(operations)
        expired = frozenset(op.operation_id for op in batch if op.started_at < self._retention.floor_us)
        late = 0
        if expired:
            batch = [operation for operation in batch if operation.operation_id not in expired]
            late = sum(operation.operation_id in expired for operation in operations)
            if not batch:
                return WriteResult(0, 0, 0, expired=late, expired_ids=expired)
        ids, times = [operation.operation_id for operation in batch], [operation.started_at for operation in batch]
        fresh, replaced = batch, list[str]()
        try:
            if self._recent is not None and self._recent.rule_out(ids, min(times)):
                self._append(batch, times)
            else:
                fresh, replaced = self._merge(batch, times)
        except BaseException:
            self._recent = None  # what became of these ids is not known: the next batch asks the store
            raise
        self._note_recent(ids, times)
        kept = {operation.operation_id for operation in fresh} if fresh is not batch else set(ids)
        return WriteResult(
            inserted=len(fresh) - len(replaced),
            replaced=len(replaced),
            duplicates=len(operations) - len(fresh) - late,
            replaced_ids=frozenset(replaced),
            duplicate_ids=frozenset(identifier for identifier in ids if identifier not in kept),
            expired=late,
            expired_ids=expired,
        )

    def _note_recent(self, ids: list[str], times: list[int]) -> None:
        """After a commit, so nothing that fails here may look as if nothing was stored."""
        if self._recent is None:
            with contextlib.suppress(duckdb.Error):
                self._recent = RecentIds(self._last_start())
        if self._recent is not None:
            self._recent.add(ids, max(times))

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

    def _merge(self, batch: list[Operation], times: list[int]) -> tuple[list[Operation], list[str]]:
        """Store what is new or a higher revision; returns it, and the ids of which a lower revision was stored."""
        with self._transaction() as connection:
            stored = self._stored_revisions(connection, batch, times)
            fresh = [
                operation
                for operation in batch
                if operation.operation_id not in stored or operation.revision > stored[operation.operation_id]
            ]
            replaced = [operation.operation_id for operation in fresh if operation.operation_id in stored]
            if replaced:
                rollup.mark_dirty(
                    connection, self._dirty, self._remove(connection, replaced, times), self._minute_floor
                )
            if fresh:
                self._insert(connection, fresh)
                rollup.mark_dirty(
                    connection, self._dirty, (operation.started_at for operation in fresh), self._minute_floor
                )
        self._dirty.persisted()
        return fresh, replaced

    def _insert(self, connection: duckdb.DuckDBPyConnection, operations: list[Operation]) -> None:
        columns, select = batch_table(operations)
        over_batch(connection, f"insert into operations select {select} from batch", columns)

    def _stored_revisions(
        self, connection: duckdb.DuckDBPyConnection, batch: list[Operation], times: list[int]
    ) -> dict[str, int]:
        ids = np.fromiter((operation.operation_id for operation in batch), dtype=object, count=len(batch))
        bounds = {"low": min(times), "high": max(times)}
        return dict(over_batch(connection, _STORED_REVISIONS, {"operation_id": ids}, bounds).fetchall())

    def _remove(self, connection: duckdb.DuckDBPyConnection, ids: list[str], times: list[int]) -> list[int]:
        """Delete older revisions; returns when they started, since their buckets change too."""
        bounds = {"ids": ids, "low": min(times), "high": max(times)}
        rows = connection.execute(
            "delete from operations where started_at between $low and $high "
            "and operation_id in (select unnest($ids::VARCHAR[])) returning started_at",
            bounds,
        ).fetchall()
        return [row[0] for row in rows]

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

    def revalue(
        self, ids: Sequence[str], low_us: int, high_us: int, change: Callable[[Operation], Operation]
    ) -> list[Revalued]:
        if not ids:
            return []
        with self._transaction() as connection:
            found = revaluing.changed(connection, ids, low_us, high_us, change)
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
        self._recent = None
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
            except duckdb.Error as error:
                raise translated(error, self.path) from error


def _quoted(text: str) -> str:
    return text.replace("'", "''")

"""The state store: settings, import cursors and the audit log, in one SQLite file through SQLAlchemy Core.

Telemetry (operations, resources, rollups) is not here; see `storage.telemetry`. A new file is made from the tables
below, an older one is brought up to date by the migrations in `state_migrations`, and a test holds that both give the
same schema. Alembic (10 MB of memory) is imported only when there is something to migrate.
Times are UTC microseconds since the epoch.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError

from ralex_core.clock import Clock, SystemClock
from ralex_core.errors import ConfigError, SchemaTooNew, StoreCorrupt, StoreError, StoreFull, StoreLocked, StoreReadOnly
from ralex_core.private_files import open_private, private_directory
from ralex_core.storage import state_tables as tables
from ralex_core.storage.state_tables import REVISIONS, upsert

BUSY_TIMEOUT_MS = 5000
"""How long a statement waits for another process to finish its transaction."""

NO_ROOM_BYTES = 64 * 1024
"""SQLite's shared memory and the first page of its log need less."""

MIGRATIONS = Path(__file__).parent / "state_migrations"

_recall = sa.select(tables.memory.c.value).where(
    tables.memory.c.source == sa.bindparam("source"), tables.memory.c.key == sa.bindparam("key")
)


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far one file of one source has been imported. Counts are of all runs that continued each other."""

    source: str
    path: str
    position: str
    """The importer's own bookmark, as JSON (see `importers.base.Position`)."""
    size: int
    """Bytes of the file when it was last read."""
    modified_at: int
    complete: bool
    """Whether everything in the file has been taken in, unfinished work at its end included."""
    follow: bool = False
    """Whether a server reads on when the file grows."""
    lines: int = 0
    imported: int = 0
    duplicates: int = 0
    rejected: int = 0
    updated_at: int = 0


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """Something a person or a job did to the monitor."""

    at: int
    action: str
    subject: str
    detail: str | None


class StateStore:
    """The state file at `path`; created, with its directory, when it does not exist. Any thread may use it.

    Raises:
        ConfigError: the directory cannot be created.
        StoreReadOnly: the file or its directory cannot be written.
        StoreLocked: another process holds it for longer than `busy_timeout_ms`.
        StoreCorrupt: the file is not SQLite, or not one of ours.
        SchemaTooNew: a newer version of this package wrote it; it is not touched.
        StoreFull: the disk has no room.
    """

    def __init__(self, path: Path, clock: Clock | None = None, *, busy_timeout_ms: int = BUSY_TIMEOUT_MS) -> None:
        self.path = path
        self._clock = clock or SystemClock()
        try:
            private_directory(path.parent)
            if path.parent.is_dir() and not path.exists():
                open_private(path, "ab").close()  # SQLite gives its log files the rights of this one
        except OSError as error:
            raise ConfigError(
                f"Cannot create the directory {path.parent}: {error.strerror}. "
                "Choose another one with RALEX_MONITOR_HOME."
            ) from error
        self._engine = sa.create_engine(f"sqlite:///{path}", connect_args={"timeout": busy_timeout_ms / 1000})
        event.listen(self._engine, "connect", _configure)
        try:
            self._bring_up_to_date()
        except BaseException:
            self._engine.dispose()
            raise

    # --- schema ------------------------------------------------------------------------------------------------

    def _bring_up_to_date(self) -> None:
        found = self._schema_revision()
        if found == REVISIONS[-1]:
            return
        if found is not None and found not in REVISIONS:
            raise SchemaTooNew(
                f"{self.path} has state schema {found}, this version knows {REVISIONS[-1]}. "
                "Upgrade ralex-monitor, or choose another RALEX_MONITOR_HOME; the file was not touched."
            )
        with self.writing() as connection:
            if found is None:
                _create(connection)
            else:
                migrate(connection, REVISIONS[-1])

    def _schema_revision(self) -> str | None:
        """The revision the file is at; None for a new file."""
        with self.reading() as connection:
            names = set(connection.scalars(sa.text("select name from sqlite_master where type = 'table'")))
            if not names:
                return None
            if "alembic_version" not in names:
                raise StoreCorrupt(
                    f"{self.path} is an SQLite file, but not a Ralex Monitor state file. "
                    "Move it away or choose another RALEX_MONITOR_HOME."
                )
            return connection.scalar(sa.text("select version_num from alembic_version"))

    @contextmanager
    def reading(self) -> Generator[sa.Connection]:
        """A connection to read with; errors of SQLite become ours."""
        try:
            with self._engine.connect() as connection:
                yield connection
        except DBAPIError as error:
            raise _translated(error, self.path) from error

    @contextmanager
    def writing(self) -> Generator[sa.Connection]:
        """One transaction, holding the write lock from its start: a reader that turns writer cannot wait its turn."""
        try:
            with self._engine.connect() as connection:
                connection.exec_driver_sql("begin immediate")
                yield connection
                connection.commit()
        except DBAPIError as error:
            raise _translated(error, self.path) from error

    def check_writable(self) -> None:
        """Take the write lock and write a value back as it is, then undo it: raises as any change would."""
        with self.reading() as connection:
            connection.exec_driver_sql("begin immediate")
            connection.exec_driver_sql("update alembic_version set version_num = version_num")
            connection.rollback()

    def close(self) -> None:
        """Give the file back. Closing twice is harmless."""
        self._engine.dispose()

    # --- settings ----------------------------------------------------------------------------------------------

    def get_setting(self, key: str) -> str | None:
        """What was stored under `key`, or None."""
        with self.reading() as connection:
            return connection.scalar(sa.select(tables.settings.c.value).where(tables.settings.c.key == key))

    def set_setting(self, key: str, value: str) -> None:
        row = {"key": key, "value": value, "updated_at": self._clock.now_us()}
        with self.writing() as connection:
            connection.execute(upsert(tables.settings, row))

    # --- imports -----------------------------------------------------------------------------------------------

    def cursor(self, source: str, path: str) -> Cursor | None:
        """Where the import of this file stands; None when it was never imported."""
        statement = sa.select(tables.cursors).where(tables.cursors.c.source == source, tables.cursors.c.path == path)
        with self.reading() as connection:
            row = connection.execute(statement).mappings().first()
        return None if row is None else Cursor(**row)

    def cursors(self, source: str | None = None) -> list[Cursor]:
        """All cursors (of one source), by source and path."""
        statement = sa.select(tables.cursors).order_by(tables.cursors.c.source, tables.cursors.c.path)
        if source is not None:
            statement = statement.where(tables.cursors.c.source == source)
        with self.reading() as connection:
            return [Cursor(**row) for row in connection.execute(statement).mappings()]

    def save_cursor(self, cursor: Cursor, remembered: Mapping[str, str] | None = None) -> None:
        """Keep where the import stands, and what its importer has to remember, in one transaction."""
        row = {name: getattr(cursor, name) for name in tables.cursors.c.keys()} | {"updated_at": self._clock.now_us()}  # noqa: SIM118
        with self.writing() as connection:
            connection.execute(upsert(tables.cursors, row))
            if remembered:
                rows = [{"source": cursor.source, "key": key, "value": value} for key, value in remembered.items()]
                connection.execute(upsert(tables.memory), rows)

    def forget_cursors(self, source: str | None = None) -> int:
        """Drop the cursors (of one source), so that the next import reads from the start; returns how many."""
        statement = sa.delete(tables.cursors)
        if source is not None:
            statement = statement.where(tables.cursors.c.source == source)
        with self.writing() as connection:
            return connection.execute(statement).rowcount

    def remembers(self, source: str) -> bool:
        """Whether an importer ever remembered anything."""
        with self.reading() as connection:
            return connection.scalar(sa.select(sa.exists().where(tables.memory.c.source == source))) or False

    def recall(self, source: str, key: str) -> str | None:
        """What an importer remembered under `key` in an earlier file or run."""
        with self.reading() as connection:
            return connection.scalar(_recall, {"source": source, "key": key})

    def memories(self, source: str) -> dict[str, str]:
        """Everything an importer remembered."""
        statement = sa.select(tables.memory.c.key, tables.memory.c.value).where(tables.memory.c.source == source)
        with self.reading() as connection:
            return {row.key: row.value for row in connection.execute(statement)}

    # --- audit log ---------------------------------------------------------------------------------------------

    def audit(self, action: str, subject: str, detail: Mapping[str, Any] | str | None = None) -> int:
        """Note that something is done: `action` to `subject`. Returns the note's number, for `take_back`.

        Before it is done, so that a state file that cannot be written keeps it from being done.
        """
        text = detail if detail is None or isinstance(detail, str) else json.dumps(detail, sort_keys=True)
        row = {"at": self._clock.now_us(), "action": action, "subject": subject, "detail": text}
        with self.writing() as connection:
            return connection.execute(sa.insert(tables.audit), row).lastrowid

    def take_back(self, note: int) -> None:
        """What was noted was not done after all."""
        with self.writing() as connection:
            connection.execute(sa.delete(tables.audit).where(tables.audit.c.id == note))

    def audit_log(self, limit: int = 100) -> list[AuditEntry]:
        """The latest entries, newest first."""
        statement = sa.select(tables.audit.c.at, tables.audit.c.action, tables.audit.c.subject, tables.audit.c.detail)
        with self.reading() as connection:
            rows = connection.execute(statement.order_by(tables.audit.c.id.desc()).limit(limit))
            return [AuditEntry(*row) for row in rows]


def _create(connection: sa.Connection) -> None:
    """Make the tables of an empty file and note their revision where Alembic looks for it."""
    tables.metadata.create_all(connection)
    connection.execute(sa.text("create table alembic_version (version_num varchar(32) not null primary key)"))
    connection.execute(sa.text("insert into alembic_version values (:revision)"), {"revision": REVISIONS[-1]})


def migrate(connection: sa.Connection, target: str) -> None:
    """Run the migrations up to `target` inside the connection's transaction."""
    # Alembic takes a quarter of a second to import; a server that starts on a current file never needs it.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, target)


def _configure(connection: Any, _record: Any) -> None:
    """Settings of every new SQLite connection: readers do not block the writer, and a commit survives a crash."""
    connection.isolation_level = None  # transactions are begun explicitly, see `StateStore.writing`
    cursor = connection.cursor()
    cursor.execute("pragma journal_mode = wal")
    cursor.execute("pragma synchronous = normal")
    cursor.execute("pragma foreign_keys = on")
    cursor.close()


def _has_no_room(path: Path) -> bool:
    """SQLite tells of a full disk as of any other trouble when it is the shared memory that finds no room."""
    try:
        return shutil.disk_usage(path.parent).free < NO_ROOM_BYTES
    except OSError:
        return False


def _translated(error: DBAPIError, path: Path) -> StoreError:
    """The error of our own tree that says what SQLite's error means to the user."""
    text = str(error.orig).lower()
    if "locked" in text or "busy" in text:
        return StoreLocked(
            f"{path} is held by another process. Stop the other ralex-monitor, or wait for it to finish."
        )
    if "not a database" in text or "malformed" in text:
        return StoreCorrupt(
            f"{path} is not a readable state file. Restore it with `ralex-monitor restore`, or move it away "
            "to start with empty state; operations are kept in another file."
        )
    if "full" in text:
        return StoreFull(f"The disk has no room for {path}; nothing was stored. Free some space and try again.")
    if "readonly" in text or "unable to open" in text or "permission" in text:
        return StoreReadOnly(
            f"Cannot write {path}. Check its permissions, or choose another directory with RALEX_MONITOR_HOME."
        )
    if "disk i/o error" in text and _has_no_room(path):
        return StoreFull(f"The disk has no room for {path}; nothing was stored. Free some space and try again.")
    return StoreError(f"{path} could not be used: {error.orig}.")

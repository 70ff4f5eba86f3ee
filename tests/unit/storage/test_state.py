"""The state store keeps settings, cursors and the audit log, and says in one sentence what is wrong with a file."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from ralex_core.clock import ManualClock
from ralex_core.errors import ConfigError, SchemaTooNew, StoreCorrupt, StoreLocked, StoreReadOnly
from ralex_core.storage import state as state_module
from ralex_core.storage import state_tables
from ralex_core.storage.state import MIGRATIONS, REVISIONS, Cursor, StateStore


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "home" / "state.sqlite"


def cursor(**changes: object) -> Cursor:
    values: dict[str, object] = {
        "source": "aider",
        "path": "/logs/a.jsonl",
        "position": '{"offset": 10}',
        "size": 10,
        "modified_at": 5,
        "complete": True,
    }
    return Cursor(**(values | changes))  # type: ignore[arg-type]


def test_settings_survive_a_restart_and_the_last_value_wins(path: Path) -> None:
    store = StateStore(path)
    assert store.get_setting("demo") is None
    store.set_setting("demo", "on")
    store.set_setting("demo", "off")
    store.close()
    assert StateStore(path).get_setting("demo") == "off"


def test_a_cursor_comes_back_as_it_was_saved_with_the_time_it_was_saved_at(path: Path) -> None:
    store = StateStore(path, ManualClock(1_000))
    saved = cursor(follow=True, lines=7, imported=5, duplicates=1, rejected=1)
    store.save_cursor(saved)
    store.save_cursor(cursor(source="ralex"))
    found = store.cursor("aider", "/logs/a.jsonl")
    assert found == cursor(follow=True, lines=7, imported=5, duplicates=1, rejected=1, updated_at=1_000)
    assert [item.source for item in store.cursors()] == ["aider", "ralex"]
    assert [item.source for item in store.cursors("ralex")] == ["ralex"]
    assert store.cursor("aider", "/logs/b.jsonl") is None


def test_what_an_importer_remembers_is_kept_with_its_cursor(path: Path) -> None:
    store = StateStore(path)
    assert not store.remembers("claude-code")
    store.save_cursor(cursor(source="claude-code"), {"msg_1": "a", "msg_2": "b"})
    store.save_cursor(cursor(source="claude-code"), {"msg_2": "c"})
    assert store.remembers("claude-code")
    assert (store.recall("claude-code", "msg_1"), store.recall("claude-code", "msg_2")) == ("a", "c")
    assert store.recall("aider", "msg_1") is None
    assert store.memories("claude-code") == {"msg_1": "a", "msg_2": "c"}


def test_forgetting_a_source_leaves_the_others(path: Path) -> None:
    store = StateStore(path)
    store.save_cursor(cursor())
    store.save_cursor(cursor(source="ralex"))
    assert store.forget_cursors("aider") == 1
    assert [item.source for item in store.cursors()] == ["ralex"]


def test_the_audit_log_is_newest_first_and_limited(path: Path) -> None:
    clock = ManualClock(100)
    store = StateStore(path, clock)
    for index in range(3):
        store.audit("import", f"file {index}", {"read": index})
        clock.advance(1)
    entries = store.audit_log(limit=2)
    assert [(entry.subject, entry.detail) for entry in entries] == [
        ("file 2", '{"read": 2}'),
        ("file 1", '{"read": 1}'),
    ]
    assert entries[0].at == 100 + 2_000_000


def test_threads_write_at_the_same_time_without_losing_anything(path: Path) -> None:
    store = StateStore(path)

    def write(number: int) -> None:
        for index in range(20):
            store.set_setting(f"{number}-{index}", "x")

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(store.get_setting(f"{number}-{index}") == "x" for number in range(4) for index in range(20))


def test_the_migrations_make_exactly_the_tables_the_code_uses(tmp_path: Path) -> None:
    path = tmp_path / "migrated.sqlite"
    engine = sa.create_engine(f"sqlite:///{path}")
    from alembic.autogenerate import compare_metadata

    with engine.begin() as connection:
        state_module.migrate(connection, REVISIONS[-1])
        assert compare_metadata(MigrationContext.configure(connection), state_tables.metadata) == []
    engine.dispose()


def test_a_new_file_has_the_schema_that_migrations_make(path: Path, tmp_path: Path) -> None:
    StateStore(path).close()
    migrated = sa.create_engine(f"sqlite:///{tmp_path / 'migrated.sqlite'}")
    with migrated.begin() as connection:
        state_module.migrate(connection, REVISIONS[-1])
    new = sa.create_engine(f"sqlite:///{path}")
    assert _schema(new) == _schema(migrated)
    new.dispose()
    migrated.dispose()


def _schema(engine: sa.Engine) -> dict[str, object]:
    inspector = sa.inspect(engine)
    columns = {
        table: [(c["name"], str(c["type"]), c["nullable"], c["primary_key"]) for c in inspector.get_columns(table)]
        for table in inspector.get_table_names()
    }
    with engine.connect() as connection:
        return columns | {"revision": connection.scalar(sa.text("select version_num from alembic_version"))}


def test_the_known_revisions_are_the_scripts_in_order() -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    scripts = ScriptDirectory.from_config(config)
    assert [script.revision for script in scripts.walk_revisions()][::-1] == list(REVISIONS)


def test_a_file_of_a_newer_version_is_refused_and_left_alone(path: Path) -> None:
    StateStore(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("update alembic_version set version_num = '9999'")
    connection.close()
    with pytest.raises(SchemaTooNew, match=r"has state schema 9999.*Upgrade ralex-monitor"):
        StateStore(path)
    with sqlite3.connect(path) as connection:
        assert connection.execute("select version_num from alembic_version").fetchall() == [("9999",)]
    connection.close()


def test_a_file_that_is_not_a_database_is_named_corrupt(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"this is not a database at all" * 100)
    with pytest.raises(StoreCorrupt, match=r"not a readable state file"):
        StateStore(path)


def test_another_programs_database_is_not_taken_over(path: Path) -> None:
    path.parent.mkdir()
    with sqlite3.connect(path) as connection:
        connection.execute("create table music (title text)")
    connection.close()
    with pytest.raises(StoreCorrupt, match=r"not a Ralex Monitor state file"):
        StateStore(path)


def test_a_file_that_another_process_is_changing_is_named_locked(path: Path) -> None:
    store = StateStore(path, busy_timeout_ms=1)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("begin immediate")
    with pytest.raises(StoreLocked, match=r"held by another process"):
        store.set_setting("a", "b")
    other.close()
    store.set_setting("a", "b")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_directory_that_cannot_be_written_is_a_configuration_error(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises((ConfigError, StoreReadOnly), match=r"Choose another one|Cannot write"):
        StateStore(tmp_path / "home" / "state.sqlite")


def test_a_path_below_a_file_is_a_configuration_error(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("")
    with pytest.raises(ConfigError, match=r"Cannot create the directory"):
        StateStore(tmp_path / "home" / "state.sqlite")


def test_a_directory_in_the_files_place_is_a_configuration_error(path: Path) -> None:
    path.mkdir(parents=True)
    with pytest.raises(StoreReadOnly, match=r"Cannot write"):
        StateStore(path)


@pytest.mark.parametrize("new", [True, False])
def test_opening_a_new_or_current_file_does_not_import_alembic(path: Path, new: bool) -> None:
    if not new:
        StateStore(path).close()
    script = (
        "import sys; from pathlib import Path; from ralex_core.storage.state import StateStore; "
        f"StateStore(Path({str(path)!r})).close(); sys.exit('alembic' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0

from __future__ import annotations

import contextlib
import hashlib
import json
import sqlite3
import zipfile
from pathlib import Path

import pytest

from ralex_core.config import Settings
from ralex_core.errors import ConfigError, RalexError, StoreCorrupt, StoreError, StoreLocked
from ralex_core.storage import queries
from ralex_core.storage.backup import backup, describe, restore
from ralex_core.storage.duckdb_store import DuckDBStore
from ralex_core.storage.state import StateStore
from tests.support.operations import random_operations


@pytest.fixture
def filled(tmp_path: Path) -> Settings:
    settings = Settings(home=tmp_path / "home")
    store = DuckDBStore(settings.telemetry_path)
    store.write(random_operations(1, 300))
    store.refresh_rollups()
    store.close()
    state = StateStore(settings.state_path)
    state.set_setting("greeting", "hello")
    state.close()
    return settings


def test_a_backup_restores_to_the_same_answers(filled: Settings, tmp_path: Path) -> None:
    report = backup(filled, tmp_path / "b.zip")
    assert report.operations == 300
    target = Settings(home=tmp_path / "other")
    restored = restore(target, tmp_path / "b.zip")
    assert (restored.operations, restored.kept) == (300, None)
    original, copy = DuckDBStore(filled.telemetry_path), DuckDBStore(target.telemetry_path)
    try:
        assert queries.status_totals(copy) == queries.status_totals(original)
        for table in ("rollup_model_day", "latency_kind_hour"):
            rows = f"select * from {table} order by all"
            assert copy.query(rows) == original.query(rows)
    finally:
        original.close()
        copy.close()
    state = StateStore(target.state_path)
    assert state.get_setting("greeting") == "hello"
    state.close()


def test_a_backup_of_a_store_in_use_is_taken_through_its_owner(filled: Settings, tmp_path: Path) -> None:
    store = DuckDBStore(filled.telemetry_path)
    try:
        store.write(random_operations(2, 50))
        assert backup(filled, tmp_path / "live.zip", store).operations == 350
    finally:
        store.close()


def test_nothing_is_overwritten(filled: Settings, tmp_path: Path) -> None:
    (tmp_path / "b.zip").write_text("mine")
    with pytest.raises(ConfigError, match="exists already"):
        backup(filled, tmp_path / "b.zip")
    backup(filled, tmp_path / "c.zip")
    with pytest.raises(ConfigError, match="--force"):
        restore(filled, tmp_path / "c.zip")


def test_a_forced_restore_moves_what_was_there_aside(filled: Settings, tmp_path: Path) -> None:
    backup(filled, tmp_path / "b.zip")
    report = restore(filled, tmp_path / "b.zip", force=True)
    assert report.kept is not None
    aside = DuckDBStore(Path(report.kept) / "telemetry.duckdb")
    assert queries.status_totals(aside).operations == 300
    aside.close()


def test_a_restore_refuses_while_another_owns_the_store(filled: Settings, tmp_path: Path) -> None:
    backup(filled, tmp_path / "b.zip")
    import subprocess
    import sys

    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import duckdb, sys; held = duckdb.connect(sys.argv[1]); print('held', flush=True); sys.stdin.read()",
            str(filled.telemetry_path),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert holder.stdout is not None and holder.stdout.readline().strip() == b"held"
        with pytest.raises(StoreLocked, match="another process"):
            restore(filled, tmp_path / "b.zip", force=True)
    finally:
        holder.communicate()


def damaged(source: Path, target: Path, name: str, change: bytes | None) -> Path:
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for item in old.namelist():
            content = old.read(item)
            if item == name:
                content = content[:-1] + b"!" if change is None else change
            new.writestr(item, content)
    return target


def test_a_damaged_or_foreign_archive_changes_nothing(filled: Settings, tmp_path: Path) -> None:
    good = tmp_path / "b.zip"
    backup(filled, good)
    before = filled.telemetry_path.read_bytes()
    (tmp_path / "noise.zip").write_bytes(b"PK not a zip")
    with pytest.raises(StoreCorrupt, match="not a Ralex Monitor backup"):
        restore(filled, tmp_path / "noise.zip", force=True)
    with pytest.raises(StoreCorrupt, match="checksum"):
        restore(filled, damaged(good, tmp_path / "bit.zip", "telemetry.duckdb", None), force=True)
    manifest = json.loads(zipfile.ZipFile(good).read("manifest.json"))
    newer = json.dumps(manifest | {"schema_version": 99}).encode()
    with pytest.raises(StoreError, match="Upgrade"):
        restore(filled, damaged(good, tmp_path / "new.zip", "manifest.json", newer), force=True)
    evil = json.dumps(manifest | {"sha256": {"../evil": "0"}}).encode()
    with pytest.raises(StoreCorrupt, match="unexpected file"):
        restore(filled, damaged(good, tmp_path / "evil.zip", "manifest.json", evil), force=True)
    assert filled.telemetry_path.read_bytes() == before
    assert not list(filled.home.glob(".restore-*"))


def with_file(source: Path, target: Path, name: str, content: bytes) -> Path:
    """The archive with one file replaced or added, and its checksum right."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        manifest = json.loads(old.read("manifest.json"))
        manifest["sha256"][name] = hashlib.sha256(content).hexdigest()
        for item in old.namelist():
            if item not in (name, "manifest.json"):
                new.writestr(item, old.read(item))
        new.writestr(name, content)
        new.writestr("manifest.json", json.dumps(manifest))
    return target


def newer_state(path: Path) -> bytes:
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("create table alembic_version (version_num text)")
        connection.execute("insert into alembic_version values ('9999')")
    return path.read_bytes()


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("state.sqlite", b"garbage" * 1000, "damaged store"),
        ("state.sqlite", None, "newer version"),
        ("telemetry.duckdb", b"garbage" * 1000, "damaged store"),
        ("config.toml", b"port = [", "settings"),
        ("config.toml", b"port = 'many'", "settings"),
        ("config.toml", b"\xff\xfe", "settings"),
        ("prices.toml", b"= =", "settings"),
    ],
)
def test_what_a_server_could_not_start_with_is_not_put_in_place(
    filled: Settings, tmp_path: Path, name: str, content: bytes | None, words: str
) -> None:
    backup(filled, tmp_path / "b.zip")
    bad = newer_state(tmp_path / "newer.sqlite") if content is None else content
    archive = with_file(tmp_path / "b.zip", tmp_path / "bad.zip", name, bad)
    before = {file.name: file.read_bytes() for file in filled.home.iterdir()}
    with pytest.raises(RalexError, match=words):
        restore(filled, archive, force=True)
    assert {file.name: file.read_bytes() for file in filled.home.iterdir()} == before


@pytest.mark.parametrize("manifest", [b"[]", b"null", b'{"format": "1"}', b"[" * 100_000, b'{"sha256": []}', b"\xff"])
def test_an_odd_manifest_is_no_backup(filled: Settings, tmp_path: Path, manifest: bytes) -> None:
    backup(filled, tmp_path / "b.zip")
    archive = damaged(tmp_path / "b.zip", tmp_path / "odd.zip", "manifest.json", manifest)
    with pytest.raises(StoreCorrupt, match="not a Ralex Monitor backup"):
        restore(filled, archive, force=True)
    with pytest.raises(StoreCorrupt, match="not a Ralex Monitor backup"):
        describe(archive)


def test_what_a_killed_backup_left_is_removed_by_the_next(filled: Settings, tmp_path: Path) -> None:
    left = tmp_path / ".backup-999999999-abc"
    left.mkdir()
    (left / "telemetry.duckdb").write_bytes(b"half")
    backup(filled, tmp_path / "b.zip")
    assert not left.exists()
    assert (tmp_path / "b.zip").stat().st_mode & 0o777 == 0o600

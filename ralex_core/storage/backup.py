"""Backups: one file with a consistent copy of both stores, checked when it is written and when it is read."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import sqlite3
import tempfile
import tomllib
import zipfile
import zlib
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import psutil

from ralex_core import __version__
from ralex_core.config import CONFIG_FILE, FINGERPRINT_KEY_FILE, Settings
from ralex_core.errors import ConfigError, SchemaTooNew, StoreCorrupt, StoreError, StoreFull
from ralex_core.pricing.overrides import load_overrides
from ralex_core.private_files import open_private, private_directory
from ralex_core.storage.duckdb_store import DuckDBStore
from ralex_core.storage.queries import extent
from ralex_core.storage.schema import SCHEMA_VERSION
from ralex_core.storage.state import StateStore

MANIFEST = "manifest.json"
_TELEMETRY = "telemetry.duckdb"
_STATE = "state.sqlite"
_SETTINGS_FILES = (CONFIG_FILE, "prices.toml", FINGERPRINT_KEY_FILE)
_OWN = (_TELEMETRY, _TELEMETRY + ".wal", _STATE, _STATE + "-wal", _STATE + "-shm", *_SETTINGS_FILES)
_COPY_BYTES = 1 << 20
_SMALL_BYTES = 1 << 20
"""Most that a manifest or a file of settings may hold."""


_FIELDS: dict[str, type] = {
    "format": int,
    "version": str,
    "schema_version": int,
    "created_at": str,
    "operations": int,
    "sha256": dict,
}
_NOT_OURS = (
    zipfile.BadZipFile,
    zlib.error,
    KeyError,
    ValueError,
    EOFError,
    RecursionError,
    NotImplementedError,
    RuntimeError,
)
"""What reading an archive of somebody else's making ends in; RuntimeError is an encrypted one."""


@dataclass(frozen=True, slots=True)
class BackupReport:
    """What a backup holds."""

    path: str
    bytes: int
    operations: int
    first_at: str | None
    last_at: str | None


@dataclass(frozen=True, slots=True)
class RestoreReport:
    """What a restore put in place. `kept` is where the data that was there before went, if there was any."""

    home: str
    operations: int
    created_at: str
    kept: str | None


def backup(settings: Settings, target: Path, store: DuckDBStore | None = None) -> BackupReport:
    """Write everything to `target` (a zip). Give the open `store` when this process owns it.

    The file appears under its name only when it is complete.

    Raises:
        ConfigError: the target exists, or cannot be written.
        StoreError: the store cannot be read (StoreLocked when another process owns it).
    """
    if target.exists():
        raise ConfigError(f"{target} exists already. Choose another name; a backup overwrites nothing.")
    if not target.parent.is_dir():
        raise ConfigError(f"The directory {target.parent} does not exist. Create it or choose another.")
    partial = target.with_name(target.name + ".partial")
    partial.unlink(missing_ok=True)
    remove_leftovers(target.parent)
    own = store is None
    source = store or DuckDBStore(settings.telemetry_path)
    try:
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".backup-{os.getpid()}-") as folder:
            report = _write(settings, source, Path(folder), partial)
        partial.replace(target)
    except OSError as error:
        raise StoreFull(f"{target} could not be written: {error.strerror or error}. Free some room.") from error
    finally:
        partial.unlink(missing_ok=True)
        if own:
            source.close()
    return BackupReport(str(target), target.stat().st_size, **report)


def remove_leftovers(parent: Path) -> None:
    """Delete the working directories of backups whose process is gone; those of another user are left."""
    for folder in parent.glob(".backup-*-*"):
        owner = folder.name.split("-")[1]
        if owner.isdigit() and folder.is_dir() and not folder.is_symlink() and not psutil.pid_exists(int(owner)):
            shutil.rmtree(folder, ignore_errors=True)


def _write(settings: Settings, store: DuckDBStore, folder: Path, partial: Path) -> dict[str, Any]:
    files = [folder / _TELEMETRY]
    store.copy_to(files[0])
    if settings.state_path.exists():
        files.append(folder / _STATE)
        _copy_sqlite(settings.state_path, files[-1])
    files += [settings.home / name for name in _SETTINGS_FILES if (settings.home / name).exists()]
    span = extent(store)
    contents: dict[str, Any] = {
        "operations": store.query("select count(*) from operations")[0][0],
        "first_at": _iso(span[0]) if span else None,
        "last_at": _iso(span[1]) if span else None,
    }
    manifest = {
        "format": 1,
        "version": __version__,
        "schema_version": SCHEMA_VERSION,
        "created_at": datetime.now(UTC).isoformat(),
        **contents,
        "sha256": {file.name: _sha256(file) for file in files},
    }
    check_contents(folder, partial)
    with (
        open_private(partial, "wb") as written,
        zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
    ):
        archive.writestr(MANIFEST, json.dumps(manifest, indent=2))
        for file in files:
            archive.write(file, file.name)
    return contents


def describe(archive: Path) -> BackupReport:
    """What an archive says it holds; its contents are checked when it is restored.

    Raises:
        StoreCorrupt: it is not a backup of ours.
    """
    try:
        with zipfile.ZipFile(archive) as source:
            manifest = _manifest(source)
        return BackupReport(
            str(archive),
            archive.stat().st_size,
            manifest["operations"],
            manifest["first_at"],
            manifest["last_at"],
        )
    except (OSError, *_NOT_OURS) as error:
        raise StoreCorrupt(f"{archive} is not a Ralex Monitor backup, or is damaged. Use another one.") from error


def restore(settings: Settings, archive: Path, force: bool = False) -> RestoreReport:
    """Put a backup's files into the data directory. What was there is moved aside, never deleted.

    Raises:
        ConfigError: the data directory holds data and `force` is not set, or the archive does not exist.
        StoreCorrupt: the archive is not a backup, or is damaged; nothing was changed.
        StoreError: it was written by a newer version, or another process owns the store.
    """
    if not archive.is_file():
        raise ConfigError(f"{archive} does not exist or is not a file.")
    home = settings.home
    present = [home / name for name in _OWN]
    present = [file for file in present if file.exists()]
    if present and not force:
        raise ConfigError(f"{home} holds data already. Add --force: what is there is moved aside, not deleted.")
    if settings.telemetry_path.exists():
        _refuse_when_owned(settings.telemetry_path)
    try:
        private_directory(home)
        with tempfile.TemporaryDirectory(dir=home, prefix=".restore-", ignore_cleanup_errors=True) as folder:
            manifest = _unpack(archive, Path(folder))
            check_contents(Path(folder), archive)
            kept = _exchange(home, Path(folder), present, list(manifest["sha256"]))
    except OSError as error:
        raise StoreFull(
            f"{archive} could not be restored to {home}: {error.strerror or error}. "
            "What was there is in place; free some room and try again."
        ) from error
    return RestoreReport(str(home), int(manifest["operations"]), str(manifest["created_at"]), kept)


def _refuse_when_owned(path: Path) -> None:
    try:
        DuckDBStore(path).close()
    except StoreCorrupt:
        return  # a damaged store is what a restore is for


def _manifest(source: zipfile.ZipFile) -> dict[str, Any]:
    """The manifest, every field of the type it must have. Raises ValueError or KeyError when it is none of ours."""
    if source.getinfo(MANIFEST).file_size > _SMALL_BYTES:
        raise ValueError("the manifest is too large")
    found: Any = json.loads(source.read(MANIFEST))
    if not isinstance(found, dict):
        raise ValueError("the manifest is no object")
    manifest = cast("dict[str, Any]", found)
    for name, kind in _FIELDS.items():
        if type(manifest[name]) is not kind:
            raise ValueError(f"{name} of the manifest is not {kind.__name__}")
    sums = cast("dict[str, Any]", manifest["sha256"])
    if not all(isinstance(digest, str) for digest in sums.values()):
        raise ValueError("a checksum is not text")
    for name in ("first_at", "last_at"):
        if not isinstance(manifest[name], str | None):
            raise ValueError(f"{name} of the manifest is not a time")
    return manifest


def check_contents(folder: Path, archive: Path) -> None:
    """Open everything that was unpacked as the server would, before anything is moved.

    Raises:
        StoreError: a database is damaged, not ours, or of a newer version.
        ConfigError: a file of settings would keep the server from starting.
    """
    try:
        DuckDBStore(folder / _TELEMETRY).close()
        if (folder / _STATE).exists():
            _check_sqlite(folder / _STATE)
            StateStore(folder / _STATE).close()
    except SchemaTooNew as error:
        raise SchemaTooNew(
            f"{archive} holds a store of a newer version. Upgrade ralex-monitor first; nothing was changed."
        ) from error
    except StoreCorrupt as error:
        raise StoreCorrupt(
            f"{archive} holds a damaged store ({error}). Use another backup; nothing was changed."
        ) from error
    try:
        if (folder / CONFIG_FILE).exists():
            Settings(**tomllib.loads((folder / CONFIG_FILE).read_text(encoding="utf-8")))
        load_overrides(folder / "prices.toml")
    except (ValueError, TypeError, ConfigError) as error:
        raise ConfigError(
            f"The settings in {archive} are not valid ({str(error).splitlines()[0]}). "
            "Use another backup; nothing was changed."
        ) from error


def _check_sqlite(path: Path) -> None:
    try:
        with contextlib.closing(sqlite3.connect(path)) as connection:
            ((verdict, *_), *_) = connection.execute("pragma quick_check(1)").fetchall()
    except sqlite3.DatabaseError as error:
        raise StoreCorrupt(f"{path.name}: {error}") from error
    if verdict != "ok":
        raise StoreCorrupt(f"{path.name}: {verdict}")


def _unpack(archive: Path, folder: Path) -> dict[str, Any]:
    try:
        with zipfile.ZipFile(archive) as source:
            manifest = _manifest(source)
            if manifest["schema_version"] > SCHEMA_VERSION or manifest["format"] > 1:
                raise StoreError(
                    f"{archive} was written by version {manifest['version']}. Upgrade ralex-monitor first."
                )
            allowed = {_TELEMETRY, _STATE, *_SETTINGS_FILES}
            for name, digest in manifest["sha256"].items():
                if name not in allowed:
                    raise StoreCorrupt(f"{archive} holds an unexpected file {name!r}; it is not a backup of ours.")
                if name in _SETTINGS_FILES and source.getinfo(name).file_size > _SMALL_BYTES:
                    raise StoreCorrupt(f"{archive} holds a {name} of more than 1 MiB; it is not a backup of ours.")
                with source.open(name) as packed, open_private(folder / name, "wb") as file:
                    shutil.copyfileobj(packed, file, _COPY_BYTES)
                if _sha256(folder / name) != digest:
                    raise StoreCorrupt(f"{archive} is damaged: {name} does not match its checksum. Use another backup.")
            if _TELEMETRY not in manifest["sha256"]:
                raise StoreCorrupt(f"{archive} holds no telemetry; it is not a backup of ours.")
            return manifest
    except _NOT_OURS as error:
        raise StoreCorrupt(f"{archive} is not a Ralex Monitor backup, or is damaged. Use another one.") from error


def _exchange(home: Path, folder: Path, present: list[Path], names: list[str]) -> str | None:
    """Move what is there to `trash/` and what was unpacked into its place; an error or a signal puts it all back."""
    aside = home / "trash" / f"restore-{datetime.now(UTC):%Y%m%dT%H%M%S%fZ}"
    moves = [(file, aside / file.name) for file in present] + [(folder / name, home / name) for name in names]
    done: list[tuple[Path, Path]] = []
    if present:
        private_directory(aside)
    try:
        for source, target in moves:
            done.append((source, target))
            source.replace(target)
    except BaseException:
        for source, target in reversed(done):
            if target.exists() and not source.exists():
                target.replace(source)
        raise
    return str(aside) if present else None


def _copy_sqlite(source: Path, target: Path) -> None:
    with sqlite3.connect(source) as original, sqlite3.connect(target) as copy:
        original.backup(copy)
    original.close()
    copy.close()


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_COPY_BYTES):
            digest.update(block)
    return digest.hexdigest()


def _iso(time_us: int) -> str:
    return datetime.fromtimestamp(time_us / 1e6, UTC).isoformat()


def as_json(report: BackupReport | RestoreReport) -> dict[str, object]:
    """The report as a JSON object."""
    return asdict(report)

"""Backups: one file with a consistent copy of both stores, checked when it is written and when it is read."""

from __future__ import annotations

import hashlib
import json
import shutil
import sqlite3
import tempfile
import zipfile
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ralex_core import __version__
from ralex_core.config import CONFIG_FILE, Settings
from ralex_core.errors import ConfigError, StoreCorrupt, StoreError, StoreFull
from ralex_core.storage.duckdb_store import DuckDBStore
from ralex_core.storage.queries import extent
from ralex_core.storage.schema import SCHEMA_VERSION

MANIFEST = "manifest.json"
_TELEMETRY = "telemetry.duckdb"
_STATE = "state.sqlite"
_SETTINGS_FILES = (CONFIG_FILE, "prices.toml")
_COPY_BYTES = 1 << 20


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
    own = store is None
    source = store or DuckDBStore(settings.telemetry_path)
    try:
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".backup-") as folder:
            report = _write(settings, source, Path(folder), partial)
        partial.replace(target)
    except OSError as error:
        raise StoreFull(f"{target} could not be written: {error.strerror or error}. Free some room.") from error
    finally:
        partial.unlink(missing_ok=True)
        if own:
            source.close()
    return BackupReport(str(target), target.stat().st_size, **report)


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
    with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
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
            manifest = json.loads(source.read(MANIFEST))
        return BackupReport(
            str(archive),
            archive.stat().st_size,
            manifest["operations"],
            manifest["first_at"],
            manifest["last_at"],
        )
    except (OSError, zipfile.BadZipFile, KeyError, ValueError) as error:
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
    present = [home / name for name in (_TELEMETRY, _TELEMETRY + ".wal", _STATE, *_SETTINGS_FILES)]
    present = [file for file in present if file.exists()]
    if present and not force:
        raise ConfigError(f"{home} holds data already. Add --force: what is there is moved aside, not deleted.")
    if settings.telemetry_path.exists():
        _refuse_when_owned(settings.telemetry_path)
    home.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=home, prefix=".restore-") as folder:
        manifest = _unpack(archive, Path(folder))
        DuckDBStore(Path(folder) / _TELEMETRY).close()
        kept = _set_aside(home, present)
        for name in manifest["sha256"]:
            (Path(folder) / name).replace(home / name)
    return RestoreReport(str(home), int(manifest["operations"]), str(manifest["created_at"]), kept)


def _refuse_when_owned(path: Path) -> None:
    try:
        DuckDBStore(path).close()
    except StoreCorrupt:
        return  # a damaged store is what a restore is for


def _unpack(archive: Path, folder: Path) -> dict[str, Any]:
    try:
        with zipfile.ZipFile(archive) as source:
            manifest = json.loads(source.read(MANIFEST))
            if manifest["schema_version"] > SCHEMA_VERSION or manifest["format"] > 1:
                raise StoreError(
                    f"{archive} was written by version {manifest['version']}. Upgrade ralex-monitor first."
                )
            allowed = {_TELEMETRY, _STATE, *_SETTINGS_FILES}
            for name, digest in manifest["sha256"].items():
                if name not in allowed:
                    raise StoreCorrupt(f"{archive} holds an unexpected file {name!r}; it is not a backup of ours.")
                with source.open(name) as packed, (folder / name).open("wb") as file:
                    shutil.copyfileobj(packed, file, _COPY_BYTES)
                if _sha256(folder / name) != digest:
                    raise StoreCorrupt(f"{archive} is damaged: {name} does not match its checksum. Use another backup.")
            if _TELEMETRY not in manifest["sha256"]:
                raise StoreCorrupt(f"{archive} holds no telemetry; it is not a backup of ours.")
            return manifest
    except (zipfile.BadZipFile, KeyError, ValueError, EOFError) as error:
        raise StoreCorrupt(f"{archive} is not a Ralex Monitor backup, or is damaged. Use another one.") from error


def _set_aside(home: Path, files: list[Path]) -> str | None:
    if not files:
        return None
    aside = home / f"before-restore-{datetime.now(UTC):%Y%m%dT%H%M%S%fZ}"
    aside.mkdir()
    for file in files:
        file.replace(aside / file.name)
    for suffix in ("-wal", "-shm"):
        leftover = home / (_STATE + suffix)
        if leftover.exists():
            leftover.replace(aside / leftover.name)
    return str(aside)


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

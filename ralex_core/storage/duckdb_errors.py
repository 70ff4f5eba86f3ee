"""DuckDB's errors as ours: what happened, to which file, and what to do."""

from __future__ import annotations

from pathlib import Path

import duckdb

from ralex_core.errors import SchemaTooNew, StoreCorrupt, StoreError, StoreFull, StoreLocked


def translated(error: duckdb.Error, path: Path) -> StoreError:
    """One of ours for an error of DuckDB about the file at `path`; told apart by text, DuckDB has few types."""
    text = str(error)
    lowered = text.lower()
    if "conflicting lock" in lowered or "could not set lock" in lowered:
        return StoreLocked(
            f"{path} is in use by another process. Stop the other monitor, "
            "or start this one with another RALEX_MONITOR_HOME."
        )
    if "no space left" in lowered or "file size limit" in lowered or "file too large" in lowered or "enospc" in lowered:
        return StoreFull(f"The disk that holds {path} is full. Free some room; nothing acknowledged was lost.")
    if "permission denied" in lowered or "read-only file system" in lowered:
        return StoreError(f"{path} cannot be written: permission denied. Choose a writable RALEX_MONITOR_HOME.")
    if "newer version" in lowered or "version number" in lowered:
        return SchemaTooNew(f"{path} was written by a newer DuckDB. Upgrade ralex-monitor; the file was not touched.")
    corrupt = (
        "not a valid duckdb",
        "corrupt",
        "checksum",
        "serialization error",
        "failed to deserialize",
        "wal file",
    )
    if any(sign in lowered for sign in corrupt) or isinstance(error, duckdb.SerializationException):
        return StoreCorrupt(
            f"{path} is damaged or not a DuckDB file. Restore a backup with `ralex-monitor restore`, "
            "or move the file away; it was not changed."
        )
    return StoreError(f"The store {path} failed: {text.splitlines()[0]}")

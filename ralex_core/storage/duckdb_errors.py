"""DuckDB's errors as ours: what happened, to which file, and what to do."""

from __future__ import annotations

from pathlib import Path

import duckdb

from ralex_core.errors import SchemaTooNew, StoreCorrupt, StoreError, StoreFull, StoreLocked, StoreOutOfMemory


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
    if isinstance(error, duckdb.OutOfMemoryException):
        return StoreOutOfMemory(
            "This needs more memory than the store's engine may use (engine_memory_mb). Ask for a shorter range or "
            "fewer groups, or raise the setting; what is stored is not affected."
        )
    if "permission denied" in lowered or "read-only file system" in lowered:
        return StoreError(f"{path} cannot be written: permission denied. Choose a writable RALEX_MONITOR_HOME.")
    if "newer version" in lowered or "version number" in lowered:
        return SchemaTooNew(f"{path} was written by a newer DuckDB. Upgrade ralex-monitor; the file was not touched.")
    if "wal file" in lowered or "replaying wal" in lowered:
        return StoreCorrupt(_log_trouble(path, text.splitlines()[0]))
    corrupt = (
        "not a valid duckdb",
        "corrupt",
        "checksum",
        "serialization error",
        "failed to deserialize",
    )
    if any(sign in lowered for sign in corrupt) or isinstance(error, duckdb.SerializationException):
        return StoreCorrupt(
            f"{path} is damaged or not a DuckDB file. Restore a backup with `ralex-monitor restore FILE --force`, "
            f"or move it and {path.name}.wal, if there is one, to another directory; nothing was changed."
        )
    return StoreError(f"The store {path} failed: {text.splitlines()[0]}")


def _log_trouble(path: Path, reason: str) -> str:
    log = f"{path}.wal"
    if "does not match" in reason:
        return (
            f"The write-ahead log {log} belongs to another database file than {path}, which was replaced. Put the "
            "file back that it belongs to, or move the log to another directory; do not delete it: it holds the latest "
            "commits. Nothing was changed."
        )
    return (
        f"The write-ahead log {log} cannot be read into {path}: {reason}. Nothing was changed. Copy both files to "
        "another directory, then put a backup in place with `ralex-monitor restore FILE --force`, which moves them "
        "aside; do not delete the log: it holds the latest commits."
    )

"""DuckDB's write-ahead log, looked at before DuckDB opens it.

DuckDB itself deletes a log whose database file is missing, ignores one whose first bytes are damaged, and drops without
a word what follows an entry that it takes for the torn end. The log holds the latest acknowledged commits, so damage is
found here first, a copy of both files goes to `trash/`, and every commit before the damage is kept.

The format (version 2): a header of serialised fields, then entries of size (u64), checksum (u64) and payload. A commit
ends with an entry whose bytes are always the same, its checksum included. A log of another version is left to DuckDB.
"""

from __future__ import annotations

import glob
import logging
import os
import shutil
import struct
import tempfile
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np

from ralex_core.errors import StoreCorrupt, StoreError, StoreFull, StoreLocked
from ralex_core.storage.trash import Trash

logger = logging.getLogger(__name__)

COMMIT = bytes.fromhex("0500000000000000e7fe7d722fed3d5e640064ffff")
"""The entry that ends a transaction."""
_HEADER = bytes.fromhex("6400626500")
_VERSION = 2
_ENTRY = struct.Struct("<QQ")
_SPARE_BYTES = 64 << 20
_SMALL_BYTES = 4096
"""A log of which not even the header was written whole, when the process was killed or the power failed."""
TORN_LOGS_KEPT = 10
"""A kill in the middle of a write leaves a torn end each time; these are small, but need not pile up."""


@dataclass(frozen=True, slots=True)
class LogState:
    """What a log holds."""

    header_bytes: int
    """0: the header is damaged."""
    commits: int
    """Transactions that can be read, from the start on."""
    readable_bytes: int
    """Where the last of them ends."""
    damaged_at: int | None
    """Where the first unreadable entry begins; None when every entry can be read."""
    commits_after: int
    """Transactions that ended after the damage."""
    size: int


@dataclass(frozen=True, slots=True)
class Mended:
    """A damaged log was cut to what can be read; the files as they were are in `kept`."""

    kept: Path
    message: str


def log_path(database: Path) -> Path:
    return database.with_name(database.name + ".wal")


def _logs(database: Path) -> list[Path]:
    """The log, and what DuckDB wrote beside it during a checkpoint; those that are not empty."""
    found = sorted(database.parent.glob(f"{glob.escape(database.name)}.wal*"))
    return [file for file in found if file.is_file() and file.stat().st_size]


def examine(log: Path) -> LogState | None:
    """Read the log entry by entry and verify each; some 0.5 GB/s. None: not a version this knows how to read."""
    data = np.memmap(log, dtype=np.uint8, mode="r")
    size = len(data)
    header = _header_bytes(bytes(data[:256]))
    if header is None:
        return None
    if not header:
        return LogState(0, 0, 0, 0, _count_commits(data, 0), size)
    position = readable = header
    commits = 0
    while position < size:
        end = _entry_end(data, position, size)
        if end is None:
            return LogState(header, commits, readable, position, _count_commits(data, position), size)
        if end - position == len(COMMIT) and bytes(data[position:end]) == COMMIT:
            commits, readable = commits + 1, end
        position = end
    return LogState(header, commits, readable, None, 0, size)


def _header_bytes(start: bytes) -> int | None:
    """How long the header is; 0 when it is damaged, None when it is of another version."""
    if not start.startswith(_HEADER):
        return 0
    position = len(_HEADER)
    version, position = _varint(start, position)
    if version != _VERSION:
        return None
    while start[position : position + 2] != b"\xff\xff":
        field = int.from_bytes(start[position : position + 2], "little")
        if field not in (102, 103) or position + 2 >= len(start):
            return None if field < 200 else 0
        number, position = _varint(start, position + 2)
        for _ in range(number if field == 102 else 0):  # the bytes of the database's identifier
            _, position = _varint(start, position)
    return position + 2


def _varint(data: bytes, position: int) -> tuple[int, int]:
    """An unsigned LEB128 number and where it ends; what is cut off reads as zeros."""
    value = shift = 0
    while position < len(data):
        byte = data[position]
        value |= (byte & 0x7F) << shift
        position, shift = position + 1, shift + 7
        if byte < 0x80:
            break
    return value, position


def _entry_end(data: np.ndarray, position: int, size: int) -> int | None:
    """Where the entry at `position` ends; None when it is cut off or its checksum does not match."""
    if position + _ENTRY.size > size:
        return None
    length, checksum = _ENTRY.unpack(data[position : position + _ENTRY.size].tobytes())
    end = position + _ENTRY.size + length
    if not length or end > size or _checksum(data[position + _ENTRY.size : end].tobytes()) != checksum:
        return None
    return end


def _count_commits(data: np.ndarray, position: int) -> int:
    return data[position:].tobytes().count(COMMIT)


def _checksum(payload: bytes) -> int:
    """DuckDB's checksum of a block: its words times a prime, XORed; what is left over by MurmurHash64A."""
    whole = len(payload) // 8 * 8
    words = np.frombuffer(payload[:whole], dtype="<u8")
    result = 5381 ^ int(np.bitwise_xor.reduce(words * np.uint64(0xBF58476D1CE4E5B9), initial=np.uint64(0)))
    rest = payload[whole:]
    return result ^ _murmur(rest) if rest else result


def _murmur(rest: bytes) -> int:
    prime, mask = 0xC6A4A7935BD1E995, (1 << 64) - 1
    value = (0xE17A1465 ^ (len(rest) * prime)) & mask
    value = (value ^ int.from_bytes(rest, "little")) * prime & mask
    value = (value ^ (value >> 47)) * prime & mask
    return value ^ (value >> 47)


def mend(database: Path, trash: Trash, now_us: int) -> Mended | None:
    """See to it that opening `database` loses nothing that can be read. None: its log was left as it is.

    Raises:
        StoreCorrupt: the database file is missing, or nothing of the log can be read; nothing was changed.
        StoreFull: there is no room for a copy of both files; nothing was changed.
        StoreLocked: another process owns the database.
        StoreError: the log cannot be read or written, for want of permission.
    """
    try:
        return _mend(database, trash, now_us)
    except OSError as error:
        raise StoreError(
            f"The write-ahead log {log_path(database)} cannot be seen to: {error.strerror or error} "
            f"({error.filename or 'the disk'}). It was not changed."
        ) from error


def _mend(database: Path, trash: Trash, now_us: int) -> Mended | None:
    log = log_path(database)
    logs = _logs(database)
    if logs and not database.exists():
        log = logs[0]
        raise StoreCorrupt(
            f"{database} is missing, but its write-ahead log {log} is there and may hold acknowledged operations. "
            "Put the database file back beside it. To start empty, move the log to another directory; do not delete it."
        )
    if log not in logs:
        return None
    state = examine(log)
    if state is None or (state.header_bytes and state.damaged_at is None):
        return None
    _refuse_when_owned(database)
    if not state.commits_after and (state.header_bytes or state.size < _SMALL_BYTES):
        _keep_torn_end(log, state, trash, now_us)
        return None
    return _cut(database, log, state, trash, now_us)


def _keep_torn_end(log: Path, state: LogState, trash: Trash, now_us: int) -> None:
    """A process was killed while it wrote, or the last transaction is damaged: keep its bytes."""
    torn = state.size - state.readable_bytes
    note = (
        f"The last {torn:,} bytes of {log} hold no whole transaction: the process was killed while it wrote, "
        f"or they are damaged. The {state.commits:,} transactions before them were read."
    )

    def fill(directory: Path) -> None:
        with log.open("rb") as source, (directory / f"{log.name}.end").open("wb") as target:
            source.seek(state.readable_bytes)
            shutil.copyfileobj(source, target)

    try:
        kept = trash.put("torn-log", note, fill, now_us=now_us, at_most=TORN_LOGS_KEPT)
        logger.warning("%s A copy is in %s.", note, kept)
    except StoreFull:  # a disk that was full is why a write was torn: it must not keep the store closed
        logger.warning("%s There is no room to keep a copy of them.", note)
    if not state.header_bytes:
        os.truncate(log, 0)  # DuckDB would go on writing behind bytes that it cannot read again


def _cut(database: Path, log: Path, state: LogState, trash: Trash, now_us: int) -> Mended:
    """Set copies of both files aside, then cut the log behind the last commit before the damage."""
    needed = database.stat().st_size + state.size + _SPARE_BYTES
    free = shutil.disk_usage(database.parent).free
    if free < needed:
        raise StoreFull(
            f"The write-ahead log {log} is damaged, and to read what it holds {needed / 1e6:,.0f} MB are needed for a "
            f"copy of it and of {database}; {free / 1e6:,.0f} MB are free. Free some room. Nothing was changed."
        )
    header = b""
    if not state.header_bytes:
        header, state = _with_new_header(database, log, state)
    lost = f"{state.commits_after:,} transactions after the damage could not be read" if state.commits_after else ""
    note = (
        f"The write-ahead log {log} is damaged at byte {0 if header else state.damaged_at:,}. "
        f"{state.commits:,} transactions were read back; {lost or 'nothing was lost'}."
    )

    def fill(directory: Path) -> None:
        for file in (database, *_logs(database)):
            shutil.copyfile(file, directory / file.name)

    kept = trash.put("damaged-log", note, fill, now_us=now_us, details={"commits_lost": state.commits_after})
    with log.open("r+b") as file:
        file.write(header)
        file.truncate(state.readable_bytes)
        os.fsync(file.fileno())
    logger.error("%s Both files as they were are in %s for a week; copy them to keep them longer.", note, kept)
    return Mended(kept, f"{note} Both files as they were are in {kept} for a week.")


def _with_new_header(database: Path, log: Path, damaged: LogState) -> tuple[bytes, LogState]:
    """The header says which database the log belongs to: a copy of that database writes the same one.

    Raises:
        StoreCorrupt: with it the log cannot be read either.
    """
    with tempfile.TemporaryDirectory(dir=database.parent, prefix=".log-") as folder:
        copy = Path(folder) / database.name
        shutil.copyfile(database, copy)
        try:
            with duckdb.connect(str(copy)) as connection:
                connection.execute("create table only_for_its_log (x INTEGER)")
                start = log_path(copy).read_bytes()[:256]
        except duckdb.Error:
            start = b""
        header = start[: _header_bytes(start) or 0]
        tried = Path(folder) / "tried.wal"
        shutil.copyfile(log, tried)
        with tried.open("r+b") as file:
            file.write(header)
        state = examine(tried) if header else None
    if state is None or not state.commits:
        raise StoreCorrupt(
            f"The write-ahead log {log} is damaged from its beginning ({damaged.size:,} bytes), so {database} cannot "
            "be opened without losing what the log holds. Neither file was changed. Copy both to another directory, "
            "then put a backup in place with `ralex-monitor restore FILE --force`; do not delete the log."
        )
    return header, state


def put_back(mended: Mended, database: Path) -> None:
    """The mended log could not be read either: leave the files as they were found."""
    for name in (database.name, log_path(database).name):
        if (mended.kept / name).exists():
            shutil.copyfile(mended.kept / name, database.with_name(name))


def _refuse_when_owned(database: Path) -> None:
    """A log that another process is writing ends anywhere. DuckDB locks its file for as long as it is open."""
    try:
        import fcntl
    except ImportError:  # pragma: no cover - Windows refuses to open the file at all
        return
    with database.open("r+b") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise StoreLocked(
                f"{database} is in use by another process. Stop the other monitor, "
                "or start this one with another RALEX_MONITOR_HOME."
            ) from error

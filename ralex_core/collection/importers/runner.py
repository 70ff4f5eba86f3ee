"""Running an import: files in order, batches kept in flight, cursors saved only for what is committed.

Killed at any moment and run again, an import ends as if it had run once: what was committed but not yet noted in
a cursor is read again, and the store recognises it by its id.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from ralex_core.collection.fingerprints import Fingerprints
from ralex_core.collection.importers.base import Chunk, Importer, Machine, Position
from ralex_core.collection.importers.quarantine import Quarantine
from ralex_core.collection.redaction import Redaction
from ralex_core.errors import ConfigError, IntakeFull
from ralex_core.model.operation import Operation
from ralex_core.storage.state import Cursor, StateStore
from ralex_core.storage.telemetry import WriteResult

MAX_IN_FLIGHT_OPERATIONS = 8000
MAX_IN_FLIGHT_CHUNKS = 64
"""Together they let the writer commit many small files at once, and bound what a crash makes us read again."""

SINGLE_LOOKUPS = 200
"""A run that remembers more than this loads the whole memory: 100 µs a lookup add up, a follower's few do not."""

Resume = Literal["auto", "always", "never"]
"""Where to start in a file that was read before: `always` where it ended; `never`, at the beginning; `auto`, where
it ended if it was found in a directory or the last run was interrupted, at the beginning if it was named itself."""


class Door(Protocol):
    """The way into storage, see `collection.intake.Intake`."""

    def submit(self, operations: Sequence[Operation]) -> Future[WriteResult]: ...

    @property
    def redaction(self) -> Redaction: ...


@dataclass(slots=True)
class ImportReport:
    """What an import did: lines read, rejected and merged; operations imported, updated, duplicate and expired."""

    source: str
    files: int = 0
    """Files that were read."""
    unchanged: int = 0
    """Files that had been read before and did not change."""
    read: int = 0
    imported: int = 0
    updated: int = 0
    """Operations that replaced an earlier revision of themselves."""
    duplicates: int = 0
    rejected: int = 0
    merged: int = 0
    """Lines that gave no operation of their own: context, or a part of another line's operation."""
    expired: int = 0
    """Operations older than what retention has deleted; they were not taken."""
    stopped: bool = False
    """It was told to stop before the end; the next run goes on from here."""
    failures: list[str] = field(default_factory=list[str])
    """Files that could not be read, each in one sentence."""
    quarantine_files: list[str] = field(default_factory=list[str])

    def as_json(self) -> dict[str, object]:
        """The report for scripts."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an import is. Bytes are those of the files on disk."""

    path: Path
    file: int
    files: int
    bytes_done: int
    bytes_total: int
    report: ImportReport


@dataclass(slots=True)
class _File:
    """One file being imported, and what its cursor will say."""

    path: Path
    number: int
    size: int
    modified_at: int
    follow: bool
    quarantine: Quarantine
    earlier: Cursor | None
    """The cursor this run goes on from."""
    final: bool
    bytes_before: int
    """Of the files before it, for the progress."""
    imported: int = 0
    duplicates: int = 0
    rejected: int = 0


@dataclass(slots=True)
class _Pending:
    """A chunk whose operations have been handed over."""

    future: Future[WriteResult]
    chunk: Chunk
    file: _File
    remembered: dict[str, str]


class _RunMemory:
    """An importer's memory during a run: what is in the state store, and what will be once its chunk is committed."""

    def __init__(self, source: str, state: StateStore, fingerprints: Fingerprints) -> None:
        self.fingerprints = fingerprints
        self._source = source
        self._state = state
        self._lookups_left = SINGLE_LOOKUPS if state.remembers(source) else None
        """How many keys are still asked for one by one; None: everything stored is in `_known`."""
        self._known: dict[str, str] = {}
        self._new: dict[str, str] = {}

    def recall(self, key: str) -> str | None:
        value = self._known.get(key)
        if value is not None or self._lookups_left is None:
            return value
        if self._lookups_left == 0:
            self._known = self._state.memories(self._source) | self._known
            self._lookups_left = None
            return self._known.get(key)
        self._lookups_left -= 1
        value = self._state.recall(self._source, key)
        if value is not None:
            self._known[key] = value
        return value

    def remember(self, key: str, value: str) -> None:
        self._known[key] = self._new[key] = value

    def take(self) -> dict[str, str]:
        """What was learnt since the last call."""
        new, self._new = self._new, {}
        return new


class ImportRun:
    """Imports files of one source, one after the other. Not thread-safe; one run at a time per source."""

    def __init__(
        self,
        importer: Importer,
        *,
        intake: Door,
        state: StateStore,
        quarantine_dir: Path,
        machine: Machine | None = None,
        progress: Callable[[Progress], None] | None = None,
        stop: threading.Event | None = None,
    ) -> None:
        self._importer = importer
        self._intake = intake
        self._state = state
        self._quarantine_dir = quarantine_dir
        self._roots = [root.resolve() for root in importer.roots(machine or Machine.current())]
        self._progress = progress
        self._stop = stop or threading.Event()
        self._memory = _RunMemory(importer.name, state, intake.redaction.fingerprints)
        self._pending: deque[_Pending] = deque()
        self._in_flight = 0
        self._bytes_total = 0
        self._bytes_before = 0
        self._files = 0
        self.report = ImportReport(importer.name)

    def files(self, paths: Sequence[Path], *, resume: Resume, follow: bool | None) -> ImportReport:
        """Import what the paths stand for; see `run_import`."""
        found = [(file, path.is_dir()) for path in paths for file in self._importer.files_in(path)]
        found = list({file.resolve(): in_directory for file, in_directory in found}.items())
        self._bytes_total = sum(_size(file) for file, _ in found)
        self._files = len(found)
        for number, (file, in_directory) in enumerate(found, 1):
            if self._stop.is_set():
                break
            wanted = ("always" if in_directory else "auto") if resume == "auto" else resume
            self.file(file, resume=wanted, follow=follow, final=True, number=number)
            self._bytes_before += _size(file)
        self.settle()
        return self.report

    def file(self, path: Path, *, resume: Resume, final: bool, follow: bool | None = None, number: int = 1) -> None:
        """Hand over one file's operations. What is in flight is settled by later calls or `settle`.

        Raises:
            StoreError: a commit failed; the cursor stands before what was not stored.
        """
        try:
            status = path.stat()
        except OSError as error:
            self.report.failures.append(f"Cannot read {path}: {error.strerror}.")
            return
        size, modified_at = status.st_size, status.st_mtime_ns // 1000
        cursor = self._state.cursor(self._importer.name, str(path))
        again = resume == "never" or (resume == "auto" and cursor is not None and cursor.complete)
        earlier = None if again else cursor
        if earlier is not None and earlier.complete and (earlier.size, earlier.modified_at) == (size, modified_at):
            self.report.unchanged += 1
            return
        file = _File(
            path,
            number,
            size,
            modified_at,
            self._follows(path, cursor) if follow is None else follow,
            Quarantine(self._quarantine_dir, self._importer.name, path, self._intake.redaction),
            earlier,
            final,
            self._bytes_before,
        )
        self._hand_over(file)

    def _follows(self, path: Path, cursor: Cursor | None) -> bool:
        """A log in its own place is followed, one that was brought from elsewhere is not."""
        if cursor is not None and cursor.follow:
            return True
        return any(path == root or root in path.parents for root in self._roots)

    def _hand_over(self, file: _File) -> None:
        start = Position()
        if file.earlier is not None:
            start = Position.from_json(file.earlier.position, self._importer.state_version)
        self.report.files += 1
        try:
            for chunk in self._importer.read(file.path, start, final=file.final, memory=self._memory):
                if chunk.restarted:
                    file.earlier = None
                self._submit(chunk, file)
                if self._stop.is_set():
                    self.report.stopped = self.report.stopped or not chunk.last
                    return
        except ConfigError as error:
            self.report.failures.append(str(error))

    # --- batches in flight -------------------------------------------------------------------------------------

    def _submit(self, chunk: Chunk, file: _File) -> None:
        while self._in_flight > MAX_IN_FLIGHT_OPERATIONS or len(self._pending) >= MAX_IN_FLIGHT_CHUNKS:
            self._settle_oldest()
        while True:
            try:
                future = self._intake.submit(chunk.operations)
                break
            except IntakeFull as error:
                # Nothing was taken. What is in flight may make room; otherwise others fill the queue.
                if self._pending:
                    self._settle_oldest()
                elif self._stop.wait(error.retry_after_s):
                    self.report.stopped = True
                    return
        self._in_flight += len(chunk.operations)
        self._pending.append(_Pending(future, chunk, file, self._memory.take()))

    def settle(self) -> None:
        """Wait until everything handed over is committed and noted.

        Raises:
            StoreError: a commit failed; the cursor stands before what was not stored.
        """
        while self._pending:
            self._settle_oldest()

    def _settle_oldest(self) -> None:
        pending = self._pending.popleft()
        self._in_flight -= len(pending.chunk.operations)
        try:
            result = pending.future.result()
        except BaseException:
            # Later chunks may be stored, but a cursor past a gap would lose what failed.
            self._pending.clear()
            self._in_flight = 0
            raise
        self._count(pending.chunk, pending.file, result)
        self._state.save_cursor(self._cursor(pending.chunk, pending.file), pending.remembered)
        if self._progress is not None:
            self._progress(self._state_of_progress(pending))

    def _count(self, chunk: Chunk, file: _File, result: WriteResult) -> None:
        if chunk.rejects:
            file.quarantine.add(chunk.rejects)
            kept_in = str(file.quarantine.path)
            if kept_in not in self.report.quarantine_files:
                self.report.quarantine_files.append(kept_in)
        file.imported += result.inserted
        file.duplicates += result.duplicates
        file.rejected += len(chunk.rejects)
        report = self.report
        report.read += chunk.lines
        report.imported += result.inserted
        report.updated += result.replaced
        report.duplicates += result.duplicates
        report.expired += result.expired
        report.rejected += len(chunk.rejects)
        report.merged += chunk.merged

    def _cursor(self, chunk: Chunk, file: _File) -> Cursor:
        earlier = file.earlier
        return Cursor(
            source=self._importer.name,
            path=str(file.path),
            position=chunk.position.as_json(self._importer.state_version),
            size=file.size,
            modified_at=file.modified_at,
            complete=chunk.last and file.final,
            follow=file.follow,
            lines=chunk.position.line,
            imported=file.imported + (earlier.imported if earlier else 0),
            duplicates=file.duplicates + (earlier.duplicates if earlier else 0),
            rejected=file.rejected + (earlier.rejected if earlier else 0),
        )

    def _state_of_progress(self, pending: _Pending) -> Progress:
        file = pending.file
        done = file.size if pending.chunk.last else min(file.size, pending.chunk.bytes_done)
        return Progress(file.path, file.number, self._files, file.bytes_before + done, self._bytes_total, self.report)


def run_import(
    importer: Importer,
    paths: Sequence[Path],
    *,
    intake: Door,
    state: StateStore,
    quarantine_dir: Path,
    machine: Machine | None = None,
    progress: Callable[[Progress], None] | None = None,
    stop: threading.Event | None = None,
    resume: Resume = "auto",
    follow: bool | None = None,
) -> ImportReport:
    """Import the files that `paths` stand for (files, or directories of logs); returns when all is committed.

    `progress` is called after every commit, on this thread. `stop` ends the run after the batch at hand.
    `follow` says whether a server reads on as the files grow; None: those that lie where the assistant writes.

    Raises:
        ConfigError: a path does not exist, or rejected lines cannot be kept.
        StoreError: a commit failed; run again to go on.
    """
    for path in paths:
        if not path.exists():
            raise ConfigError(f"There is no file or directory {path}.")
    run = ImportRun(
        importer,
        intake=intake,
        state=state,
        quarantine_dir=quarantine_dir,
        machine=machine,
        progress=progress,
        stop=stop,
    )
    return run.files(paths, resume=resume, follow=follow)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0

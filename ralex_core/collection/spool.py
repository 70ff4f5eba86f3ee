"""A bounded queue of NDJSON segments on disk: what the SDK has recorded and a server has not yet taken.

Layout under the spool's directory (one directory per server, shared by every process that sends to it)::

    4242-9f3c1a2b.lock      held by the owning process for as long as it lives
    4242-9f3c1a2b/          its segments, oldest first
        0000000001.ndjson
    rejected.ndjson         lines the server refused, with its reason

A process appends only to its own segments. When it dies, however it dies, the operating system lets go of its lock,
and the next process that sends to the same server adopts the segments. Lines carry fixed operation ids, so a line
that is sent twice counts once.

Without a writable directory, or when the disk is full, segments are kept in memory within their own bound.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from ralex_core.collection import tables
from ralex_core.collection.ownership import remove_lock, try_lock
from ralex_core.private_files import private_directory

MAX_BYTES = 128 * 1024 * 1024
"""About 200,000 operations with ten attributes each; a day of a busy team without a server."""
MEMORY_BYTES = 16 * 1024 * 1024
"""The bound while the disk takes nothing."""
SEGMENT_BYTES = 1024 * 1024
"""One request's body: large enough to amortise a request, small enough to be resent cheaply."""
MEMORY_SEGMENT_BYTES = 64 * 1024
"""Smaller than on disk: a segment in memory grows by copying."""
REJECTED_BYTES = 8 * 1024 * 1024
DISK_RETRY_S = 10.0
"""How long memory is used after the disk refused, before the disk is asked again."""

_LOCK_SUFFIX = ".lock"
_SEGMENT_SUFFIX = ".ndjson"


@dataclass(slots=True, eq=False)
class Segment:
    """Some complete lines, on disk (`path`) or in memory (`data`)."""

    size: int
    operations: int | None
    """None: written by another process and not counted yet."""
    path: Path | None = None
    data: bytes = b""


@dataclass(frozen=True, slots=True)
class SpoolCounts:
    """What the spool holds and lost."""

    operations: int
    bytes: int
    dropped: int
    """Operations given up because a bound was reached or nothing would take them."""
    damaged: int
    """Half-written last lines of killed processes, left out."""


def _ignore_warning(key: str, message: str) -> None:
    """A spool on its own has nobody to tell."""


class Spool:
    """Thread-safe. Bounds hold per process: `max_bytes` on disk (adopted segments included), `memory_bytes` in memory.

    When a bound is reached the oldest segment is dropped and counted. No method raises `OSError`.
    """

    def __init__(
        self,
        directory: Path | None,
        *,
        others: tuple[Path, ...] = (),
        max_bytes: int = MAX_BYTES,
        memory_bytes: int = MEMORY_BYTES,
        segment_bytes: int = SEGMENT_BYTES,
        warn: Callable[[str, str], None] = _ignore_warning,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`others`: spools whose dead processes left segments for the same server. `adopt` takes them too."""
        self.directory = directory
        self._others = others
        self._max_bytes = max_bytes
        self._memory_bytes = memory_bytes
        # At least four segments fit, so that dropping the oldest never drops everything.
        self._segment_bytes = min(segment_bytes, max(1, max_bytes // 4))
        self._warn = warn
        self._monotonic = monotonic
        self._reset()

    def _reset(self) -> None:
        self._lock = threading.RLock()
        self._segments: deque[Segment] = deque()
        self._taken: Segment | None = None
        self._open: Segment | None = None
        self._open_fd = -1
        self._own: Path | None = None
        self._own_lock = -1
        self._sequence = 0
        self._on_disk = self._in_memory = 0
        self._dropped = self._damaged = 0
        self._disk_after = float("-inf")

    # Writing

    def append(self, payload: bytes | bytearray, operations: int) -> Segment:
        """Keep complete lines until they are removed; drops the oldest segment when a bound is reached.

        Returns the segment they are in.
        """
        with self._lock:
            segment = self._append_to_disk(payload, operations) if self._disk_is_due() else None
            if segment is None:
                segment = self._append_to_memory(payload, operations)
            self._enforce_bounds()
            return segment

    def _disk_is_due(self) -> bool:
        return self.directory is not None and self._monotonic() >= self._disk_after

    def _append_to_disk(self, payload: bytes | bytearray, operations: int) -> Segment | None:
        """The segment that has it now; None when the disk takes nothing."""
        size_before = self._open.size if self._open else 0
        try:
            segment = self._open or self._new_segment()
            view = memoryview(payload)
            while view:
                view = view[os.write(self._open_fd, view) :]
        except OSError as error:
            if self._open is not None:
                with contextlib.suppress(OSError):
                    os.ftruncate(self._open_fd, size_before)  # a torn line would swallow the next one
                self._seal()
            self._disk_failed(error)
            return None
        segment.size += len(payload)
        segment.operations = (segment.operations or 0) + operations
        self._on_disk += len(payload)
        if segment.size >= self._segment_bytes:
            self._seal()
        return segment

    def _append_to_memory(self, payload: bytes | bytearray, operations: int) -> Segment:
        last = self._segments[-1] if self._segments else None
        if last is None or last.path or last is self._taken or last.size >= MEMORY_SEGMENT_BYTES:
            last = Segment(0, 0)
            self._segments.append(last)
        last.data += payload
        last.size = len(last.data)
        last.operations = (last.operations or 0) + operations
        self._in_memory += len(payload)
        return last

    def _disk_failed(self, error: OSError) -> None:
        self._disk_after = self._monotonic() + DISK_RETRY_S
        self._warn(
            "spool",
            f"The spool in {self.directory} takes no more ({error}); operations wait in memory, at most "
            f"{self._memory_bytes // 1024} kB of them. Free some disk space, or point RALEX_MONITOR_HOME elsewhere.",
        )

    def _new_segment(self) -> Segment:
        segment = Segment(0, 0, path=self._next_path())
        assert segment.path is not None  # noqa: S101 - just given
        self._open_fd = os.open(segment.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        self._open = segment
        self._segments.append(segment)
        return segment

    def _next_path(self) -> Path:
        """A name for a new segment of ours. Raises OSError when the disk gives us no directory."""
        if self._own is None:
            self._own = self._become_owner()
        self._sequence += 1
        return self._own / f"{self._sequence:010d}{_SEGMENT_SUFFIX}"

    def _become_owner(self) -> Path:
        """A directory of our own whose lock we hold. Raises OSError."""
        assert self.directory is not None  # noqa: S101 - callers asked
        private_directory(self.directory)
        while True:
            name = f"{os.getpid()}-{secrets.token_hex(4)}"
            lock_path = self.directory / (name + _LOCK_SUFFIX)
            descriptor = os.open(lock_path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
            # Between creating and locking, another process may have found the file ownerless and cleaned it away.
            if try_lock(descriptor, lock_path):
                break
            os.close(descriptor)
        try:
            (self.directory / name).mkdir(mode=0o700)
        except OSError:
            remove_lock(lock_path, descriptor)
            raise
        self._own_lock = descriptor
        return self.directory / name

    def _seal(self) -> None:
        """Stop appending to the open segment; an empty one is forgotten."""
        segment, self._open = self._open, None
        if segment is not None:
            os.close(self._open_fd)
            self._open_fd = -1
            if segment.size == 0:
                self._forget(segment)

    def _enforce_bounds(self) -> None:
        if self._on_disk <= self._max_bytes and self._in_memory <= self._memory_bytes:
            return
        for segment in list(self._segments):
            over = self._on_disk > self._max_bytes if segment.path else self._in_memory > self._memory_bytes
            if over and segment is not self._taken and segment is not self._open:
                self._dropped += self._count(segment)
                self._forget(segment)

    # Reading

    def oldest(self) -> Segment | None:
        """The segment to send next. It stays in the spool, and is not dropped, until `remove` or `put_back`."""
        with self._lock:
            if self._segments and self._segments[0] is self._open:
                self._seal()
            self._taken = self._segments[0] if self._segments else None
            return self._taken

    def load(self, segment: Segment) -> bytes:
        """The segment's complete lines; empty when its file is gone. The tail of a line cut by a kill is left out."""
        if segment.path is None:
            return segment.data
        try:
            payload = segment.path.read_bytes()
        except OSError:
            payload = b""
        end = payload.rfind(b"\n") + 1
        if segment.operations is None:
            segment.operations = tables.count(payload[:end])
            self._damaged += end < len(payload)
        return payload[:end]

    def remove(self, segment: Segment) -> None:
        """The segment has been dealt with."""
        with self._lock:
            self._forget(segment)
            self._taken = None

    def drop(self, segment: Segment) -> None:
        """Give the segment up and count it."""
        with self._lock:
            self._dropped += self._count(segment)
            self.remove(segment)

    def put_back(self) -> None:
        """The segment last taken could not be sent now."""
        with self._lock:
            self._taken = None

    def split(self, segment: Segment, parts: Iterable[bytes]) -> None:
        """Put smaller segments in the place of one that is too large for the server. They wait in memory."""
        with self._lock:
            smaller = [Segment(len(part), tables.count(part), data=part) for part in parts if part]
            self._segments.extendleft(reversed(smaller))
            self._in_memory += sum(part.size for part in smaller)
            self.remove(segment)

    def _forget(self, segment: Segment) -> None:
        try:
            self._segments.remove(segment)
        except ValueError:
            return
        if segment.path is None:
            self._in_memory -= segment.size
            return
        self._on_disk -= segment.size
        with contextlib.suppress(OSError):
            segment.path.unlink()

    def _count(self, segment: Segment) -> int:
        if segment.operations is None:
            self.load(segment)
        return segment.operations or 0

    # Segments of dead processes

    def adopt(self) -> int:
        """Take over the segments of processes that are gone; returns how many.

        Small ones are copied into our own and large ones moved, so that a thousand short runs without a server leave
        a handful of files. A copy interrupted by a kill is sent twice, which changes nothing.
        """
        if self.directory is None:
            return 0
        with self._lock:
            adopted = 0
            for directory in (self.directory, *self._others):
                with contextlib.suppress(OSError):
                    for lock_path in sorted(directory.glob("*" + _LOCK_SUFFIX)):
                        adopted += self._adopt_from(lock_path)
            self._enforce_bounds()
            return adopted

    def _adopt_from(self, lock_path: Path) -> int:
        owner = lock_path.with_suffix("")
        if owner == self._own:
            return 0
        try:
            descriptor = os.open(lock_path, os.O_RDWR)
        except OSError:
            return 0
        if not (try_lock(descriptor, lock_path)):
            os.close(descriptor)
            return 0
        adopted = 0
        try:
            if owner.is_dir():
                for path in sorted(owner.glob("*" + _SEGMENT_SUFFIX)):
                    self._take_over(path)
                    adopted += 1
                owner.rmdir()
        except OSError as error:
            os.close(descriptor)  # what is left stays for a later pass
            self._disk_failed(error)
            return adopted
        remove_lock(lock_path, descriptor)
        return adopted

    def _take_over(self, path: Path) -> None:
        """Raises OSError when the segment stays where it is."""
        segment = Segment(path.stat().st_size, None, path=path)
        if segment.size < self._segment_bytes // 2:
            payload = self.load(segment)
            if payload and not self._append_to_disk(payload, segment.operations or 0):
                raise OSError("no room for an adopted segment")
            path.unlink()
            return
        segment.path = path.rename(self._next_path())
        self._segments.appendleft(segment)
        self._on_disk += segment.size

    # Refused lines

    def reject(self, lines: Iterable[bytes], reason: str) -> None:
        """Keep lines the server refused, with its reason, up to `REJECTED_BYTES`; beyond that they are only counted."""
        if self.directory is None:
            return
        prefix = b'{"reason":' + json.dumps(reason[:1000]).encode() + b',"operation":'
        kept = b"".join(prefix + line.rstrip(b"\n") + b"}\n" for line in lines)
        with contextlib.suppress(OSError):
            private_directory(self.directory)
            path = self.directory / "rejected.ndjson"
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                if os.fstat(descriptor).st_size + len(kept) <= REJECTED_BYTES:
                    os.write(descriptor, kept)
            finally:
                os.close(descriptor)

    # State

    def counts(self) -> SpoolCounts:
        """What is held and what was lost so far. Reads adopted segments that were not counted yet."""
        with self._lock:
            return SpoolCounts(
                operations=sum(self._count(segment) for segment in self._segments),
                bytes=self._on_disk + self._in_memory,
                dropped=self._dropped,
                damaged=self._damaged,
            )

    def is_empty(self) -> bool:
        return not self._segments

    def close(self) -> None:
        """Leave what is left to the next process. What only memory holds is lost, and counted as dropped."""
        with self._lock:
            self._seal()
            lost = sum(self._count(segment) for segment in self._segments if segment.path is None)
            if lost:
                self._dropped += lost
                self._warn("spool.close", f"{lost} operations that neither the disk nor the server took are lost.")
            left_on_disk = any(segment.path for segment in self._segments)
            self._segments.clear()
            self._on_disk = self._in_memory = 0
            self._taken = None
            if self._own is None:
                return
            lock_path = self._own.with_suffix(_LOCK_SUFFIX)
            if left_on_disk:
                os.close(self._own_lock)
            else:
                with contextlib.suppress(OSError):
                    self._own.rmdir()
                remove_lock(lock_path, self._own_lock)
            self._own, self._own_lock = None, -1

    def after_fork(self) -> None:
        """In a forked child: what is here belongs to the parent, whose lock lives on; start empty."""
        for descriptor in (self._own_lock, self._open_fd):
            if descriptor >= 0:
                with contextlib.suppress(OSError):
                    os.close(descriptor)
        self._reset()

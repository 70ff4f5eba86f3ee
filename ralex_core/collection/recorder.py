"""Takes finished operations from the host's threads and hands them, encoded, to a sink from a thread of its own.

The host pays for one bounded append. Encoding, disk and network belong to the background thread.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
import threading
import weakref
from collections import defaultdict, deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from ralex_core.collection.accelerator import compiled
from ralex_core.collection.guard import guard

if TYPE_CHECKING:
    from ralex_core.collection.destination import Destination
    from ralex_core.collection.encoding import Row
    from ralex_core.collection.prepared import Prepared

Values = tuple[
    Any,
    str,
    Any,
    dict[str, Any] | None,
    int | str,
    int,
    int | str | None,
    int,
    int,
    int,
    dict[str, Any] | None,
]
"""A finished operation: name, kind, fields, attributes, trace, span, parent's span (see `ids`), start by the
wall clock (0: it follows from the steady one), start and end by a steady clock in nanoseconds, and the context's
defaults. Of a `Prepared` operation that one instead of the name, and its count or None instead of the fields."""
WIDTH = 11
_WIDTH_TIMES = range(WIDTH)

QUEUE_OPERATIONS = 100_000
"""Operations that may wait for the background thread: 5 s of 20,000 a second, some 50 MB at the worst."""
FLUSH_INTERVAL_S = 0.25
"""How long an operation may wait in memory: what a killed process can lose, and what the live view lags behind."""
IDLE_AFTER_ROUNDS = 20
"""Empty rounds before the thread stops ticking and sleeps until the next operation."""
IDLE_WAIT_S = 5.0
BATCH_BYTES = 512 * 1024
"""Size of a batch at which it is handed on."""
ROW_BYTES = 90
"""About what a row of a table takes."""
CHUNK_OPERATIONS = 100
"""Operations taken from the queue at once."""
CLOSE_TIMEOUT_S = 2.0
"""The longest the end of the host is held up, and only by a server that is alive but slow."""


class Stats(NamedTuple):
    """What became of the operations recorded since the process started."""

    recorded: int
    """Taken from the host; `dropped_queue` is not part of it."""
    delivered: int
    queued: int
    """In memory, not yet with the sink."""
    pending: int
    """With the sink (in the spool), not yet delivered."""
    dropped_queue: int
    """Not taken: the queue was full, or the recorder was closed."""
    dropped_spool: int
    """Given up because the spool reached its bound."""
    rejected: int
    """Refused by the server, which said why."""
    errors: int
    """Failures inside the SDK that were kept from the host."""


class Recorder:
    """A bounded queue in front of a sink.

    `append` and `limit` are the hot path's: an operation is appended while `len(queue) < limit`; in every other case
    (full; or not started, asleep, closed: `limit` is -1) the caller goes through `put_slowly`, which finds out which.

    The queue holds the values of an operation one after the other, `WIDTH` of them, and not an object for each: what
    waits is then nothing the garbage collector has to visit, which saves the host up to 1 µs an operation. Where the
    compiled half is used, most operations that are `Prepared` wait in `rows` instead, of which as many may.
    """

    __slots__ = (
        "__weakref__",
        "_capacity",
        "_destination",
        "_drain_lock",
        "_drained",
        "_dropped",
        "_enabled",
        "_flush_interval_s",
        "_is_draining",
        "_is_open",
        "_lock",
        "_open",
        "_thread",
        "_wake",
        "append",
        "error_messages",
        "limit",
        "queue",
        "rows",
    )

    def __init__(
        self,
        open_destination: Callable[[], Destination | None],
        *,
        queue_operations: int = QUEUE_OPERATIONS,
        flush_interval_s: float = FLUSH_INTERVAL_S,
        error_messages: bool = False,
        enabled: bool = True,
    ) -> None:
        """`open_destination` is called once, from the background thread, when there is something to send."""
        self._open = open_destination
        self._capacity = queue_operations * WIDTH
        self._flush_interval_s = flush_interval_s
        self.error_messages = error_messages
        self._enabled = self._is_open = enabled
        self._destination: Destination | None = None
        self._reset()
        _recorders.add(self)

    def _reset(self) -> None:
        self.queue: deque[Any] = deque()
        self.append: Callable[[Values], None] = self.queue.extend
        self.rows: Any = compiled.Rows() if compiled is not None else None
        self._take_up_to(-1)
        # Re-entrant: the garbage collector may run a host's destructor, which records, while this thread holds one.
        self._lock = threading.RLock()
        self._drain_lock = threading.RLock()
        self._wake = threading.Event()
        self._is_draining = False
        self._thread: threading.Thread | None = None
        self._drained = 0
        self._dropped = 0

    def _take_up_to(self, values: int) -> None:
        """Let the hot paths append while fewer values wait; -1: not at all."""
        self.limit = values
        if self.rows is not None:
            self.rows.limit = values // WIDTH

    @property
    def _waiting(self) -> int:
        """Operations."""
        return len(self.queue) // WIDTH + (len(self.rows) if self.rows is not None else 0)

    # The host's side

    def put(self, values: Values) -> None:
        """Take a finished operation."""
        if len(self.queue) < self.limit:
            self.append(values)
        else:
            self.put_slowly(values)

    def put_slowly(self, values: Values) -> None:
        """Take an operation when the hot path could not: start or wake the thread, or count a drop."""
        with self._lock:
            if not self._is_open or len(self.queue) >= self._capacity:
                self._dropped += self._enabled
                return
            self.append(values)
            if self.limit >= 0:
                return
            if self._thread is None:
                # Not woken: it takes its first look an interval from now, so that what it has to import then does
                # not compete with the very operation that started it.
                self._take_up_to(self._capacity if self._start() else -1)
                return
            self._take_up_to(self._capacity)
        self._wake.set()

    def _start(self) -> bool:
        thread = threading.Thread(target=self._run, name="ralex-monitor-record", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            return False  # the interpreter is shutting down: close() drains the queue itself
        self._thread = thread
        _finalize_with_multiprocessing(self)
        return True

    # The background thread

    def _run(self) -> None:
        empty_rounds = 0
        self._wake.wait(self._flush_interval_s)
        while self._is_open:
            try:
                empty_rounds = 0 if self._drain() else empty_rounds + 1
            except TimeoutError:
                pass  # a flush under way does the work
            except Exception:
                guard.note("recording")
            if empty_rounds < IDLE_AFTER_ROUNDS:
                self._wake.wait(self._flush_interval_s)
            else:
                # From here every operation goes through put_slowly, which wakes us. One that had already passed the
                # check waits for the timeout at worst.
                self._take_up_to(-1)
                if not self._waiting:
                    self._wake.wait(IDLE_WAIT_S)
                if self._is_open:
                    self._take_up_to(self._capacity)
            self._wake.clear()

    def _drain(self, timeout_s: float = -1) -> int:
        """Hand everything that waits to the sink; returns the number of operations.

        Raises:
            TimeoutError: somebody else is at it; what they hold may not be with the sink yet.
        """
        if not self._drain_lock.acquire(timeout=timeout_s):
            raise TimeoutError("the recorder's thread is busy")
        if self._is_draining:
            # A signal handler or destructor of the host, run in the middle of this very function, wants to flush.
            self._drain_lock.release()
            raise TimeoutError("called from inside itself")
        self._is_draining = True
        try:
            if self._destination is None and not (self._waiting and self._connect()):
                return 0
            destination, total = self._destination, self._waiting
            assert destination is not None  # noqa: S101 - connected above
            left = total
            while left > 0:
                left -= self._submit_batch(destination, left)
            destination.sink.poll()
            return total
        finally:
            self._is_draining = False
            self._drain_lock.release()

    def _connect(self) -> bool:
        """Open the destination; when that fails or the environment says no, record nothing from here on."""
        try:
            self._destination = self._open()
            self._enabled = self._destination is not None
        except Exception:
            guard.note("opening the destination")
        if self._destination is None:
            self._is_open = False
            self._take_up_to(-1)
            self._dropped += self._waiting if self._enabled else 0
            self.queue.clear()
            if self.rows is not None:
                self.rows.take(len(self.rows), 0)
            return False
        return True

    def _submit_batch(self, destination: Destination, at_most: int) -> int:
        """Encode and submit up to about `BATCH_BYTES`; returns the number of operations taken from the queue."""
        from ralex_core.collection.encoding import encode, set_in_rows, table, table_of, wall_minus_steady
        from ralex_core.collection.sinks import Batch

        constants, take = destination.constants, self.queue.popleft
        # One growing buffer: a list of lines would touch new memory for each, and a page fault costs as much as a line.
        payload = bytearray()
        alike: defaultdict[Prepared, list[Row]] = defaultdict(list)
        tables: list[bytes] = []
        taken = encoded = in_rows = 0
        in_queue = min(len(self.queue) // WIDTH, at_most)  # before the rows: what is sent again comes after its row
        if self.rows:
            for prepared, count, text in self.rows.take(min(at_most, BATCH_BYTES // ROW_BYTES), wall_minus_steady()):
                tables.append(table_of(prepared, text, constants))
                in_rows += count
            taken = in_rows
        in_queue = min(in_queue, at_most - taken)
        while in_queue and len(payload) + in_rows * ROW_BYTES < BATCH_BYTES:
            count = min(CHUNK_OPERATIONS, in_queue)
            in_queue -= count
            values = iter([take() for _ in range(count * WIDTH)])
            taken += count
            others = set_in_rows(zip(*[values] * WIDTH, strict=True), alike)
            in_rows += count - len(others)
            for operation in others:
                try:
                    line = encode(operation, constants)
                except Exception:
                    self._dropped += 1
                    guard.note("encoding")
                    continue
                payload += line
                encoded += 1
        # Tables first: what is sent again is a line of its own and comes after what it replaces.
        tables += (table(prepared, rows, constants) for prepared, rows in alike.items())
        payload, encoded = b"".join((*tables, payload)) if tables else payload, encoded + in_rows
        self._drained += taken
        if encoded:
            destination.sink.submit(Batch(payload, encoded))
        return taken

    # Ends

    def flush(self, timeout_s: float = 10.0) -> bool:
        """Deliver everything recorded so far; returns whether all of it was.

        Waits at most about `timeout_s` for the receiver; with 0, what was recorded is at least out of memory (in the
        spool) when this returns.
        """
        try:
            self._drain(max(timeout_s, CLOSE_TIMEOUT_S))
            return self._destination is None or self._destination.sink.flush(timeout_s)
        except TimeoutError:
            return False
        except Exception:
            guard.swallow("flush")
            return False

    def close(self, timeout_s: float = CLOSE_TIMEOUT_S) -> None:
        """Stop recording; deliver what is possible in time and leave the rest in the spool. Idempotent."""
        with self._lock:
            if not self._is_open:
                return
            self._is_open = False
            self._take_up_to(-1)
        self._wake.set()
        try:
            with contextlib.suppress(TimeoutError):
                self._drain(max(timeout_s, CLOSE_TIMEOUT_S))
            if self._destination is not None:
                self._destination.sink.close(timeout_s)
        except Exception:
            guard.swallow("close")

    def stats(self) -> Stats:
        from ralex_core.collection.sinks import SinkCounts

        counts = self._destination.sink.counts() if self._destination else SinkCounts()
        return Stats(
            recorded=self._drained + self._waiting,
            delivered=counts.delivered,
            queued=self._waiting,
            pending=counts.pending,
            dropped_queue=self._dropped,
            dropped_spool=counts.dropped,
            rejected=counts.rejected,
            errors=guard.failures,
        )

    def after_fork(self) -> None:
        """In a forked child: the parent delivers what is queued and open here; begin anew, with the same settings."""
        self._reset()
        if self._destination is not None:
            self._destination.sink.after_fork()


_recorders: weakref.WeakSet[Recorder] = weakref.WeakSet()


def _finalize_with_multiprocessing(recorder: Recorder) -> None:
    """A forked multiprocessing worker ends without running `atexit`; it runs these finalizers instead."""
    multiprocessing = sys.modules.get("multiprocessing")
    if multiprocessing is not None and multiprocessing.parent_process() is not None:
        from multiprocessing.util import Finalize

        Finalize(recorder, recorder.close, exitpriority=10)


def _after_fork_in_child() -> None:
    guard.after_fork()
    for recorder in list(_recorders):
        recorder.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


def _close_all() -> None:
    for recorder in list(_recorders):
        recorder.close()


# Registered when the SDK is imported, hence run after the exit handlers of most of the host.
atexit.register(_close_all)

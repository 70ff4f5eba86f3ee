"""Where recorded operations go: over HTTP to a server, or straight to a callable in this process."""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from ralex_core.collection import tables
from ralex_core.collection.guard import guard
from ralex_core.collection.spool import Segment, Spool

if TYPE_CHECKING:
    from ralex_core.collection.transport import Answer, Transport
    from ralex_core.model.operation import Operation

ORPHAN_SCAN_S = 30.0
"""How often to look for segments of processes that died meanwhile."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Finished operations as NDJSON in the native wire format, alike ones in `tables`; lines end with a newline."""

    payload: bytes | bytearray
    operations: int


@dataclass(frozen=True, slots=True)
class SinkCounts:
    """Operations since the sink was made."""

    delivered: int = 0
    pending: int = 0
    dropped: int = 0
    """Given up because a bound was reached."""
    rejected: int = 0
    """Refused by the receiver, which said why."""


class Sink(Protocol):
    """Takes batches from the recorder's thread and keeps, within bounds, what cannot be delivered now."""

    def submit(self, batch: Batch) -> None:
        """Take a batch. Does not wait for its delivery."""
        ...

    def poll(self) -> None:
        """Called every flush interval while operations come in, every few seconds otherwise."""
        ...

    def flush(self, timeout_s: float) -> bool:
        """Try to deliver everything now; returns whether nothing is left."""
        ...

    def close(self, timeout_s: float) -> None:
        """Deliver what can be delivered in time, keep the rest where the next process finds it, and stop."""
        ...

    def after_fork(self) -> None:
        """Called in a forked child: forget what belongs to the parent."""
        ...

    def counts(self) -> SinkCounts: ...


class InProcessSink:
    """Hands `Operation`s to a callable in the same process, such as `Intake.submit`.

    When the callable raises, or the future it returns fails, the operations are kept and offered again; beyond
    `pending_operations` the oldest are dropped and counted. Operations the native format does not allow are rejected.
    """

    def __init__(
        self,
        receive: Callable[[list[Operation]], object],
        *,
        door: str = "sdk",
        pending_operations: int = 100_000,
    ) -> None:
        self._receive = receive
        self._door = door
        self._limit = pending_operations
        self._delivered = self._dropped = self._rejected = 0
        self.after_fork()

    def after_fork(self) -> None:
        self._lock = threading.RLock()
        self._pending: deque[list[Operation]] = deque()
        self._waiting = 0

    def submit(self, batch: Batch) -> None:
        from ralex_core.collection.native import NDJSON, parse_operations

        parsed = parse_operations(batch.payload, NDJSON, time.time_ns() // 1000, self._door)
        if parsed.rejected:
            with self._lock:
                self._rejected += len(parsed.rejected)
            guard.warn(
                "rejected", "The monitor refused an operation: %s. Later ones are counted only.", parsed.rejected[0][1]
            )
        if parsed.operations:
            self._keep(parsed.operations)
        self.poll()

    def _keep(self, operations: list[Operation]) -> None:
        with self._lock:
            self._pending.append(operations)
            self._waiting += len(operations)
            while self._waiting > self._limit and len(self._pending) > 1:
                lost = len(self._pending.popleft())
                self._waiting -= lost
                self._dropped += lost

    def poll(self) -> None:
        """Offer what waits, oldest first, until the callable refuses."""
        for _ in range(len(self._pending)):
            with self._lock:
                if not self._pending:
                    return
                operations = self._pending.popleft()
                self._waiting -= len(operations)
            try:
                result = self._receive(operations)
            except Exception as error:
                self._offer_again(operations, error)
                return
            on_done: Callable[[Callable[[Any], None]], None] | None = getattr(result, "add_done_callback", None)
            if on_done is None:
                self._count_delivered(operations)
            else:
                on_done(lambda future, operations=operations: self._settled(future, operations))

    def _settled(self, future: Any, operations: list[Operation]) -> None:
        error = future.exception()
        if error is None:
            self._count_delivered(operations, getattr(future.result(), "expired", 0))
        else:
            self._offer_again(operations, error)

    def _count_delivered(self, operations: list[Operation], expired: int = 0) -> None:
        if expired:
            guard.warn(
                "expired",
                "The monitor did not store %d operations: they are older than what it keeps (retention_days). "
                "Check the clock of this machine. Later ones are counted only.",
                expired,
            )
        with self._lock:
            self._delivered += len(operations) - expired
            self._rejected += expired

    def _offer_again(self, operations: list[Operation], error: BaseException) -> None:
        guard.warn("receive", "The monitor could not take operations (%s); they are kept and offered again.", error)
        with self._lock:
            self._pending.appendleft(operations)
            self._waiting += len(operations)

    def flush(self, timeout_s: float) -> bool:
        self.poll()
        return not self._pending

    def close(self, timeout_s: float) -> None:
        self.poll()
        with self._lock:
            self._dropped += self._waiting
            self._pending.clear()
            self._waiting = 0

    def counts(self) -> SinkCounts:
        with self._lock:
            return SinkCounts(self._delivered, self._waiting, self._dropped, self._rejected)


class HttpSink:
    """Sends to a monitor's `POST /api/v1/operations` from its own thread; what is not yet taken waits in the spool.

    At least once, with fixed operation ids: the server stores each once. A server that does not answer is retried with
    exponential back-off and jitter, or after the `Retry-After` it names. Lines it refuses are kept beside the spool
    with the reason. A wrong token or address is retried like a dead server, because both can be put right.
    """

    def __init__(
        self,
        endpoint: str | Callable[[], str | None],
        token: str | None = None,
        *,
        spool: Spool,
        timeout_s: float = 30.0,
        retry_base_s: float = 0.25,
        retry_max_s: float = 5.0,
    ) -> None:
        """`endpoint` may be found out: the sending thread asks for it before the first attempt and after each that
        failed; it gives None while there is no address. The token is sent to a server found so on this machine only.
        """
        self._find = endpoint if callable(endpoint) else None
        self._token = token
        self._timeout_s = timeout_s
        self._endpoint = ""
        self._transport: Transport | None = None
        if not callable(endpoint):
            self._send_to(endpoint)
        self._spool = spool
        self._retry_base_s = retry_base_s
        self._retry_max_s = retry_max_s
        self._delivered = self._rejected = 0
        self._jitter = random.Random()  # noqa: S311 - spreads retries, protects nothing
        self._reset()

    def _send_to(self, endpoint: str) -> None:
        from ralex_core.collection.sdk_settings import is_loopback
        from ralex_core.collection.transport import Transport

        token = self._token if self._find is None or is_loopback(endpoint) else None
        transport = Transport(endpoint, token, timeout_s=self._timeout_s)
        if self._transport is not None:
            self._transport.close()
        self._transport, self._endpoint = transport, endpoint

    def _look_up(self) -> None:
        """Find out where to send, when that is not known or the last attempt failed."""
        if self._find is not None and (self._failures or self._transport is None):
            endpoint = self._find()
            if endpoint is not None and endpoint != self._endpoint:
                self._send_to(endpoint)

    def _reset(self) -> None:
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closing = False
        self._failures = 0
        self._delay_s = 0.0
        self._passes_begun = self._passes_ended = 0
        self._retry_now = False

    def after_fork(self) -> None:
        if self._transport is not None:
            self._transport.after_fork()
        self._spool.after_fork()
        self._delivered = self._rejected = 0
        self._reset()

    # The recorder's side

    def submit(self, batch: Batch) -> None:
        self._spool.append(batch.payload, batch.operations)
        self._start()
        with self._changed:
            self._changed.notify_all()

    def poll(self) -> None:
        """Nothing: the sending thread keeps its own time."""

    def _start(self) -> None:
        if self._thread is None and not self._closing:
            thread = threading.Thread(target=self._run, name="ralex-monitor-send", daemon=True)
            try:
                thread.start()
            except RuntimeError:
                return  # the interpreter is about to end: close() sends by itself
            self._thread = thread

    def flush(self, timeout_s: float) -> bool:
        """Wait until the spool is empty; a server in back-off gets one immediate attempt."""
        self._start()
        deadline = time.monotonic() + timeout_s
        with self._changed:
            under_way, self._retry_now = self._passes_begun, True
            self._changed.notify_all()
            while not self._spool.is_empty():
                tried_in_vain = self._failures and self._passes_ended > under_way
                remaining = deadline - time.monotonic()
                if tried_in_vain or remaining <= 0 or self._thread is None:
                    return False
                self._changed.wait(remaining)
            return True

    def close(self, timeout_s: float) -> None:
        """Deliver for at most `timeout_s`, at once when the server is known not to answer."""
        deadline = time.monotonic() + timeout_s
        with self._changed:
            while self._thread is not None and not self._failures and not self._spool.is_empty():
                remaining = deadline - time.monotonic()
                if remaining <= 0:
                    break
                self._changed.wait(remaining)
            self._closing = True
            self._changed.notify_all()
        if self._thread is None:
            self._deliver_here(deadline)
        self._spool.close()

    def _deliver_here(self, deadline: float) -> None:
        """Without a thread: since 3.12 none can be started once the interpreter is about to end."""
        self._spool.adopt()
        self._look_up()
        while self._transport is not None and (remaining := deadline - time.monotonic()) > 0:
            self._transport.limit_to(remaining)
            if not self._send_oldest():
                break
        self._disconnect()

    def _disconnect(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def counts(self) -> SinkCounts:
        spool = self._spool.counts()
        return SinkCounts(self._delivered, spool.operations, spool.dropped, self._rejected)

    # The sending thread

    def _run(self) -> None:
        next_scan = 0.0
        while not self._closing:
            self._passes_begun += 1
            try:
                if time.monotonic() >= next_scan:
                    self._spool.adopt()
                    next_scan = time.monotonic() + ORPHAN_SCAN_S
                self._look_up()
                while not self._closing and self._send_oldest():
                    pass
            except Exception:
                guard.note("sending")
                self._failed("an error of the SDK", None)
            self._rest()
        self._disconnect()

    def _rest(self) -> None:
        """Wait for work, the end of the back-off, or `close`; and wake now and then to look for orphaned segments."""
        with self._changed:
            self._passes_ended = self._passes_begun
            self._changed.notify_all()
            if self._failures:
                self._changed.wait_for(lambda: self._closing or self._retry_now, self._delay_s)
            else:
                self._changed.wait_for(lambda: self._closing or not self._spool.is_empty(), ORPHAN_SCAN_S)
            self._retry_now = False

    def _send_oldest(self) -> bool:
        """Send one segment; returns whether to go on with the next at once."""
        segment = self._spool.oldest()
        if segment is None:
            return False
        if self._transport is None:
            self._spool.put_back()
            self._failed("no address is known", None)
            return False
        payload = self._spool.load(segment)
        if not payload:
            self._spool.drop(segment)
            return True
        return self._act_on(self._transport.post(payload), segment, payload)

    def _act_on(self, answer: Answer, segment: Segment, payload: bytes) -> bool:
        if answer.meaning in ("later", "misdirected"):
            self._spool.put_back()
            if answer.meaning == "misdirected":
                self._say_misdirected(answer)
            self._failed(answer.message, answer.retry_after_s)
            return False
        self._failures = 0
        operations = segment.operations or 0
        if answer.meaning == "taken":
            if answer.rejected:
                lines = tables.lines(payload)
                for index, reason in answer.rejected:
                    if 0 <= index < len(lines):
                        self._reject([lines[index]], reason)
            told = len(answer.rejected)
            stored = min(answer.stored if answer.stored is not None else operations - told, operations)
            self._delivered += stored
            self._rejected += max(operations - stored - told, 0)  # a server names the first of very many only
            self._spool.remove(segment)
        elif answer.meaning == "too_large" and operations > 1:
            lines = tables.lines(payload)
            middle = len(lines) // 2
            self._spool.split(segment, (b"".join(lines[:middle]), b"".join(lines[middle:])))
        else:
            self._reject(tables.lines(payload), answer.message)
            self._spool.remove(segment)
        return True

    def _say_misdirected(self, answer: Answer) -> None:
        """What an operator can put right. What the other side says is not repeated: nobody knows who it is."""
        if answer.status in (401, 403):
            sends = "a token it does not take" if self._token else "no token"
            wrong = f"it was sent {sends}: set RALEX_MONITOR_TOKEN to the one it was started with"
            if self._token and self._find is not None:
                wrong += ", and RALEX_MONITOR_ENDPOINT to its address if it is not on loopback"
        else:
            wrong = "that is no Ralex Monitor: set RALEX_MONITOR_ENDPOINT to the monitor's address"
        guard.say(
            f"misdirected {answer.status}",
            f"{self._endpoint} answered {answer.status}; {wrong}. Operations wait in "
            f"{self._spool.directory or 'memory'} and are sent when it takes them.",
        )

    def _reject(self, lines: list[bytes], reason: str) -> None:
        self._rejected += len(lines)
        self._spool.reject(lines, reason)
        guard.warn(
            "rejected",
            "The monitor at %s refused an operation: %s. It is kept in %s; later ones are kept there too, silently.",
            self._endpoint,
            reason,
            self._spool.directory,
        )

    def _failed(self, message: str, retry_after_s: float | None) -> None:
        self._failures += 1
        # Full back-off below one doubling: half of it fixed, half random, so that a herd of hosts spreads out.
        ceiling = min(self._retry_max_s, self._retry_base_s * 2 ** min(self._failures - 1, 16))
        self._delay_s = max(ceiling * self._jitter.uniform(0.5, 1.0), retry_after_s or 0.0)
        guard.warn(
            "unreachable",
            "The monitor at %s takes no operations (%s). They wait in %s and are sent when it answers.",
            self._endpoint,
            message,
            self._spool.directory or "memory",
        )

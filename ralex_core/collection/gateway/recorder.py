"""Writes finished calls down, in batches, on a thread of its own. What the intake cannot take waits in a spool on disk.

A call costs the path of its bytes one append to a queue. Operation ids are fixed before anything is sent, so what is
offered twice is stored once.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Protocol

import orjson

from ralex_core.collection.gateway.records import CallRecord, operation_of
from ralex_core.collection.native import NDJSON, parse_operations
from ralex_core.collection.spool import Spool
from ralex_core.errors import RalexError
from ralex_core.model.operation import Operation, Pricing
from ralex_core.selfmetrics import SelfMetrics
from ralex_core.storage.telemetry import WriteResult

logger = logging.getLogger(__name__)

GATHER_S = 0.25
"""Calls that end within this time are handed over together."""
BATCH = 500
RETRY_S = 1.0
RETRY_MAX_S = 30.0
COMMIT_S = 30.0
"""How long a commit of spooled operations is waited for before they are offered again later."""
CLOSE_S = 10.0

_NOT_SENT = frozenset(Pricing._fields) | {"door", "attributes"}
_SENT = [(name, position) for position, name in enumerate(Operation._fields) if name not in _NOT_SENT]


class TakesOperations(Protocol):
    """The part of the intake that is needed (see `collection.intake.Intake`)."""

    def submit(self, operations: Sequence[Operation]) -> Future[WriteResult]: ...


@dataclass(frozen=True, slots=True)
class RecorderCounts:
    """Calls since the start, and what waits now."""

    recorded: int
    """Committed, straight away or from the spool."""
    spooled: int
    """That had to go to the spool."""
    in_spool: int
    waiting: int
    lost: int
    """Given up because the spool was full, or that could not be written down at all."""


class GatewayRecorder:
    """Thread-safe. `start` begins delivering, also what an earlier process left in the spool."""

    def __init__(self, get_intake: Callable[[], TakesOperations], spool_dir: Path | None, metrics: SelfMetrics) -> None:
        self._metrics = metrics
        self._get_intake = get_intake
        self._spool = Spool(spool_dir, warn=lambda key, message: logger.warning("%s: %s", key, message))
        self._queue: deque[tuple[CallRecord, Operation | None]] = deque()
        self._wanted = threading.Event()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._under_way: dict[Future[WriteResult], list[Operation]] = {}
        self._lock = threading.Lock()
        self._draining = threading.Lock()
        self._recorded = self._spooled = self._lost = 0
        self._retry_s = RETRY_S
        self._retry_at = 0.0

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="gateway-recorder", daemon=True)
        self._thread.start()

    def add(self, record: CallRecord, operation: Operation | None = None) -> None:
        """Take a finished call, with its operation where that is made already. Less than a microsecond; never waits."""
        self._queue.append((record, operation))
        if not self._wanted.is_set():
            self._wanted.set()

    def counts(self) -> RecorderCounts:
        spool = self._spool.counts()
        with self._lock:
            return RecorderCounts(
                self._recorded, self._spooled, spool.operations, len(self._queue), self._lost + spool.dropped
            )

    def flush(self) -> None:
        """Hand over what was taken so far and wait until it is committed, or in the spool."""
        self._drain()
        for future in list(self._under_way):
            _settled(future)

    def close(self) -> None:
        """Hand over what is left; what is not committed in time waits in the spool for the next process."""
        self._closing.set()
        self._wanted.set()
        if self._thread is not None:
            self._thread.join()
        self._drain()
        deadline = time.monotonic() + CLOSE_S
        for future in list(self._under_way):
            _settled(future, max(0.0, deadline - time.monotonic()))
        for operations in list(
            self._under_way.values()
        ):  # perhaps committed later: then the spool's copy changes nothing
            self._keep(operations)
        self._spool.close()

    # The thread

    def _run(self) -> None:
        self._boundary(self._adopt)
        while not self._closing.is_set():
            self._wanted.wait(None if self._spool.is_empty() else max(0.05, self._retry_at - time.monotonic()))
            if self._wanted.is_set():
                self._closing.wait(GATHER_S)
                self._wanted.clear()
                self._boundary(self._drain)
            if not self._closing.is_set() and time.monotonic() >= self._retry_at:
                self._boundary(self._deliver)

    def _adopt(self) -> None:
        self._spool.adopt()

    def _boundary(self, work: Callable[[], None]) -> None:
        """Nothing that fails here may end the thread."""
        try:
            work()
        except Exception:
            logger.exception("Recording calls of the gateway failed; it goes on with the next")

    def _drain(self) -> None:
        queue = self._queue
        with self._draining:
            while queue:
                operations: list[Operation] = []
                while queue and len(operations) < BATCH:
                    self._write_down(*queue.popleft(), operations)
                if operations:
                    self._offer(operations)

    def _write_down(self, record: CallRecord, made: Operation | None, operations: list[Operation]) -> None:
        try:
            operation = made or operation_of(record)
            operations.append(operation)
            labels = (("upstream", record.target.name), ("status", operation.status))
            self._metrics.add("gateway_calls_total", 1, labels)
        except Exception:
            logger.exception("A call of the gateway could not be written down")
            with self._lock:
                self._lost += 1

    def _offer(self, operations: list[Operation]) -> None:
        try:
            future = self._get_intake().submit(operations)
        except RalexError:
            self._keep(operations)
            return
        with self._lock:
            self._under_way[future] = operations
        future.add_done_callback(lambda done: self._committed(done, operations))

    def _committed(self, future: Future[WriteResult], operations: list[Operation]) -> None:
        failed = future.cancelled() or future.exception() is not None
        if failed:
            self._keep(operations)
        with self._lock:
            self._under_way.pop(future, None)
            if not failed:
                self._recorded += len(operations)

    def _keep(self, operations: Sequence[Operation]) -> None:
        """Into the spool, to be offered again."""
        self._spool.append(b"".join(line_of(operation) for operation in operations), len(operations))
        with self._lock:
            self._spooled += len(operations)
        self._later()
        self._wanted.set()

    def _later(self) -> None:
        self._retry_at = time.monotonic() + self._retry_s
        self._retry_s = min(self._retry_s * 2, RETRY_MAX_S)

    def _deliver(self) -> None:
        """Offer what waits in the spool, oldest first, until something fails."""
        while not self._closing.is_set() and (segment := self._spool.oldest()) is not None:
            payload = self._spool.load(segment)
            parsed = parse_operations(payload, NDJSON, time.time_ns() // 1000, "gateway")
            if parsed.rejected:  # written by another version, or damaged: kept beside the spool with the reason
                lines = payload.splitlines()
                for index, reason in parsed.rejected:
                    self._spool.reject([lines[index]] if index < len(lines) else [], reason)
            if parsed.operations:
                try:
                    self._get_intake().submit(parsed.operations).result(COMMIT_S)
                except (RalexError, TimeoutError):
                    self._spool.put_back()
                    self._later()
                    return
            self._spool.remove(segment)
            self._retry_s = RETRY_S
            with self._lock:
                self._recorded += len(parsed.operations)
                self._lost += len(parsed.rejected)


def line_of(operation: Operation) -> bytes:
    """An operation as a line of the native format, without what the price book fills in."""
    fields: dict[str, Any] = {
        name: value for name, position in _SENT if (value := operation[position]) is not None and value != ""
    }
    if operation.attributes is not None:
        fields["attributes"] = orjson.Fragment(operation.attributes)
    return orjson.dumps(fields, default=_text_of, option=orjson.OPT_APPEND_NEWLINE)


def _text_of(value: object) -> str:
    if isinstance(value, Decimal):
        return format(value, "f")
    raise TypeError(type(value).__name__)


def _settled(future: Future[WriteResult], timeout_s: float = COMMIT_S) -> None:
    """Wait for a commit, whatever comes of it."""
    try:
        future.exception(timeout_s)
    except Exception:
        return

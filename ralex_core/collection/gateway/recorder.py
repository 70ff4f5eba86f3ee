"""Writes finished calls down: into a spool on disk before their last byte is passed on, then, in batches, to the store.

The spool's files outlive a killed process, and the next one offers what they hold. Operation ids are fixed before
anything is written, so what is offered twice is stored once.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Protocol

import orjson

from ralex_core.collection.gateway.records import CallRecord, operation_of
from ralex_core.collection.native import NDJSON, parse_operations
from ralex_core.collection.spool import Segment, Spool
from ralex_core.errors import RalexError
from ralex_core.model.operation import Operation, Pricing
from ralex_core.selfmetrics import SelfMetrics
from ralex_core.storage.telemetry import WriteResult

logger = logging.getLogger(__name__)

GATHER_S = 0.25
"""Calls that end within this time are handed to the store together."""
BATCH = 500
RETRY_S = 1.0
RETRY_MAX_S = 30.0
COMMIT_S = 10.0
"""How long a commit is waited for before the operations are offered again later."""

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
    """That waited in the spool because the store did not take them at first."""
    in_spool: int
    waiting: int
    lost: int
    """Given up because the spool was full, that could not be written down at all, or older than what is kept."""


class GatewayRecorder:
    """Thread-safe. `start` begins delivering, also what an earlier process left in the spool."""

    def __init__(self, get_intake: Callable[[], TakesOperations], spool_dir: Path | None, metrics: SelfMetrics) -> None:
        self._metrics = metrics
        self._get_intake = get_intake
        self._spool = Spool(spool_dir, warn=lambda key, message: logger.warning("%s: %s", key, message))
        self._made: dict[Segment, list[Operation]] = {}
        """The operations of segments not offered yet. What waits longer is read from the spool again."""
        self._wanted = threading.Event()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._delivering = threading.Lock()
        self._recorded = self._spooled = self._lost = 0
        self._at_first = 0
        """Operations under way that are offered for the first time."""
        self._retry_s = RETRY_S
        self._retry_at = 0.0

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="gateway-recorder", daemon=True)
        self._thread.start()

    def add(self, record: CallRecord, operation: Operation | None = None) -> None:
        """Write a finished call into the spool, with its operation where that is made already.

        When this returns the operating system has the line: a kill of this process does not lose it. Never raises.
        """
        try:
            operation = operation or operation_of(record)
            line = line_of(operation)
            with self._lock:
                segment = self._spool.append(line, 1)
                if self._retry_at == 0.0:
                    self._made.setdefault(segment, []).append(operation)
                else:
                    self._spooled += 1
            labels = (("upstream", record.target.name), ("status", operation.status))
            self._metrics.add("gateway_calls_total", 1, labels)
        except Exception:
            logger.exception("A call of the gateway could not be written down")
            with self._lock:
                self._lost += 1
        if not self._wanted.is_set():
            self._wanted.set()

    def counts(self) -> RecorderCounts:
        with self._lock:
            spool = self._spool.counts()
            waiting = sum(len(operations) for operations in self._made.values())
            in_spool = max(0, spool.operations - waiting)
            return RecorderCounts(self._recorded, self._spooled, in_spool, waiting, self._lost + spool.dropped)

    def flush(self) -> None:
        """Offer all that was taken so far; returns when it is committed, or the store did not take it."""
        self._deliver()

    def close(self) -> None:
        """Hand over what is left; what is not committed waits in the spool for the next process."""
        self._closing.set()
        self._wanted.set()
        if self._thread is not None:
            self._thread.join()
        self._boundary(self._deliver)
        self._spool.close()

    # The thread

    def _run(self) -> None:
        self._boundary(self._adopt)
        while not self._closing.is_set():
            self._wanted.wait(None if self._spool.is_empty() else max(0.05, self._retry_at - time.monotonic()))
            if self._wanted.is_set():
                self._closing.wait(GATHER_S)
                self._wanted.clear()
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

    def _deliver(self) -> None:
        """Offer what waits in the spool, oldest first, until it is empty or something fails."""
        with self._delivering:
            while (taken := self._take()) is not None:
                segment, operations = taken
                try:
                    for start in range(0, len(operations), BATCH):
                        result = self._get_intake().submit(operations[start : start + BATCH]).result(COMMIT_S)
                        self._say_expired(result.expired)
                except (RalexError, TimeoutError, CancelledError):
                    self._later()
                    return
                self._spool.remove(segment)
                with self._lock:
                    self._retry_s, self._retry_at = RETRY_S, 0.0
                    self._recorded += len(operations)

    def _say_expired(self, count: int) -> None:
        if not count:
            return
        logger.warning(
            "%d calls of the gateway were not stored: they are older than what is kept (retention_days). "
            "Check the clock of this machine.",
            count,
        )
        with self._lock:
            self._recorded -= count
            self._lost += count

    def _take(self) -> tuple[Segment, list[Operation]] | None:
        """The oldest segment and what is in it."""
        with self._lock:
            segment = self._spool.oldest()
            if segment is None:
                return None
            made = self._made.pop(segment, None)
        if made is not None and len(made) == segment.operations:
            self._at_first = len(made)
            return segment, made
        self._at_first = 0
        return segment, self._read(segment)

    def _read(self, segment: Segment) -> list[Operation]:
        payload = self._spool.load(segment)
        parsed = parse_operations(payload, NDJSON, time.time_ns() // 1000, "gateway")
        if parsed.rejected:  # written by another version, or damaged: kept beside the spool with the reason
            lines = payload.splitlines()
            for index, reason in parsed.rejected:
                self._spool.reject([lines[index]] if index < len(lines) else [], reason)
            with self._lock:
                self._lost += len(parsed.rejected)
        return parsed.operations

    def _later(self) -> None:
        """The store did not take what was offered: it, and what comes until it does, is read from the spool then."""
        self._spool.put_back()
        with self._lock:
            self._spooled += self._at_first + sum(len(operations) for operations in self._made.values())
            self._made.clear()
            self._retry_at = time.monotonic() + self._retry_s
            self._retry_s = min(self._retry_s * 2, RETRY_MAX_S)


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

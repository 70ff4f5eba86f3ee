"""A way into storage that keeps everything in memory, with the store's own rules for ids and revisions."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager, nullcontext

from ralex_core.collection.redaction import Redaction
from ralex_core.errors import IntakeFull, RalexError
from ralex_core.model.operation import Operation
from ralex_core.storage.telemetry import WriteResult


class MemoryIntake:
    """Stores what is submitted by id: an equal or lower revision changes nothing, a higher one replaces."""

    def __init__(self, redaction: Redaction | None = None) -> None:
        self.redaction = redaction or Redaction()
        self.stored: dict[str, Operation] = {}
        self.batches: list[int] = []
        self.refusals = 0
        """How many of the next submissions are refused as if the queue were full."""
        self.failure: tuple[int, RalexError] | None = None
        """After this many accepted submissions every commit fails with this error."""
        self._arrived = threading.Event()

    def arrival(self) -> threading.Event:
        """Set once something is stored from now on."""
        self._arrived = threading.Event()
        return self._arrived

    def submit(self, operations: Sequence[Operation], *, redacted: bool = False) -> Future[WriteResult]:
        if self.refusals:
            self.refusals -= 1
            raise IntakeFull("full", retry_after_s=0)
        future: Future[WriteResult] = Future()
        if self.failure is not None and len(self.batches) >= self.failure[0]:
            future.set_exception(self.failure[1])
            return future
        self.batches.append(len(operations))
        inserted = replaced = 0
        for operation in operations:
            known = self.stored.get(operation.operation_id)
            if known is None:
                inserted += 1
            elif operation.revision > known.revision:
                replaced += 1
            else:
                continue
            # The store looks for an earlier revision around the same time only.
            assert known is None or known.started_at == operation.started_at, (known, operation)
            self.stored[operation.operation_id] = operation
        if inserted:
            self._arrived.set()
        future.set_result(WriteResult(inserted, replaced, len(operations) - inserted - replaced))
        return future

    def expecting(self) -> AbstractContextManager[object]:
        return nullcontext()

    def of_kind(self, kind: str) -> list[Operation]:
        """The stored operations of a kind, by start."""
        found = [operation for operation in self.stored.values() if operation.kind == kind]
        return sorted(found, key=lambda operation: (operation.started_at, operation.operation_id))

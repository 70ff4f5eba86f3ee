"""The one way into storage: redact, price, queue."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future

from ralex_core.collection.redaction import redact_attributes, redact_text
from ralex_core.config import Settings
from ralex_core.model.operation import Operation
from ralex_core.pricing.book import PriceBook
from ralex_core.selfmetrics import SelfMetrics
from ralex_core.storage.telemetry import WriteResult
from ralex_core.storage.writer import BatchWriter

_ATTRIBUTES = Operation._fields.index("attributes")


class Intake:
    """Takes operations from every door. What it gives back resolves only after they are committed."""

    def __init__(self, book: PriceBook, writer: BatchWriter, settings: Settings, metrics: SelfMetrics) -> None:
        self._book = book
        self._writer = writer
        self._keep_content = settings.store_content
        self._metrics = metrics

    def submit(self, operations: Sequence[Operation]) -> Future[WriteResult]:
        """Redact, price and queue operations.

        The future gives what the commit did, or raises the `StoreError` that kept it from being stored.

        Raises:
            IntakeFull: nothing was taken; send again after `retry_after_s`.
        """
        self._metrics.add("intake_operations_total", len(operations))
        cleaned = [self._redacted(operation) for operation in operations]
        return self._writer.submit(self._book.price_all(cleaned))

    def _redacted(self, operation: Operation) -> Operation:
        if operation.attributes is not None:
            kept = redact_attributes(operation.attributes, keep_content=self._keep_content)
            if kept is not operation.attributes:
                operation = Operation._make((*operation[:_ATTRIBUTES], kept, *operation[_ATTRIBUTES + 1 :]))
        if operation.error_type is not None:
            safe = redact_text(operation.error_type[:200])
            if safe != operation.error_type:
                operation = operation._replace(error_type=safe)
        return operation

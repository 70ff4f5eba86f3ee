"""The one way into storage: redact, price, queue."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future

from ralex_core.collection.cardinality import NameCap
from ralex_core.collection.fingerprints import of_installation
from ralex_core.collection.redaction import Redaction
from ralex_core.config import Settings
from ralex_core.model.operation import Operation
from ralex_core.pricing.book import PriceBook
from ralex_core.selfmetrics import SelfMetrics
from ralex_core.storage.inbox import Expected
from ralex_core.storage.telemetry import WriteResult
from ralex_core.storage.writer import BatchWriter


class Intake:
    """Takes operations from every door. What it gives back resolves only after they are committed."""

    def __init__(
        self,
        book: PriceBook,
        writer: BatchWriter,
        settings: Settings,
        metrics: SelfMetrics,
        names: NameCap | None = None,
    ) -> None:
        """`names` limits the distinct operation names; without it there is no limit.

        Raises:
            ConfigError: the key of this installation's fingerprints cannot be read or made.
        """
        self.redaction = Redaction(keep_text=settings.store_content, fingerprints=of_installation(settings.home))
        """What decoders take out before operations are submitted as `redacted`."""
        self._book = book
        self._writer = writer
        self._metrics = metrics
        self._names = names

    def expecting(self) -> Expected:
        """Announce a submission that is being prepared (see `BatchWriter.expecting`)."""
        return self._writer.expecting()

    def submit(self, operations: Sequence[Operation], *, redacted: bool = False) -> Future[WriteResult]:
        """Redact, price and queue operations; `redacted` ones have no attributes any more that may not be stored.

        The future gives what the commit did, or raises the `StoreError` that kept it from being stored.

        Raises:
            IntakeFull: nothing was taken; send again after `retry_after_s`.
        """
        operations = self._book.price_all(self.redaction.operations(operations, attributes_done=redacted))
        self._metrics.add("intake_operations_total", len(operations))
        return self._writer.submit(operations if self._names is None else self._names(operations))

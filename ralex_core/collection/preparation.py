"""From what a door read to what is stored: redacted and priced."""

from __future__ import annotations

from collections.abc import Sequence

from ralex_core.collection.redaction import redact_attributes, safe_error_type
from ralex_core.model.operation import Operation
from ralex_core.pricing.book import PriceBook

_ATTRIBUTES = Operation._fields.index("attributes")


class Preparation:
    """Takes out what may not be stored and puts in what the price book says. Safe to use from several threads."""

    def __init__(self, book: PriceBook, *, keep_content: bool) -> None:
        self._book = book
        self._keep_content = keep_content

    def __call__(self, operations: Sequence[Operation], *, redacted: bool = False) -> list[Operation]:
        """The same operations, ready to be stored, in the same order. `redacted` ones hold nothing to take out."""
        if not redacted:
            operations = [self._redacted(operation) for operation in operations]
        return self._book.price_all(operations)

    def _redacted(self, operation: Operation) -> Operation:
        if operation.attributes is not None:
            kept = redact_attributes(operation.attributes, keep_content=self._keep_content)
            if kept is not operation.attributes:
                operation = Operation._make((*operation[:_ATTRIBUTES], kept, *operation[_ATTRIBUTES + 1 :]))
        if operation.error_type is not None:
            safe = safe_error_type(operation.error_type)
            if safe != operation.error_type:
                operation = operation._replace(error_type=safe)
        return operation

"""From what a door read to what is stored: redacted and priced. Pure, so that it can be done in any process."""

from __future__ import annotations

from collections.abc import Sequence

from ralex_core.collection.redaction import redact_attributes, redact_text
from ralex_core.model.operation import Operation
from ralex_core.pricing.book import PriceBook

_ATTRIBUTES = Operation._fields.index("attributes")
_LONGEST_ERROR_TYPE = 200


class Preparation:
    """Takes out what may not be stored and puts in what the price book says. Safe to use from several threads."""

    def __init__(self, book: PriceBook, *, keep_content: bool) -> None:
        self._book = book
        self._keep_content = keep_content

    def __call__(self, operations: Sequence[Operation]) -> list[Operation]:
        """The same operations, ready to be stored, in the same order."""
        return self._book.price_all([self._redacted(operation) for operation in operations])

    def _redacted(self, operation: Operation) -> Operation:
        if operation.attributes is not None:
            kept = redact_attributes(operation.attributes, keep_content=self._keep_content)
            if kept is not operation.attributes:
                operation = Operation._make((*operation[:_ATTRIBUTES], kept, *operation[_ATTRIBUTES + 1 :]))
        if operation.error_type is not None:
            safe = redact_text(operation.error_type[:_LONGEST_ERROR_TYPE])
            if safe != operation.error_type:
                operation = operation._replace(error_type=safe)
        return operation

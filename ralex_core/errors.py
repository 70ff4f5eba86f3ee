"""The exception tree. Every message says what happened, to which thing, and what to do about it.

RalexError
├── ConfigError            a setting is wrong or a file cannot be read
├── InvalidOperation       a record that cannot become an operation (bad line, bad field)
├── UnknownModel           no price is known for a model (never raised past the price book)
├── StoreError             the telemetry or state store cannot do its work
│   ├── StoreLocked        another process owns the file
│   ├── StoreCorrupt       the file is not a readable store
│   ├── StoreFull          the disk has no room
│   ├── StoreReadOnly      the file may not be written
│   ├── StoreOutOfMemory   a statement needs more memory than the engine may use
│   └── SchemaTooNew       the file was written by a newer version
├── InvalidBudget          a budget that makes no sense (no limit, soft above hard, unknown period)
├── BudgetExceeded         a call could pass a hard limit, so it must not be made
├── BooksBusy              a reconciliation or repricing is under way already
├── IntakeFull             the bounded queue is full; try again after `retry_after_s`
└── ServerUnreachable      the monitor's HTTP API does not answer
"""

from __future__ import annotations

from decimal import Decimal


class RalexError(Exception):
    """Root of every error this package raises on purpose."""


class ConfigError(RalexError):
    """A setting is wrong, or a path cannot be used."""


class InvalidOperation(RalexError):
    """A record cannot become an operation; the message names the field and the reason."""


class UnknownModel(RalexError):
    """No price is known for a model."""


class StoreError(RalexError):
    """A store cannot do its work."""


class StoreLocked(StoreError):
    """Another process owns the store file."""


class StoreCorrupt(StoreError):
    """The store file cannot be read."""


class StoreOutOfMemory(StoreError):
    """A statement needed more memory than the engine may use, after spilling what can be spilled."""


class StoreFull(StoreError):
    """The disk has no room for a commit; nothing of the batch was stored."""


class StoreReadOnly(StoreError):
    """The store file, or its directory, may not be written; nothing was changed."""


class SchemaTooNew(StoreError):
    """The store was written by a newer version of this package."""


class InvalidBudget(RalexError):
    """A budget makes no sense; `field` names what to change."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}.")
        self.field = field


class BudgetExceeded(RalexError):
    """A call could pass a hard limit. Nothing was reserved; the message says which budget, and when there is room."""

    def __init__(
        self,
        message: str,
        *,
        budget: str,
        budget_id: str,
        limit_usd: Decimal,
        spent_usd: Decimal,
        reserved_usd: Decimal,
        resets_at_us: int | None,
    ) -> None:
        super().__init__(message)
        self.budget = budget
        self.budget_id = budget_id
        self.limit_usd = limit_usd
        self.spent_usd = spent_usd
        self.reserved_usd = reserved_usd
        """Held for calls that are under way."""
        self.resets_at_us = resets_at_us
        """When there is room for the call (UTC µs) if nothing else is spent; None: it is dearer than the limit."""


class BooksBusy(RalexError):
    """The books are being worked on; the message says to try again later."""


class IntakeFull(RalexError):
    """The bounded queue is full. Nothing was taken; send again after `retry_after_s` seconds."""

    def __init__(self, message: str, retry_after_s: int = 1) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class ServerUnreachable(RalexError):
    """The monitor's HTTP API does not answer."""

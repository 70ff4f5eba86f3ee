"""The central record: one finished unit of work, and the vocabulary of its fields.

`Operation` is a `NamedTuple`, not a dataclass: a batch of them transposes into columns with one `zip`, which is
what the telemetry store takes, and building one costs a third of a frozen dataclass of this width
(`bench/operation_record.py`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Literal, NamedTuple, cast, get_args

Kind = Literal["llm", "api", "db", "tool", "task"]
Status = Literal["ok", "error", "cancelled"]
Outcome = Literal["accepted", "rejected", "reworked", "failed", "unknown"]
CostBasis = Literal["billed", "computed", "reported", "unknown"]
Door = Literal["sdk", "otlp", "api", "gateway", "importer", "webhook", "demo"]

KINDS: tuple[str, ...] = get_args(Kind)
STATUSES: tuple[str, ...] = get_args(Status)
OUTCOMES: tuple[str, ...] = get_args(Outcome)
DOORS: tuple[str, ...] = get_args(Door)

TASK_PREFIX = "task:"
"""A workflow that begins so names one task, which is the same whoever does it: `task:fix-4711`. Others name a way of
working, such as `interactive`."""

ASIDE_ATTRIBUTE = "counted.not"
"""Attribute of what was a call until another was found to tell of the same one: what it said of usage and cost."""

UNSUCCESSFUL_OUTCOMES = ("rejected", "reworked", "failed")


class Operation(NamedTuple):
    """One finished unit of work.

    Times are UTC microseconds since the epoch, durations milliseconds, money US dollars as `Decimal`.
    `input_tokens` is all input, cached parts included; `output_tokens` is all output, reasoning included.
    `None` means not known; it is never written as 0.

    The fields from `tier` to `baseline_usd` are filled by the intake (see `pricing.book.PriceBook.price`);
    doors leave them at their defaults. `quarantine` names the claim that is kept but left out of totals
    (`"reported"` or `"billed"`). `revision` lets a sender replace what it sent before under the same
    `operation_id`: a higher revision wins, an equal or lower one changes nothing.
    `attributes` is a JSON object as text, or None.
    """

    operation_id: str
    kind: str
    name: str
    started_at: int
    duration_ms: float | None = None
    status: str = "ok"
    trace_id: str | None = None
    span_id: str | None = None
    parent_span_id: str | None = None
    ttft_ms: float | None = None
    error_type: str | None = None
    http_status: int | None = None
    attempt: int = 1
    service: str | None = None
    project: str | None = None
    client: str | None = None
    user_id: str | None = None
    session_id: str | None = None
    feature: str | None = None
    workflow: str | None = None
    provider: str | None = None
    requested_model: str | None = None
    model: str | None = None
    service_tier: str | None = None
    input_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    cache_write_1h_tokens: int | None = None
    output_tokens: int | None = None
    reasoning_tokens: int | None = None
    reported_usd: Decimal | None = None
    billed_usd: Decimal | None = None
    tier: str | None = None
    computed_usd: Decimal | None = None
    cost_usd: Decimal | None = None
    cost_basis: str | None = None
    quarantine: str | None = None
    price_version: str | None = None
    baseline_usd: Decimal | None = None
    outcome: str = "unknown"
    value_usd: Decimal | None = None
    door: str = "api"
    source: str | None = None
    provider_request_id: str | None = None
    revision: int = 0
    attributes: str | None = None

    @property
    def billable(self) -> bool:
        """Whether somebody is charged for it: every call to a model is, failed and retried ones too."""
        return self.kind == "llm"


_FIRST_PRICED = Operation._fields.index("tier")
_AFTER_PRICED = Operation._fields.index("baseline_usd") + 1


class Pricing(NamedTuple):
    """What the price book says of one operation, in the order `Operation` holds it."""

    tier: str | None = None
    computed_usd: Decimal | None = None
    cost_usd: Decimal | None = None
    cost_basis: str | None = None
    quarantine: str | None = None
    price_version: str | None = None
    baseline_usd: Decimal | None = None


assert Operation._fields[_FIRST_PRICED:_AFTER_PRICED] == Pricing._fields  # noqa: S101 - the slice below relies on it


_new = cast("Callable[[type[Operation], tuple[Any, ...]], Operation]", tuple.__new__)  # pyright: ignore[reportUnknownMemberType]
"""`Operation._make` without counting the fields again."""


def with_pricing(operation: Operation, pricing: Pricing) -> Operation:
    """The same operation with the price book's answer filled in."""
    return _new(Operation, operation[:_FIRST_PRICED] + pricing + operation[_AFTER_PRICED:])


def derived_id(*parts: str) -> str:
    """A stable 32-digit hex id for what the parts name together: the same parts give the same id on every machine."""
    return hashlib.blake2b("\x1f".join(parts).encode(), digest_size=16).hexdigest()

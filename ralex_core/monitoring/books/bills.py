"""Bills that were fetched, put to the calls they are for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from ralex_core.model.operation import Operation
from ralex_core.model.window import DAY_US, MINUTE_US
from ralex_core.monitoring.books.openrouter import Generation
from ralex_core.monitoring.books.valuing import Valuing
from ralex_core.storage.queries.reconciliation import UnbilledCall
from ralex_core.storage.state_books import Lookup
from ralex_core.storage.writer import BatchWriter

MOST_TRIES = 8
"""Of asking for a call that OpenRouter does not know, over some days."""


@dataclass(frozen=True, slots=True)
class Answered:
    """What OpenRouter said when it was asked for a call: `found` None is that it does not know it."""

    call: UnbilledCall
    found: Generation | None
    tries: int
    asked_at: int


@dataclass(frozen=True, slots=True)
class Applied:
    """What bills changed: how many calls, and what those cost before and after."""

    calls: int = 0
    before_usd: Decimal = Decimal(0)
    after_usd: Decimal = Decimal(0)


def apply_bills(writer: BatchWriter, bills: Mapping[str, Generation], value: Valuing) -> Applied:
    """Give operations their bills, and decide their basis, cost and quarantine anew, in one transaction.

    `bills` is by operation id. One that has a bill meanwhile keeps it.
    """
    if not bills:
        return Applied()
    changed = writer.revalue(list(bills), _giving(bills, value)).result()
    return Applied(
        len(changed),
        sum((one.before.cost_usd or Decimal(0) for one in changed), Decimal(0)),
        sum((one.after.cost_usd or Decimal(0) for one in changed), Decimal(0)),
    )


def _giving(bills: Mapping[str, Generation], value: Valuing) -> Callable[[Operation], Operation]:
    def give(operation: Operation) -> Operation:
        if operation.billed_usd is not None:
            return operation
        billed = with_bill(operation, bills[operation.operation_id])
        counted = billed._replace(billed_usd=None) != operation
        return value.priced(billed) if counted else value.weighed(billed)

    return give


def with_bill(operation: Operation, found: Generation) -> Operation:
    """The operation with its bill, and with the tokens that were not known: of a stream that was cut, all of them."""
    changed = operation._replace(billed_usd=found.true_usd)
    if operation.input_tokens is None and found.input_tokens is not None:
        changed = changed._replace(input_tokens=found.input_tokens)
        if operation.cache_read_tokens is None and (found.cached_tokens or 0) <= found.input_tokens:
            changed = changed._replace(cache_read_tokens=found.cached_tokens)
    if operation.output_tokens is None and found.output_tokens is not None:
        changed = changed._replace(output_tokens=found.output_tokens)
        if operation.reasoning_tokens is None and (found.reasoning_tokens or 0) <= found.output_tokens:
            changed = changed._replace(reasoning_tokens=found.reasoning_tokens)
    return changed


def lookup_of(answered: Answered) -> Lookup:
    """What is kept of an answer: the bill, or when to ask again."""
    call, found, asked_at = answered.call, answered.found, answered.asked_at
    if found is not None:
        usd = found.true_usd
        return Lookup(
            call.generation_id,
            call.operation_id,
            asked_at,
            None,
            answered.tries,
            "unclear" if usd is None else "billed",
            usd,
            found.is_byok,
            found.provider_name,
        )
    again = None
    if answered.tries < MOST_TRIES:
        again = asked_at + min(MINUTE_US * 4 ** (answered.tries - 1), DAY_US)
    return Lookup(call.generation_id, call.operation_id, asked_at, again, answered.tries, "not_found")

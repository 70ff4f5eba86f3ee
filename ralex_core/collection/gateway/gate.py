"""The budget gate: what a call may cost at worst is held before it is made, and put right when it is over."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from fnmatch import fnmatchcase
from typing import NamedTuple

from ralex_core.budget import RESERVED_ATTRIBUTE, BudgetExceeded, BudgetGuard, CallScope, Reservation
from ralex_core.collection.gateway.answers import Refusal
from ralex_core.collection.gateway.records import REFUSED, CallRecord
from ralex_core.config_gateway import Gateway as GatewaySettings
from ralex_core.model.money import decimal_text
from ralex_core.model.operation import Operation
from ralex_core.pricing.book import PriceBook
from ralex_core.pricing.lookup import Priced
from ralex_core.pricing.rates import Usage

HIDDEN_TOKENS = 1000
"""Input that a provider adds by itself (how tools are to be called, say). A token is a byte of the body at least."""
IMAGE_TOKENS = 12_000
"""The most that providers count for one image, whatever the size of its file …"""
DEAR_IMAGE_TOKENS: Mapping[str, int] = {"gpt-4o-mini": 50_000}
"""… and models that count more."""
MARKUP: Mapping[str, int] = {"openrouter": 3}
"""Where the price list says the cheapest there is, and what is charged may be so many times that."""
WITHOUT_OUTPUT = frozenset({"embeddings"})
"""Calls that are billed by their input alone."""
STEPS = 3
"""How often one call may be stepped down."""


class Held(NamedTuple):
    """Room for one call, and the model it was found for."""

    reservation: Reservation
    model: str | None
    stepped_down: bool

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """What the caller is told of it beside the answer."""
        found: list[tuple[bytes, bytes]] = []
        if self.stepped_down and self.model is not None:
            found.append((b"x-ralex-stepped-down-to", _header_text(self.model)))
        if self.reservation.warnings:
            found.append((b"x-ralex-budget-warning", _header_text(" ".join(self.reservation.warnings))))
        return found


class Gate:
    """Stands before calls that are billed. Asks no store; costs about ten microseconds where there are budgets."""

    def __init__(self, guard: BudgetGuard, book: PriceBook, settings: GatewaySettings) -> None:
        self._guard = guard
        self._book = book
        self._max_output = settings.max_output_tokens
        self._cheaper = tuple((pattern.lower(), model) for pattern, model in settings.step_down.items())

    @property
    def is_open(self) -> bool:
        """Whether there is no budget at all."""
        return not self._guard.has_budgets

    def hold(self, record: CallRecord, size: int) -> Held:
        """Hold room for a call whose body has `size` bytes, stepping down to a cheaper model where that is allowed.

        Raises:
            Refusal: 402, a budget has no room for it; 400, a budget asks for its model, and it cannot be read.
        """
        model = record.facts.model
        if model is None and record.route.call.limit_fields and self._guard.limits_models:
            raise Refusal(
                400,
                "unreadable_model",
                "There are limits for models, and the model of this request cannot be read: send its body as JSON, "
                "not compressed, with the model as a text.",
            )
        refused: BudgetExceeded | None = None
        for step in range(STEPS + 1):
            try:
                reservation = self._reserve(record, model, size)
                return Held(reservation, model, step > 0)
            except BudgetExceeded as error:
                refused = refused or error
                cheaper = self._step_down(model)
                if cheaper is None or cheaper == model:
                    break
                model = cheaper
        assert refused is not None  # noqa: S101 - the loop ends without returning only after a refusal
        raise _refusal(refused)

    def _reserve(self, record: CallRecord, model: str | None, size: int) -> Reservation:
        fields, facts = record.fields, record.facts
        priced = self._priced(record, model)
        scope = CallScope(
            project=fields.get("project"),
            user_id=fields.get("user_id") or facts.user_id,
            model=model,
            tier=None if priced is None else priced.tier.name,
            key=record.key,
        )
        others = [scope._replace(model=name, tier=self._tier(record, name)) for name in facts.fallbacks]
        return self._guard.reserve(scope, self._worst(record, model, size), others)

    def _tier(self, record: CallRecord, model: str) -> str | None:
        priced = self._priced(record, model)
        return None if priced is None else priced.tier.name

    def _priced(self, record: CallRecord, model: str | None) -> Priced | None:
        if model is None:
            return None
        prices = self._book.prices_of_model(record.target.provider, model, record.facts.service_tier)
        return prices.at(record.started_us)

    def _worst(self, record: CallRecord, model: str | None, size: int) -> Decimal | None:
        """What the call may cost at most (USD); None when nothing bounds it."""
        facts = record.facts
        if not facts.bounded:
            return None
        call = record.route.call
        if not call.limit_fields and call.name not in WITHOUT_OUTPUT:
            return None  # images, speech, whatever comes next: nothing says how much it may write
        output = (facts.max_tokens or self._max_output) * facts.choices if call.limit_fields else 0
        worst: Decimal | None = Decimal(0)
        for name in (model, *facts.fallbacks):
            priced = self._priced(record, name)
            if priced is None or priced.rates is None:
                return None
            costs = (
                priced.rates.cost(usage)
                for usage in _extremes(size + HIDDEN_TOKENS + _image_tokens(name, facts.images), output)
            )
            worst = max(worst, *costs)
        return worst * MARKUP.get(record.target.provider or "", 1)

    def _step_down(self, model: str | None) -> str | None:
        if model is None:
            return None
        lowered = model.lower()
        return next((cheaper for pattern, cheaper in self._cheaper if fnmatchcase(lowered, pattern)), None)

    def settle(self, reservation: Reservation, record: CallRecord, operation: Operation) -> Operation:
        """The call is over: count what it cost, or what was held where that is not known. Gives what to record."""
        operation = operation._replace(started_at=reservation.at_us)
        refused = record.error_type is None and (record.http_status or 0) >= 400
        if record.never_sent or refused:
            self._guard.release(reservation)  # the provider refused it, or never saw it: nothing is billed
            return operation
        if operation.model is None:  # nothing was heard of who answered; a budget for the model counts it all the same
            operation = operation._replace(model=record.facts.model)
        cost = self._book.price(operation).cost_usd
        self._guard.settle(reservation, cost, operation.operation_id)
        if cost is None:
            return with_attribute(operation, RESERVED_ATTRIBUTE, decimal_text(reservation.reserved_usd) or "0")
        return operation


def _image_tokens(model: str | None, images: int) -> int:
    """What images may add to the input: their tokens have nothing to do with their bytes."""
    if not images:
        return 0
    dear = (tokens for name, tokens in DEAR_IMAGE_TOKENS.items() if name in (model or "").lower())
    return images * max((IMAGE_TOKENS, *dear))


def _extremes(size: int, output: int) -> Iterable[Usage]:
    """The dearest ways to bill so many tokens: as they are, all written to a cache, all of the output thought."""
    yield Usage(size, output)
    yield Usage(size, output, cache_write=size)
    yield Usage(size, output, cache_write=size, cache_write_1h=size)
    yield Usage(size, output, cache_write=size, reasoning=output)


def with_attribute(operation: Operation, name: str, value: str) -> Operation:
    """The operation with one more attribute; its attributes are an object already, and never empty."""
    text = operation.attributes or "{}"
    comma = "," if len(text) > 2 else ""
    return operation._replace(attributes=f'{text[:-1]}{comma}"{name}":"{value}"}}')


def _header_text(text: str) -> bytes:
    """A text as the value of a header."""
    return "".join(character if " " <= character <= "~" else "?" for character in text[:500]).encode("ascii")


def _refusal(error: BudgetExceeded) -> Refusal:
    resets = error.resets_at_us
    return Refusal(
        402,
        REFUSED,
        str(error),
        {
            "budget": error.budget,
            "budget_id": error.budget_id,
            "limit_usd": decimal_text(error.limit_usd),
            "spent_usd": decimal_text(error.spent_usd),
            "reserved_usd": decimal_text(error.reserved_usd),
            "resets_at": None if resets is None else f"{datetime.fromtimestamp(resets / 1e6, UTC):%Y-%m-%dT%H:%M:%SZ}",
        },
    )

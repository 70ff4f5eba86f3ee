"""The price book: what an operation costs, on whose word, in which tier, and what the baseline would have cost."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, cast

from ralex_core.config import Settings
from ralex_core.model.operation import Operation, Pricing, with_pricing
from ralex_core.pricing.catalogue import Catalogue
from ralex_core.pricing.claims import Verdict, judge
from ralex_core.pricing.explain import PriceExplanation, explain, quarantine_sentence
from ralex_core.pricing.lookup import ModelPrices
from ralex_core.pricing.overrides import Override, load_overrides
from ralex_core.pricing.rates import Rates, Usage

_MAX_MODELS = 10_000
"""Distinct (provider, model, service tier) kept. A client that invents names makes the book slower, not larger."""

_NOT_BILLABLE = Pricing()

_USAGE = slice(Operation._fields.index("input_tokens"), Operation._fields.index("reasoning_tokens") + 1)
_MODEL = slice(Operation._fields.index("provider"), Operation._fields.index("service_tier") + 1)
"""One slice is six times faster than six attributes; whoever uses one names its fields in their order."""

_new = cast("Callable[[Any, tuple[Any, ...]], Any]", tuple.__new__)  # pyright: ignore[reportUnknownMemberType]
"""A named tuple's own constructor takes twice as long, and this runs three times for every operation."""


@dataclass(frozen=True, slots=True)
class BookState:
    """What a price book holds. The `version` of the price list is None until it is needed."""

    version: str | None
    models: int
    """Distinct ones looked up so far."""
    overrides: int


class PriceBook:
    """Prices operations exactly, at the rates of the time they ran. Safe to use from several threads.

    The price list (`genai-prices`) is loaded on the first billable operation, or by `warm`.
    """

    def __init__(self, settings: Settings, overrides: tuple[Override, ...] | None = None) -> None:
        """Read the overrides file, if there is one, unless its entries are given.

        Raises:
            ConfigError: the overrides file is wrong.
        """
        self._settings = settings
        self.overrides = load_overrides(settings.overrides_path) if overrides is None else overrides
        self._catalogue = Catalogue()
        self._factor = settings.quarantine_factor
        self._min_usd = settings.quarantine_min_usd
        self._models: dict[tuple[str | None, str | None, str | None], ModelPrices] = {}
        self._lock = threading.Lock()
        self._baseline: ModelPrices | None = None

    def price(self, operation: Operation) -> Pricing:
        """What the book says of one operation; all None when nobody is charged for its kind."""
        if operation.kind != "llm":
            return _NOT_BILLABLE
        prices = self._prices_of(operation)
        priced = prices.always or prices.at(operation.started_at)
        usage, rates = usage_of(operation), priced.rates
        if rates is None:
            computed = None
        else:
            computed = _cost_without_usage(rates, operation) if usage is None else rates.cost(usage)
        cost, basis, quarantine = judge(operation, computed, self._factor, self._min_usd)
        version = None if computed is None else priced.version
        baseline = None if usage is None else self._at_baseline(usage, operation.started_at)
        return _new(Pricing, (priced.tier.name, computed, cost, basis, quarantine, version, baseline))

    def weigh(self, operation: Operation) -> Verdict:
        """Which claim of a call to a model counts, with the computed cost it has: (cost, basis, quarantine)."""
        return judge(operation, operation.computed_usd, self._factor, self._min_usd)

    def price_all(self, operations: Sequence[Operation]) -> list[Operation]:
        """The same operations, priced, in the same order."""
        price = self.price
        return [
            with_pricing(operation, price(operation)) if operation.kind == "llm" else operation
            for operation in operations
        ]

    def explain(self, operation: Operation) -> PriceExplanation:
        """Why this price: the match, the bill line by line, every claim and what became of it."""
        prices = self._prices_of(operation)
        return explain(operation, self.price(operation), prices, usage_of(operation), self._settings)

    def quarantine_reason(self, operation: Operation) -> str | None:
        """Why a claim of this operation is kept out of totals, as a sentence; None when none is."""
        pricing = self.price(operation)
        if pricing.quarantine is None or pricing.computed_usd is None:
            return None
        return quarantine_sentence(operation, pricing.quarantine, pricing.computed_usd, self._factor)

    def warm(self) -> None:
        """Load the price list now, so that the first operation does not wait for it."""
        self._baseline_prices()

    def state(self) -> BookState:
        """What the book holds now; loads nothing."""
        return BookState(
            version=self._catalogue.version if self._catalogue.loaded else None,
            models=len(self._models),
            overrides=len(self.overrides),
        )

    def problems(self) -> list[str]:
        """Sentences about settings the book cannot work with; empty when all is well. Loads the price list."""
        baseline = self._baseline_prices()
        if baseline.problem is not None and not baseline.overrides:
            return [
                f"The baseline model {self._settings.baseline_model} has no price ({baseline.problem}), so nothing can "
                "be compared with it. Set baseline_model to one that has, or give it a price in the overrides file."
            ]
        return []

    def prices_of_model(self, provider: str | None, model: str | None, service_tier: str | None = None) -> ModelPrices:
        """All that is known of a model's prices. `provider/model` in one is understood."""
        key = (provider, model, service_tier)
        found = self._models.get(key)
        return found if found is not None else self._look_up(*key)

    def is_model(self, reference: str, provider: str | None, model: str | None) -> bool:
        """Whether an operation that names this provider and model used the model that `reference` names.

        It did when it is written the same, or is the same entry of the price list (`anthropic/claude-opus-4-5` and
        `claude-opus-4-5-20251101`).
        """
        if model is None:
            return False
        wanted, written = reference.strip().lower(), model.strip().lower()
        if wanted in (written, f"{(provider or '').strip().lower()}/{written}"):
            return True
        return self.prices_of_model(None, reference).same_model(self.prices_of_model(provider, model))

    def _prices_of(self, operation: Operation) -> ModelPrices:
        provider, requested, model, service_tier = cast("tuple[str | None, ...]", operation[_MODEL])
        key = (provider, model or requested, service_tier)
        found = self._models.get(key)
        return found if found is not None else self._look_up(*key)

    def _look_up(self, provider: str | None, model: str | None, service_tier: str | None) -> ModelPrices:
        with self._lock:
            if len(self._models) >= _MAX_MODELS:
                self._models = {}
            found = self._models[provider, model, service_tier] = ModelPrices(
                catalogue=self._catalogue,
                overrides=self.overrides,
                tiers=self._settings.tiers,
                provider=provider,
                model=model,
                service_tier=service_tier,
            )
        return found

    def _baseline_prices(self) -> ModelPrices:
        if self._baseline is None:
            self._baseline = self._look_up(None, self._settings.baseline_model, None)
        return self._baseline

    def _at_baseline(self, usage: Usage, started_at: int) -> Decimal | None:
        baseline = self._baseline or self._baseline_prices()
        rates = (baseline.always or baseline.at(started_at)).rates
        return None if rates is None else rates.cost(usage)


def usage_of(operation: Operation) -> Usage | None:
    """The usage a price can be put on; None when input or output is unknown or the parts exceed the totals.

    Unknown parts count as none: what was cached without anyone saying so is priced as plain input. Parts that do not
    fit into their total mean that the sender counted differently, and then no price is right.
    """
    parts: Any = operation[_USAGE]  # ints or None; the type of a slice of fields is a union of all fields
    count, read, write, one_hour, output, reasoning = parts
    if count is None or output is None:
        return None
    if read is write is one_hour is reasoning is None:
        return _new(Usage, (count, output, 0, 0, 0, 0))
    read, one_hour, reasoning = read or 0, one_hour or 0, reasoning or 0
    if write is None:
        write = one_hour
    if read + write > count or one_hour > write or reasoning > output or read < 0 or one_hour < 0 or reasoning < 0:
        return None
    return _new(Usage, (count, output, read, write, one_hour, reasoning))


def _cost_without_usage(rates: Rates, operation: Operation) -> Decimal | None:
    """The cost when the usage is not fully known: only where what is missing costs nothing."""
    if rates.free:
        return Decimal(0)
    if not rates.charges_output and operation.output_tokens is None and operation.input_tokens is not None:
        embedded = usage_of(operation._replace(output_tokens=0))
        return None if embedded is None else rates.cost(embedded)
    return None

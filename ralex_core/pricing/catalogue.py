"""The `genai-prices` library, loaded on first use, and its prices as exact dated rates.

Everything that knows the library's shapes is in this file.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from ralex_core.pricing.rates import Rates

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, ModelPrice, Provider

_PART_OF_KEY = {
    "input_mtok": "input",
    "cache_read_mtok": "cache_read",
    "cache_write_mtok": "cache_write",
    "cache_write_1h_mtok": "cache_write_1h",
    "output_mtok": "output",
    "output_reasoning_mtok": "reasoning",
    "requests_kcount": "request",
}
"""The library's price keys that an operation's usage can be charged by. Audio, images, searches … are not recorded."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY_US = 86_400_000_000


def moment(us: int) -> datetime:
    """UTC time of microseconds since the epoch, exact (floats would lose microseconds)."""
    return _EPOCH + timedelta(microseconds=us)


@dataclass(frozen=True, slots=True, eq=False)
class ListedModel:
    """A model on a provider's price list."""

    provider_id: str
    model_id: str
    comment: str | None
    """What the list says about the price in words, if anything."""
    version: str
    info: ModelInfo
    own: bool
    """False when the provider resells another's model at its list price; service tiers are not known then."""

    def rates_at(self, started_at: int, service_tier: str | None) -> Rates | None:
        """Rates at a time (UTC microseconds) for a service tier; None when the list has no token price then.

        A tier the list does not distinguish at that time is priced as the standard one.
        """
        context = _context(service_tier) if self.own else None
        return _rates(self.info.get_prices(moment(started_at), context))

    def starts(self, service_tier: str | None) -> list[int] | None:
        """When the price changes: UTC microseconds, ascending. None when it changes by a rule not known here."""
        found: set[int] = set()
        for constraint in self._constraints(service_tier):
            start = getattr(constraint, "start_date", None)
            if start is not None:
                midnight = datetime(start.year, start.month, start.day, tzinfo=UTC)
                found.add((midnight - _EPOCH) // timedelta(microseconds=1))
            elif getattr(constraint, "start_time", None) is None:
                return None
        return sorted(found)

    def hours(self, service_tier: str | None) -> list[int]:
        """When within a UTC day the price changes: microseconds since midnight, ascending."""
        found: set[int] = set()
        for constraint in self._constraints(service_tier):
            for name in ("start_time", "end_time"):
                at = getattr(constraint, name, None)
                if isinstance(at, time):
                    found.add(_us_of_day(at))
        return sorted(found)

    def _constraints(self, service_tier: str | None) -> list[object]:
        prices = self.info.prices
        dated = [price.constraint for price in prices] if isinstance(prices, list) else []
        variants = [] if service_tier is None else [variant.constraint for variant in self.info.price_variants or ()]
        return [constraint for constraint in (*dated, *variants) if constraint is not None]


class Catalogue:
    """Providers and models of the installed `genai-prices`; loaded (0.3 s, 26 MB) when first asked."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._providers: list[Provider] | None = None
        self._by_name: dict[str, Provider | None] = {}
        self._version = ""

    @property
    def loaded(self) -> bool:
        """Whether the list has been needed yet."""
        return self._providers is not None

    @property
    def version(self) -> str:
        """`genai-prices X`, as it is stored with every price."""
        self._load()
        return self._version

    def _load(self) -> list[Provider]:
        if self._providers is None:
            with self._lock:
                if self._providers is None:
                    import genai_prices
                    from genai_prices.data_snapshot import get_snapshot

                    self._version = f"genai-prices {genai_prices.__version__}"
                    self._providers = get_snapshot().providers
        return self._providers

    def provider_id(self, name: str) -> str | None:
        """The list's own id of a provider, or None when it has no such provider."""
        provider = self._provider(name)
        return provider.id if provider else None

    def provider_of_model(self, model: str) -> str | None:
        """The vendor that a bare model name belongs to by its spelling, or None."""
        for provider in self._load():
            if provider.model_match is not None and provider.model_match.is_match(model):
                return provider.id
        return None

    def find(self, provider_name: str, model: str) -> ListedModel | None:
        """A provider's model by any name the list knows for it, or None."""
        provider = self._provider(provider_name)
        if provider is None:
            return None
        info = provider.find_model(model, all_providers=self._load())
        if info is None:
            return None
        own = any(info is model for model in provider.models)
        return ListedModel(provider.id, info.id, info.price_comments, self.version, info, own)

    def _provider(self, name: str) -> Provider | None:
        from genai_prices.data_snapshot import find_provider_by_id

        # Only names from our own alias tables and the list itself arrive here often; a stranger's is not kept.
        if name not in self._by_name:
            provider = find_provider_by_id(self._load(), name)
            if provider is None:
                return None
            self._by_name[name] = provider
        return self._by_name[name]


def _context(service_tier: str | None) -> Mapping[str, str] | None:
    """The library's request context. Its keys share no values, so one word may be offered for each."""
    if service_tier is None:
        return None
    tier = service_tier.lower()
    return {"service_tier": tier, "speed": tier, "processing": tier}


def _us_of_day(at: time) -> int:
    """Microseconds since UTC midnight of a time of day; naive times are UTC, as the library reads them."""
    offset = at.utcoffset() or timedelta(0)
    since_midnight = timedelta(hours=at.hour, minutes=at.minute, seconds=at.second, microseconds=at.microsecond)
    return ((since_midnight - offset) // timedelta(microseconds=1)) % _DAY_US


def _rates(price: ModelPrice) -> Rates | None:
    """The library's prices as bands, or None when neither input nor output tokens have a price."""
    flat: dict[str, Decimal] = {}
    tiered: dict[str, list[tuple[int, Decimal]]] = {}
    for key, value in _priced(price):
        part = _PART_OF_KEY.get(key)
        if part is None:
            continue
        per_thousand = Decimal(1000) if part == "request" else Decimal(1)
        if isinstance(value, Decimal):
            flat[part] = value / per_thousand
        else:
            tiered[part] = [(-1, value.base / per_thousand)]
            tiered[part] += [(tier.start, tier.price / per_thousand) for tier in value.tiers]
    if not {"input", "output"} & (flat.keys() | tiered.keys()):
        return None
    starts = sorted({start for steps in tiered.values() for start, _ in steps} | {-1})
    return Rates([(start, flat | {part: _step(steps, start) for part, steps in tiered.items()}) for start in starts])


def _step(steps: list[tuple[int, Decimal]], start: int) -> Decimal:
    """The price of the last step that starts at or below."""
    return next(price for at, price in reversed(steps) if at <= start)


def _priced(price: ModelPrice) -> list[tuple[str, Any]]:
    return [(key, value) for key, value in vars(price).items() if value is not None]

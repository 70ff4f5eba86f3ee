"""From what an operation says of its model to dated rates: the slow part of pricing, done once per distinct model."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from ralex_core.config import Tier
from ralex_core.pricing.catalogue import Catalogue, ListedModel
from ralex_core.pricing.overrides import Override
from ralex_core.pricing.rates import FREE, Rates
from ralex_core.pricing.references import CLOSED_VENDORS, PROVIDERS, Reference, read_reference
from ralex_core.pricing.tiers import TierChoice, choose_tier

_DAY_US = 86_400_000_000


@dataclass(frozen=True, slots=True)
class Priced:
    """What holds for a model at one time. `rates` and `version` are None when no price is known."""

    rates: Rates | None
    version: str | None
    tier: TierChoice
    override: Override | None = None


class ModelPrices:
    """All that is known of one (provider, model, service tier), and its rates at any time.

    `problem` says why the price list cannot answer (None: it can), `free` why the model costs nothing, `notes` what was
    assumed to find it. Between two dates and hours of change everything is constant, so it is worked out once for each.
    """

    def __init__(
        self,
        *,
        catalogue: Catalogue,
        overrides: Iterable[Override],
        tiers: Sequence[Tier],
        provider: str | None,
        model: str | None,
        service_tier: str | None,
    ) -> None:
        reference = read_reference(provider, model)
        self.service_tier = service_tier
        self.free = reference.free
        self.listed, self.notes = _find(catalogue, reference)
        self.problem = reference.unpriceable
        if self.listed is None and self.free is None and self.problem is None:
            self.problem = "no price list has this model"
        self.names = _names(provider, model, self.listed)
        self.overrides = tuple(one for one in overrides if any(one.is_for(*name) for name in self.names))
        self._version = catalogue.version if self.listed or self.free else None
        self._tiers = tiers
        starts = self.listed.starts(service_tier) if self.listed else []
        self._hours = self.listed.hours(service_tier) if self.listed else []
        bounds = [at for one in self.overrides for at in (one.from_us, one.until_us) if at is not None]
        self._dates = None if starts is None else sorted({*starts, *bounds})
        self._memo: dict[tuple[int, int], Priced] = {}
        self.always: Priced | None = None
        """The one answer for all times, when there is only one; `at` gives the same."""
        if self._dates == [] and not self._hours:
            self.always = self._work_out(0)

    def at(self, started_at: int) -> Priced:
        """What holds at a time (UTC microseconds)."""
        if self.always is not None:
            return self.always
        if self._dates is None:  # the list changes by a rule this version does not know: ask it every time
            return self._work_out(started_at)
        key = (bisect_right(self._dates, started_at), bisect_right(self._hours, started_at % _DAY_US))
        found = self._memo.get(key)
        if found is None:
            found = self._memo[key] = self._work_out(started_at)
        return found

    def period(self, started_at: int) -> tuple[int | None, int | None]:
        """From when until when the price of a time holds (hours aside); None is open."""
        dates = self._dates or []
        place = bisect_right(dates, started_at)
        return (dates[place - 1] if place else None, dates[place] if place < len(dates) else None)

    @property
    def changes_by_hour(self) -> bool:
        return bool(self._hours)

    @property
    def dates(self) -> Sequence[int] | None:
        """When prices change, UTC microseconds, ascending; None when they change by a rule not known here."""
        return self._dates

    @property
    def hours(self) -> Sequence[int]:
        """When within a UTC day prices change, microseconds since midnight, ascending."""
        return self._hours

    def same_model(self, other: ModelPrices) -> bool:
        """Whether both are one entry of the price list; False when either is not on it."""
        if self.listed is None or other.listed is None:
            return False
        return (self.listed.provider_id, self.listed.model_id) == (other.listed.provider_id, other.listed.model_id)

    def _work_out(self, started_at: int) -> Priced:
        override = next((one for one in self.overrides if one.is_active(started_at)), None)
        if override is not None:
            return Priced(override.rates, override.version, self._tier(override.rates.blended_usd_per_mtok), override)
        if self.free is not None:
            return Priced(FREE, self._version, self._tier(Decimal(0)))
        rates = self.listed.rates_at(started_at, self.service_tier) if self.listed else None
        return Priced(rates, self._version if rates else None, self._tier(self._blended(started_at)))

    def _blended(self, started_at: int) -> Decimal | None:
        """The standard blended price of the day's dearest hour: a model does not change its tier twice a day."""
        if self.listed is None:
            return None
        midnight = started_at - started_at % _DAY_US
        times = [midnight + hour for hour in self._hours] or [started_at]
        blended = [rates.blended_usd_per_mtok for at in times if (rates := self.listed.rates_at(at, None))]
        return max(blended, default=None)

    def _tier(self, blended: Decimal | None) -> TierChoice:
        names = [f"{provider}/{model}" if provider else model for provider, model in self.names]
        return choose_tier(self._tiers, [*(model for _, model in self.names), *names], blended)


def _find(catalogue: Catalogue, reference: Reference) -> tuple[ListedModel | None, tuple[str, ...]]:
    for candidate in reference.candidates:
        provider = candidate.provider or catalogue.provider_of_model(candidate.model)
        if provider is None or (candidate.closed_only and provider not in CLOSED_VENDORS):
            continue
        listed = catalogue.find(provider, candidate.model)
        if listed is not None:
            assumed = (f"at the list price of {provider}",) if candidate.closed_only else ()
            return listed, (*candidate.notes, *assumed)
    return None, ()


def _names(provider: str | None, model: str | None, listed: ListedModel | None) -> tuple[tuple[str | None, str], ...]:
    """What overrides and tiers may call the model: as the operation does, and as the price list does. In lower case."""
    found: list[tuple[str | None, str]] = []
    if model:
        written = provider.strip().lower() if provider else None
        found.append((written, model.strip().lower()))
        if written in PROVIDERS:
            found.append((PROVIDERS[written], model.strip().lower()))
    if listed is not None:
        found.append((listed.provider_id, listed.model_id.lower()))
    return tuple(dict.fromkeys(found))

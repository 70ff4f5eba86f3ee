"""Pricing many calls at once: where prices change, and what sums of usage cost between two such places.

Within one stretch of time, one hour of the day and one band of request sizes a price is linear in the usage, so the sum
of the usage costs what the calls cost one by one, to the last digit.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from ralex_core.model.window import Window
from ralex_core.pricing.lookup import ModelPrices
from ralex_core.pricing.rates import Rates, Usage

_DAY_US = 86_400_000_000


@dataclass(frozen=True, slots=True)
class Breaks:
    """Where the prices of some models change: times and hours (microseconds, ascending) and request sizes.

    A request of more than `sizes[i]` input tokens is in another band than one of `sizes[i]`.
    """

    dates: tuple[int, ...] = ()
    hours: tuple[int, ...] = ()
    sizes: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Batch:
    """Calls between the same breaks: their number, the sums of their usage, and when and how large one of them was."""

    calls: int
    usage: Usage
    started_at: int
    input_tokens: int


def breaks_of(models: Iterable[ModelPrices], window: Window) -> Breaks:
    """The breaks of all of these models within a window. One that follows an unknown rule has none: see `cost_of`."""
    dates: set[int] = set()
    hours: set[int] = set()
    sizes: set[int] = set()
    for model in models:
        if model.dates is None:
            continue
        inside = [date for date in model.dates if window.start_us < date < window.end_us]
        dates.update(inside)
        hours.update(model.hours)
        for start in (window.start_us, *inside):
            midnight = start // _DAY_US * _DAY_US
            for moment in {start, *(midnight + day + hour for day in (0, _DAY_US) for hour in model.hours)}:
                rates = model.at(moment).rates
                if rates is not None:
                    sizes.update(band.over for band in rates.bands[1:])
    return Breaks(tuple(sorted(dates)), tuple(sorted(hours)), tuple(sorted(sizes)))


def rates_of(model: ModelPrices, batch: Batch) -> Rates | None:
    """The rates that hold for a batch; None when no price is known, or it changes by a rule not known here."""
    return None if model.dates is None else model.at(batch.started_at).rates


def cost_of(model: ModelPrices, batch: Batch) -> Decimal | None:
    """What the calls of a batch cost at this model; None when that cannot be told (see `rates_of`)."""
    rates = rates_of(model, batch)
    return None if rates is None else rates.total(batch.usage, batch.calls, batch.input_tokens)

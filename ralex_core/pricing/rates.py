"""Exact integer rates: what a token costs, and where a large request gets dearer.

A cost is one sum of integer products, counted in the largest power of ten of a dollar in which all rates of the
model are whole (1e-9 for $0.075 per million tokens), and becomes a `Decimal` once. Some lists carry 18 decimals per
million tokens, which is 1e-24 dollars per token; those costs are rounded half-even at the 18th decimal, like every
amount of money here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Context, Decimal
from typing import NamedTuple

_MONEY_DIGITS = 18
_PER_MTOK_DIGITS = 6
_WIDE = Context(prec=60)
_shift = _WIDE.scaleb

Prices = Mapping[str, Decimal]
"""USD per million tokens by part (`PARTS`); `request` is USD per request. An absent part has no price of its own."""

PARTS = ("input", "cache_read", "cache_write", "cache_write_1h", "output", "reasoning", "request")


class Usage(NamedTuple):
    """Tokens of one call: `input` is all input and `output` all output; the others are parts of them."""

    input: int
    output: int
    cache_read: int = 0
    cache_write: int = 0
    cache_write_1h: int = 0
    reasoning: int = 0


class Line(NamedTuple):
    """One line of a bill. `quantity` is tokens (or requests), the rate USD per million tokens (or per request)."""

    part: str
    quantity: int
    usd_per_mtok: Decimal
    usd: Decimal


@dataclass(frozen=True, slots=True)
class Band:
    """The rates of requests with more than `over` input tokens, as coefficients on the usage totals.

    Cached tokens are part of the input total, so their coefficient is what they cost beyond plain input
    (negative for a discount); a part without its own price has the coefficient 0. Units: `Rates.digits`.
    """

    over: int
    prices: Prices
    input: int
    output: int
    cache_read: int
    cache_write: int
    cache_write_1h: int
    reasoning: int
    request: int


class Rates:
    """What one model costs at one time.

    `charges_output` is whether output tokens have a price at all (embedding models charge input only). Coefficients
    are whole numbers of 10 ** -`digits` dollars.
    """

    __slots__ = ("bands", "base", "charges_output", "cliff", "digits", "free")

    def __init__(self, bands: Sequence[tuple[int, Prices]]) -> None:
        """Bands as (more than so many input tokens, prices), the first with -1: it is the base."""
        self.digits = max(_digits(prices) for _, prices in bands)
        self.bands = tuple(_band(over, prices, self.digits) for over, prices in sorted(bands, key=lambda band: band[0]))
        self.base = self.bands[0]
        self.cliff = self.bands[1].over if len(self.bands) > 1 else None
        self.charges_output = any("output" in band.prices for band in self.bands)
        self.free = all(not any(band.prices.values()) for band in self.bands)

    def band_for(self, input_tokens: int) -> Band:
        """The band of a whole request: passing a cliff reprices all of it, not only the tokens beyond."""
        found = self.base
        for band in self.bands[1:]:
            if input_tokens > band.over:
                found = band
        return found

    def cost(self, usage: Usage) -> Decimal:
        """The exact cost in USD of a consistent usage."""
        count, output, cache_read, cache_write, cache_write_1h, reasoning = usage
        band = self.base if self.cliff is None or count <= self.cliff else self.band_for(count)
        units = band.request + band.input * count + band.output * output
        if cache_read:
            units += band.cache_read * cache_read
        if cache_write:
            units += band.cache_write * cache_write + band.cache_write_1h * cache_write_1h
        if reasoning:
            units += band.reasoning * reasoning
        if self.digits <= _MONEY_DIGITS:
            return _shift(units, -self.digits)
        return _rounded(units, self.digits)

    def total(self, usage: Usage, requests: int, largest_input: int) -> Decimal:
        """The exact cost of many requests by the sums of their usage, when one band holds for all of them.

        `largest_input` is the input of any of them: it says which band. Equal to the sum of their single costs (with
        prices of more than 18 decimals, rounded once instead of once a request).
        """
        band = self.band_for(largest_input)
        units = (
            band.request * requests
            + band.input * usage.input
            + band.output * usage.output
            + band.cache_read * usage.cache_read
            + band.cache_write * usage.cache_write
            + band.cache_write_1h * usage.cache_write_1h
            + band.reasoning * usage.reasoning
        )
        return _shift(units, -self.digits) if self.digits <= _MONEY_DIGITS else _rounded(units, self.digits)

    def lines(self, usage: Usage) -> list[Line]:
        """The bill of a consistent usage: one line per priced part that occurs. The amounts add up to the cost."""
        prices = self.band_for(usage.input).prices
        quantities = _leaf_quantities(prices, usage)
        found: list[Line] = []
        for part in PARTS:
            rate, quantity = prices.get(part), quantities.get(part, 0)
            if rate is None or (quantity == 0 and part not in ("input", "output")):
                continue
            exact = _WIDE.multiply(rate, Decimal(quantity))
            usd = exact if part == "request" else exact.scaleb(-6, _WIDE)
            found.append(Line(part, quantity, rate, usd))
        return found

    @property
    def blended_usd_per_mtok(self) -> Decimal:
        """(3 × input + output) ÷ 4 of the base band, USD per million tokens; a part without a price counts as 0."""
        zero = Decimal(0)
        return (3 * self.base.prices.get("input", zero) + self.base.prices.get("output", zero)) / 4


def _rounded(units: int, digits: int) -> Decimal:
    """Dollars with 18 decimals, rounded half-even."""
    dropped = 10 ** (digits - _MONEY_DIGITS)
    whole, rest = divmod(units, dropped)
    if rest * 2 > dropped or (rest * 2 == dropped and whole % 2):
        whole += 1
    return _shift(whole, -_MONEY_DIGITS)


def _digits(prices: Prices) -> int:
    """Decimals of a dollar needed to write every price per token (per request) as a whole number."""
    needed = [0]
    for part, price in prices.items():
        exponent = price.normalize(_WIDE).as_tuple().exponent
        if isinstance(exponent, int):  # prices are finite: the other exponents are those of NaN and infinity
            needed.append((0 if part == "request" else _PER_MTOK_DIGITS) - exponent)
    return max(needed)


def _units(price: Decimal, digits: int) -> int:
    return int(_shift(price, digits))


def _band(over: int, prices: Prices, digits: int) -> Band:
    rates = {part: _units(price, digits - _PER_MTOK_DIGITS) for part, price in prices.items() if part != "request"}
    plain_input, plain_output = rates.get("input", 0), rates.get("output", 0)
    write = rates.get("cache_write", plain_input)
    return Band(
        over=over,
        prices=prices,
        input=plain_input,
        output=plain_output,
        cache_read=rates.get("cache_read", plain_input) - plain_input,
        cache_write=write - plain_input,
        cache_write_1h=rates.get("cache_write_1h", write) - write,
        reasoning=rates.get("reasoning", plain_output) - plain_output,
        request=_units(prices.get("request", Decimal(0)), digits),
    )


def _leaf_quantities(prices: Prices, usage: Usage) -> dict[str, int]:
    """What is billed at each priced part's own rate: a total without the parts that have a price of their own."""
    one_hour = usage.cache_write_1h if "cache_write_1h" in prices else 0
    written = usage.cache_write - one_hour if "cache_write" in prices else 0
    read = usage.cache_read if "cache_read" in prices else 0
    reasoning = usage.reasoning if "reasoning" in prices else 0
    return {
        "input": usage.input - read - written - one_hour,
        "cache_read": read,
        "cache_write": written,
        "cache_write_1h": one_hour,
        "output": usage.output - reasoning,
        "reasoning": reasoning,
        "request": 1,
    }


FREE = Rates([(-1, {"input": Decimal(0), "output": Decimal(0)})])

"""The book's arithmetic equals `genai_prices.calc_price` for every model, time, tier and usage."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import genai_prices
from genai_prices.data_snapshot import get_snapshot
from hypothesis import given, settings
from hypothesis import strategies as st

from ralex_core.pricing.catalogue import Catalogue
from ralex_core.pricing.lookup import ModelPrices
from ralex_core.pricing.rates import Usage

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
EIGHTEEN = Decimal(1).scaleb(-18)
CATALOGUE = Catalogue()
LISTED = [
    (provider.id, model.id)
    for provider in get_snapshot().providers
    for model in provider.models
    if CATALOGUE.find(provider.id, model.id) is not None  # a few ids are internal: their own patterns do not match them
]

times = st.datetimes(datetime(2024, 1, 1), datetime(2027, 6, 1))
small = st.integers(0, 50_000)
tiers = st.sampled_from([None, None, None, "standard", "batch", "priority", "flex", "fast", "default"])


@st.composite
def usages(draw: st.DrawFn) -> Usage:
    read, written = draw(small), draw(small)
    rest = draw(small | st.integers(0, 700_000))
    one_hour = draw(st.integers(0, written))
    output = draw(small)
    return Usage(read + written + rest, output, read, written, one_hour, draw(st.integers(0, output)))


def peer(provider: str, model: str, usage: Usage, moment: datetime, tier: str | None) -> Decimal:
    """The library's own answer, at the precision of money."""
    context = None if tier is None else {"service_tier": tier, "speed": tier, "processing": tier}
    given_usage = genai_prices.Usage(
        input_tokens=usage.input,
        output_tokens=usage.output,
        cache_read_tokens=usage.cache_read,
        cache_write_tokens=usage.cache_write,
        cache_write_1h_tokens=usage.cache_write_1h,
        output_reasoning_tokens=usage.reasoning,
    )
    price = genai_prices.calc_price(
        given_usage, model, provider_id=provider, genai_request_timestamp=moment, price_context=context
    )
    return price.total_price.quantize(EIGHTEEN)


def ours(provider: str, model: str, usage: Usage, moment: datetime, tier: str | None) -> Decimal | None:
    listed = CATALOGUE.find(provider, model)
    assert listed is not None
    rates = listed.rates_at((moment - EPOCH) // timedelta(microseconds=1), tier)
    return None if rates is None else rates.cost(usage)


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(LISTED), usages(), times, tiers)
def test_every_listed_model_costs_what_the_library_says(
    listed: tuple[str, str], usage: Usage, naive: datetime, tier: str | None
) -> None:
    moment = naive.replace(tzinfo=UTC)
    cost = ours(*listed, usage, moment, tier)
    expected = peer(*listed, usage, moment, tier)
    if cost is None:
        # The list has no token price: the library answers with what else is charged, we with "unknown".
        prices = vars(CATALOGUE.find(*listed).info.get_prices(moment))  # type: ignore[union-attr]
        assert prices.get("input_mtok") is None
        assert prices.get("output_mtok") is None
    else:
        assert cost == expected


DATED = [one for one in LISTED if (found := CATALOGUE.find(*one)) and (found.starts("batch") or found.hours("batch"))]


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(DATED), usages(), st.data(), tiers)
def test_around_every_change_of_price_the_cached_rates_are_those_of_the_moment(
    listed: tuple[str, str], usage: Usage, data: st.DataObject, tier: str | None
) -> None:
    """Prices are worked out once between two changes; a microsecond before, at and after each they must be right."""
    provider, model = listed
    found = CATALOGUE.find(provider, model)
    assert found is not None
    prices = ModelPrices(catalogue=CATALOGUE, overrides=(), tiers=(), provider=provider, model=model, service_tier=tier)
    assert prices.listed is not None
    if (prices.listed.provider_id, prices.listed.model_id) != listed:
        return  # reached by another name than its own: the other test covers its arithmetic
    starts = found.starts("batch") or [1_767_225_600_000_000]
    hours = found.hours("batch") or [0]
    for _ in range(3):
        edge = data.draw(st.sampled_from(starts)) + data.draw(st.sampled_from([0, *hours]))
        at = edge + data.draw(st.sampled_from([-1, 0, 1, 3_600_000_000, -86_400_000_000]))
        rates = prices.at(at).rates
        if rates is None:
            continue  # no token price at that time: the other test checks that none is listed
        assert rates.cost(usage) == peer(provider, model, usage, EPOCH + timedelta(microseconds=at), tier)


def test_every_listed_model_is_found_by_its_own_provider_and_name() -> None:
    """The rules that read names must not get in the way of names that need no reading."""
    lost: list[tuple[str, str]] = []
    for provider, model in LISTED:
        expected = CATALOGUE.find(provider, model)
        prices = ModelPrices(
            catalogue=CATALOGUE, overrides=(), tiers=(), provider=provider, model=model, service_tier=None
        )
        assert expected is not None
        if prices.free is not None:
            assert expected.rates_at(0, None) is None, f"{model} is taken for free and has a price"
        elif prices.listed is None or prices.listed.info is not expected.info:
            lost.append((provider, model))
    # Read as LiteLLM's provider/model, which is what clients mean by it.
    assert set(lost) <= {("perplexity", "perplexity/sonar")}

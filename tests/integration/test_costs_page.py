"""The costs page over a real store: what it shows without scripts, that it agrees with the API, hostile text."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from html import unescape

import httpx
import pytest

from ralex_core.model.window import HOUR_US
from ralex_core.render import ratio, usd
from tests.support.dashboard import NOW_US, SmallHost, client_of, small_host
from tests.support.prices import call
from tests.support.spending import CHEAP, PREMIUM

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(1)>'\"&{{7*7}}"


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallHost]:
    calls = [
        call(
            model,
            10_000,
            1_000,
            operation_id=f"{model}-{place}",
            name=HOSTILE,
            feature=HOSTILE,
            started_at=NOW_US - place * HOUR_US // 4 - 1,
            session_id=f"s{place}",
            project=HOSTILE,
        )
        for place in range(40)
        for model in (CHEAP, PREMIUM, HOSTILE)
    ]
    with small_host(tmp_path_factory.mktemp("costs")) as made:
        made.store(made.book.price_all(calls))
        yield made


@pytest.fixture
async def client(host: SmallHost) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(host, accept="text/html") as made:
        yield made


async def page_of(client: httpx.AsyncClient, query: str) -> str:
    response = await client.get(f"/costs?{query}")
    assert response.status_code == 200, response.text[:500]
    return response.text


def text_of(page: str) -> str:
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", page)))


async def test_page_and_api_tell_the_same(client: httpx.AsyncClient) -> None:
    text = text_of(await page_of(client, "range=24h&by=model"))
    report = (await client.get("/api/v1/costs/report?range=24h&by=model")).json()["data"]
    total = report["breakdown"]["total"]["worth"]
    assert report["roi"]["proof"]["sentence"] in text
    for row in report["breakdown"]["rows"]:
        assert usd(row["worth"]["cost_per_call_usd"]) in text
        assert ratio(row["worth"]["roi_ratio"]) in text
    assert f"Spent {usd(total['cost_usd'])}" in text
    assert "66.7 % of 120 calls known" in text
    (saving,) = report["savings"]
    assert saving["evidence"] in text


@pytest.mark.parametrize("by", ["tier", "model", "provider", "operation", "feature", "user", "session", "project"])
async def test_every_dimension_is_a_link_and_hostile_text_stays_text(client: httpx.AsyncClient, by: str) -> None:
    page = await page_of(client, f"range=24h&by={by}")
    assert f"by={by}" in page
    assert re.search(rf'href="[^"]*by={by}[^"]*" data-soft aria-current="true"', page)
    assert "<script>alert" not in page
    assert "<img src=x" not in page
    assert "style=" not in page.split("<main", 1)[1]


async def test_another_baseline_is_kept_in_every_link(client: httpx.AsyncClient) -> None:
    page = await page_of(client, "range=24h&baseline=openai%2Fgpt-4o&value=baseline")
    # 80 priced successes of 0.025 + 0.01, all of which cost 40 × 0.0055 + 40 × 0.075
    assert f"work that would have cost {usd(80 * 0.035 / (40 * 0.0805))} on openai/gpt-4o" in text_of(page)
    tabs = re.search(r'<nav class="segments dimensions".*?</nav>', page, re.S)
    assert tabs is not None
    assert tabs[0].count("baseline=openai%2Fgpt-4o") == 8
    assert re.search(r'href="/costs\?[^"]*" data-soft>Reset', page)


async def test_what_cannot_be_judged_says_why(client: httpx.AsyncClient) -> None:
    saved = text_of(await page_of(client, "range=24h&value=time_saved"))
    assert "set hourly_rate_usd and minutes_saved" in saved
    strange = text_of(await page_of(client, "range=24h&baseline=acme/none"))
    assert "acme/none has no price (no price list has this model)" in strange


async def test_an_empty_range_says_what_will_appear(client: httpx.AsyncClient) -> None:
    text = text_of(await page_of(client, "from=2020-01-01&to=2020-01-02"))
    assert "No call to a model in this range" in text
    assert "Show all time" in text
    assert "Reset filters" not in text
    assert "$0" not in text.replace("$50 of work for $1", "")  # nothing was called: what it cost is not 0


async def test_filters_that_match_nothing_can_be_reset(client: httpx.AsyncClient) -> None:
    assert "Reset filters" in text_of(await page_of(client, "project=nothing"))


async def test_a_mistake_in_the_address_is_told(client: httpx.AsyncClient) -> None:
    response = await client.get("/costs?by=colour")
    assert response.status_code == 422
    assert "use one of tier, model" in unescape(response.text)


async def test_the_overview_leads_to_the_costs(client: httpx.AsyncClient) -> None:
    page = (await client.get("/?range=24h")).text
    assert re.search(r'data-tile="efficiency" href="/costs\?', page)

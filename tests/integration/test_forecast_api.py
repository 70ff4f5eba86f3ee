"""The forecast of spend over HTTP: its shape, its honesty about short history, and what became of earlier ones."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import TypeAdapter

from ralex_core.dashboard.contexts.forecast import ForecastView
from ralex_core.model.window import DAY_US, HOUR_US
from tests.support.dashboard import NOW_US, SmallHost, client_of, small_host
from tests.support.operations import make_operation

DAYS = 80
SPENT_FROM = NOW_US // HOUR_US * HOUR_US - DAYS * DAY_US


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallHost]:
    with small_host(tmp_path_factory.mktemp("forecast"), timezone="UTC") as opened:
        opened.store(
            [
                make_operation(f"op-{at}", started_at=at, cost_usd=Decimal("0.25"), project="shop")
                for at in range(SPENT_FROM, NOW_US, HOUR_US)
            ]
        )
        yield opened


@pytest.fixture
async def client(host: SmallHost) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(host) as opened:
        yield opened


async def asked(client: httpx.AsyncClient, **query: str) -> dict[str, Any]:
    answer = await client.get("/api/v1/costs/forecast", params=query)
    assert answer.status_code == 200, answer.text
    data: dict[str, Any] = answer.json()["data"]
    TypeAdapter(ForecastView).validate_python(data)
    return data


async def test_each_horizon_is_foretold_with_its_back_test_and_the_naive_one_beside(client: httpx.AsyncClient) -> None:
    for horizon, step, length in (("day", "hour", 1), ("week", "day", 7), ("month", "day", 28)):
        data = await asked(client, horizon=horizon)
        assert (data["horizon"], data["step"]) == (horizon, step)
        assert float(data["mean_usd"]) >= 6 * length * 0.97
        assert float(data["low_usd"]) <= float(data["mean_usd"]) <= float(data["high_usd"])
        assert data["course"][-1]["total_mean_usd"] == data["mean_usd"]
        assert data["naive_usd"] is not None
        assert data["backtest"]["origins"] >= 6
        assert data["backtest"]["naive_wape"] is not None and data["backtest"]["wape"] is not None
        assert data["coverage_ratio"] == 1
        assert data["methods"]
    assert (await asked(client))["horizon"] == "day"


async def test_the_claim_is_made_where_it_was_earned_and_nothing_is_said_of_nothing(client: httpx.AsyncClient) -> None:
    steady = await asked(client, horizon="day", project="shop")
    assert steady["claims_15"]
    assert steady["claim"].startswith("±15 %: tried at ")
    nothing = await asked(client, project="other")
    assert nothing["mean_usd"] is None and nothing["backtest"] is None and nothing["course"] == []
    assert not nothing["claims_15"]
    assert "too little history" in nothing["claim"]
    assert nothing["account"] is None


async def test_earlier_forecasts_are_held_to_account(tmp_path: Path) -> None:
    with small_host(tmp_path, timezone="UTC") as host:
        started = range(SPENT_FROM, NOW_US, HOUR_US)
        host.store([make_operation(f"op-{at}", started_at=at, cost_usd=Decimal("0.25")) for at in started])
        host.forecasts.refresh()
        host.clock.advance(86400)  # type: ignore[attr-defined]
        host.forecasts.refresh()
        async with client_of(host) as client:
            data = await asked(client, horizon="day")
            assert data["account"]["forecasts"] == 1
            [past] = data["past"]
            assert Decimal(past["actual_usd"]) < Decimal(past["mean_usd"])
            assert past["error_ratio"] > 0
            filtered = await asked(client, horizon="day", project="x")
            assert filtered["account"] is None and filtered["past"] == []


@pytest.mark.parametrize(
    ("query", "told"),
    [({"horizon": "year"}, "day, week, month"), ({"range": "7d"}, "range"), ({"project": "x" * 600}, "longer than")],
)
async def test_what_makes_no_sense_is_refused(client: httpx.AsyncClient, query: dict[str, str], told: str) -> None:
    answer = await client.get("/api/v1/costs/forecast", params=query)
    assert answer.status_code == 422
    assert told in answer.json()["error"]["message"]


async def test_the_page_draws_what_is_coming_and_says_what_it_may_claim(host: SmallHost, tmp_path: Path) -> None:
    async with client_of(host, accept="text/html") as client:
        page = (await client.get("/forecast")).text
        assert page.count('class="forecast-course"') == 3
        assert "data-earned" in page and "±15 %: tried at" in page
        assert "Forecasts made while the server runs" in page
        assert (await client.get("/forecast?horizon=day")).status_code == 422
    with small_host(tmp_path) as empty:
        async with client_of(empty, accept="text/html") as client:
            page = (await client.get("/forecast")).text
            assert page.count("There is too little history") == 3
            assert "forecast-course" not in page

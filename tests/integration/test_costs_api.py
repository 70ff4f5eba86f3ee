"""The costs API through the application: the published schema, every panel, and what is refused."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterator
from decimal import Decimal
from typing import Any

import httpx
import jsonschema
import pytest

from ralex_core.dashboard.api.costs import SCHEMA_FILE
from ralex_core.model.operation import Operation
from ralex_core.model.window import HOUR_US, MINUTE_US
from tests.support.dashboard import NOW_US, SmallHost, client_of, small_host
from tests.support.prices import call
from tests.support.repository import ROOT
from tests.support.spending import CHEAP, PREMIUM

PLAN_EXAMPLE: dict[str, Any] = {
    "cost_analytics": {
        "timestamp": "2025-08-03T14:30:00Z",
        "period": "hourly",
        "metrics": {
            "total_cost": 0.75,
            "operations_count": 150,
            "cost_per_operation": 0.005,
            "model_breakdown": {
                "cheap": {"cost": 0.25, "operations": 100, "percentage": 67},
                "premium": {"cost": 0.50, "operations": 50, "percentage": 33},
            },
            "efficiency_ratio": 52.3,
            "roi_metrics": {"value_generated": 38.75, "cost_invested": 0.75, "roi_ratio": 51.67},
        },
        "trends": {"cost_trend": "decreasing", "efficiency_trend": "improving", "usage_trend": "stable"},
        "recommendations": [
            {
                "type": "cost_optimization",
                "priority": "medium",
                "description": "Consider routing 10% more simple tasks to cheap models",
                "estimated_savings": 0.08,
            }
        ],
    }
}
PERIODS = ("hourly", "daily", "weekly", "monthly")


def work() -> list[Operation]:
    """Thirty days: each hour a cheap call and, ever more rarely, a premium one; sessions of six hours."""
    found: list[Operation] = []
    for hour in range(1, 30 * 24):
        at = NOW_US - hour * HOUR_US + MINUTE_US
        shared: dict[str, Any] = {
            "session_id": f"s{hour // 6}",
            "user_id": "ann",
            "project": "shop",
            "feature": "search",
        }
        found.append(call(CHEAP, 10_000, 1_000, name="edit", started_at=at, cache_read_tokens=0, **shared))
        if hour > 360 or hour % 4 == 0:
            outcome = "rejected" if hour % 3 == 0 else "accepted"
            found.append(call(PREMIUM, 10_000, 1_000, name="plan", started_at=at + 1, outcome=outcome, **shared))
    found.append(call("nobody-knows", 10, 1, name="<b>odd</b>", started_at=NOW_US - MINUTE_US, status="error"))
    return [one._replace(operation_id=f"call-{place}") for place, one in enumerate(found)]


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallHost]:
    with small_host(tmp_path_factory.mktemp("costs")) as made:
        made.store(made.book.price_all(work()))
        yield made


@pytest.fixture
async def client(host: SmallHost) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(host) as made:
        yield made


async def asked(client: httpx.AsyncClient, path: str) -> Any:
    response = await client.get(f"/api/v1/costs/{path}")
    assert response.status_code == 200, response.text
    return response.json()["data"]


async def analysed(client: httpx.AsyncClient, query: str) -> Any:
    """The analytics of a period, which come without an envelope."""
    response = await client.get(f"/api/v1/costs/analytics?{query}")
    assert response.status_code == 200, response.text
    return response.json()


def schema() -> jsonschema.Draft202012Validator:
    document = json.loads(SCHEMA_FILE.read_bytes())
    jsonschema.Draft202012Validator.check_schema(document)
    return jsonschema.Draft202012Validator(document, format_checker=jsonschema.FormatChecker())


def test_the_plans_own_example_is_valid() -> None:
    schema().validate(PLAN_EXAMPLE)
    with pytest.raises(jsonschema.ValidationError):
        schema().validate({"cost_analytics": {**PLAN_EXAMPLE["cost_analytics"], "extra": 1}})


@pytest.mark.parametrize("period", PERIODS)
async def test_answers_are_valid_and_have_exactly_the_plans_keys(client: httpx.AsyncClient, period: str) -> None:
    found = await analysed(client, f"period={period}")
    schema().validate(found)
    plan, analytics = PLAN_EXAMPLE["cost_analytics"], found["cost_analytics"]
    assert set(analytics) == set(plan)
    assert set(analytics["metrics"]) == set(plan["metrics"])
    assert set(analytics["metrics"]["roi_metrics"]) == set(plan["metrics"]["roi_metrics"])
    assert set(analytics["trends"]) == set(plan["trends"])
    assert analytics["period"] == period
    assert analytics["timestamp"] == "2026-01-01T12:00:00Z"


async def test_the_day_adds_up_by_hand(client: httpx.AsyncClient) -> None:
    metrics = (await analysed(client, "period=daily"))["cost_analytics"]["metrics"]
    # 23 or 24 hours of cheap calls at 0.003 + 0.0025, and every fourth hour a premium one at 0.05 + 0.025
    assert metrics["model_breakdown"] == {
        "premium": {"cost": 0.45, "operations": 6, "percentage": 19.4},
        "cheap": {"cost": 0.132, "operations": 24, "percentage": 77.4},
        "unknown": {"cost": 0.0, "operations": 1, "percentage": 3.2},
    }
    assert (metrics["total_cost"], metrics["operations_count"]) == (0.582, 31)
    assert metrics["cost_per_operation"] == pytest.approx(0.582 / 30, abs=1e-9)
    # all cheap calls and the four premium ones that were not rejected, at the baseline's price
    assert metrics["roi_metrics"]["value_generated"] == pytest.approx(28 * 0.075)
    assert metrics["efficiency_ratio"] == metrics["roi_metrics"]["roi_ratio"] == pytest.approx(28 * 0.075 / 0.582)


async def test_trends_are_tested_and_say_so_when_they_cannot_be(client: httpx.AsyncClient) -> None:
    daily = (await analysed(client, "period=daily"))["cost_analytics"]["trends"]
    assert daily == {"cost_trend": "decreasing", "efficiency_trend": "improving", "usage_trend": "decreasing"}
    monthly = (await analysed(client, "period=monthly"))["cost_analytics"]["trends"]
    assert set(monthly.values()) == {"unknown"}


async def test_recommendations_come_from_the_data_and_only_from_it(client: httpx.AsyncClient) -> None:
    found = (await analysed(client, "period=monthly"))["cost_analytics"]["recommendations"]
    move = next(one for one in found if one["type"] == "cost_optimization")
    assert move["priority"] == "high"
    assert "“plan” to gemini-2.5-flash (cheap) instead of claude-opus-4-5 (premium)" in move["description"]
    nothing = await analysed(client, "period=monthly&project=nothing-here")
    schema().validate(nothing)
    assert nothing["cost_analytics"]["recommendations"] == []
    assert nothing["cost_analytics"]["metrics"]["efficiency_ratio"] is None
    assert nothing["cost_analytics"]["metrics"]["total_cost"] == 0


async def test_the_schema_is_served_as_packaged(client: httpx.AsyncClient) -> None:
    response = await client.get("/api/v1/costs/analytics/schema")
    assert response.headers["content-type"] == "application/schema+json"
    assert response.json() == json.loads(SCHEMA_FILE.read_bytes())


@pytest.mark.parametrize("by", ["tier", "model", "provider", "operation", "feature", "user", "session", "project"])
async def test_every_breakdown_adds_up_to_the_total(client: httpx.AsyncClient, by: str) -> None:
    found = await asked(client, f"breakdown?range=30d&by={by}&limit=2")
    shown = [*found["rows"], *([found["other"]] if found["other"] else [])]
    assert len(found["rows"]) == min(2, found["groups"])
    for field in ("calls", "priced", "successes"):
        assert sum(row["worth"][field] for row in shown) == found["total"]["worth"][field], field
    assert sum(Decimal(row["worth"]["cost_usd"]) for row in shown) == Decimal(found["total"]["worth"]["cost_usd"])
    for row in found["rows"]:
        if row["worth"]["efficiency_ratio"] is None:
            assert row["worth"]["efficiency_reason"]


async def test_links_lead_to_the_operations_that_were_counted(client: httpx.AsyncClient) -> None:
    for by in ("operation", "feature", "model", "session"):
        row = (await asked(client, f"breakdown?range=30d&by={by}&limit=1"))["rows"][0]
        listed = await client.get(row["href"].replace("/operations?", "/api/v1/operations?"))
        assert listed.status_code == 200, listed.text
        assert listed.json()["data"]["total"] == row["worth"]["calls"]


async def test_roi_per_tier_and_the_goal(client: httpx.AsyncClient) -> None:
    found = await asked(client, "roi?range=30d")
    assert [tier["key"] for tier in found["tiers"]] == ["cheap", "premium", ""]
    cheap, _, unknown = found["tiers"]
    assert cheap["worth"]["roi_ratio"] == pytest.approx(0.075 / 0.0055)
    assert cheap["sessions"] == 120
    assert unknown["worth"]["roi_reason"] == "the cost of no call is known"
    assert unknown["low_ratio"] is None
    assert found["total"]["low_ratio"] < found["total"]["worth"]["roi_ratio"] < found["total"]["high_ratio"]
    assert found["proof"]["state"] == "refuted"
    assert "“$50 of work for $1” is refuted" in found["proof"]["sentence"]
    explicit = await asked(client, "roi?range=30d&value=explicit")
    assert explicit["proof"]["state"] == "unknown"
    assert "reported a value" in explicit["proof"]["sentence"]


async def test_any_model_can_be_the_baseline(client: httpx.AsyncClient) -> None:
    found = await asked(client, "what-if?range=24h&baseline=openai/gpt-4o")
    # 28 successes of 10,000 × 2.5 + 1,000 × 10
    assert Decimal(found["worth"]["baseline_usd"]) == Decimal("0.98")
    assert found["judged_by"] == {
        "value_model": "baseline",
        "value_problem": None,
        "model": "openai/gpt-4o",
        "configured": False,
        "price_problem": None,
        "used": False,
    }
    strange = await asked(client, "what-if?range=24h&baseline=acme/none")
    assert strange["worth"]["baseline_usd"] is None
    assert "cannot be said" in strange["sentence"]


async def test_cache_losses_claims_units_and_moves(client: httpx.AsyncClient) -> None:
    cache = await asked(client, "cache?range=30d")
    assert cache["told"] < cache["calls"]
    # nothing was read, and hours lie between: every input but the first of a session was sent before
    assert Decimal(cache["lost_usd"]) == Decimal(cache["lost_after_pause_usd"]) > 0
    losses = {row["key"]: row for row in await asked(client, "losses?range=30d")}
    assert (losses["failed"]["calls"], losses["failed"]["cost_usd"]) == (1, None)
    assert losses["turned_down"]["calls"] > 50
    assert losses["cancelled"]["cost_usd"] == "0"
    claims = await asked(client, "claims?range=30d")
    assert claims["billed_usd"] is None
    assert claims["basis"]["unknown"] == 1
    units = await asked(client, "units?range=30d")
    assert len(units["starts"]) == len(units["cost_per_success_usd"])
    assert any(value is not None for value in units["efficiency_ratio"])
    (move,) = await asked(client, "moves?range=30d")
    assert (move["label"], move["to_model"]) == ("plan", CHEAP)
    listed = await client.get(move["href"].replace("/operations?", "/api/v1/operations?"))
    assert listed.json()["data"]["total"] == move["calls"]
    by_feature = await asked(client, "moves?range=30d&by=feature")
    assert [one["label"] for one in by_feature] == ["search"]


async def test_the_report_has_what_its_parts_have(client: httpx.AsyncClient) -> None:
    report = await asked(client, "report?range=7d&by=model&limit=5")
    assert report["breakdown"] == await asked(client, "breakdown?range=7d&by=model&limit=5")
    assert report["savings"] == await asked(client, "savings?range=7d")


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("analytics?period=yearly", "use one of hourly, daily, weekly, monthly"),
        ("analytics?range=7d", "'range'"),
        ("breakdown?by=colour", "use one of tier, model"),
        ("breakdown?limit=0", "whole number"),
        ("roi?value=love", "use one of baseline, time_saved, explicit"),
        (f"roi?baseline={'x' * 501}", "longer than 500"),
        ("moves?by=session", "use one of operation, feature"),
        ("what-if?value=explicit", "not known here"),
    ],
)
async def test_what_cannot_be_answered_says_what_to_do(client: httpx.AsyncClient, path: str, said: str) -> None:
    response = await client.get(f"/api/v1/costs/{path}")
    assert response.status_code == 422
    assert said in response.json()["error"]["message"]


def test_the_schema_in_the_documentation_is_the_one_that_is_served() -> None:
    text = (ROOT / "docs" / "costs.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```json\n(\{.*?\n\})\n```", text, re.DOTALL)
    assert json.loads(block) == json.loads(SCHEMA_FILE.read_bytes())

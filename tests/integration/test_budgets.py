"""Budgets through the API and through the page's forms: what is said, what is refused, what can be undone."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

from ralex_core.budgeting.budget import CallScope
from ralex_core.errors import BudgetExceeded
from ralex_core.model.window import DAY_US, HOUR_US
from tests.support.dashboard import NOW_US, SmallHost, client_of, small_host
from tests.support.operations import make_operation

TEAM = {"name": "Team", "period": "day", "hard_usd": "5", "soft_usd": 4}
HOSTILE = "<script>alert(1)</script>'\"&{{7*7}}"


@pytest.fixture
def host(tmp_path: Path) -> Iterator[SmallHost]:
    with small_host(tmp_path, timezone="UTC") as opened:
        yield opened


@pytest.fixture
async def client(host: SmallHost) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(host) as opened:
        yield opened


def spend(host: SmallHost) -> None:
    """30 days of ten cents an hour in the shop; the last hour is not over."""
    at = [NOW_US - n * HOUR_US - HOUR_US // 2 for n in range(30 * 24)]
    cost = {"cost_usd": Decimal("0.1"), "project": "shop"}
    host.store([make_operation(f"h{n}", started_at=moment, **cost) for n, moment in enumerate(at)])


async def made(client: httpx.AsyncClient, **changes: object) -> dict[str, Any]:
    answer = await client.post("/api/v1/budgets", json={**TEAM, **changes})
    assert answer.status_code == 201, answer.text
    return answer.json()["data"]


async def test_a_budget_is_made_read_changed_deleted_and_brought_back(
    host: SmallHost, client: httpx.AsyncClient
) -> None:
    assert (await client.get("/api/v1/budgets")).json() == {"data": {"budgets": []}}
    spend(host)
    detail = await made(client)
    budget = detail["budget"]
    assert (budget["spent_usd"], budget["remaining_usd"], budget["limit_usd"]) == ("1.2", "3.8", "5")
    assert (budget["state"], budget["runs_out_at"], budget["coverage_ratio"]) == ("ok", None, 1.0)
    assert float(budget["projection"]["mean_usd"]) == pytest.approx(2.4, rel=0.02)
    assert (budget["kept"], len(budget["history"])) == (14, 14)
    assert {past["spent_usd"] for past in budget["history"]} == {"2.4"}
    course = detail["course"]
    assert len({len(course[name]) for name in ("starts", "spent", "mean", "low", "high")}) == 1
    assert [value for value in course["spent"] if value is not None][-1] == pytest.approx(1.2)
    assert course["high"][-1] >= course["mean"][-1] >= course["low"][-1] >= 1.2

    path = f"/api/v1/budgets/{budget['id']}"
    changed = await client.put(path, json={**TEAM, "hard_usd": 2, "soft_usd": None})
    assert changed.json()["data"]["budget"]["state"] == "warn"
    assert changed.json()["data"]["budget"]["runs_out_at"] is not None
    assert (await client.get(path)).json()["data"]["budget"]["hard_usd"] == "2"

    gone = (await client.delete(path)).json()["data"]
    assert gone == {"id": budget["id"], "name": "Team", "restore": f"{path}/restore"}
    for method, where in (("GET", path), ("DELETE", path), ("PUT", path)):
        assert (await client.request(method, where, json=TEAM)).status_code == 404
    assert (await client.post(gone["restore"])).json()["data"]["budget"]["name"] == "Team"
    assert (await client.post(gone["restore"])).status_code == 404
    assert [entry.action for entry in host.state.audit_log()][::-1] == [
        f"{what}_budget" for what in ("add", "change", "delete", "restore")
    ]


WRONG: list[tuple[dict[str, object], str]] = [
    ({"hard_usd": 0}, "hard_usd: a limit is more than 0"),
    ({"hard_usd": "-1"}, "must not be negative"),
    ({"hard_usd": "much"}, "is not a number"),
    ({"hard_usd": None, "soft_usd": None}, "limit: give a soft limit"),
    ({"soft_usd": 6}, "soft_usd: the soft limit (6) is above the hard one (5)"),
    ({"period": "year"}, "period: 'year' is not one of hour, day, week, month, rolling"),
    ({"scope": "team"}, "scope: 'team' is not one of"),
    ({"scope": "project"}, "value: say which project"),
    ({"period": "rolling"}, "rolling_hours: a rolling period is 1 to"),
    ({"timezone": "Mars/Base"}, "timezone: 'Mars/Base' is not an IANA time zone"),
    ({"name": "  "}, "name: give it a name"),
    ({"name": "team"}, "name: another budget is called 'team' already"),
    ({"limit": 5}, "limit: Extra inputs are not permitted"),
]


async def test_a_budget_that_makes_no_sense_is_refused_with_what_to_do(client: httpx.AsyncClient) -> None:
    await made(client)
    for changes, said in WRONG:
        answer = await client.post("/api/v1/budgets", json={**TEAM, "name": "Other", **changes})
        assert (answer.status_code, said in answer.json()["error"]["message"]) == (422, True), (changes, answer.text)
    assert len((await client.get("/api/v1/budgets")).json()["data"]["budgets"]) == 1


async def test_the_guard_holds_calls_to_a_budget_from_the_moment_it_is_made(
    host: SmallHost, client: httpx.AsyncClient
) -> None:
    host.store(make_operation("a", started_at=NOW_US - HOUR_US, project="shop", cost_usd=Decimal("1.5")))
    guard = host.budgets.guard
    held = guard.reserve(CallScope(project="shop"), Decimal(1))
    budget = (await made(client, scope="project", value="shop", hard_usd=3, soft_usd=None))["budget"]
    assert (budget["spent_usd"], budget["held_usd"], budget["remaining_usd"]) == ("1.5", "1", "0.5")
    with pytest.raises(BudgetExceeded):
        guard.reserve(CallScope(project="shop"), Decimal("0.6"))
    guard.reserve(CallScope(project="other"), Decimal(50))
    guard.settle(held, Decimal("0.25"), "b")
    host.store(make_operation("b", started_at=held.at_us, project="shop", cost_usd=Decimal("0.25")))
    host.clock.advance(3)  # type: ignore[attr-defined]
    (shown,) = (await client.get("/api/v1/budgets")).json()["data"]["budgets"]
    assert (shown["spent_usd"], shown["held_usd"]) == ("1.75", "0")


async def test_budgets_in_trouble_come_first(host: SmallHost, client: httpx.AsyncClient) -> None:
    spend(host)
    await made(client, name="wide", hard_usd=50, soft_usd=None)
    await made(client, name="soon", hard_usd=2, soft_usd=None)
    await made(client, name="gone", hard_usd=1, soft_usd=None)
    shown = (await client.get("/api/v1/budgets")).json()["data"]["budgets"]
    assert [(budget["name"], budget["state"]) for budget in shown] == [
        ("gone", "over"),
        ("soon", "warn"),
        ("wide", "ok"),
    ]
    assert "refused until tomorrow 00:00" in shown[0]["sentence"]
    assert "The limit is reached at about" in shown[1]["sentence"]


async def test_the_setting_shows_as_a_budget_that_cannot_be_changed(tmp_path: Path) -> None:
    with small_host(tmp_path, daily_budget_usd=Decimal(5)) as host:
        async with client_of(host) as client:
            (budget,) = (await client.get("/api/v1/budgets")).json()["data"]["budgets"]
            assert (budget["id"], budget["built_in"], budget["soft_usd"]) == ("daily", True, "5")
            for method in ("PUT", "DELETE"):
                answer = await client.request(method, "/api/v1/budgets/daily", json=TEAM)
                assert answer.status_code == 422
                assert "comes from the setting daily_budget_usd" in answer.json()["error"]["message"]
            page = (await client.get("/budgets", headers={"Accept": "text/html"})).text
            assert "comes from the setting" in page
            assert "/budgets/daily/delete" not in page


async def test_the_description_tells_every_route_of_budgets(client: httpx.AsyncClient) -> None:
    paths = (await client.get("/openapi.json")).json()["paths"]
    assert set(paths["/api/v1/budgets"]) == {"get", "post"}
    assert set(paths["/api/v1/budgets/{budget_id}"]) == {"get", "put", "delete"}
    assert "200" in paths["/api/v1/budgets/{budget_id}"]["get"]["responses"]


# --- the page, without scripts --------------------------------------------------------------------------------------


async def sent(client: httpx.AsyncClient, path: str, **fields: str) -> httpx.Response:
    return await client.post(path, data=fields, headers={"Accept": "text/html"})


async def shown(client: httpx.AsyncClient, path: str = "/budgets") -> str:
    answer = await client.get(path, headers={"Accept": "text/html"})
    assert answer.status_code == 200, answer.text
    return answer.text


async def test_the_empty_page_makes_the_first_budget(host: SmallHost, client: httpx.AsyncClient) -> None:
    page = await shown(client)
    assert "No budgets yet" in page
    assert "Make the first budget" in page
    answer = await sent(client, "/budgets", name="First", scope="all", value="", period="day", hard_usd="$1,000.50")
    assert answer.status_code == 303
    (budget,) = host.budgets.all()
    assert (budget.name, budget.hard_usd, budget.soft_usd) == ("First", Decimal("1000.50"), None)
    assert answer.headers["location"] == f"/budgets?budget={budget.id}"
    assert "First" in await shown(client, answer.headers["location"])


MISTYPED: list[tuple[dict[str, str], str]] = [
    ({"hard_usd": "a lot"}, "is not an amount of dollars such as 5.00"),
    ({"hard_usd": "0"}, "a limit is more than 0"),
    ({"period": "rolling", "rolling_hours": "ten"}, "is not a whole number of hours"),
    ({"scope": "user", "value": ""}, "say which user it is for"),
    ({"name": HOSTILE * 3}, "give it a name of 1 to 80"),
]


async def test_a_refused_form_comes_back_as_it_was_filled_in(host: SmallHost, client: httpx.AsyncClient) -> None:
    for fields, said in MISTYPED:
        answer = await sent(client, "/budgets", **{"name": HOSTILE, "period": "day", "hard_usd": "5", **fields})
        assert (answer.status_code, said in answer.text) == (422, True), fields
        assert "<script>alert" not in answer.text
        assert "&lt;script&gt;alert(1)" in answer.text
    assert host.budgets.all() == []


async def test_a_budget_is_changed_deleted_once_asked_and_brought_back_by_forms(
    host: SmallHost, client: httpx.AsyncClient
) -> None:
    spend(host)
    budget = (await made(client, name=HOSTILE, scope="project", value="sh*"))["budget"]
    page = await shown(client, f"/budgets?budget={budget['id']}")
    assert "<script>alert" not in page
    assert f'action="/budgets/{budget["id"]}/delete"' in page
    edit = {"name": "Shop", "scope": "project", "value": "shop", "period": "month", "hard_usd": "90", "soft_usd": ""}
    assert (await sent(client, f"/budgets/{budget['id']}", **edit)).status_code == 303
    assert host.budgets.all()[0].name == "Shop"
    refused = await sent(client, f"/budgets/{budget['id']}", **edit | {"hard_usd": "-1"})
    assert (refused.status_code, host.budgets.all()[0].hard_usd) == (422, 90)
    gone = await sent(client, f"/budgets/{budget['id']}/delete")
    assert gone.headers["location"] == f"/budgets?deleted={budget['id']}"
    page = await shown(client, gone.headers["location"])
    assert "The budget “Shop” is deleted." in page
    assert (await sent(client, f"/budgets/{budget['id']}/restore")).status_code == 303
    assert [one.name for one in host.budgets.all()] == ["Shop"]
    assert (await sent(client, "/budgets/none/delete")).status_code == 404
    assert (await client.get("/budgets?budget=none", headers={"Accept": "text/html"})).status_code == 404


async def test_demo_data_is_measured_against_the_same_budgets_without_the_guard(
    host: SmallHost, client: httpx.AsyncClient
) -> None:
    host.store(make_operation("real", started_at=NOW_US - HOUR_US, cost_usd=Decimal(3)))
    await made(client)
    host.demo_start()
    await client.post("/api/v1/demo")
    (budget,) = (await client.get("/api/v1/budgets")).json()["data"]["budgets"]
    assert budget["spent_usd"] == "0.0035"
    host.budgets.reload()
    assert host.budgets.guard.levels()[0].spent_usd == 3


async def test_history_of_a_stored_past_survives_clock_changes(tmp_path: Path) -> None:
    with small_host(tmp_path, timezone="Europe/Berlin") as host:
        host.store([make_operation(f"d{n}", started_at=NOW_US - n * DAY_US, cost_usd=Decimal(1)) for n in range(100)])
        async with client_of(host) as client:
            detail = await made(client, period="month", hard_usd=40, soft_usd=None)
        assert [past["spent_usd"] for past in detail["budget"]["history"]][-2:] == ["30", "31"]
        assert json.dumps(detail)

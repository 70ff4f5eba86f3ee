"""Reconciling and pricing the past again through the server: asked for, done, and seen in every total."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from decimal import Decimal
from html import unescape
from pathlib import Path
from typing import Any

import httpx
import pytest

from ralex_core.clock import ManualClock
from tests.support.dashboard import NOW_US, SmallHost, client_of, small_host
from tests.support.openrouter import KEY, Call, OpenRouterBooks, local_openrouter
from tests.support.prices import call

D = Decimal
HOUR_US = 3_600_000_000
DEEPSEEK = '[[price]]\nmodel = "deepseek/deepseek-chat"\ninput = 0.14\noutput = 0.28\nuntil = 2026-06-01\n'
RECONCILIATIONS = "/api/v1/costs/reconciliations"


@pytest.fixture
def api() -> Iterator[OpenRouterBooks]:
    with local_openrouter(ManualClock(NOW_US)) as opened:
        yield opened


@pytest.fixture
def host(tmp_path: Path, api: OpenRouterBooks) -> Iterator[SmallHost]:
    (tmp_path / "prices.toml").write_text(DEEPSEEK)
    with small_host(tmp_path, openrouter={"key": KEY, "url": api.url, "every_h": 0}) as opened:
        yield opened


@pytest.fixture
async def client(host: SmallHost) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(host, accept="text/html") as opened:
        yield opened


def routed(host: SmallHost, identity: str = "gen-1") -> None:
    made = call("openai/gpt-4o", 1000, 100, operation_id="op-1", provider="openrouter", provider_request_id=identity)
    host.intake.submit([made._replace(started_at=NOW_US - HOUR_US)]).result()
    host.writer.flush()


async def test_a_reconciliation_is_begun_followed_and_seen(
    host: SmallHost, client: httpx.AsyncClient, api: OpenRouterBooks
) -> None:
    routed(host)
    api.calls = [Call("gen-1", NOW_US - HOUR_US, fee="0.0042")]
    page = unescape((await client.get("/operations/op-1")).text)
    assert "not looked up yet; the next reconciliation asks for it" in page
    assert "Generation id" in page
    begun = await client.post(RECONCILIATIONS, json={"days": 2})
    assert begun.status_code == 202
    host.books.stop()  # waits for the thread
    run: Any = (await client.get(f"{RECONCILIATIONS}/{begun.json()['data']['id']}")).json()["data"]
    assert (run["state"], run["billed"], run["before_usd"], run["after_usd"]) == ("done", 1, "0.0035", "0.0042")
    listed = (await client.get(RECONCILIATIONS)).json()["data"]
    assert (listed["enabled"], listed["latest"]["id"]) == (True, run["id"])
    found = {(one["period"], one["state"]) for one in listed["latest"]["findings"]}
    assert found == {("day", "agrees"), ("week", "agrees"), ("month", "agrees")}
    statement = (await client.get("/api/v1/costs/statement")).json()["data"]
    assert (statement["total"]["billed_usd"], statement["total"]["cost_usd"]) == ("0.0042", "0.0042")
    shown = unescape((await client.get("/statement")).text)
    assert "1 call looked up, 1 billed" in shown and "Reconcile now" in shown
    assert ">$0.0042<" in shown and ">+$0.0007<" in shown  # the tiles: cost, billed − computed
    page = unescape((await client.get("/operations/op-1")).text)
    assert "billed by OpenAI; looked up" in page
    assert "more than computed: OpenRouter lists the cheapest host" in page
    everything = shown + page + str(listed)
    assert KEY not in everything and KEY[-8:] not in everything


async def test_two_at_once_are_refused(host: SmallHost, client: httpx.AsyncClient) -> None:
    assert host.books._busy.acquire(blocking=False)  # as if one were under way
    for path, body in ((RECONCILIATIONS, {}), ("/api/v1/costs/reprice", {"apply": True})):
        answer = await client.post(path, json=body)
        assert (answer.status_code, answer.json()["error"]["code"]) == (409, "books_busy")
    host.books._busy.release()


async def test_without_a_key_the_page_says_how_to_set_one(tmp_path: Path) -> None:
    with small_host(tmp_path) as host:
        routed(host)
        async with client_of(host, accept="text/html") as client:
            answer = await client.post(RECONCILIATIONS, json={})
            assert (answer.status_code, "OPENROUTER__KEY" in answer.text) == (400, True)
            page = (await client.get("/statement")).text
            assert "RALEX_MONITOR_OPENROUTER__KEY" in page and "Reconcile now" not in page


async def test_the_past_is_priced_again_after_a_look_at_what_would_change(
    host: SmallHost, client: httpx.AsyncClient
) -> None:
    old = call(
        "deepseek-chat", 1_000_000, 100_000, operation_id="old", provider="deepseek", started_at=NOW_US - HOUR_US
    )
    wrong = old._replace(computed_usd=D("0.38"), cost_usd=D("0.38"), cost_basis="computed", price_version="before")
    host.store(wrong)
    path = "/api/v1/costs/reprice"
    seen = (await client.post(path, json={"from": "2026-01-01", "to": "2026-02-01"})).json()["data"]
    assert (seen["applied"], seen["changed_calls"], seen["before_usd"], seen["after_usd"]) == (
        False,
        1,
        "0.38",
        "0.168",
    )
    assert (await client.get("/api/v1/totals?range=24h")).json()["data"]["cost_usd"] == "0.38"
    done = (await client.post(path, json={"apply": True, "by": "ann", "reason": "DeepSeek's old price"})).json()["data"]
    assert (done["applied"], done["changed_calls"], done["difference_usd"]) == (True, 1, "-0.212")
    assert (await client.get("/api/v1/totals?range=24h")).json()["data"]["cost_usd"] == "0.168"
    assert (
        (await client.get("/api/v1/operations/old")).json()["data"]["operation"]["price_version"].startswith("override")
    )
    begun, ended = sorted(host.state.audit_log(2), key=lambda entry: entry.action)
    assert (begun.action, ended.action) == ("reprice", "repriced")
    assert '"by": "ann"' in (ended.detail or "") and '"after_usd": "0.168"' in (ended.detail or "")
    assert (await client.post(path, json={"apply": True})).json()["data"]["changed_calls"] == 0


async def test_prices_that_new_calls_would_not_get_are_not_given_to_old_ones(
    host: SmallHost, client: httpx.AsyncClient
) -> None:
    host.settings.overrides_path.write_text(DEEPSEEK.replace("0.14", "0.15"))
    answer = await client.post("/api/v1/costs/reprice", json={})
    assert (answer.status_code, "Restart the monitor" in answer.text) == (400, True)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (RECONCILIATIONS, {"days": 31}),
        (RECONCILIATIONS, {"key": "sk-or-v1"}),
        ("/api/v1/costs/reprice", {"from": "2026-02-01", "to": "2026-01-01"}),
        ("/api/v1/costs/reprice", {"from": "soon"}),
        ("/api/v1/costs/reprice", {"apply": "perhaps"}),
    ],
)
async def test_mistakes_are_told(client: httpx.AsyncClient, path: str, body: dict[str, object]) -> None:
    assert (await client.post(path, json=body)).status_code == 422


async def test_a_reconciliation_that_never_was_is_not_found(client: httpx.AsyncClient) -> None:
    assert (await client.get(f"{RECONCILIATIONS}/99")).status_code == 404

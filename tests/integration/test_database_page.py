"""The pages and routes about database statements: recorded through the native door, shown and asked for."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from html import unescape
from pathlib import Path
from typing import Any

import httpx
import pytest

from ralex_core.model.window import HOUR_US
from tests.support.dashboard import NOW_US, SmallHost, client_of, small_host
from tests.support.statements import INSERT, LIST, OWNER, OWNERS_PER_LIST, REPORT, call, requests

HOSTILE = "SELECT '<script>alert(1)</script>' FROM \"a&b\" -- {{7*7}}"


@pytest.fixture
def host(tmp_path: Path) -> Iterator[SmallHost]:
    with small_host(tmp_path) as opened:
        yield opened


@pytest.fixture
async def client(host: SmallHost) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(host, accept="text/html") as opened:
        yield opened


async def send(host: SmallHost, client: httpx.AsyncClient, operations: list[dict[str, object]]) -> None:
    """Record through the native door, and wait for the rollups."""
    answer = await client.post("/api/v1/operations", json=operations)
    assert answer.json()["data"]["rejected"] == []
    host.writer.flush()


async def asked(client: httpx.AsyncClient, path: str, **parameters: str) -> Any:
    answer = await client.get(f"/api/v1/database/{path}", params={"range": "24h", **parameters})
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


async def test_the_list_tells_calls_time_rows_errors_and_suspects(host: SmallHost, client: httpx.AsyncClient) -> None:
    await send(host, client, requests(200, NOW_US - 1, 10 * HOUR_US))
    data = await asked(client, "statements")
    rows = {row["statement"]: row for row in data["rows"]}
    assert set(rows) == {LIST, INSERT, OWNER, REPORT}
    assert [row["total_ms"] for row in data["rows"]] == sorted((row["total_ms"] for row in data["rows"]), reverse=True)
    assert sum(row["share_ratio"] for row in data["rows"]) == pytest.approx(1)
    assert (rows[LIST]["calls"], rows[LIST]["rows_mean"], rows[LIST]["rows_total"]) == (200, 20, 4000)
    assert (rows[INSERT]["errors"], rows[INSERT]["rows_mean"]) == (8, None)
    assert (rows[OWNER]["repeated_parents"], rows[OWNER]["repeated_most"]) == (20, OWNERS_PER_LIST)
    assert (rows[LIST]["system"], rows[LIST]["namespace"]) == ("sqlite", "app.db")
    totals = data["totals"]
    assert (totals["statements"], totals["suspects"], totals["errors"]) == (4, 1, 8)
    assert totals["calls"] == sum(row["calls"] for row in data["rows"]) == totals["sampled"]


async def test_statements_are_sorted_by_what_is_asked_for(host: SmallHost, client: httpx.AsyncClient) -> None:
    await send(host, client, requests(200, NOW_US - 1, 10 * HOUR_US))
    first = {
        sort: (await asked(client, "statements", sort=sort, limit="1"))["rows"][0]["statement"]
        for sort in ("total", "calls", "p95", "rows", "errors", "repeats")
    }
    expected = {"total": REPORT, "calls": OWNER, "p95": REPORT, "rows": REPORT, "errors": INSERT, "repeats": OWNER}
    assert first == expected
    refused = await client.get("/api/v1/database/statements", params={"sort": "colour"})
    assert refused.status_code == 422
    assert "colour" in refused.json()["error"]["message"]


async def test_one_statement_tells_its_slowest_calls_and_its_callers(
    host: SmallHost, client: httpx.AsyncClient
) -> None:
    await send(host, client, requests(200, NOW_US - 1, 10 * HOUR_US))
    data = await asked(client, "statement", statement=LIST)
    assert data["row"]["calls"] == sum(data["latency"]["operations"]) == 200
    assert data["slowest"][0]["sample"] == LIST.replace("?", "42", 1)
    assert [(row["name"], row["calls"], row["parents"]) for row in data["callers"]] == [("GET /tickets", 200, 200)]
    page = await client.get(data["slowest"][0]["href"])
    assert page.status_code == 200
    assert "GET /tickets" in page.text  # the trace around it


async def test_a_statement_nobody_called_is_not_found(client: httpx.AsyncClient) -> None:
    answer = await client.get("/api/v1/database/statement", params={"statement": "SELECT 1"})
    assert answer.status_code == 404
    assert (await client.get("/api/v1/database/statement")).status_code == 422
    assert (await client.get("/database/statement", params={"statement": "SELECT 1"})).status_code == 404


async def test_the_pages_show_what_the_routes_tell(host: SmallHost, client: httpx.AsyncClient) -> None:
    await send(host, client, requests(200, NOW_US - 1, 10 * HOUR_US))
    data = await asked(client, "statements")
    page = unescape((await client.get("/database?range=24h")).text)
    for row in data["rows"]:
        assert row["statement"] in page
        assert row["href"] in page
    assert f"N+1? {OWNERS_PER_LIST}× under one parent" in page
    one = (await client.get(data["rows"][0]["href"])).text
    assert data["rows"][0]["statement"] in unescape(one)
    assert 'data-nav="database"' in one


async def test_without_statements_the_page_says_how_to_record_them(host: SmallHost, client: httpx.AsyncClient) -> None:
    page = (await client.get("/database")).text
    assert "No database statements in this range" in page
    assert "instrument.sqlite3()" in page
    assert (await asked(client, "statements"))["rows"] == []


async def test_hostile_statements_stay_text(host: SmallHost, client: httpx.AsyncClient) -> None:
    await send(
        host,
        client,
        [call("h", HOSTILE, NOW_US - HOUR_US, 4.0, parent=("t", "p"), sample="<img src=x onerror=alert(1)>")],
    )
    row = (await asked(client, "statements"))["rows"][0]
    assert row["statement"] == HOSTILE
    for path in ("/database?range=24h", row["href"]):
        answer = await client.get(path)
        assert answer.status_code == 200
        assert "<script>alert" not in answer.text
        assert "<img src=x" not in answer.text
        assert HOSTILE in unescape(answer.text)

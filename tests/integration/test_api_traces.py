"""Traces and bottlenecks over the real application: list, one, findings, and what arrives broken."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest

from ralex_core.model.operation import Operation
from ralex_core.simulate.service import run_service
from tests.support.dashboard import NOW_US, SmallHost, client_of, small_host
from tests.support.traces import START_US, span

API = "/api/v1"


@pytest.fixture
def host(tmp_path: Path) -> Iterator[SmallHost]:
    with small_host(tmp_path) as opened:
        yield opened


@pytest.fixture
async def client(host: SmallHost) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(host) as opened:
        yield opened


def lately(*operations: Operation) -> list[Operation]:
    """Moved so that traces begin a minute ago."""
    return [op._replace(started_at=op.started_at - START_US + NOW_US - 60_000_000) for op in operations]


def a_list_page(trace: str = "n1") -> list[Operation]:
    queries = [
        span(f"q{n}", 10 + n * 10, 8, "root", kind="db", name="select * from item where id = ?", trace=trace)
        for n in range(10)
    ]
    return lately(span("root", 0, 120, kind="api", name="GET /list", trace=trace), *queries)


async def test_a_planted_fault_is_told_with_examples_that_exist(host: SmallHost, client: httpx.AsyncClient) -> None:
    run = run_service(5, "n_plus_one", requests=150, start_us=NOW_US - 120_000_000)
    host.store([op for op in run.operations if op.started_at < NOW_US])
    data = (await client.get(f"{API}/bottlenecks", params={"range": "1h"})).json()["data"]
    first = data["findings"][0]
    assert first["cause"] == "n_plus_one"
    assert first["gain"]["mean_ms"] > 0
    for example in first["examples"]:
        assert (await client.get(example["href"])).status_code == 200
    page = (await client.get("/traces", params={"range": "1h"})).text
    assert "N+1 queries" in page
    assert f"{data['traces']} traces" in page
    for spot in data["hot_spots"]:
        assert httpx.URL(spot["href"]).path == "/operations"


async def test_one_trace_shows_its_critical_path_and_what_is_conspicuous(
    host: SmallHost, client: httpx.AsyncClient
) -> None:
    host.store(a_list_page())
    data = (await client.get(f"{API}/traces/n1")).json()["data"]
    assert [finding["cause"] for finding in data["findings"]] == ["n_plus_one"]
    assert sum(one["path_ms"] for one in data["trace"]["spans"]) == pytest.approx(data["trace"]["duration_ms"])
    assert [spot["name"] for spot in data["spots"]] == ["select * from item where id = ?", "GET /list"]
    page = (await client.get("/traces/n1")).text
    assert "The same query 10 times in a row" in page
    assert 'class="path"' in page
    operation = (await client.get("/operations/n1-root")).text
    assert "/traces/n1" in operation


async def test_the_list_is_filtered_sorted_and_paged_by_address(host: SmallHost, client: httpx.AsyncClient) -> None:
    for number in range(30):
        host.store(
            lately(span("r", number, 10 + number, trace=f"t{number:02}", status="error" if number == 3 else "ok"))
        )
    slowest = (await client.get(f"{API}/traces", params={"sort": "duration_ms", "size": 5})).json()["data"]
    assert [row["trace_id"] for row in slowest["rows"]] == ["t29", "t28", "t27", "t26", "t25"]
    assert (slowest["total"], slowest["pages"]) == (30, 6)
    failed = (await client.get(f"{API}/traces", params={"errors": "1"})).json()["data"]
    assert [row["trace_id"] for row in failed["rows"]] == ["t03"]
    page = (await client.get("/traces", params={"sort": "duration_ms", "size": 25, "page": 2})).text
    assert "26–30" in page


@pytest.mark.parametrize(
    "query", ["sort=name", "dir=up", "page=0", "size=9999", "errors=yes", "colour=red", "q=" + "x" * 501]
)
async def test_what_cannot_be_asked_is_refused_with_a_reason(client: httpx.AsyncClient, query: str) -> None:
    answer = await client.get(f"{API}/traces?{query}")
    assert answer.status_code == 422
    assert answer.json()["error"]["message"]


async def test_an_unknown_trace_is_not_found(client: httpx.AsyncClient) -> None:
    assert (await client.get(f"{API}/traces/nothing")).status_code == 404
    assert (await client.get("/traces/nothing", headers={"accept": "text/html"})).status_code == 404


async def test_an_empty_store_says_what_will_appear(client: httpx.AsyncClient) -> None:
    data = (await client.get(f"{API}/bottlenecks")).json()["data"]
    assert (data["traces"], data["mean_ms"], data["findings"], data["hot_spots"]) == (0, None, [], [])
    page = (await client.get("/traces")).text
    assert "appears here once operations with a trace come in" in page
    assert "No traces in" in page


async def test_broken_traces_are_shown_and_what_was_mended_is_said(host: SmallHost, client: httpx.AsyncClient) -> None:
    host.store(
        lately(
            span("root", 100, 200, trace="b"),
            span("early", 50, 100, "root", trace="b"),
            span("never", 150, None, "root", trace="b"),
            span("odd", 160, -40.0, "root", trace="b"),
            span("lost", 170, 5, "gone", trace="b"),
            span("a", 180, 5, "z", trace="b"),
            span("z", 181, 5, "a", trace="b"),
        )
    )
    data = (await client.get(f"{API}/traces/b")).json()["data"]
    assert data["trace"]["mended"] == 6, "one of the circle reaches outside the other as well"
    assert len(data["notes"]) == 5
    for one in data["trace"]["spans"]:
        assert 0 <= one["left_ratio"] <= 1
        assert 0 < one["width_ratio"] <= 1
        assert all(math.isfinite(piece["left_ratio"] + piece["width_ratio"]) for piece in one["path"])
    assert "clocks apart" in (await client.get("/traces/b")).text
    assert (await client.get("/traces")).status_code == 200


async def test_a_trace_of_thousands_of_spans_is_drawn_in_part(host: SmallHost, client: httpx.AsyncClient) -> None:
    spans = [span(str(n), 10 + n, 0.5, "root", kind="tool", name=f"step {n % 7}", trace="big") for n in range(3000)]
    host.store(lately(span("root", 0, 4000, trace="big"), *spans))
    data = (await client.get(f"{API}/traces/big")).json()["data"]
    assert data["trace"]["operations"] == 3001
    assert len(data["trace"]["spans"]) == 500
    assert data["trace"]["truncated"]
    assert sum(spot["path_ms"] for spot in data["spots"]) == pytest.approx(4000)

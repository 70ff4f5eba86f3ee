"""The performance page and its API over a real store: one truth, links that hold, mistakes told, hostile text."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from ralex_core.model.operation import Operation
from ralex_core.model.window import DAY_US, HOUR_US
from ralex_core.monitoring.latency import DIMENSIONS
from ralex_core.render import duration
from tests.support.dashboard import NOW_US, SmallHost, client_of, small_host
from tests.support.operations import make_operation

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(1)>'\"&{{7*7}}"
API = "/api/v1/performance"


def traffic(name: str, each: int, factor: float, seed: int) -> list[Operation]:
    """Two days, `each` operations an hour; the last hour is `factor` times slower."""
    source = random.Random(seed)
    return [
        make_operation(
            f"{name}-{hour}-{number}",
            name=name,
            started_at=NOW_US - hour * HOUR_US - source.randrange(1, HOUR_US),
            duration_ms=1000 * (factor if hour == 0 else 1.0) * source.lognormvariate(0, 0.4),
            ttft_ms=200.0,
            status="error" if number % 25 == 0 else "ok",
        )
        for hour in range(48)
        for number in range(each)
    ]


@pytest.fixture
def host(tmp_path: Path) -> Iterator[SmallHost]:
    with small_host(tmp_path) as opened:
        opened.store(traffic("chat", 200, 1.7, 1))
        opened.store(traffic("edit", 200, 1.0, 2))
        opened.store(make_operation("odd", kind="api", name=HOSTILE, provider=None, started_at=NOW_US - 5))
        yield opened


@pytest.fixture
async def client(host: SmallHost) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(host) as opened:
        yield opened


async def data(client: httpx.AsyncClient, path: str, **params: str) -> Any:
    answer = await client.get(path, params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


async def test_page_and_api_tell_the_same(client: httpx.AsyncClient) -> None:
    told = await data(client, f"{API}/compare", range="1h")
    page = (await client.get("/performance?range=1h", headers={"Accept": "text/html"})).text
    rows = {row["now"]["label"]: row for row in told["rows"]}
    assert rows["chat"]["verdict"]["state"] == "slower"
    assert rows["edit"]["verdict"]["state"] == "same"
    assert rows["chat"]["now"]["operations"] == 200
    assert rows["chat"]["before"]["timed"] == 200
    for name in ("chat", "edit"):
        assert duration(rows[name]["now"]["p95_ms"]) in page
        assert rows[name]["verdict"]["why"].split(":")[0] in page
    assert "1 slower of 2 operations against the range before" in page
    assert HOSTILE not in page
    assert "<script>alert" not in page


async def test_every_dimension_answers(client: httpx.AsyncClient) -> None:
    for by in DIMENSIONS:
        found = await data(client, API, range="24h", by=by)
        assert sum(row["operations"] for row in found["rows"]) == found["total"]["operations"]
        assert found["by"] == by
    for by in ("service", "session", "user"):
        assert (await client.get("/performance", params={"by": by, "range": "1h"})).status_code == 200


async def test_a_row_can_be_picked_by_its_key(client: httpx.AsyncClient) -> None:
    row = next(row for row in (await data(client, API, range="1h"))["rows"] if row["label"] == "chat")
    pick = {"range": "1h", "pick": row["key"]}
    line = await data(client, f"{API}/timeline", **pick)
    assert sum(line["operations"]) == row["operations"]
    assert len(line["p95_ms"]) == len(line["starts"]) == len(line["before_p95_ms"])
    heat = await data(client, f"{API}/heatmap", **pick)
    assert sum(cell[2] for cell in heat["cells"]) == row["timed"]
    assert max(cell[1] for cell in heat["cells"]) == len(heat["edges_ms"]) - 2
    load = await data(client, f"{API}/load", **pick)
    assert load["operations"] == row["operations"]
    assert load["busy_little"] == pytest.approx(row["busy"], rel=0.02)
    page = (await client.get("/performance", params=pick)).text
    assert 'aria-current="true"' in page
    listed = (await client.get("/api/v1" + row["href"])).json()["data"]
    assert listed["total"] == row["operations"], "the link leads to the operations behind the row"


async def test_the_heat_map_holds_every_duration_in_its_band(host: SmallHost, client: httpx.AsyncClient) -> None:
    host.store(
        [make_operation(f"z{n}", name="zero", started_at=NOW_US - DAY_US // 2, duration_ms=0.0) for n in range(3)]
    )
    heat = await data(client, f"{API}/heatmap", range="24h")
    edges = heat["edges_ms"]
    assert edges == sorted(edges)
    assert sum(cell[2] for cell in heat["cells"]) == (await data(client, API, range="24h"))["total"]["timed"]


async def test_trends_need_days_and_say_so(client: httpx.AsyncClient) -> None:
    found = await data(client, f"{API}/trends", range="24h")
    assert {trend["state"] for trend in found} == {"too_few"}
    assert "14 are needed" in found[0]["why"]
    one = await data(client, f"{API}/trends", range="24h", pick="llm/chat")
    assert [trend["label"] for trend in one] == ["chat"]


@pytest.mark.parametrize(
    ("path", "params", "told"),
    [
        (API, {"by": "colour"}, "use one of operation"),
        (f"{API}/compare", {"against": "tomorrow"}, "use one of previous"),
        (f"{API}/compare", {"against": "last_week", "range": "30d"}, "up to 7 days"),
        (f"{API}/heatmap", {"pick": "chat"}, "kind/name"),
        (f"{API}/trends", {"days": "3"}, "from 14 to 400"),
        (API, {"limit": "0"}, "from 1 to 200"),
        (API, {"colour": "red"}, "not known here"),
        ("/performance", {"sort": "mood"}, "use one of label"),
        (API, {"from": "2099-01-01", "to": "2098-01-01"}, "later than"),
    ],
)
async def test_mistakes_are_told(client: httpx.AsyncClient, path: str, params: dict[str, str], told: str) -> None:
    answer = await client.get(path, params=params)
    assert answer.status_code == 422
    assert told in answer.text


async def test_absurd_and_empty_ranges_are_answered(client: httpx.AsyncClient) -> None:
    for start, end in (("1970-01-01", "2099-12-31"), ("2030-01-01", "2030-01-02")):
        params = {"from": start, "to": end}
        for path in (API, f"{API}/compare", f"{API}/timeline", f"{API}/heatmap", f"{API}/load", f"{API}/trends"):
            assert (await client.get(path, params=params)).status_code == 200, path
        for against in ("previous", "last_week", "usual"):
            assert (await client.get("/performance", params={**params, "against": against})).status_code == 200
    assert "Nothing ran in this range" in (await client.get("/performance", params=params)).text
    clipped = await data(client, API, **{"from": "1970-01-01", "to": "2030-01-01", "by": "service"})
    assert clipped["clipped"]


async def test_an_empty_store_shows_what_will_be_here(tmp_path: Path) -> None:
    with small_host(tmp_path / "empty") as host:
        async with client_of(host) as client:
            for against in ("previous", "last_week", "usual"):
                page = (await client.get("/performance", params={"against": against})).text
                assert "appear here as soon as something ran" in page


async def test_links_keep_dimension_comparison_and_filters(client: httpx.AsyncClient) -> None:
    page = (await client.get("/performance?range=1h&by=model&against=usual&model=gpt-4o")).text
    assert "range=24h&amp;model=gpt-4o&amp;by=model&amp;against=usual" in page
    assert "sort=p99_ms" in page

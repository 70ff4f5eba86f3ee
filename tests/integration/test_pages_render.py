"""The pages as a browser gets them: what they show, that hostile text stays text, and how mistakes are told."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

from ralex_core.model.window import DAY_US
from tests.support.dashboard import NOW_US, SmallFound, SmallHost, client_of, small_host
from tests.support.operations import make_operation, random_operations

HTML = {"Accept": "text/html"}
HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(1)>'\"&{{7*7}}"
RIGHT_TO_LEFT = "\u202eevil\u202c שלום"
FORMULA = "=cmd|' /C calc'!A0"
LONG = "x" * 500
PLAIN_PAGES = (
    "/traces",
    "/budgets",
    "/welcome",
    "/monitor",
    "/resources",
    "/database",
    "/statement",
    "/forecast",
    "/docs",
    "/nowhere",
)
"""Pages that need no operation to be opened."""


@pytest.fixture
def host(tmp_path: Path) -> Iterator[SmallHost]:
    with small_host(tmp_path, daily_budget_usd=Decimal(5)) as opened:
        yield opened


@pytest.fixture
async def client(host: SmallHost) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(host, accept="text/html") as opened:
        yield opened


def boot_of(page: str) -> dict[str, Any]:
    """The data a page gives its scripts."""
    found = re.search(r'<script type="application/json" id="boot">(.*?)</script>', page, re.S)
    assert found is not None
    return json.loads(found[1])


async def test_an_empty_store_opens_on_the_welcome_page(host: SmallHost, client: httpx.AsyncClient) -> None:
    answer = await client.get("/")
    assert (answer.status_code, answer.headers["location"]) == (303, "/welcome")
    host.found.append(SmallFound("aider", "Aider", [Path("/logs/analytics.jsonl")]))
    page = (await client.get("/welcome")).text
    assert "/logs/analytics.jsonl" in page
    assert "http://127.0.0.1:8000/v1/logs" in page
    assert "http://127.0.0.1:8000/gateway/openai/v1" in page


async def test_without_logs_the_welcome_page_says_where_it_looked(client: httpx.AsyncClient) -> None:
    assert "~/.somewhere" in (await client.get("/welcome")).text


async def test_guides_say_where_the_token_goes_and_never_show_it(tmp_path: Path) -> None:
    token = "correct-horse-battery"
    with small_host(tmp_path, token=token) as host:
        async with client_of(host, authorization=f"Bearer {token}", accept="text/html") as client:
            page = (await client.get("/welcome")).text
    assert "Authorization=Bearer YOUR_TOKEN" in page
    assert token not in page


async def test_the_overview_shows_what_is_stored_before_any_script_runs(
    host: SmallHost, client: httpx.AsyncClient
) -> None:
    host.store(random_operations(5, 600, start_us=NOW_US - DAY_US // 3, span_us=DAY_US // 4))
    page = (await client.get("/")).text
    data = (await client.get("/api/v1/overview")).json()["data"]
    for tile in data["tiles"]:
        assert tile["value"] in page
    for row in data["models"]:
        assert row["label"] in page
    assert data["feed"][0]["operation_id"] in page
    assert "24 hours" in page


async def test_an_imported_old_log_is_seen_at_once(host: SmallHost, client: httpx.AsyncClient) -> None:
    host.store(make_operation("old", name="long ago", started_at=NOW_US - 400 * DAY_US))
    page = (await client.get("/")).text
    assert "long ago" in page
    assert boot_of(page)["range"]["key"] == "all"


@pytest.mark.parametrize("text", [HOSTILE, RIGHT_TO_LEFT, FORMULA, LONG])
async def test_hostile_text_stays_text_on_every_page(host: SmallHost, client: httpx.AsyncClient, text: str) -> None:
    host.store(
        make_operation(
            f"id-{text}"[:120],
            name=text,
            project=text,
            model=text,
            user_id=text,
            session_id=text,
            tier=text[:40],
            error_type=text,
            provider=text,
            status="error",
            trace_id="t",
            attributes='{"<b>k</b>": "<script>alert(2)</script>"}',
            started_at=NOW_US - 60_000_000,
        )
    )
    row = (await client.get("/api/v1/operations")).json()["data"]["rows"][0]
    pages = ["/", "/operations", row["href"], "/traces", "/traces/t", "/statement"]
    pages += [
        str(httpx.URL("/", params={"project": text, "user": text})),
        str(httpx.URL("/operations", params={"q": text[:400]})),
    ]
    for page in pages:
        answer = await client.get(page)
        assert answer.status_code == 200, (page, answer.text[:500])
        assert "<script>alert" not in answer.text
        assert "<img src=x" not in answer.text
        assert "<b>k</b>" not in answer.text
        assert "onerror=alert(1)>" not in answer.text
        assert "&amp;49" not in answer.text


async def test_pages_keep_to_their_own_content_policy(host: SmallHost, client: httpx.AsyncClient) -> None:
    host.store(random_operations(5, 200, start_us=NOW_US - DAY_US // 3, span_us=DAY_US // 4))
    detail = (await client.get("/api/v1/operations")).json()["data"]["rows"][0]["href"]
    for path in ("/", "/operations", detail, *PLAIN_PAGES):
        page = (await client.get(path)).text
        assert not re.search(r"<[^>]+\sstyle=", page), path
        assert not re.search(r"<[^>]+\son[a-z]+=", page), path
        for attributes, content in re.findall(r"<script([^>]*)>(.*?)</script>", page, re.S):
            assert "src=" in attributes or 'type="application/json"' in attributes, (path, content[:80])
        for url in re.findall(r'(?:src|href)="([^"]+)"', page):
            assert not url.startswith(("http:", "https:", "//", "javascript:")) or url.startswith("http://127.0.0.1"), (
                url
            )


async def test_every_file_a_page_asks_for_is_served_for_ever(host: SmallHost, client: httpx.AsyncClient) -> None:
    host.store(make_operation(started_at=NOW_US))
    files: set[str] = set()
    for path in (
        "/",
        "/operations",
        "/operations/op-1",
        "/welcome",
        "/monitor",
        "/resources",
        "/database",
        "/statement",
        "/docs",
        "/nowhere",
    ):
        files |= set(re.findall(r'(?:src|href)="(/static/[^"#]+)', (await client.get(path)).text))
    assert len(files) > 5
    for file in files:
        answer = await client.get(file)
        assert answer.status_code == 200, file
        assert "immutable" in answer.headers["cache-control"]


async def test_filters_and_range_stay_in_every_link(host: SmallHost, client: httpx.AsyncClient) -> None:
    host.store([make_operation(str(n), project="a&b", started_at=NOW_US - n) for n in range(60)])
    page = (await client.get("/operations", params={"project": "a&b", "range": "7d", "size": "25"})).text
    assert 'href="/operations?range=7d&amp;project=a%26b&amp;size=25&amp;page=2"' in page
    assert 'href="/operations?range=7d"' in page  # the chip without its filter
    assert "sort=cost_usd" in page


async def test_one_operation_is_told_in_full(host: SmallHost, client: httpx.AsyncClient) -> None:
    trace = {"trace_id": "t", "started_at": NOW_US - 1_000_000}
    host.store(
        [
            make_operation("parent", kind="task", name="fix the bug", span_id="1", duration_ms=900.0, **trace),
            make_operation("child", span_id="2", parent_span_id="1", reported_usd=Decimal("0.01"), **trace),
        ]
    )
    page = (await client.get("/operations/child")).text
    for text in ("fix the bug", "price book", "$0.0035", "$0.0100", "gpt-4o"):
        assert text in page


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("/?range=yesterday", 422, "24h"),
        ("/?range=custom&from=2026-01-02&to=2026-01-01", 422, "later"),
        ("/operations?sort=x", 422, "sort by one of"),
        ("/operations?projekt=x", 422, "projekt"),
        ("/operations/none", 404, "There is no operation"),
        ("/nowhere", 404, "/docs"),
    ],
)
async def test_a_mistake_is_told_on_a_page_with_the_request_id(
    host: SmallHost, client: httpx.AsyncClient, path: str, status: int, words: str
) -> None:
    host.store(make_operation(started_at=NOW_US))
    answer = await client.get(path)
    assert answer.status_code == status
    assert words in answer.text
    assert answer.headers["x-request-id"] in answer.text


async def test_demo_data_wears_a_banner_on_every_page(client: httpx.AsyncClient) -> None:
    assert (await client.post("/demo/start")).headers["location"] == "/?range=24h"
    for path in (
        "/",
        "/operations",
        "/operations/demo-1",
        "/welcome",
        "/monitor",
        "/resources",
        "/database",
        "/docs",
        "/nowhere",
    ):
        assert "Demo data" in (await client.get(path)).text, path
    assert (await client.post("/demo/remove")).headers["location"] == "/"
    assert "Demo data" not in (await client.get("/operations")).text


async def test_a_plain_form_starts_an_import(host: SmallHost, client: httpx.AsyncClient) -> None:
    host.found.append(SmallFound("claude-code", "Claude Code", [Path("/logs")]))
    answer = await client.post("/imports", data={"source": "claude_code"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/welcome")
    assert [job.source for job in host.import_jobs()] == ["claude-code"]


async def test_the_api_page_describes_every_route_without_scripts(client: httpx.AsyncClient) -> None:
    page = (await client.get("/docs")).text
    described = (await client.get("/openapi.json")).json()
    for path, item in described["paths"].items():
        for method in item:
            assert f'id="{method}-{path.strip("/").replace("/", "-").replace("{", "").replace("}", "")}"' in page
    assert "operation_id" in page


async def test_signing_in_and_out_in_a_browser(tmp_path: Path) -> None:
    token = "correct-horse-battery"
    with small_host(tmp_path, token=token) as host:
        async with client_of(host, accept="text/html") as client:
            assert (await client.get("/operations")).headers["location"] == "/login?next=%2Foperations"
            assert 'name="token"' in (await client.get("/login?next=%2Foperations")).text
            wrong = await client.post("/login", data={"token": "wrong", "next": "/operations"})
            assert wrong.status_code == 401
            assert "set-cookie" not in wrong.headers
            right = await client.post("/login", data={"token": token, "next": "/operations"})
            assert (right.status_code, right.headers["location"]) == (303, "/operations")
            cookie = right.headers["set-cookie"]
            assert "HttpOnly" in cookie and "SameSite=Strict" in cookie and token not in cookie
            page = await client.get("/operations")
            assert page.status_code == 200
            assert 'action="/logout"' in page.text
            assert token not in page.text
            await client.post("/logout")
            assert (await client.get("/operations")).status_code == 303


async def test_a_stolen_cookie_is_refused_after_signing_out_also_by_the_next_run(tmp_path: Path) -> None:
    token = "correct-horse-battery"
    with small_host(tmp_path, token=token) as host:
        async with client_of(host) as client:
            first = await client.post("/login", data={"token": token})
            stolen = {"cookie": first.headers["set-cookie"].partition(";")[0]}
            host.clock.advance(1)  # type: ignore[attr-defined]
            other = await client.post("/login", data={"token": token})
            kept = {"cookie": other.headers["set-cookie"].partition(";")[0]}
            client.cookies.clear()
            assert (await client.get("/api/v1/status", headers=stolen)).status_code == 200
            await client.post("/logout", headers=stolen)
            client.cookies.clear()
            assert (await client.get("/api/v1/status", headers=stolen)).status_code == 401
            assert (await client.get("/api/v1/status", headers=kept)).status_code == 200
            assert (await client.post("/logout", headers=stolen)).status_code == 401
    with small_host(tmp_path, token=token) as again:
        async with client_of(again) as client:
            assert (await client.get("/api/v1/status", headers=stolen)).status_code == 401
            assert (await client.get("/api/v1/status", headers=kept)).status_code == 200


async def test_a_login_never_leads_to_another_site(tmp_path: Path) -> None:
    token = "correct-horse-battery"
    with small_host(tmp_path, token=token) as host:
        async with client_of(host, accept="text/html") as client:
            answer = await client.post("/login", data={"token": token, "next": "//evil.example/"})
            assert answer.headers["location"] == "/"

"""The monitor's own page and route: what they tell, that both agree, and that hostile text stays text."""

from __future__ import annotations

import logging
from html import unescape
from pathlib import Path

from ralex_core.dashboard.self_watch import SelfWatch, thread_name
from tests.support.dashboard import NOW_US, SmallHost, client_of, small_host
from tests.support.operations import make_operation


def filled(host: SmallHost, count: int = 30) -> None:
    host.store([make_operation(f"op-{number}", started_at=NOW_US - 60_000_000) for number in range(count)])


async def test_the_route_tells_of_commits_queries_and_requests(tmp_path: Path) -> None:
    with small_host(tmp_path) as host:
        filled(host)
        host.store(make_operation("op-1", started_at=NOW_US - 60_000_000))
        async with client_of(host) as client:
            await client.get("/")
            await client.get("/nowhere")
            data = (await client.get("/api/v1/monitor")).json()["data"]
    writing = data["writing"]
    assert (writing["commits"]["count"], writing["stored"], writing["duplicates"]) == (2, 30, 1)
    assert writing["batch_operations"]["max"] == 30
    assert writing["commits"]["p95_ms"] > 0
    assert data["queue"] == {"operations": 0, "limit": 100_000, "oldest_wait_s": 0.0}
    assert {"totals", "breakdown", "operations_page"} <= {row["name"] for row in data["questions"]}
    routes = {(row["method"], row["route"]): row for row in data["routes"]}
    assert routes["GET", "/"]["timing"]["count"] == 1
    assert routes["GET", "unmatched"]["client_errors"] == 1
    files = {file["key"]: file["bytes"] for file in data["files"]}
    assert files["telemetry"] > 0
    assert files["state"] > 0
    assert files["spool"] == 0
    assert data["memory"]["engine_bytes"] > 0
    assert data["status"] == "ok"
    assert {row["name"] for row in data["threads"]} >= {"main (HTTP)", "telemetry-writer"}
    assert len(data["history"]["starts"]) == len(data["history"]["cpu_ratio"]) == 1


async def test_the_page_shows_what_the_route_tells(tmp_path: Path) -> None:
    with small_host(tmp_path) as host:
        filled(host)
        async with client_of(host, accept="text/html") as client:
            await client.get("/")
            data = (await client.get("/api/v1/monitor")).json()["data"]
            page = (await client.get("/monitor")).text
    assert data["sentence"] in page
    for check in data["checks"]:
        assert check["sentence"] in unescape(page)
    for row in data["questions"]:
        assert row["name"] in page
    assert 'aria-current="page" data-nav="monitor"' in page


async def test_what_is_logged_is_shown_as_text(tmp_path: Path) -> None:
    with small_host(tmp_path) as host:
        async with client_of(host, accept="text/html") as client:
            logging.getLogger("ralex_core.test").error("<script>alert(1)</script>\x1b[2J")
            page = (await client.get("/monitor")).text
            data = (await client.get("/api/v1/monitor")).json()["data"]
    assert "&lt;script&gt;alert(1)" in page
    assert "<script>alert" not in page
    assert data["errors_logged"] == 1
    assert "\x1b" not in data["log"][0]["message"]


async def test_something_wrong_is_the_sentence_of_the_page_and_of_live_messages(tmp_path: Path) -> None:
    with small_host(tmp_path) as host:
        async with client_of(host) as client:
            host.not_ready = "The telemetry store does not answer: gone."
            data = (await client.get("/api/v1/monitor")).json()["data"]
            live = (await client.get("/api/v1/live")).json()["data"]["health"]
    assert (data["status"], data["sentence"]) == ("degraded", "The telemetry store does not answer: gone.")
    assert (live["status"], live["reason"]) == ("degraded", "The telemetry store does not answer: gone.")


async def test_refused_operations_are_counted_among_the_losses(tmp_path: Path) -> None:
    with small_host(tmp_path) as host:
        async with client_of(host) as client:
            host.metrics.add("intake_refused_operations_total", 12)
            data = (await client.get("/api/v1/monitor")).json()["data"]
    assert [row for row in data["losses"] if row["count"]] == [
        {
            "key": "intake_refused_operations_total",
            "title": "Operations refused because the queue was full",
            "count": 12,
        }
    ]
    assert "12 operations were refused lately" in data["sentence"]


def test_the_watch_remembers_a_quarter_of_an_hour(tmp_path: Path) -> None:
    with small_host(tmp_path) as host:
        watch = SelfWatch(host)
        host.metrics.add("commit_failures_total", 1)
        for _ in range(200):
            watch.take()
            host.clock.advance(10)  # type: ignore[attr-defined]
        assert len(watch.samples()) == 91
        assert watch.growth("commit_failures_total") == 0
        host.metrics.add("commit_failures_total", 3)
        assert watch.growth("commit_failures_total") == 3
        ends = watch.minute()
        assert ends is not None
        assert ends[1].at_s - ends[0].at_s == 60


def test_threads_of_a_pool_are_told_together() -> None:
    names = ("MainThread", "question_3", "Thread-12 (run)", "ThreadPoolExecutor-0_1", "telemetry-writer", "7")
    told = ["main (HTTP)", "question", "Thread", "ThreadPoolExecutor", "telemetry-writer", "7"]
    assert [thread_name(name) for name in names] == told

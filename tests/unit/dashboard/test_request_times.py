"""Requests are counted and timed by route template, whatever becomes of them."""

from __future__ import annotations

from pathlib import Path

from tests.support.dashboard import NOW_US, client_of, small_host
from tests.support.operations import make_operation


async def test_requests_are_told_by_method_route_and_status(tmp_path: Path) -> None:
    with small_host(tmp_path) as host:
        host.store(make_operation("a", started_at=NOW_US - 60_000_000))
        async with client_of(host) as client:
            for method, path in (
                ("GET", "/operations/a"),
                ("HEAD", "/operations"),
                ("GET", "/api/v1/operations/a"),
                ("GET", "/api/v1/operations/b"),
                ("DELETE", "/api/v1/totals"),
                ("GET", "/static/js/dom.js"),
                ("GET", "/no/such/page"),
                ("GET", "/another"),
            ):
                await client.request(method, path)
        counted = host.metrics.all_counters()["http_requests_total"]
        timed = host.metrics.observed("http_request_seconds")
    told = {tuple(value for _, value in labels): int(count) for labels, count in counted.items()}
    assert told == {
        ("GET", "/operations/{operation_id:path}", "2xx"): 1,
        ("HEAD", "/operations", "2xx"): 1,
        ("GET", "/api/v1/operations/{operation_id:path}", "2xx"): 1,
        ("GET", "/api/v1/operations/{operation_id:path}", "4xx"): 1,
        ("DELETE", "/api/v1/totals", "4xx"): 1,
        ("GET", "/static/{path:path}", "2xx"): 1,
        ("GET", "unmatched", "4xx"): 2,
    }
    assert sum(found.ever.count for found in timed.values()) == 8


async def test_a_refused_request_is_counted_without_its_path(tmp_path: Path) -> None:
    with small_host(tmp_path, token="correct-horse-battery") as host:
        async with client_of(host) as client:
            assert (await client.get("/api/v1/totals?secret=1")).status_code == 401
            await client.request("BREW", "/coffee")
        counted = host.metrics.all_counters()["http_requests_total"]
    assert {tuple(value for _, value in labels) for labels in counted} == {
        ("GET", "unmatched", "4xx"),
        ("OTHER", "unmatched", "4xx"),
    }


async def test_a_request_that_fails_is_counted_as_such(tmp_path: Path) -> None:
    with small_host(tmp_path) as host:
        async with client_of(host) as client:
            host.real.store.query("select 1")
            host.book = None  # type: ignore[assignment] - something that cannot be asked
            assert (await client.get("/metrics")).status_code == 500
        counted = host.metrics.all_counters()["http_requests_total"]
    assert counted[(("method", "GET"), ("route", "/metrics"), ("status", "5xx"))] == 1

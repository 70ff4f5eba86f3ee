"""Traces through the real server process: sent at the door, found on the page."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.support.server import running

pytestmark = pytest.mark.process


def test_what_makes_sent_traces_slow_is_told(tmp_path: Path) -> None:
    now_us = time.time_ns() // 1000 - 60_000_000
    sent: list[dict[str, object]] = []
    for trace in range(20):
        began = now_us + trace * 1_000_000
        shared = {"trace_id": f"{trace:032x}", "service": "shop"}
        sent.append(
            {**shared, "kind": "api", "name": "GET /list", "span_id": "root", "started_at": began, "duration_ms": 90}
        )
        sent += [
            {
                **shared,
                "kind": "db",
                "name": f"select * from item where id = {number}",
                "span_id": f"q{number}",
                "parent_span_id": "root",
                "started_at": began + 5_000 + number * 10_000,
                "duration_ms": 8,
            }
            for number in range(8)
        ]
    with running(tmp_path / "home") as server:
        assert server.send(sent).status == 200
        found = server.request("GET", "/api/v1/bottlenecks?range=1h").json()["data"]
        listed = server.request("GET", "/api/v1/traces?range=1h&sort=duration_ms").json()["data"]
        page = server.request("GET", f"/traces/{0:032x}", headers={"Accept": "text/html"})
    assert found["traces"] == listed["total"] == 20
    assert found["findings"][0]["cause"] == "n_plus_one"
    assert found["findings"][0]["gain"]["mean_ms"] == pytest.approx(56)
    assert listed["rows"][0]["operations"] == 9
    assert page.status == 200
    assert b"The same query 8 times in a row" in page.body

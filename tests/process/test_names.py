"""Ten thousand distinct routes through the real server: all of them count, names are limited, and it says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.server import running

pytestmark = pytest.mark.process


def test_ten_thousand_routes_are_limited_across_a_restart_and_told(tmp_path: Path) -> None:
    limit = {"RALEX_MONITOR_MAX_NAMES": "100"}
    routes = [{"kind": "api", "name": f"GET /users/{number}", "duration_ms": 5} for number in range(10_000)]
    with running(tmp_path / "home", extra_environment=limit) as server:
        for start in range(0, 10_000, 2500):
            assert server.send(routes[start : start + 2500]).status == 200
        assert server.status()["operations"] == 10_000
        assert "ralex_monitor_names_capped_total 9900" in server.request("GET", "/metrics").body.decode()
        monitor = server.request("GET", "/api/v1/monitor").body.decode()
        assert "more than 100 names" in monitor
        assert server.stop() == 0
        server.start()
        assert server.send([{"kind": "api", "name": "GET /users/7"}, {"kind": "api", "name": "GET /new"}]).status == 200
        rows = server.request("GET", "/api/v1/operations?size=20").json()["data"]["rows"]
        assert {row["name"] for row in rows[:2]} == {"GET /users/7", "(other)"}

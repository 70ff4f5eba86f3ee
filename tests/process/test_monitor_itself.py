"""The real server process tells how it is."""

from __future__ import annotations

from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.server import running

pytestmark = pytest.mark.process


def test_a_real_server_watches_itself(tmp_path: Path) -> None:
    with running(tmp_path / "home") as server:
        assert server.send([{"name": f"call {number}", "kind": "llm"} for number in range(25)]).status == 200
        data = server.request("GET", "/api/v1/monitor").json()["data"]
        families = {
            family.name: family
            for family in text_string_to_metric_families(server.request("GET", "/metrics").body.decode())
        }
        page = server.request("GET", "/monitor", headers={"Accept": "text/html"})
    assert data["status"] == "ok", data["sentence"]
    assert data["writing"]["stored"] == 25
    assert data["imports"]["failed"] == 0
    names = {thread["name"] for thread in data["threads"]}
    assert {"main (HTTP)", "telemetry-writer", "log-follower", "housekeeping"} <= names
    assert {file["key"] for file in data["files"] if file["bytes"]} >= {"telemetry", "state"}
    posted = [row for row in data["routes"] if (row["method"], row["route"]) == ("POST", "/api/v1/operations")]
    assert [row["timing"]["count"] for row in posted] == [1]
    stored = families["ralex_monitor_operations_stored"].samples
    assert [sample.value for sample in stored] == [25]
    assert page.status == 200

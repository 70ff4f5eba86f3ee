"""Resources through the real server: an older store, a real assistant at work, and states that outlive a restart."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.support.repository import ROOT
from tests.support.server import Server, running

pytestmark = pytest.mark.process

NAME = "process-test-assistant"
DEADLINE_S = 60.0
WORK = """
import sys
memory = bytearray(100 << 20)
files = [open(__file__) for _ in range(25)]
print("ready", flush=True)
while True:
    pass
"""
SETTINGS = {
    "RALEX_MONITOR_WATCH_PROCESSES": f'["{NAME}"]',
    "RALEX_MONITOR_RESOURCE_INTERVAL_S": "0.5",
    "RALEX_MONITOR_THRESHOLDS__DISK__WARN": "0.0002",
    "RALEX_MONITOR_THRESHOLDS__DISK__MARGIN": "0.0001",
    "RALEX_MONITOR_THRESHOLDS__DISK__CRITICAL": "1.5",
    "RALEX_MONITOR_THRESHOLDS__DISK__FOR_S": "0",
}
"""A disk that is a little used is a warning at once: every machine has one."""


@pytest.fixture
def busy(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    script = tmp_path / NAME
    script.write_text(WORK)
    process = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE)
    assert process.stdout is not None and process.stdout.readline() == b"ready\n"
    yield process
    process.kill()
    process.communicate()


def asked(server: Server, path: str) -> Any:
    answer = server.request("GET", path)
    assert answer.status == 200, answer
    return answer.json()["data"]


def until(server: Server, path: str, found: Any) -> Any:
    """Ask until `found` gives something of the answer."""
    end = time.monotonic() + DEADLINE_S
    while time.monotonic() < end:
        if (result := found(asked(server, path))) is not None:
            return result
        server.wait(0.2)
    raise AssertionError(f"{path} never said so\n{server.log()}")


def disk_of(states: Any) -> Any:
    return next((row for row in states["states"] if row["resource"] == "disk" and row["level"] == "warn"), None)


def test_a_busy_assistant_is_measured(tmp_path: Path, busy: subprocess.Popen[bytes]) -> None:
    def measured(view: Any) -> Any:
        rows = [row for row in view["processes"] if row["name"] == NAME and row["latest"]]
        return rows[0] if rows and rows[0]["latest"]["cpu_ratio"] else None

    with running(tmp_path / "home", extra_environment=SETTINGS) as server:
        row = until(server, "/api/v1/resources/processes?range=live", measured)
        assert row["pid"] == busy.pid
        assert 0.02 < row["latest"]["cpu_ratio"] < 1.2
        assert row["latest"]["rss_bytes"] > 100 << 20
        assert row["latest"]["open_files"] >= 28
        busy.kill()
        busy.wait()
        ended = until(
            server,
            "/api/v1/resources/processes?range=live",
            lambda view: next(
                (row for row in view["processes"] if row["pid"] == busy.pid and not row["running"]), None
            ),
        )
        assert ended["max_rss_bytes"] > 100 << 20, "what it used is kept"


def test_a_state_outlives_a_restart(tmp_path: Path) -> None:
    with running(tmp_path / "home", extra_environment=SETTINGS) as server:
        disk = until(server, "/api/v1/resources/states", disk_of)
        assert disk["reason"].startswith("Disk is at ")
        server.stop()
        server.start()
        again = until(server, "/api/v1/resources/states", disk_of)
        assert again["since_us"] == disk["since_us"]
        changes = asked(server, "/api/v1/resources/states")["changes"]
        assert [change["level"] for change in changes if change["resource"] == "disk"] == ["warn"]


def test_a_store_of_version_1_is_upgraded_when_the_server_starts(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    with duckdb.connect(str(home / "telemetry.duckdb")) as connection:
        connection.execute((ROOT / "tests/support/schema_1.sql").read_text())
        connection.execute(
            "insert into operations (operation_id, kind, name, started_at, status, revision, outcome, attempt, door) "
            "values ('old', 'api', 'GET /', 1700000000000000, 'ok', 0, 'unknown', 1, 'sdk')"
        )
    with running(home, extra_environment=SETTINGS) as server:
        assert asked(server, "/api/v1/operations/old")["operation"]["name"] == "GET /"
        until(server, "/api/v1/resources?range=live", lambda view: view["latest"])
        server.stop()
    with duckdb.connect(str(home / "telemetry.duckdb"), read_only=True) as connection:
        assert connection.execute("select count(*) > 0 from resource_samples where cores is not null").fetchone() == (
            True,
        )
        assert connection.execute("select value from meta where key = 'schema_version'").fetchone() != ("1",)

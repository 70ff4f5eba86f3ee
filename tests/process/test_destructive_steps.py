"""The real server with a clock that is wrong, and over a write-ahead log that was damaged after a kill."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from ralex_core.storage.trash import Trash
from tests.support.server import Server, running

pytestmark = pytest.mark.process

DAY_S = 86_400
COUNT = 300

_SHIFTED = """
import sys, time
shift_s = {shift_s}
wall_s, wall_ns = time.time, time.time_ns
time.time = lambda: wall_s() + shift_s
time.time_ns = lambda: wall_ns() + shift_s * 10**9
from ralex_core.cli import main
main()
"""


def operations(first: int, count: int, started_us: int) -> list[dict[str, object]]:
    return [{"operation_id": f"op-{n}", "name": "x", "started_at": started_us + n} for n in range(first, first + count)]


def once(home: Path, shift_days: int) -> int:
    """Start with the clock shifted and end: retention has run by then. How many operations there are."""
    shifted = (sys.executable, "-c", _SHIFTED.format(shift_s=shift_days * DAY_S))
    with running(home, executable=shifted) as server:
        stored = server.status()["operations"]
        clock = {check["key"]: check for check in server.request("GET", "/api/v1/monitor").json()["data"]["checks"]}[
            "clock"
        ]
        assert (clock["status"] == "warn") == (abs(shift_days) > 3), clock
        assert server.stop() == 0, server.log()
    return stored


def test_starts_with_a_wrong_clock_delete_nothing_and_the_right_one_stores_again(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "config.toml").write_text("retention_days = 30\n")
    now_us = time.time_ns() // 1000
    with running(home) as server:
        answer = server.send(operations(0, COUNT, now_us - 20 * DAY_S * 1_000_000))
        assert answer.json()["data"]["accepted"] == COUNT
        assert server.stop() == 0
    for shift_days in (400, 35, -4000, 0):
        assert once(home, shift_days) == COUNT
    with running(home) as server:
        assert server.status()["operations"] == COUNT
        assert server.send(operations(COUNT, 5, now_us)).json()["data"]["accepted"] == 5
        assert server.status()["operations"] == COUNT + 5


def test_a_damaged_log_costs_what_cannot_be_read_and_the_original_is_kept(tmp_path: Path) -> None:
    home = tmp_path / "home"
    server = Server(home)
    try:
        server.start()
        now_us = time.time_ns() // 1000
        for batch in range(10):
            assert server.send(operations(batch * COUNT, COUNT, now_us)).status == 200
        server.kill()
        log = home / "telemetry.duckdb.wal"
        damaged = bytearray(log.read_bytes())
        at = damaged.find(f"op-{8 * COUNT}".encode())
        damaged[at : at + 4] = b"\xff\xff\xff\xff"
        log.write_bytes(damaged)
        server.start()
        stored = server.status()["operations"]
        view = server.request("GET", "/api/v1/monitor").json()["data"]
        assert server.stop() == 0
        assert "is damaged at byte" in server.log()
    finally:
        server.close()
    assert stored == 8 * COUNT
    (removal,) = Trash(home).removals()
    assert (removal.path / log.name).read_bytes() == damaged
    assert {check["key"]: check["status"] for check in view["checks"]}["log"] == "warn"
    assert str(removal.path) in view["sentence"]

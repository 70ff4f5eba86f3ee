"""The forecast through the real server process: operations sent at the door, foretold in the API and on the page."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.server import Server, running

pytestmark = pytest.mark.process

HOUR_US = 3_600_000_000
WITHIN_S = 60.0


def foretold(server: Server) -> dict[str, Any]:
    """The week's forecast, as soon as the hours of what was sent are rolled up."""
    deadline = time.monotonic() + WITHIN_S
    while True:
        week: dict[str, Any] = server.request("GET", "/api/v1/costs/forecast?horizon=week").json()["data"]
        if week["mean_usd"] is not None:
            return week
        assert time.monotonic() < deadline, week["claim"]
        server.wait(0.2)


def test_what_was_sent_is_foretold_with_its_back_test(tmp_path: Path) -> None:
    now_us = time.time_ns() // 1000
    call = {"kind": "llm", "name": "chat", "provider": "openai", "model": "gpt-4o", "output_tokens": 0}
    sent = [
        {**call, "operation_id": f"op-{back}", "started_at": now_us - back * HOUR_US, "input_tokens": 100_000}
        for back in range(1, 40 * 24)
    ]
    with running(tmp_path / "home") as server:
        assert server.send(sent).status == 200
        week = foretold(server)
        page = server.request("GET", "/forecast", headers={"Accept": "text/html"})
    assert float(week["mean_usd"]) == pytest.approx(0.25 * 24 * 7, rel=0.15)
    assert week["backtest"]["origins"] >= 6 and week["backtest"]["naive_wape"] is not None
    assert page.status == 200
    assert b"forecast-course" in page.body

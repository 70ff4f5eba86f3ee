"""Dashboard integration: what is committed reaches a browser without a reload."""

from __future__ import annotations

import asyncio
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
from websockets.asyncio.client import ClientConnection, connect

from ralex_core.clock import SystemClock
from tests.support.dashboard import served, small_host

WITHIN_S = 10
"""Only ever waited for when something is wrong; bench/live.py measures how long it takes."""


async def test_real_time_data_updates(tmp_path: Path) -> None:
    """An operation sent to the server is in the next live message, counted in every figure of it."""
    with small_host(tmp_path, clock=SystemClock(), daily_budget_usd=Decimal(5)) as host, served(host) as address:
        async with connect(f"ws://{address}/ws/monitoring") as connection, httpx.AsyncClient() as client:
            before = await _message(connection)
            assert before["metrics"]["usage"]["operations"] == 0
            answer = await client.post(f"http://{address}/api/v1/operations", json=_operation(host.clock.now_us()))
            assert answer.json()["data"]["accepted"] == 1
            message = await _message(connection)
            while not message["feed"]:
                message = await _message(connection)
    assert set(message["metrics"]) == {"performance", "costs", "usage"}
    assert {"metrics", "alerts", "health"} <= set(message)
    assert [item["operation_id"] for item in message["feed"]] == ["live-1"]
    metrics = message["metrics"]
    assert metrics["usage"]["operations"] == metrics["usage"]["llm_operations"] == 1
    assert metrics["usage"]["input_tokens"] == 1200
    assert metrics["performance"]["p95_ms"] is not None
    assert sum(metrics["performance"]["series"]["operations"]) == 1
    assert Decimal(metrics["costs"]["today"]["cost_usd"]) > 0
    assert metrics["costs"]["today"]["budget_usd"] == "5"
    assert metrics["costs"]["window"]["coverage_ratio"] == 1
    assert metrics["costs"]["window"]["efficiency_ratio"] > 1
    assert [model["key"] for model in metrics["usage"]["models"]] == ["gpt-4o-mini"]
    assert message["health"]["status"] == "ok"


def _operation(now_us: int) -> dict[str, Any]:
    return {
        "operation_id": "live-1",
        "kind": "llm",
        "name": "chat",
        "provider": "openai",
        "model": "gpt-4o-mini",
        "started_at": now_us,
        "duration_ms": 640,
        "input_tokens": 1200,
        "output_tokens": 80,
    }


async def _message(connection: ClientConnection) -> dict[str, Any]:
    return json.loads(await asyncio.wait_for(connection.recv(), WITHIN_S))

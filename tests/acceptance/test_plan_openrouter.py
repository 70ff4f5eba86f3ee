"""OpenRouter is monitored from the call to the bill, in the real process: calls pass the gateway, one is cut, bills
are fetched, and every face tells the same."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from ralex_core.clock import ManualClock
from tests.support.model_server import ModelServer, Streamed, Whole, chat, chunk, model_server
from tests.support.openrouter import KEY, MANAGEMENT_KEY, Call, OpenRouterBooks, local_openrouter
from tests.support.server import CLI, Server, environment, running
from tests.support.stored import rollup_disagreements

pytestmark = pytest.mark.process

MODEL = "openai/gpt-4o"
WITHIN_S = 60
USAGE = {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100}


@pytest.fixture
def provider() -> Iterator[ModelServer]:
    with model_server(Whole({})) as server:
        yield server


@pytest.fixture
def books() -> Iterator[OpenRouterBooks]:
    with local_openrouter(ManualClock(time.time_ns() // 1000)) as api:
        yield api


def variables(provider: ModelServer, books: OpenRouterBooks) -> dict[str, str]:
    upstream = {"openrouter": {"url": f"{provider.url}/v1", "provider": "openrouter"}}
    return {
        "RALEX_MONITOR_UPSTREAMS": json.dumps(upstream),
        "RALEX_MONITOR_OPENROUTER__KEY": KEY,
        "RALEX_MONITOR_OPENROUTER__MANAGEMENT_KEY": MANAGEMENT_KEY,
        "RALEX_MONITOR_OPENROUTER__URL": books.url,
    }


def send(server: Server, *, stream: bool = False) -> None:
    """A call through the gateway, as any client of OpenRouter makes it."""
    body = {"model": MODEL, "messages": [{"role": "user", "content": "hello"}], "stream": stream}
    headers = {"Authorization": "Bearer sk-or-v1-a-callers-own", "Content-Type": "application/json"}
    answer = server.request("POST", "/gateway/openrouter/v1/chat/completions", json.dumps(body).encode(), headers)
    assert answer.status == 200, answer


def told(generation: str, usage: dict[str, Any]) -> dict[str, Any]:
    return chat(usage, id=generation, model=MODEL, provider="OpenAI", service_tier=None)


def reconcile(home: Path, extra: dict[str, str]) -> dict[str, Any]:
    ran = subprocess.run(
        [str(CLI), "reconcile", "--json"],
        env=environment(home, extra),
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, ""), ran
    return json.loads(ran.stdout)


def test_openrouter_monitoring_integration(tmp_path: Path, provider: ModelServer, books: OpenRouterBooks) -> None:
    home, extra = tmp_path / "home", variables(provider, books)
    with running(home, extra_environment=extra) as server:
        provider.say(Whole(told("gen-inline", {**USAGE, "cost": 0.0035})))
        send(server)
        own = {**USAGE, "cost": 0.000175, "is_byok": True, "cost_details": {"upstream_inference_cost": 0.0035}}
        provider.say(Whole(told("gen-own", own)))
        send(server)
        opening = chunk({"content": "Hel"}, id="gen-cut", model=MODEL)
        provider.say(Streamed([opening], cut=True))
        try:
            send(server, stream=True)
        except Exception as cut:
            assert "IncompleteRead" in type(cut).__name__, cut
        status = settled(server, 3)
        assert status["cost"]["billed_usd"] == "0.007175"  # 0.0035 + (0.000175 + 0.0035)
        assert round(status["cost"]["coverage_ratio"], 3) == 0.667  # the cut one is unknown, not $0

        now = books.clock.now_us()
        books.calls = [
            Call("gen-inline", now),
            Call("gen-own", now, fee="0.000175", upstream="0.0035"),
            Call("gen-cut", now, fee="0.00252", tokens=(1000, 2), cancelled=True),
        ]
        run = reconcile(home, extra)
        assert (run["state"], run["looked_up"], run["billed"], run["remaining"]) == ("done", 1, 1, 0)
        found = {(one["period"], one["state"]) for one in run["findings"] if one["source"] == "key"}
        assert found == {("day", "agrees"), ("week", "agrees"), ("month", "agrees")}

        status = settled(server, 3)
        assert (status["cost"]["billed_usd"], status["cost"]["coverage_ratio"]) == ("0.009695", 1.0)
        assert status["input_tokens"] == 3000
        statement = server.request("GET", "/api/v1/costs/statement?boundary=utc").json()["data"]
        assert (statement["total"]["cost_usd"], statement["total"]["basis"]["billed"]) == ("0.009695", 3)
        rows = server.request("GET", "/api/v1/operations?range=1h&q=gen-cut").json()["data"]["rows"]
        assert (rows[0]["cost_usd"], rows[0]["cost_basis"], rows[0]["status"]) == ("0.00252", "billed", "error")
        said = server.log() + str(run) + str(statement) + server.request("GET", "/statement").body.decode()
        assert not [key for key in (KEY, MANAGEMENT_KEY) if key in said]
        assert Decimal(run["after_usd"]) == Decimal("0.00252")
    assert rollup_disagreements(home) == []
    for name in ("state.sqlite", "telemetry.duckdb"):
        content = (home / name).read_bytes()
        assert KEY.encode() not in content and MANAGEMENT_KEY.encode() not in content


def settled(server: Server, operations: int) -> dict[str, Any]:
    """The status once that many operations are stored."""
    until = time.monotonic() + WITHIN_S
    while True:
        status = server.status()
        if status["operations"] >= operations:
            return status
        assert time.monotonic() < until, status

"""From the real SDKs of model providers, through the instruments and the SDK's spool, to what the monitor answers."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.support.model_server import (
    CHAT_STREAM,
    OPENROUTER_USAGE,
    Streamed,
    Whole,
    anthropic_error,
    chat,
    message,
    message_stream,
    model_server,
    openai_error,
)
from tests.support.repository import ROOT
from tests.support.server import running

pytestmark = pytest.mark.process

HOST_PROGRAM = """
import asyncio, anthropic, openai
from ralex_core.monitoring import flush, instrument, operation, stats

instrument.openai(providers={"127.0.0.1": "openrouter"})
instrument.anthropic(providers={"127.0.0.1": "anthropic"})
ask = {"messages": [{"role": "user", "content": "a secret prompt"}]}

with openai.OpenAI(base_url=URL + "/v1", api_key="k") as client, operation("turn", "task"):
    client.chat.completions.create(model="openai/gpt-4o", **ask)
    list(client.chat.completions.create(model="openai/gpt-4o", stream=True, **ask))
    try:
        client.chat.completions.create(model="openai/gpt-4o", **ask)
    except openai.APIStatusError as error:
        assert error.status_code == 402

async def others():
    async with anthropic.AsyncAnthropic(base_url=URL, api_key="k") as client:
        await client.messages.create(model="claude-sonnet-4-6", max_tokens=9, **ask)
        async with client.messages.stream(model="claude-sonnet-4-6", max_tokens=9, **ask) as stream:
            await stream.until_done()

asyncio.run(others())
assert flush(30)
assert (stats().recorded, stats().errors) == (6, 0), stats()
"""


def test_what_the_sdks_of_providers_did_is_what_the_monitor_says(tmp_path: Path) -> None:
    replies = (
        Whole(chat(OPENROUTER_USAGE, id="gen-1", model="openai/gpt-4o")),
        Streamed(CHAT_STREAM),
        openai_error(402, "insufficient_credits"),
        anthropic_error(529, "overloaded_error"),
        Whole(message()),
        Streamed(message_stream()),
    )
    with running(tmp_path / "server") as server, model_server(*replies) as models:
        own = {k: v for k, v in os.environ.items() if not k.startswith(("RALEX_MONITOR_", "PYTEST_"))}
        address = {"RALEX_MONITOR_ENDPOINT": server.url, "RALEX_MONITOR_HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
        program = f"URL = {models.url!r}\n" + textwrap.dedent(HOST_PROGRAM)
        run = subprocess.run(
            [sys.executable, "-W", "error", "-c", program], env={**own, **address}, capture_output=True, timeout=120
        )
        assert (run.returncode, run.stderr) == (0, b"")
        assert len(models.requests) == 6

        status = server.status()
        assert (status["operations"], status["llm_operations"]) == (6, 5)
        # Two answers of OpenAI's format, two of Anthropic's; the refused call used nothing that is known.
        assert (status["input_tokens"], status["output_tokens"]) == (4 * 1000, 2 * 300 + 2 * 50)

        found = server.request("GET", "/api/v1/operations?kind=llm").json()["data"]
        rows = found["rows"] if "rows" in found else found["operations"]
        by_start = sorted(rows, key=lambda row: row["started_at"])
        assert [(row["name"], row["status"], row["provider"]) for row in by_start] == [
            ("chat", "ok", "openrouter"),
            ("chat", "ok", "openrouter"),
            ("chat", "error", "openrouter"),
            ("messages", "ok", "anthropic"),
            ("messages", "ok", "anthropic"),
        ]
        whole, streamed, refused, retried, messages = (
            server.request("GET", f"/api/v1/operations/{row['operation_id']}").json()["data"]["operation"]
            for row in by_start
        )
        assert (whole["cost_basis"], float(whole["cost_usd"]), whole["provider_request_id"]) == (
            "billed",
            0.0123,
            "gen-1",
        )
        assert (streamed["input_tokens"], streamed["output_tokens"], streamed["cost_basis"]) == (1000, 300, "computed")
        assert streamed["ttft_ms"] > 0
        assert (refused["http_status"], refused["cost_usd"], refused["input_tokens"]) == (402, None, None)
        assert (retried["attempt"], retried["cache_write_1h_tokens"], retried["cost_basis"]) == (2, 100, "computed")
        # $3 a million in, 0.1 of it read, 1.25 written, 2 written for an hour; $15 out
        expected = (100 * 3 + 600 * 0.3 + 200 * 3.75 + 100 * 6 + 50 * 15) / 1e6
        assert float(messages["cost_usd"]) == pytest.approx(expected)
        assert b"secret" not in server.request("GET", "/api/v1/operations?kind=llm").body

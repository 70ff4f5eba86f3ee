"""The SDK against the real server: what a host records is what the monitor stores, once, whatever happens to either."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.repository import ROOT
from tests.support.server import Server, running

pytestmark = pytest.mark.process

WITHIN_S = 120.0


def host_program(server: Server, home: Path, script: str) -> subprocess.Popen[str]:
    own = {k: v for k, v in os.environ.items() if not k.startswith(("RALEX_MONITOR_", "PYTEST_"))}
    address = {"RALEX_MONITOR_ENDPOINT": server.url, "RALEX_MONITOR_HOME": str(home), "PYTHONPATH": str(ROOT)}
    code = "from ralex_core.monitoring import flush, operation, record, stats, track\n" + textwrap.dedent(script)
    return subprocess.Popen(
        [sys.executable, "-c", code], env={**own, **address}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def run(server: Server, home: Path, script: str) -> str:
    process = host_program(server, home, script)
    output, errors = process.communicate(timeout=WITHIN_S)
    assert (process.returncode, errors) == (0, "")
    return output


def wait_until(server: Server, condition: Callable[[], bool]) -> None:
    """Ask again until true; the server's own process paces it."""
    for _ in range(600):
        if condition():
            return
        server.wait(0.1)
    raise AssertionError("it did not come about")


def test_what_a_host_records_is_stored_with_its_cost_claims(tmp_path: Path) -> None:
    with running(tmp_path / "server") as server:
        run(
            server,
            tmp_path / "host",
            """
            @track("session")
            def session():
                with operation("chat", kind="llm", provider="openai", model="gpt-4o-mini", temperature=0.2) as op:
                    op.usage(input_tokens=1000, output_tokens=100)
                    op.cost(reported_usd="0.25", billed_usd="0.125")
                    op.outcome("accepted")
            session()
            """,
        )
        status = server.status()
        assert (status["operations"], status["llm_operations"]) == (2, 1)
        assert (status["input_tokens"], status["output_tokens"]) == (1000, 100)
        assert status["cost"]["billed_usd"] == "0.125" or status["quarantined_claims"]["count"] == 1
        found = server.request("GET", "/api/v1/operations?kind=llm").json()["data"]
        (chat,) = found["rows"] if "rows" in found else found["operations"]
        assert (chat["name"], chat["door"], chat["outcome"]) == ("chat", "sdk", "accepted")


def test_nothing_is_lost_or_doubled_when_the_server_is_killed_under_load(tmp_path: Path) -> None:
    server = Server(tmp_path / "server")
    try:
        server.start()
        process = host_program(
            server,
            tmp_path / "host",
            """
            import time
            for number in range(20_000):
                record("work", "tool", number=number)
                if number % 200 == 0:
                    time.sleep(0.01)
            assert flush(60) or flush(60) or flush(60)
            found = stats()
            print(found.recorded, found.delivered, found.dropped_queue + found.dropped_spool, found.rejected)
            """,
        )
        wait_until(server, lambda: server.status()["operations"] > 0)
        for _ in range(3):
            server.kill()
            server.start()
        for _ in range(600):
            if process.poll() is not None:
                break
            server.wait(0.1)
        output, errors = process.communicate(timeout=WITHIN_S)
        if process.returncode:
            assert "AssertionError" in errors, errors
            run(server, tmp_path / "host", "record('work', 'tool'); flush(60)")
        else:
            assert output.split() == ["20000", "20000", "0", "0"]
        wait_until(server, lambda: server.status()["operations"] >= 20_000)
        assert server.status()["operations"] == 20_000 + (1 if process.returncode else 0)
    finally:
        server.close()


def test_a_revision_replaces_what_was_stored(tmp_path: Path) -> None:
    with running(tmp_path / "server") as server:
        run(
            server,
            tmp_path / "host",
            """
            with operation("edit", kind="llm", model="m") as op:
                op.usage(input_tokens=10)
            assert flush()
            op.outcome("rejected")
            op.usage(output_tokens=20)
            """,
        )
        status = server.status()
        assert (status["operations"], status["input_tokens"], status["output_tokens"]) == (1, 10, 20)

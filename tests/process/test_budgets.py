"""Budgets of a real server: set on the command line, counted from what comes in, kept over a restart."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.server import CLI, environment, running

pytestmark = pytest.mark.process

JSON = {"Content-Type": "application/json"}
WORK = [
    {"kind": "llm", "name": "chat", "project": project, "reported_usd": cost, "started_at": None}
    for project, cost in (("shop", "0.25"), ("shop", "0.5"), ("other", "2"))
]


def budget(home: Path, *arguments: str) -> Any:
    """What `ralex-monitor budget … --json` prints."""
    ran = subprocess.run(
        [str(CLI), "budget", *arguments, "--json"],
        env=environment(home),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return json.loads(ran.stdout)


def test_a_budget_set_on_the_command_line_counts_what_comes_in_and_outlives_the_server(tmp_path: Path) -> None:
    home = tmp_path / "home"
    (tmp_path / "nobody").mkdir()
    now_us = time.time_ns() // 1000
    with running(home) as server:
        budget(home, "set", "Shop", "--project", "shop", "--per", "24h", "--hard", "1")
        for number, record in enumerate(WORK):
            sent = {**record, "operation_id": f"o{number}", "started_at": now_us - number * 1000}
            taken = server.request("POST", "/api/v1/operations", json.dumps(sent).encode(), JSON)
            assert taken.json()["data"]["accepted"] == 1
        (told,) = server.request("GET", "/api/v1/budgets").json()["data"]["budgets"]
        assert (told["spent_usd"], told["remaining_usd"], told["state"]) == ("0.75", "0.25", "warn")
        page = server.request("GET", "/budgets", headers={"Accept": "text/html"}).body.decode()
        assert "Shop" in page
        assert "$0.750" in page
    detail = budget(home, "status", "Shop")["budget"]  # no server: the stores are opened here
    assert (detail["spent_usd"], detail["hard_usd"]) == ("0.75", "1")
    with running(home) as server:
        told = server.request("GET", f"/api/v1/budgets/{detail['id']}").json()["data"]["budget"]
        assert told["spent_usd"] == "0.75"
        assert budget(home, "delete", "Shop", "--yes")["id"] == detail["id"]
        assert server.request("GET", "/api/v1/budgets").json() == {"data": {"budgets": []}}


def test_the_guard_needs_neither_database_nor_web_framework() -> None:
    """What a script imports to hold its own calls to a budget is small."""
    code = (
        "import sys; from ralex_core.budget import BudgetGuard, BudgetManager; "
        "print([name for name in ('duckdb', 'sqlalchemy', 'fastapi', 'numpy') if name in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert ran.stdout.strip() == "[]"

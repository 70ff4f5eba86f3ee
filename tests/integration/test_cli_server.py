"""Commands beside a running server: they go through it, and the result is the same as without one."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from ralex_core.private_files import private_directory, tighten
from ralex_core.storage.duckdb_store import DuckDBStore
from tests.support.command_line import aider_log
from tests.support.server import CLI, Server, environment, running

pytestmark = pytest.mark.process

WITHIN_S = 60


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    (tmp_path / "nobody").mkdir()
    with running(tmp_path / "home") as server:
        yield server


def run(home: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """A command in a process of its own."""
    return subprocess.run(
        [str(CLI), *map(str, arguments)],
        env=environment(home),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
        check=False,
    )


def answer(home: Path, *arguments: object) -> Any:
    """The one JSON object a command printed."""
    ran = run(home, *arguments, "--json")
    assert ran.returncode == 0, ran
    assert ran.stderr == "", ran
    return json.loads(ran.stdout)


def refusal(home: Path, *arguments: object) -> str:
    """The one sentence of a command that could not do its work."""
    ran = run(home, *arguments)
    assert ran.returncode == 1, ran
    assert ran.stdout == "", ran
    assert len(ran.stderr.splitlines()) == 1, ran
    return ran.stderr


def test_an_import_through_the_server_is_the_same_as_one_without(server: Server, tmp_path: Path) -> None:
    log = aider_log(tmp_path / "log.jsonl", 40)
    through = answer(server.home, "import", "aider", log)
    direct = answer(tmp_path / "other", "import", "aider", log)
    assert through == direct
    assert server.status() == answer(tmp_path / "other", "status")
    again = answer(server.home, "import", "aider", log)
    assert (again["imported"], again["duplicates"]) == (0, through["imported"])

    assert server.stop() == 0, server.log()
    stored = [
        rows(home, "select * exclude (revision) from operations order by operation_id")
        for home in (server.home, tmp_path / "other")
    ]
    assert stored[0] == stored[1], "every field, the door included"


def rows(home: Path, sql: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(home / "telemetry.duckdb"), read_only=True) as connection:
        return connection.execute(sql).fetchall()


def test_status_is_the_same_before_and_after_the_server_ends(server: Server, tmp_path: Path) -> None:
    answer(server.home, "import", "aider", aider_log(tmp_path / "log.jsonl", 7))
    through = answer(server.home, "status")
    assert through == server.status()
    assert server.stop() == 0, server.log()
    assert answer(server.home, "status") == through
    assert through["llm_operations"] == 7


def test_costs_are_the_same_before_and_after_the_server_ends(server: Server, tmp_path: Path) -> None:
    run(server.home, "import", "aider", aider_log(tmp_path / "log.jsonl", 60))
    asked = ("costs", "--period", "all", "--by", "operation", "--baseline", "openai/gpt-4o")
    through = answer(server.home, *asked)
    total = through["breakdown"]["total"]["worth"]
    # the same 1,000 to 1,059 tokens in and 100 out: at 2.5 and 10 against 0.15 and 0.6
    assert (total["calls"], total["same_usage"]) == (60, 60)
    assert total["roi_ratio"] == pytest.approx(50 / 3)
    assert [one["horizon"] for one in through["forecasts"]] == ["day", "week", "month"]
    server.stop()
    after = answer(server.home, *asked)
    assert [_lasting(one) for one in after.pop("forecasts")] == [_lasting(one) for one in through.pop("forecasts")]
    assert after == through


def _lasting(forecast: dict[str, object]) -> dict[str, object]:
    """A forecast without what moves with the clock."""
    return {name: value for name, value in forecast.items() if name not in ("made_at", "spent", "course")}


def test_a_backup_beside_the_server_restores_elsewhere(server: Server, tmp_path: Path) -> None:
    answer(server.home, "import", "aider", aider_log(tmp_path / "log.jsonl", 9))
    report = answer(server.home, "backup", tmp_path / "b.zip")
    assert report["operations"] == server.status()["operations"]
    assert "Stop it" in refusal(server.home, "restore", tmp_path / "b.zip", "--force")
    answer(tmp_path / "other", "restore", tmp_path / "b.zip")
    assert answer(tmp_path / "other", "status") == server.status()
    assert [file.name for file in server.home.iterdir() if file.name.startswith(".backup")] == []


def test_a_simulated_team_can_be_sent_to_the_server(server: Server) -> None:
    ran = run(server.home, "simulate", "--days", "1", "--send")
    assert ran.returncode == 0, ran
    assert ran.stdout == ""
    assert server.url in ran.stderr
    assert server.status()["operations"] > 100
    assert server.status()["cost"]["billed_usd"] != "0"


def test_the_doctor_sees_the_server(server: Server) -> None:
    checks = {check["name"]: check for check in answer(server.home, "doctor")["checks"]}
    assert server.url in checks["server"]["found"]
    assert {check["verdict"] for check in checks.values()} == {"ok"}


def test_a_killed_server_is_not_taken_for_a_running_one(server: Server, tmp_path: Path) -> None:
    answer(server.home, "import", "aider", aider_log(tmp_path / "log.jsonl", 3))
    before = server.status()
    server.kill()
    assert (server.home / "server.json").exists()
    assert answer(server.home, "status") == before
    assert answer(server.home, "import", "aider", aider_log(tmp_path / "log.jsonl", 3))["imported"] == 0


def test_a_store_that_another_process_holds_is_one_sentence(tmp_path: Path) -> None:
    home = private_directory(tmp_path / "home")
    store = DuckDBStore(home / "telemetry.duckdb")
    tighten(home)
    try:
        for arguments in (("status",), ("import", "aider", aider_log(tmp_path / "log.jsonl", 1)), ("backup", "b.zip")):
            assert str(home / "telemetry.duckdb") in refusal(home, *arguments)
    finally:
        store.close()


def test_a_reader_that_goes_away_ends_the_simulator_quietly(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [str(CLI), "simulate", "--days", "30"],
        env=environment(tmp_path / "home"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    assert json.loads(process.stdout.readline())["source"] == "simulator"
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait(WITHIN_S) in (0, 1)


def test_ctrl_c_ends_a_live_simulation_cleanly(server: Server) -> None:
    process = subprocess.Popen(
        [str(CLI), "simulate", "--days", "0.5", "--live", "--url", server.url],
        env=environment(server.home),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        deadline = time.monotonic() + WITHIN_S
        while not server.status()["operations"]:
            assert process.poll() is None
            assert time.monotonic() < deadline, "nothing arrived"
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=WITHIN_S)
    finally:
        if process.poll() is None:
            process.kill()
    assert (process.returncode, stdout) == (0, "")
    assert f"operations sent to {server.url}" in stderr
    assert "Traceback" not in stderr

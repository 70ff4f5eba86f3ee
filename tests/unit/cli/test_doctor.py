"""`ralex-monitor doctor`: what is wrong is found and comes with what to do."""

from __future__ import annotations

import json
import socket
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from ralex_core.cli.checks import newest_price_change, run_checks
from ralex_core.clock import ManualClock
from ralex_core.config import load_settings
from ralex_core.model.window import DAY_US
from ralex_core.storage.duckdb_store import DuckDBStore
from tests.support.command_line import CommandLine, aider_log
from tests.support.operations import T0, make_operation


def findings(command: CommandLine) -> dict[str, dict[str, Any]]:
    """The checks by name, whatever the exit code."""
    ran = command("doctor", "--json")
    checks = json.loads(ran.stdout)["checks"]
    assert ran.code == int(any(check["verdict"] == "fail" for check in checks))
    return {check["name"]: check for check in checks}


def test_a_new_machine_is_in_order(command: CommandLine) -> None:
    found = findings(command)
    assert {check["verdict"] for name, check in found.items() if name != "server"} == {"ok"}
    assert "Nothing leaves this machine" in found["privacy"]["found"]
    assert not command.home.exists(), "looking changes nothing"


def test_people_read_a_line_per_check(command: CommandLine) -> None:
    ran = command("doctor")
    assert "telemetry store" in ran.stdout
    assert "genai-prices" in ran.stdout


def test_stores_are_opened_and_read(command: CommandLine, tmp_path: Path) -> None:
    command("import", "aider", aider_log(tmp_path / "log.jsonl", 4))
    found = findings(command)
    assert found["telemetry store"]["verdict"] == "ok"
    assert "readable" in found["telemetry store"]["found"]
    assert "1 imported logs" in found["state store"]["found"]


def test_a_damaged_store_says_how_to_restore(command: CommandLine) -> None:
    command.home.mkdir()
    (command.home / "telemetry.duckdb").write_bytes(b"x" * 4096)
    (command.home / "state.sqlite").write_bytes(b"x" * 4096)
    found = findings(command)
    assert found["telemetry store"]["verdict"] == "fail"
    assert "restore" in found["telemetry store"]["advice"]
    assert found["state store"]["verdict"] == "fail"


def test_a_home_that_cannot_be_written_says_so(command: CommandLine) -> None:
    command.home.write_text("a file in its place")
    found = findings(command)
    assert found["data directory"]["verdict"] == "fail"
    assert "RALEX_MONITOR_HOME" in found["data directory"]["advice"]


def test_a_taken_port_is_a_warning(command: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        monkeypatch.setenv("RALEX_MONITOR_PORT", str(other.getsockname()[1]))
        found = findings(command)
    assert found["server"]["verdict"] == "warn"
    assert "--port" in found["server"]["advice"]


def test_a_wrong_price_override_is_found(command: CommandLine) -> None:
    command.home.mkdir()
    (command.home / "prices.toml").write_text("[[price]\n")
    found = findings(command)
    assert found["price list"]["verdict"] == "fail"
    assert "prices.toml" in found["price list"]["found"]


def test_a_clock_before_the_release_and_an_old_price_list_are_found(command: CommandLine) -> None:
    settings = load_settings()
    past = {check.name: check for check in run_checks(settings, None, ManualClock(946_684_800_000_000))}
    assert past["clock"].verdict == "fail"
    later = {check.name: check for check in run_checks(settings, None, ManualClock(2_500_000_000_000_000))}
    assert later["price list"].verdict == "warn"
    assert "genai-prices" in (later["price list"].advice or "")


def test_an_open_address_without_a_token_fails(command: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RALEX_MONITOR_HOST", "0.0.0.0")
    assert findings(command)["reachable from"]["verdict"] == "fail"
    monkeypatch.setenv("RALEX_MONITOR_TOKEN", "correct-horse-battery")
    assert findings(command)["reachable from"]["verdict"] == "warn"


def test_found_logs_are_listed(command: CommandLine) -> None:
    logs = command.home.parent / "nobody" / ".claude" / "projects" / "p"
    logs.mkdir(parents=True)
    (logs / "s.jsonl").write_text("{}\n")
    assert "Claude Code" in findings(command)["assistants' logs"]["found"]


def test_the_price_list_s_newest_change_is_not_in_the_future() -> None:
    changed = newest_price_change(date(2026, 3, 1))
    assert changed is not None
    assert date(2025, 1, 1) < changed <= date(2026, 3, 1)


def test_a_store_of_this_process_counts_as_open(command: CommandLine) -> None:
    store = DuckDBStore(command.home / "telemetry.duckdb")
    store.close()
    assert findings(command)["telemetry store"]["verdict"] == "ok"


def test_a_clock_that_jumped_is_told_and_what_was_removed(command: CommandLine) -> None:
    command.home.mkdir()
    (command.home / "config.toml").write_text("retention_days = 30\n")
    clock = ManualClock(T0)
    store = DuckDBStore(command.home / "telemetry.duckdb", clock=clock, retention_days=30)
    store.write([make_operation("old", started_at=T0 - 90 * DAY_US), make_operation("new", started_at=T0)])
    assert store.apply_retention(clock.now_us()) == 1
    store.close()
    checks = {check.name: check for check in run_checks(load_settings(), None, clock)}
    assert checks["retention"].verdict == "ok"
    assert "operations that started before 2025-12-02 are not taken" in checks["retention"].found
    assert "1 removals of the last week" in checks["trash"].found
    ahead = ManualClock(T0 + 400 * DAY_US)
    checks = {check.name: check for check in run_checks(load_settings(), None, ahead)}
    assert checks["retention"].verdict == "warn"
    assert "ahead by 400 days" in checks["retention"].found


def test_a_log_without_its_database_is_told(command: CommandLine) -> None:
    command.home.mkdir()
    (command.home / "telemetry.duckdb.wal").write_bytes(b"x" * 5000)
    found = findings(command)["telemetry store"]
    assert found["verdict"] == "fail"
    assert "is missing, but its write-ahead log" in found["found"]
    assert (command.home / "telemetry.duckdb.wal").stat().st_size == 5000

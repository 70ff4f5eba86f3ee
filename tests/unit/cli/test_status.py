"""`ralex-monitor status`: the names and forms that scripts rely on."""

from __future__ import annotations

from pathlib import Path

from tests.support.command_line import CommandLine, aider_log


def test_nothing_stored_is_zero_and_makes_no_file(command: CommandLine) -> None:
    assert command("status", "--json").json() == {
        "operations": 0,
        "llm_operations": 0,
        "input_tokens": 0,
        "output_tokens": 0,
        "cost": {
            "reported_usd": "0",
            "computed_usd": "0",
            "billed_usd": "0",
            "total_usd": "0",
            "coverage_ratio": None,
        },
        "quarantined_claims": {"count": 0, "usd": "0"},
    }
    assert not command.home.exists()


def test_totals_are_those_of_what_was_imported(command: CommandLine, tmp_path: Path) -> None:
    command("import", "aider", aider_log(tmp_path / "log.jsonl", 10))
    found = command("status", "--json").json()
    assert found["llm_operations"] == 10
    assert found["input_tokens"] == sum(1000 + number for number in range(10))
    assert found["output_tokens"] == 1000
    assert found["cost"]["reported_usd"] == "0.0021"
    assert found["cost"]["coverage_ratio"] == 1.0


def test_people_read_a_table(command: CommandLine) -> None:
    ran = command("status")
    assert ran.code == 0
    assert "Calls to models" in ran.stdout
    assert str(command.home) in ran.stdout
    assert "not running" in ran.stdout


def test_a_file_that_is_no_store_is_one_sentence(command: CommandLine) -> None:
    command.home.mkdir()
    (command.home / "telemetry.duckdb").write_bytes(b"something else" * 1000)
    assert str(command.home / "telemetry.duckdb") in command("status").sentence

"""`ralex-monitor backup` and `restore` on stores that no server holds."""

from __future__ import annotations

from pathlib import Path

from tests.support.command_line import CommandLine, aider_log


def test_a_backup_restores_to_the_same_totals(command: CommandLine, tmp_path: Path) -> None:
    command("import", "aider", aider_log(tmp_path / "log.jsonl", 6))
    before = command("status", "--json").json()
    report = command("backup", tmp_path / "b.zip", "--json").json()
    assert report["operations"] == before["operations"]
    assert report["bytes"] == (tmp_path / "b.zip").stat().st_size

    restored = command("restore", tmp_path / "b.zip", "--json", "--home", tmp_path / "other").json()
    assert restored["operations"] == before["operations"]
    assert command("status", "--json", "--home", tmp_path / "other").json() == before


def test_restoring_over_data_needs_force_and_keeps_what_was_there(command: CommandLine, tmp_path: Path) -> None:
    command("import", "aider", aider_log(tmp_path / "log.jsonl", 2))
    assert command("backup", tmp_path / "b.zip").code == 0
    command("import", "aider", aider_log(tmp_path / "more.jsonl", 3, first=100))
    assert "--force" in command("restore", tmp_path / "b.zip").sentence
    ran = command("restore", tmp_path / "b.zip", "--force")
    assert ran.code == 0
    kept = next(command.home.glob("trash/restore-*"))
    assert str(kept) in ran.stdout
    assert (kept / "telemetry.duckdb").exists()
    assert command("status", "--json").json()["llm_operations"] == 2


def test_a_backup_overwrites_nothing(command: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "b.zip").write_text("precious")
    assert "b.zip" in command("backup", tmp_path / "b.zip").sentence
    assert (tmp_path / "b.zip").read_text() == "precious"


def test_what_is_no_backup_is_refused(command: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "b.zip").write_text("not a zip")
    assert "not a Ralex Monitor backup" in command("restore", tmp_path / "b.zip").sentence
    assert "missing.zip" in command("restore", tmp_path / "missing.zip").sentence

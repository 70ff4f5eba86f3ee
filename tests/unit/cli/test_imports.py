"""`ralex-monitor import` on stores that no server holds."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.command_line import CommandLine, aider_log


def test_an_import_says_what_it_did(command: CommandLine, tmp_path: Path) -> None:
    report = command("import", "aider", aider_log(tmp_path / "log.jsonl", 5), "--json").json()
    assert (report["read"], report["duplicates"], report["rejected"]) == (10, 0, 0)
    assert report["imported"] >= 5


def test_importing_again_changes_nothing(command: CommandLine, tmp_path: Path) -> None:
    log = aider_log(tmp_path / "log.jsonl", 5)
    first = command("import", "aider", log, "--json").json()
    before = command("status", "--json").json()
    again = command("import", "aider", log, "--json").json()
    assert (again["imported"], again["duplicates"]) == (0, first["imported"])
    assert command("status", "--json").json() == before


def test_bad_lines_are_counted_and_kept(command: CommandLine, tmp_path: Path) -> None:
    log = aider_log(tmp_path / "log.jsonl", 3)
    log.write_text(log.read_text() + '{"event": "message_send"\nnot json\n')
    report = command("import", "aider", log, "--json").json()
    assert report["rejected"] == 2
    kept = Path(report["quarantine_files"][0]).read_text()
    assert "not valid JSON" in kept
    assert "not json" not in kept, "a line may hold what was typed"
    told = command("import", "aider", log)
    assert "2 lines were not understood" in told.stdout
    assert report["quarantine_files"][0] in told.stdout


def test_an_unknown_source_names_those_there_are(command: CommandLine) -> None:
    sentence = command("import", "cursor").sentence
    assert "cursor" in sentence
    assert "aider" in sentence
    assert "claude-code" in sentence


def test_an_assistant_without_logs_says_where_it_looked(command: CommandLine) -> None:
    sentence = command("import", "claude-code").sentence
    assert ".claude" in sentence
    assert "FILE" in sentence


def test_a_file_that_is_not_there_is_named(command: CommandLine, tmp_path: Path) -> None:
    assert "missing.jsonl" in command("import", "aider", tmp_path / "missing.jsonl").sentence


def test_without_a_source_it_lists_them_and_what_was_found(command: CommandLine) -> None:
    logs = command.home.parent / "nobody" / ".claude" / "projects" / "p"
    logs.mkdir(parents=True)
    (logs / "s.jsonl").write_text("{}\n")
    sources = {source["source"]: source for source in command("import", "--json").json()["sources"]}
    assert {"claude-code", "aider", "ralex", "files"} <= set(sources)
    assert sources["claude-code"]["found"] == [str(logs.parent)]
    assert sources["aider"]["found"] == []
    assert "found: " in command("import").stdout


@pytest.mark.parametrize(
    "options", [["--column", "name"], ["--column", "=x"], ["--constant", "kind="], ["--zone", "Mars/Olympus"]]
)
def test_an_option_that_makes_no_sense_is_wrong_usage(command: CommandLine, tmp_path: Path, options: list[str]) -> None:
    ran = command("import", "files", tmp_path, *options)
    assert ran.code == 2
    assert options[1] in ran.stderr


def test_a_table_is_imported_by_its_columns(command: CommandLine, tmp_path: Path) -> None:
    table = tmp_path / "calls.csv"
    table.write_text("when,what,model_name\n2026-01-02T03:04:05Z,chat,gpt-4o-mini\n2026-01-02T03:05:05Z,chat,gpt-4o\n")
    report = command(
        "import", "files", table, "--json",
        "--column", "started_at=when", "--column", "name=what", "--column", "model=model_name",
        "--constant", "kind=llm",
    ).json()  # fmt: skip
    assert (report["imported"], report["rejected"]) == (2, 0)
    assert command("status", "--json").json()["llm_operations"] == 2

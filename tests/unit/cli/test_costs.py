"""`ralex-monitor costs`, without a server."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

from tests.support.command_line import CommandLine, aider_log

OUTCOMES = """released,model,task,solved,cost
2025-11-24,dear-1,a,1,2.00
2025-11-24,dear-1,b,1,4.00
2025-11-24,cheap-1,a,1,0.25
2025-11-24,cheap-1,b,0,0.25
"""


def test_nothing_stored_is_a_sentence_that_says_what_to_do(command: CommandLine) -> None:
    assert "Import a log first" in command("costs").sentence
    assert not command.home.exists()


def test_tasks_are_compared_with_what_the_baseline_spent(command: CommandLine, tmp_path: Path) -> None:
    table = tmp_path / "outcomes.csv"
    table.write_text(OUTCOMES)
    columns = ("--column", "started_at=released", "--column", "task=task", "--column", "outcome=solved")
    assert command("import", "files", table, *columns, "--json").json()["imported"] == 4
    found = command("costs", "--period", "all", "--by", "model", "--baseline", "dear-1", "--json").json()
    cheap = next(row["worth"] for row in found["breakdown"]["rows"] if row["key"] == "cheap-1")
    assert (cheap["cost_usd"], cheap["baseline_usd"], cheap["roi_ratio"]) == ("0.5", "2", 4.0)
    assert (cheap["matched"], cheap["same_usage"], cheap["not_compared"]) == (2, 0, 0)
    shown = command("costs", "--period", "all", "--by", "model", "--baseline", "dear-1")
    assert "4.00×" in shown.stdout
    assert "compared: 4 by task, 0 by tokens, 0 not at all" in shown.stdout
    assert "2 sessions say too little" in shown.stdout


def test_what_is_not_known_says_why(command: CommandLine, tmp_path: Path) -> None:
    command("import", "aider", aider_log(tmp_path / "log.jsonl", 5))
    shown = command("costs", "--period", "all", "--value", "explicit").stdout
    assert "no successful operation reported a value" in shown
    assert "cannot be judged" in shown


def test_mistakes_are_told(command: CommandLine, tmp_path: Path) -> None:
    assert command("costs", "--period", "yearly").code == 2
    command("import", "aider", aider_log(tmp_path / "log.jsonl", 5))
    assert "use one of tier, model" in command("costs", "--by", "colour").sentence
    assert "use one of baseline" in command("costs", "--value", "love").sentence


def test_what_the_running_periods_will_have_cost_is_foretold(command: CommandLine, tmp_path: Path) -> None:
    now, table = datetime.now(UTC), tmp_path / "days.csv"
    rows = [f"{(now - timedelta(hours=hours)).isoformat()},m,a,1,1.00" for hours in range(1, 90 * 24)]
    table.write_text("\n".join(["released,model,task,solved,cost", *rows, ""]))
    columns = ("--column", "started_at=released", "--column", "task=task", "--column", "outcome=solved")
    assert command("import", "files", table, *columns, "--json").json()["imported"] == len(rows)
    told = command("costs", "--json").json()["forecasts"]
    assert [one["horizon"] for one in told] == ["day", "week", "month"]
    for one in told:
        assert Decimal(one["low_usd"]) <= Decimal(one["mean_usd"]) <= Decimal(one["high_usd"])
        assert Decimal(one["so_far_usd"]) <= Decimal(one["mean_usd"])
    day, week, month = (Decimal(one["mean_usd"]) for one in told)
    assert 20 <= day <= 28  # a dollar an hour
    assert 160 <= week <= 176
    assert 640 <= month <= 780
    assert all(one["claims_15"] for one in told)
    shown = command("costs").stdout
    assert shown.count("claimed") == 3
    assert "Week: ±15 %: tried at" in shown


def test_too_little_history_foretells_nothing(command: CommandLine, tmp_path: Path) -> None:
    command("import", "aider", aider_log(tmp_path / "log.jsonl", 5))
    told = command("costs", "--json").json()["forecasts"]
    assert [(one["mean_usd"], one["claims_15"]) for one in told] == [(None, False)] * 3
    shown = command("costs").stdout
    assert "claimed" not in shown
    assert shown.count("There is too little history to foretell anything") == 1

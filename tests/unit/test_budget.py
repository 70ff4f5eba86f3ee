"""`BudgetManager` does what Ralex's own does, on the same files."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest

from ralex_core.budget import BudgetManager, UsageRecord
from ralex_core.clock import ManualClock

NOON = round(datetime(2026, 3, 10, 12).timestamp() * 1e6)
TODAY = date(2026, 3, 10)


@pytest.fixture
def manager(tmp_path: Path) -> BudgetManager:
    return BudgetManager(data_dir=tmp_path, clock=ManualClock(NOON))


def test_a_recorded_call_is_one_line_as_ralex_writes_it(manager: BudgetManager) -> None:
    manager.record_usage("openai/gpt-4o", 100, 20, 0.25, task_type="debug")
    manager.record_usage("openai/gpt-4o", 1, 2, 0.5)
    first, second = [json.loads(line) for line in manager.usage_file.read_text().splitlines()]
    assert first == {
        "timestamp": "2026-03-10T12:00:00",
        "model": "openai/gpt-4o",
        "tokens_sent": 100,
        "tokens_received": 20,
        "cost": 0.25,
        "task_type": "debug",
    }
    assert second["task_type"] == "coding"
    assert manager.get_daily_usage() == [UsageRecord(**first), UsageRecord(**second)]
    assert manager.get_daily_total() == 0.75
    assert manager.get_daily_usage(TODAY - timedelta(days=1)) == []


def test_lines_that_are_no_records_are_left_out_and_told(
    manager: BudgetManager, caplog: pytest.LogCaptureFixture
) -> None:
    manager.usage_file.write_text(
        '{"timestamp": "2026-03-10T08:00:00", "model": "m", "tokens_sent": 1, "tokens_received": 1, "cost": 1.5}\n'
        "\n"
        "not json\n"
        '{"model": "m"}\n'
        "[1]\n"
        '{"timestamp": "yesterday", "model": "m", "tokens_sent": 1, "tokens_received": 1, "cost": 1}\n'
    )
    (record,) = manager.get_daily_usage()
    assert (record.cost, record.task_type) == (1.5, "unknown")
    assert "4 lines of" in caplog.text


@pytest.mark.parametrize(
    ("spent", "used", "remaining", "level"),
    [(0.5, 25, 1.5, "green"), (1.4, 70, 0.6, "yellow"), (1.8, 90, 0.2, "red"), (3.0, 100, 0, "red")],
)
def test_the_status_warns_from_seventy_percent(
    manager: BudgetManager, spent: float, used: float, remaining: float, level: str
) -> None:
    manager.set_daily_limit(2.0)
    manager.record_usage("m", 1, 1, spent)
    status = manager.check_budget_status()
    assert list(status) == ["daily_limit", "today_spent", "remaining", "percentage_used", "warning_level"]
    assert (status["daily_limit"], status["today_spent"], status["warning_level"]) == (2.0, spent, level)
    assert status["percentage_used"] == pytest.approx(used)
    assert status["remaining"] == pytest.approx(remaining)
    assert manager.should_warn_user() is (level != "green")


def test_without_a_limit_nothing_is_left_or_used(manager: BudgetManager) -> None:
    manager.record_usage("m", 1, 1, 5.0)
    assert manager.check_budget_status() == {
        "daily_limit": None,
        "today_spent": 5.0,
        "remaining": None,
        "percentage_used": None,
        "warning_level": "green",
    }


def test_limit_and_mode_are_kept_in_ralexs_file(tmp_path: Path) -> None:
    first = BudgetManager(5.0, str(tmp_path), True)
    first.set_daily_limit(7.5)
    config = json.loads((tmp_path / "budget_config.json").read_text())
    assert (config["daily_limit"], config["free_mode_enabled"]) == (7.5, True)
    assert datetime.fromisoformat(config["updated"]).tzinfo is None
    again = BudgetManager(daily_limit=1.0, data_dir=tmp_path)
    assert (again.daily_limit, again.free_mode_enabled) == (7.5, True)
    again.disable_budget()
    assert BudgetManager(daily_limit=1.0, data_dir=tmp_path).daily_limit is None


def test_what_others_keep_in_the_file_stays(tmp_path: Path) -> None:
    file = tmp_path / "budget_config.json"
    file.write_text('{"daily_limit": 3, "theirs": [1]}')
    BudgetManager(data_dir=tmp_path).set_daily_limit(4)
    assert json.loads(file.read_text())["theirs"] == [1]


@pytest.mark.parametrize("text", ["{broken", "[1, 2]"])
def test_an_unreadable_configuration_is_told_and_left_out(
    tmp_path: Path, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "budget_config.json").write_text(text)
    assert BudgetManager(daily_limit=2.0, data_dir=tmp_path).daily_limit == 2.0
    assert "could not be read and is left out" in caplog.text


def test_trouble_with_a_file_is_logged_and_never_raised(
    manager: BudgetManager, caplog: pytest.LogCaptureFixture
) -> None:
    manager.usage_file.mkdir()
    manager.config_file.mkdir()
    with caplog.at_level(logging.ERROR):
        manager.record_usage("m", 1, 1, 1.0)
        manager.save_config()
        assert manager.get_daily_total() == 0
    assert caplog.text.count("could not be") == 3
    assert [path.name for path in manager.data_dir.iterdir() if path.name.startswith(".")] == []


def test_the_summary_adds_up_days_and_models(manager: BudgetManager) -> None:
    def line(day: str, model: str, cost: float) -> str:
        record = {"timestamp": f"{day}T09:00:00", "model": model, "tokens_sent": 10, "tokens_received": 5, "cost": cost}
        return json.dumps(record) + "\n"

    manager.usage_file.write_text(
        line("2026-03-03", "a", 100.0)  # eight days ago
        + line("2026-03-04", "a", 0.1)
        + line("2026-03-10", "a", 0.1)
        + line("2026-03-10", "b", 0.1)
    )
    assert manager.get_usage_summary() == {
        "period_days": 7,
        "total_cost": 0.3,
        "total_tokens": 45,
        "average_daily_cost": 0.3 / 7,
        "model_breakdown": {"a": {"count": 2, "cost": 0.2, "tokens": 30}, "b": {"count": 1, "cost": 0.1, "tokens": 15}},
        "daily_limit": None,
    }
    assert manager.get_usage_summary(days=1)["total_tokens"] == 30


def test_callers_at_once_write_whole_lines(manager: BudgetManager) -> None:
    def record() -> None:
        for _ in range(20):
            manager.record_usage("model" * 200, 1, 1, 0.01)

    threads = [threading.Thread(target=record) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(manager.get_daily_usage()) == 160


def test_an_estimate_is_a_number_that_may_be_awaited(manager: BudgetManager, caplog: pytest.LogCaptureFixture) -> None:
    async def awaited() -> float:
        return await manager.estimate_cost("openai/gpt-4o", 1_000_000)

    plain = manager.estimate_cost("openai/gpt-4o", 1_000_000)
    assert plain == pytest.approx(0.75 * 2.5 + 0.25 * 10)  # $2.50 in and $10 out per million tokens
    assert asyncio.run(awaited()) == plain
    assert manager.estimate_cost("no-such-model-anywhere", 2000) == 2.0
    assert "No price is known for no-such-model-anywhere" in caplog.text

"""The last warnings and errors, without credentials, and printed as if nobody listened."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from ralex_core.dashboard.log_watch import LINES_KEPT, MAX_CHARACTERS, LogWatch
from ralex_core.selfmetrics import SelfMetrics

LOGGER = logging.getLogger("ralex_core.somewhere")


@pytest.fixture
def watch() -> Iterator[LogWatch]:
    watch = LogWatch(SelfMetrics())
    watch.start()
    yield watch
    watch.stop()


def test_warnings_and_errors_are_kept_newest_first_and_counted(watch: LogWatch) -> None:
    LOGGER.info("not told")
    LOGGER.warning("one %s", "thing")
    try:
        raise ValueError("bad value")
    except ValueError:
        LOGGER.exception("It failed")
    assert [(line.level, line.message) for line in watch.lines()] == [
        ("error", "It failed (ValueError: bad value)"),
        ("warning", "one thing"),
    ]
    counted = watch._metrics.all_counters()["log_records_total"]
    assert counted == {(("level", "warning"),): 1, (("level", "error"),): 1}


def test_credentials_control_characters_and_length_are_taken_out(watch: LogWatch) -> None:
    LOGGER.warning("key sk-abcdefghijklmnop1234567890 \x1b[31mred\x00 %s", "x" * 5000)
    line = watch.lines()[0]
    assert "sk-abc" not in line.message
    assert "\x1b" not in line.message
    assert "\x00" not in line.message
    assert len(line.message) == MAX_CHARACTERS


def test_only_the_last_lines_are_kept(watch: LogWatch) -> None:
    for number in range(LINES_KEPT + 10):
        LOGGER.warning("line %d", number)
    assert len(watch.lines()) == LINES_KEPT
    assert watch.lines()[0].message == f"line {LINES_KEPT + 9}"


def test_a_record_with_wrong_arguments_is_kept_as_it_is(watch: LogWatch) -> None:
    watch.emit(logging.LogRecord("ralex_core.x", logging.WARNING, __file__, 1, "%d things", ("no number",), None))
    assert watch.lines()[0].message == "%d things"


def test_without_another_handler_a_warning_is_still_printed(
    watch: LogWatch, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    LOGGER.warning("printed once")
    assert capsys.readouterr().err == "printed once\n"


def test_a_watch_that_stopped_hears_nothing(watch: LogWatch) -> None:
    watch.stop()
    watch.stop()
    LOGGER.warning("unheard")
    assert watch.lines() == []


def test_an_error_that_cannot_be_shown_does_not_reach_who_logs_it(
    watch: LogWatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no words")

    try:
        raise Mute
    except Mute:
        LOGGER.exception("It failed")
    assert "no words" in capsys.readouterr().err
    LOGGER.warning("the next")
    assert watch.lines()[0].message == "the next"

"""The command line in this process, on a data directory of its own and a machine without assistants' logs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from ralex_core.cli import app


@dataclass(frozen=True)
class Ran:
    """What a command did."""

    code: int
    stdout: str
    stderr: str

    def json(self) -> Any:
        """The one JSON object it printed."""
        assert self.code == 0, self
        assert len(self.stdout.splitlines()) == 1, self
        return json.loads(self.stdout)

    @property
    def sentence(self) -> str:
        """The one line on standard error of a command that could not do its work."""
        assert self.code == 1, self
        assert self.stdout == "", self
        lines = self.stderr.splitlines()
        assert len(lines) == 1, self
        assert lines[0].startswith("ralex-monitor: "), self
        return lines[0]


@dataclass(frozen=True)
class CommandLine:
    """`ralex-monitor` on one data directory."""

    home: Path

    def __call__(self, *arguments: object) -> Ran:
        result = CliRunner().invoke(app, [str(argument) for argument in arguments])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Ran(result.exit_code, result.stdout, result.stderr)


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[CommandLine]:
    """The command line on an empty data directory."""
    nobody = tmp_path / "nobody"
    nobody.mkdir()
    home = tmp_path / "home"
    for name in ("CLAUDE_CONFIG_DIR", "CODEX_HOME", "AIDER_ANALYTICS_LOG", "RALEX_MONITOR_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(nobody))
    monkeypatch.setenv("RALEX_MONITOR_HOME", str(home))
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(nobody)
    yield CommandLine(home)


def aider_log(path: Path, messages: int, *, first: int = 0) -> Path:
    """An Aider analytics log of `messages` answered messages, numbered from `first`, one a minute."""
    lines: list[str] = []
    for number in range(first, first + messages):
        time_s = 1_760_000_000 + 60 * number
        start = {"event": "message_send_starting", "properties": {}, "user_id": "u", "time": time_s}
        end = {
            "event": "message_send",
            "properties": {
                "main_model": "gpt-4o-mini",
                "prompt_tokens": 1000 + number,
                "completion_tokens": 100,
                "total_tokens": 1100 + number,
                "cost": 0.00021,
                "total_cost": 0.00021,
            },
            "user_id": "u",
            "time": time_s + 5,
        }
        lines += [json.dumps(start), json.dumps(end)]
    path.write_text("".join(line + "\n" for line in lines))
    return path
